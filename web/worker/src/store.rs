//! Model files that the browser keeps between visits, in the page's origin private file system, under the SHA-256 of
//! their contents. A download goes to `HASH.part`, which an interrupted one leaves to be gone on with, and gets its name
//! once all of it is there and the hash is right: what has a name is whole. One tab writes a file at a time.

use js_sys::{Function, Promise, Reflect, Uint8Array};
use sha2::{Digest, Sha256};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use web_sys::{
    Blob, File, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions,
    FileSystemGetFileOptions, FileSystemReadWriteOptions, FileSystemSyncAccessHandle, ReadableStreamDefaultReader,
    Request, RequestInit, Response,
};

use crate::scope;

const FOLDER: &str = "understory";
/// Bytes read at once to hash what a former visit left.
const PIECE: usize = 1 << 20;

/// A file to have.
#[derive(Clone)]
pub struct Wanted {
    pub url: String,
    pub bytes: u64,
    /// in hexadecimal, lower case
    pub sha256: String,
}

/// The folder of files.
#[derive(Clone)]
pub struct Store {
    folder: FileSystemDirectoryHandle,
}

#[wasm_bindgen]
extern "C" {
    /// Runs `held` when nobody else holds `name`, and holds it until its promise settles.
    #[wasm_bindgen(js_namespace = ["navigator", "locks"], js_name = request, catch)]
    fn request_lock(name: &str, held: &Function) -> Result<Promise, JsValue>;

    #[wasm_bindgen(extends = FileSystemFileHandle)]
    type MovableHandle;
    #[wasm_bindgen(method, js_name = "move", catch)]
    fn rename(this: &MovableHandle, name: &str) -> Result<Promise, JsValue>;
}

impl Store {
    /// # Errors
    /// Where the browser offers none: an old one, or a private window of some.
    pub async fn open() -> Result<Self, String> {
        let failed = |error: JsValue| format!("this browser keeps no files for pages: {}", shown(&error));
        let root: FileSystemDirectoryHandle =
            JsFuture::from(scope().navigator().storage().get_directory()).await.map_err(failed)?.unchecked_into();
        let options = FileSystemGetDirectoryOptions::new();
        options.set_create(true);
        let folder = root.get_directory_handle_with_options(FOLDER, &options);
        Ok(Self { folder: JsFuture::from(folder).await.map_err(failed)?.unchecked_into() })
    }

    /// The file, if it is here.
    pub async fn find(&self, wanted: &Wanted) -> Option<File> {
        let handle = JsFuture::from(self.folder.get_file_handle(&wanted.sha256)).await.ok()?;
        let file = JsFuture::from(handle.unchecked_into::<FileSystemFileHandle>().get_file()).await.ok()?;
        let file: File = file.unchecked_into();
        (file.size() == wanted.bytes as f64).then_some(file)
    }

    /// The file, fetched if it is not here; `on_progress(bytes so far)`.
    ///
    /// # Errors
    /// A message: no network, a file cut short (what came is kept, to go on with), other contents than expected, no
    /// room.
    pub async fn have(&self, wanted: &Wanted, on_progress: &mut dyn FnMut(u64)) -> Result<Blob, String> {
        if let Some(file) = self.find(wanted).await {
            on_progress(wanted.bytes);
            return Ok(file.into());
        }
        let lock = Lock::take(&format!("{FOLDER}/{}", wanted.sha256)).await?;
        // Another tab may have brought it while this one waited.
        if self.find(wanted).await.is_none() {
            self.download(wanted, on_progress).await?;
        }
        drop(lock);
        self.find(wanted).await.map(Blob::from).ok_or_else(|| format!("{}: the browser lost the file", wanted.url))
    }

    async fn download(&self, wanted: &Wanted, on_progress: &mut dyn FnMut(u64)) -> Result<(), String> {
        let failed = |error: JsValue| format!("{}: cannot be kept: {}", wanted.url, shown(&error));
        let options = FileSystemGetFileOptions::new();
        options.set_create(true);
        let part = self.folder.get_file_handle_with_options(&format!("{}.part", wanted.sha256), &options);
        let part: FileSystemFileHandle = JsFuture::from(part).await.map_err(failed)?.unchecked_into();
        let handle = JsFuture::from(part.create_sync_access_handle()).await.map_err(failed)?;
        let mut partial = Partial::open(handle.unchecked_into(), wanted).map_err(failed)?;
        partial.fill(wanted, on_progress).await?;
        // Closed before it is renamed.
        drop(partial);
        let renamed = part.unchecked_into::<MovableHandle>().rename(&wanted.sha256).map_err(failed)?;
        JsFuture::from(renamed).await.map_err(failed)?;
        Ok(())
    }
}

/// A file that is being written: what is in it so far, and the hash of that.
struct Partial {
    handle: FileSystemSyncAccessHandle,
    bytes: u64,
    hash: Sha256,
}

impl Drop for Partial {
    fn drop(&mut self) {
        // What cannot be flushed is not there on the next visit and comes again.
        let _ = self.handle.flush();
        self.handle.close();
    }
}

