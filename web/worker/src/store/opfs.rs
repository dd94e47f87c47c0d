//! The origin private file system: files with names, written in place through access handles. A part is `NAME.part`
//! until it is whole and gets its name.

use js_sys::{AsyncIterator, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, File, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions,
    FileSystemGetFileOptions, FileSystemReadWriteOptions, FileSystemSyncAccessHandle,
};

use super::{FOLDER, PART};
use crate::js::resolved;
use crate::scope;

/// Bytes read at once to hash what a former visit left.
const PIECE: usize = 1 << 20;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(extends = FileSystemFileHandle)]
    type MovableHandle;
    #[wasm_bindgen(method, js_name = "move", catch)]
    fn rename(this: &MovableHandle, name: &str) -> Result<js_sys::Promise, JsValue>;
}

pub struct Folder(FileSystemDirectoryHandle);

impl Folder {
    /// `None` where the browser has no such files, no access handles to them, or refuses (private windows of some).
    pub async fn open() -> Option<Self> {
        let prototype = Reflect::get(&js_sys::global(), &"FileSystemFileHandle".into())
            .and_then(|class| Reflect::get(&class, &"prototype".into()))
            .ok()?;
        let has = |method: &str| Reflect::has(&prototype, &method.into()).unwrap_or(false);
        if !has("createSyncAccessHandle") || !has("move") {
            return None;
        }
        let root: FileSystemDirectoryHandle = resolved(scope().navigator().storage().get_directory()).await.ok()?;
        let options = FileSystemGetDirectoryOptions::new();
        options.set_create(true);
        resolved(root.get_directory_handle_with_options(FOLDER, &options)).await.ok().map(Self)
    }

    pub async fn blob(&self, name: &str) -> Option<Blob> {
        let handle: FileSystemFileHandle = resolved(self.0.get_file_handle(name)).await.ok()?;
        let file: File = resolved(handle.get_file()).await.ok()?;
        Some(file.into())
    }

    pub async fn names(&self) -> Result<Vec<String>, JsValue> {
        let (keys, mut names): (AsyncIterator, _) = (self.0.keys(), vec![]);
        loop {
            let next = JsFuture::from(keys.next()?).await?;
            let Some(name) = Reflect::get(&next, &"value".into())?.as_string() else { return Ok(names) };
            names.push(name);
        }
    }

    pub async fn remove(&self, name: &str) -> Result<(), JsValue> {
        JsFuture::from(self.0.remove_entry(name)).await.map(drop)
    }

    /// A small file, in place of what was there.
    pub async fn write(&self, name: &str, text: &str) -> Result<(), JsValue> {
        let mut part = self.part(name).await?;
        part.restart()?;
        part.append(text.as_bytes())?;
        part.finish(name).await
    }

    pub async fn part(&self, name: &str) -> Result<Part, JsValue> {
        let options = FileSystemGetFileOptions::new();
        options.set_create(true);
        let file: FileSystemFileHandle =
            resolved(self.0.get_file_handle_with_options(&format!("{name}{PART}"), &options)).await?;
        let handle: FileSystemSyncAccessHandle = resolved(file.create_sync_access_handle()).await?;
        let bytes = handle.get_size()? as u64;
        Ok(Part { file, open: Open(handle), bytes })
    }
}

/// A file that is being written; nobody else can meanwhile.
pub struct Part {
    file: FileSystemFileHandle,
    open: Open,
    /// what is in it
    pub bytes: u64,
}

struct Open(FileSystemSyncAccessHandle);

impl Drop for Open {
    fn drop(&mut self) {
        // What cannot be flushed is not there on the next visit and comes again.
        let _ = self.0.flush();
        self.0.close();
    }
}

impl Part {
    /// All that is in it, piece by piece.
    pub fn each(&self, on_piece: &mut dyn FnMut(&[u8])) -> Result<(), JsValue> {
        let (mut piece, mut at) = (vec![0; PIECE], 0);
        while at < self.bytes {
            let n = self.open.0.read_with_u8_array_and_options(&mut piece, &from(at))? as usize;
            if n == 0 {
                return Err("the file is shorter than it was".into());
            }
            on_piece(&piece[..n]);
            at += n as u64;
        }
        Ok(())
    }

    pub fn restart(&mut self) -> Result<(), JsValue> {
        self.bytes = 0;
        self.open.0.truncate_with_u32(0)
    }

    pub fn append(&mut self, piece: &[u8]) -> Result<(), JsValue> {
        let n = self.open.0.write_with_u8_array_and_options(piece, &from(self.bytes))?;
        // Where the disk is full, Chromium returns an error's number instead of throwing it.
        if n != piece.len() as f64 {
            return Err(super::no_room());
        }
        self.bytes += piece.len() as u64;
        Ok(())
    }

    /// Gives it its name, in place of the file that has it.
    pub async fn finish(self, name: &str) -> Result<(), JsValue> {
        // Closed before it is renamed.
        drop(self.open);
        JsFuture::from(self.file.unchecked_into::<MovableHandle>().rename(name)?).await.map(drop)
    }
}

fn from(at: u64) -> FileSystemReadWriteOptions {
    let options = FileSystemReadWriteOptions::new();
    options.set_at(at as f64);
    options
}
