//! How a model comes onto a device.

use understory_model::config::ModelConfig;
use understory_model::weights::ModelWeights;
use understory_protocol::{Error, KernelSet, KvDtype, LoadOptions, Progress, Result};
use web_time::Instant;

use crate::device_weights;
use crate::forward::Forward;
use crate::gpu::{Gpu, Pipelines};
use crate::kernels::{Forms, asked_forms, first_kernels, stored_forms};

/// An open device, with kernels that may be on their way. Where compiling goes on aside (in a browser), they are asked
/// for as soon as a model's configuration is known, and compile while its weights are fetched, checked and uploaded.
pub struct LoadContext {
    pub(super) gpu: Gpu,
    pub(super) pipelines: Pipelines,
    /// what opening it took
    pub(super) device_ms: Option<f64>,
}

impl LoadContext {
    /// # Errors
    /// Those of [`Gpu::open`].
    pub async fn open(adapter: Option<usize>) -> Result<LoadContext> {
        let mut clock = Lap::new();
        let gpu = Gpu::open(adapter).await?;
        Ok(LoadContext { device_ms: clock.lap(), ..LoadContext::from(gpu) })
    }

    /// As [`Gpu::keep_pipelines_in`].
    #[cfg(not(target_family = "wasm"))]
    pub fn keep_pipelines_in(&mut self, folder: &std::path::Path) {
        self.gpu.keep_pipelines_in(folder);
    }

    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    pub(super) fn from(gpu: Gpu) -> LoadContext {
        LoadContext { gpu, pipelines: Pipelines::default(), device_ms: None }
    }

    /// Asks for the kernels of the first token of a model with this configuration whose files hold no blocks; what the
    /// driver says against them is reported when the model is opened.
    pub fn compile_for(&mut self, config: &ModelConfig, options: &LoadOptions) {
        self.begin(config, &asked_forms(options.dtype), options);
    }

    /// As [`Self::compile_for`], of a model whose weights are known.
    pub(super) fn compile_stored(&mut self, config: &ModelConfig, weights: &ModelWeights<'_>, options: &LoadOptions) {
        self.begin(config, &stored_forms(config, weights, options.dtype), options);
    }

    fn begin(&mut self, config: &ModelConfig, forms: &Forms<'_>, options: &LoadOptions) {
        let kernel_set = kernel_set(options, &self.gpu);
        // What does not go together is refused when the model is loaded.
        if let Ok(kv) = kv_dtype(options, kernel_set) {
            self.pipelines.begin(&self.gpu, &first_kernels(config, forms, kernel_set, kv, self.gpu.report()));
        }
    }
}

/// The kernels asked for, or else those that fit the adapter.
fn kernel_set(options: &LoadOptions, gpu: &Gpu) -> KernelSet {
    options.profile.unwrap_or(gpu.report().profile)
}

/// How `kernel_set` is to store the KV cache.
///
/// # Errors
/// [`Error::BadParameter`] where it cannot.
fn kv_dtype(options: &LoadOptions, kernel_set: KernelSet) -> Result<KvDtype> {
    match options.kv_dtype.unwrap_or(KvDtype::of(kernel_set)) {
        KvDtype::F16 if kernel_set == KernelSet::Cpu => Err(Error::BadParameter {
            name: "kv-dtype",
            value: KvDtype::F16.name().into(),
            expected: "f32 with the kernel set `cpu`, whose kernels know no other",
        }),
        dtype => Ok(dtype),
    }
}

/// Uploads a model and compiles its pipelines; the time that the upload took.
pub(super) async fn load(
    gpu: &Gpu,
    config: ModelConfig,
    weights: &ModelWeights<'_>,
    options: &LoadOptions,
    pipelines: Pipelines,
    clock: &mut Lap,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<(Forward, Option<f64>)> {
    let kernel_set = kernel_set(options, gpu);
    let dtypes = (options.dtype, kv_dtype(options, kernel_set)?);
    let mut on_upload = |done_bytes, total_bytes| on_progress(Progress::Upload { done_bytes, total_bytes });
    let device_weights =
        device_weights::upload(gpu, weights, &config, options.dtype, kernel_set, &mut on_upload).await?;
    let upload = clock.lap();
    let forward = Forward::new(gpu, config, device_weights, dtypes, kernel_set, pipelines, &mut |done, total| {
        on_progress(Progress::Pipelines { done, total });
    })
    .await?;
    Ok((forward, upload))
}

/// Time since the last lap, in milliseconds.
pub(super) struct Lap(Instant);

impl Lap {
    pub(super) fn new() -> Self {
        Lap(Instant::now())
    }
    pub(super) fn lap(&mut self) -> Option<f64> {
        let ms = self.0.elapsed().as_secs_f64() * 1e3;
        self.0 = Instant::now();
        Some(ms)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::engine::Engine;
    use understory_model::files::FolderFiles;
    use understory_protocol::{Dtype, KernelSet};

    #[test]
    fn first_kernels_are_those_of_a_pass_over_one_row() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
        let folders =
            std::fs::read_dir(fixtures).expect("fixtures/ exists").map(|entry| entry.expect("readable").path());
        let mut seen = 0;
        for folder in folders.filter(|folder| folder.join("config.json").exists()) {
            let files = FolderFiles::open(&folder).expect("a fixture opens");
            for (kernel_set, dtype) in
                [(KernelSet::Cpu, Dtype::Q4), (KernelSet::Cpu, Dtype::F16), (KernelSet::Gpu, Dtype::F32)]
            {
                let options = LoadOptions { dtype, kv_dtype: None, profile: Some(kernel_set) };
                let engine = pollster::block_on(async {
                    Engine::open(Gpu::open(None).await?, &files, &options, &mut |_| {}).await
                })
                .expect("a fixture loads");
                let mut used: Vec<_> = engine.forward.one_row_kernels().collect();
                used.sort();
                used.dedup();
                let config = engine.config();
                let kv = KvDtype::of(kernel_set);
                let weights = ModelWeights::open(&files, config).expect("a fixture's weights");
                let asked = first_kernels(config, &asked_forms(dtype), kernel_set, kv, engine.gpu.report());
                let stored =
                    first_kernels(config, &stored_forms(config, &weights, dtype), kernel_set, kv, engine.gpu.report());
                for mut named in [asked, stored] {
                    named.iter_mut().for_each(|(_, features, _)| features.sort_unstable());
                    named.sort();
                    assert_eq!(named, used, "{} on {kernel_set:?}", folder.display());
                    seen += 1;
                }
            }
        }
        assert!(seen >= 48, "every family with both kernel sets");
    }
}