impl Partial {
    /// Goes on with what a former visit left in `handle`.
    fn open(handle: FileSystemSyncAccessHandle, wanted: &Wanted) -> Result<Self, JsValue> {
        let mut partial = Self { handle, bytes: 0, hash: Sha256::new() };
        let left = partial.handle.get_size()? as u64;
        if left > wanted.bytes {
            partial.restart()?;
            return Ok(partial);
        }
        let mut piece = vec![0; PIECE];
        while partial.bytes < left {
            let options = FileSystemReadWriteOptions::new();
            options.set_at(partial.bytes as f64);
            let n = partial.handle.read_with_u8_array_and_options(&mut piece, &options)? as usize;
            if n == 0 {
                break;
            }
            partial.hash.update(&piece[..n]);
            partial.bytes += n as u64;
        }
        Ok(partial)
    }

    fn restart(&mut self) -> Result<(), JsValue> {
        self.handle.truncate_with_u32(0)?;
        (self.bytes, self.hash) = (0, Sha256::new());
        Ok(())
    }

    fn append(&mut self, piece: &[u8]) -> Result<(), JsValue> {
        let options = FileSystemReadWriteOptions::new();
        options.set_at(self.bytes as f64);
        let n = self.handle.write_with_u8_array_and_options(piece, &options)? as usize;
        if n < piece.len() {
            return Err("the disk took only a part".into());
        }
        self.hash.update(piece);
        self.bytes += n as u64;
        Ok(())
    }

    /// Downloads what is missing, and checks the whole.
    async fn fill(&mut self, wanted: &Wanted, on_progress: &mut dyn FnMut(u64)) -> Result<(), String> {
        let url = &wanted.url;
        let unkept = |error: JsValue| match name_of(&error).as_deref() {
            Some("QuotaExceededError") => {
                format!(
                    "{url}: no room: {} bytes are more than this browser gives the page; delete models",
                    wanted.bytes
                )
            }
            _ => format!("{url}: cannot be kept: {}", shown(&error)),
        };
        if self.bytes < wanted.bytes {
            let response = request(url, self.bytes).await?;
            if response.status() != 206 && self.bytes > 0 {
                self.restart().map_err(unkept)?;
            }
            let cut = |error: JsValue| format!("{url}: the connection broke: {}; what came is kept", shown(&error));
            let body = response.body().ok_or_else(|| format!("{url}: the server sent nothing"))?;
            let reader = ReadableStreamDefaultReader::new(&body).map_err(cut)?;
            loop {
                let read = JsFuture::from(reader.read()).await.map_err(cut)?;
                let value = Reflect::get(&read, &"value".into()).map_err(cut)?;
                if value.is_undefined() {
                    break;
                }
                self.append(&value.unchecked_into::<Uint8Array>().to_vec()).map_err(unkept)?;
                if self.bytes > wanted.bytes {
                    break;
                }
                on_progress(self.bytes);
            }
        }
        if self.bytes < wanted.bytes {
            return Err(format!(
                "{url}: cut short: {} of {} bytes came; load again to go on",
                self.bytes, wanted.bytes
            ));
        }
        let hash: String = self.hash.finalize_reset().iter().map(|byte| format!("{byte:02x}")).collect();
        if self.bytes != wanted.bytes || hash != wanted.sha256 {
            self.restart().map_err(unkept)?;
            return Err(format!(
                "{url}: not what was expected: SHA-256 {hash} instead of {}; nothing of it was kept",
                wanted.sha256
            ));
        }
        Ok(())
    }
}

/// Asks for `url` from byte `from` on.
async fn request(url: &str, from: u64) -> Result<Response, String> {
    let failed = |error: JsValue| format!("cannot fetch {url}: {}", shown(&error));
    let request = Request::new_with_str_and_init(url, &RequestInit::new()).map_err(failed)?;
    if from > 0 {
        request.headers().set("range", &format!("bytes={from}-")).map_err(failed)?;
    }
    let response: Response =
        JsFuture::from(scope().fetch_with_request(&request)).await.map_err(failed)?.unchecked_into();
    match response.ok() {
        true => Ok(response),
        false => Err(format!("cannot fetch {url}: the server answered {}", response.status())),
    }
}

/// A name that one tab at a time holds, until this is dropped.
struct Lock {
    release: Function,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.release.call0(&JsValue::UNDEFINED);
    }
}

impl Lock {
    async fn take(name: &str) -> Result<Self, String> {
        let mut release = None;
        let held = Promise::new(&mut |resolve, _| release = Some(resolve));
        let release = release.expect("a promise's executor runs at once");
        let (granted, wait) = futures_channel::oneshot::channel::<()>();
        let mut granted = Some(granted);
        let on_grant = Closure::<dyn FnMut(JsValue) -> Promise>::new(move |_| {
            if let Some(granted) = granted.take() {
                let _ = granted.send(());
            }
            held.clone()
        });
        let done = request_lock(name, on_grant.as_ref().unchecked_ref())
            .map_err(|error| format!("no lock on {name}: {}", shown(&error)))?;
        // The closure lives until the lock is given back.
        drop(future_to_promise(async move {
            let _ = JsFuture::from(done).await;
            drop(on_grant);
            Ok(JsValue::UNDEFINED)
        }));
        wait.await.map_err(|_| format!("no lock on {name}"))?;
        Ok(Self { release })
    }
}

fn name_of(error: &JsValue) -> Option<String> {
    Reflect::get(error, &"name".into()).ok()?.as_string()
}

/// A JavaScript error for a message.
fn shown(error: &JsValue) -> String {
    let message = Reflect::get(error, &"message".into()).ok().and_then(|message| message.as_string());
    message.or_else(|| error.as_string()).unwrap_or_else(|| format!("{error:?}"))
}
