//! What a driver's compiler made of the kernels, kept in a file between starts, where the device hands it out (Vulkan).

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::device::Gpu;

/// Of a file's contents, in bytes: nothing longer is read or written.
const MOST_BYTES: usize = 64 << 20;
const HASH_BYTES: usize = 32;

/// The device's pipeline cache and its file.
pub(super) struct KeptPipelines {
    file: PathBuf,
    /// what the file's contents were made with
    made_with: String,
    /// hash of the contents that were read
    read: Option<[u8; HASH_BYTES]>,
    cache: wgpu::PipelineCache,
}

impl Gpu {
    /// Begins with what an earlier start left in `folder`, if it was the same build on the same device and driver; what is
    /// compiled from now on is kept there by [`Self::write_pipelines`]. A file that cannot be read or is another's counts
    /// for nothing. Nothing happens where the device hands out no compiled pipelines.
    pub fn keep_pipelines_in(&mut self, folder: &Path) {
        let info = self.adapter().get_info();
        let Some(key) = wgpu::util::pipeline_cache_key(&info) else { return };
        if !self.device().features().contains(wgpu::Features::PIPELINE_CACHE) {
            return;
        }
        let file = folder.join(format!("pipelines-{key}.bin"));
        let (version, kernels) = (env!("CARGO_PKG_VERSION"), understory_shaders::hash());
        let made_with = format!("{version} {kernels} {} {} {}", info.name, info.driver, info.driver_info);
        let data = read(&file, &made_with);
        let descriptor =
            wgpu::PipelineCacheDescriptor { label: Some("kept pipelines"), data: data.as_deref(), fallback: true };
        // SAFETY: the data is what `PipelineCache::get_data` returned in an earlier start. It comes from a file of the
        // program's own folder, which only `write` fills, renamed there as a whole, and `read` returns it only if its
        // SHA-256, the build, the device and the driver that it begins with are the right ones: it is neither cut off nor
        // damaged nor another program's. Who can forge all that can exchange the program too. wgpu and the driver check
        // device and driver once more.
        let cache = unsafe { self.device().create_pipeline_cache(&descriptor) };
        let read = data.as_deref().map(hash);
        self.kept = Some(KeptPipelines { file, made_with, read, cache });
    }

    pub(super) fn pipeline_cache(&self) -> Option<&wgpu::PipelineCache> {
        self.kept.as_ref().map(|kept| &kept.cache)
    }

    /// Writes what is compiled, if it is not what was read. That it cannot be written is no failure.
    pub fn write_pipelines(&self) {
        let Some(kept) = &self.kept else { return };
        let Some(data) = kept.cache.get_data().filter(|data| kept.read != Some(hash(data))) else { return };
        match write(&kept.file, &kept.made_with, &data) {
            Ok(()) => tracing::debug!(bytes = data.len(), "pipelines kept"),
            Err(error) => tracing::debug!("compiled pipelines are not kept: {error}"),
        }
    }
}

fn hash(data: &[u8]) -> [u8; HASH_BYTES] {
    Sha256::digest(data).into()
}

/// Line that a file begins with; the hash of the data and the data follow.
fn head(made_with: &str) -> Vec<u8> {
    format!("understory pipelines 1 {made_with}\n").into_bytes()
}

/// The data of `file`; `None` where it is not there, damaged, too long or made with something else.
fn read(file: &Path, made_with: &str) -> Option<Vec<u8>> {
    let head = head(made_with);
    let most = head.len() + HASH_BYTES + MOST_BYTES;
    let mut bytes = Vec::new();
    fs::File::open(file).ok()?.take(most as u64 + 1).read_to_end(&mut bytes).ok()?;
    let (expected, data) = bytes.strip_prefix(head.as_slice())?.split_at_checked(HASH_BYTES)?;
    (data.len() <= MOST_BYTES && hash(data) == expected).then(|| data.to_vec())
}

/// Writes beside `file`, then renames, so that no reader sees half of it.
fn write(file: &Path, made_with: &str, data: &[u8]) -> std::io::Result<()> {
    if data.len() > MOST_BYTES {
        return Err(std::io::Error::other("too many bytes"));
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = file.with_extension(format!("{}.tmp", std::process::id()));
    let contents = || {
        let mut to = fs::File::create(&beside)?;
        to.write_all(&head(made_with))?;
        to.write_all(&hash(data))?;
        to.write_all(data)
    };
    let written = contents().and_then(|()| fs::rename(&beside, file));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_files_of_the_same_build_and_driver_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("below").join("pipelines.bin");
        assert_eq!(read(&file, "a"), None, "no file");
        write(&file, "a", b"compiled").expect("writes");
        assert_eq!(read(&file, "a").as_deref(), Some(b"compiled".as_slice()));
        assert_eq!(read(&file, "b"), None, "another driver's");
        let whole = fs::read(&file).expect("reads");
        let names = fs::read_dir(file.parent().expect("a folder")).expect("lists");
        assert_eq!(names.count(), 1, "nothing is left beside it");
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&file, &damaged).expect("writes");
            assert_eq!(read(&file, "a"), None, "bit flipped at {at}");
            fs::write(&file, &whole[..at]).expect("writes");
            assert_eq!(read(&file, "a"), None, "cut off at {at}");
        }
        write(&file, "b", b"others").expect("writes over it");
        assert_eq!(read(&file, "b").as_deref(), Some(b"others".as_slice()));
    }

    #[test]
    fn nothing_beyond_the_limit_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pipelines.bin");
        let long = vec![0; MOST_BYTES + 1];
        assert!(write(&file, "a", &long).is_err() && !file.exists());
        let contents = [head("a"), hash(&long).to_vec(), long].concat();
        fs::write(&file, contents).expect("writes");
        assert_eq!(read(&file, "a"), None);
    }

    /// The device takes what it gave, and what it is given comes from the file.
    #[test]
    fn a_device_begins_with_what_it_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || {
            let mut gpu = pollster::block_on(Gpu::open(None)).expect("a device");
            gpu.keep_pipelines_in(folder.path());
            gpu
        };
        let gpu = open();
        if !gpu.device().features().contains(wgpu::Features::PIPELINE_CACHE) {
            assert!(gpu.kept.is_none());
            return;
        }
        assert_eq!(gpu.kept.as_ref().map(|kept| kept.read), Some(None));
        let mut pipelines = super::super::Pipelines::default();
        pollster::block_on(pipelines.get(&gpu, "grow", &[])).expect("compiles");
        gpu.write_pipelines();
        let again = open();
        let read = again.kept.as_ref().and_then(|kept| kept.read);
        assert!(read.is_some(), "a file was read");
        pollster::block_on(super::super::Pipelines::default().get(&again, "grow", &[])).expect("compiles");
        again.check("testing").expect("the device took it");
    }
}
