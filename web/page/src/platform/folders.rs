//! Folders, and files without one, that a person chose in a file dialogue or dropped on the page.

use js_sys::{Array, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{DataTransfer, File, FileList, FileSystemDirectoryEntry, FileSystemEntry, FileSystemFileEntry};

/// A folder of the person's own, or files without one; paths are relative to it.
pub struct Folder {
    pub name: String,
    pub files: Vec<(String, File)>,
}

/// The name of several files without their folder, none of them GGUF.
const LOOSE: &str = "dropped files";
/// Folders below the one that was dropped are looked into so far, to say where a model lies.
const DEEPEST: usize = 1;

/// The folder, or the files, that a file dialogue gave; `None` where it gave none.
pub fn chosen(list: &FileList) -> Option<Folder> {
    let (mut name, mut files) = (None, vec![]);
    for (path, file) in listed(list) {
        let (folder, path) = path.split_once('/').unwrap_or(("", &path));
        name = Some(folder.to_owned());
        files.push((path.to_owned(), file));
    }
    match name? {
        name if name.is_empty() => Some(loose(files)),
        name => Some(Folder { name, files }),
    }
}

/// Files without their folder, called after the only one, or after the first GGUF file.
fn loose(files: Vec<(String, File)>) -> Folder {
    let is_gguf = |name: &&String| name.to_ascii_lowercase().ends_with(".gguf");
    let names = || files.iter().map(|(name, _)| name);
    let name = if files.len() == 1 { names().next() } else { names().filter(is_gguf).min() };
    Folder { name: name.cloned().unwrap_or_else(|| LOOSE.into()), files }
}

/// What was dropped. It has to be asked for at once: the browser forgets it when the event is over.
pub fn dropped(transfer: &DataTransfer) -> Vec<FileSystemEntry> {
    let items = transfer.items();
    let items = (0..items.length()).filter_map(|i| items.get(i));
    items.filter_map(|item| item.webkit_get_as_entry().ok().flatten()).collect()
}

/// The folder, or the files, of these.
///
/// # Errors
/// What else was dropped, or why it cannot be read.
pub async fn read(entries: Vec<FileSystemEntry>) -> Result<Folder, String> {
    let mut files = Vec::new();
    if let [entry] = &*entries
        && entry.is_directory()
    {
        walk(entry.clone().unchecked_into(), "", &mut files).await.map_err(unreadable)?;
        return Ok(Folder { name: entry.name(), files });
    }
    if entries.is_empty() || entries.iter().any(FileSystemEntry::is_directory) {
        return Err("expected one folder, or the files of one model".into());
    }
    for entry in entries {
        files.push((entry.name(), file(entry).await.map_err(unreadable)?));
    }
    Ok(loose(files))
}

/// The chosen files with their names, which begin with the folder's where one was chosen.
pub fn listed(list: &FileList) -> Vec<(String, File)> {
    let path = |file: &File| Reflect::get(file, &"webkitRelativePath".into()).ok()?.as_string();
    let name = |file: &File| path(file).filter(|path| !path.is_empty()).unwrap_or_else(|| file.name());
    (0..list.length()).filter_map(|i| list.get(i)).map(|file| (name(&file), file)).collect()
}

/// The files of `entries`, of the folders among them, and of `loose` whose names end with `ending`.
///
/// # Errors
/// Why they cannot be read.
pub async fn files(
    entries: Vec<FileSystemEntry>,
    loose: Option<FileList>,
    ending: &str,
) -> Result<Vec<(String, File)>, String> {
    let mut files = loose.as_ref().map(listed).unwrap_or_default();
    for entry in entries {
        let name = entry.name();
        if entry.is_directory() {
            let mut found = Vec::new();
            walk(entry.unchecked_into(), "", &mut found).await.map_err(unreadable)?;
            files.extend(found.into_iter().map(|(path, file)| (format!("{name}/{path}"), file)));
        } else {
            files.push((name, file(entry).await.map_err(unreadable)?));
        }
    }
    files.retain(|(name, _)| name.ends_with(ending));
    Ok(files)
}

/// Adds the files of `folder` to `files`, with their paths behind `prefix`.
async fn walk(folder: FileSystemDirectoryEntry, prefix: &str, files: &mut Vec<(String, File)>) -> Result<(), JsValue> {
    let reader = folder.create_reader();
    loop {
        let mut refused = Ok(());
        let some = Promise::new(&mut |resolve, reject| {
            refused = reader.read_entries_with_callback_and_callback(&resolve, &reject);
        });
        refused?;
        // A part of them at a time, none at the end.
        let some: Array = JsFuture::from(some).await?.unchecked_into();
        if some.length() == 0 {
            return Ok(());
        }
        for entry in some.iter() {
            let entry: FileSystemEntry = entry.unchecked_into();
            let path = format!("{prefix}{}", entry.name());
            if entry.is_file() {
                files.push((path, file(entry).await?));
            } else if path.split('/').count() <= DEEPEST {
                Box::pin(walk(entry.unchecked_into(), &format!("{path}/"), files)).await?;
            }
        }
    }
}

async fn file(entry: FileSystemEntry) -> Result<File, JsValue> {
    let entry: FileSystemFileEntry = entry.unchecked_into();
    let file = Promise::new(&mut |resolve, reject| entry.file_with_callback_and_callback(&resolve, &reject));
    Ok(JsFuture::from(file).await?.unchecked_into())
}

fn unreadable(error: JsValue) -> String {
    let message = Reflect::get(&error, &"message".into()).ok().and_then(|message| message.as_string());
    format!("what was dropped cannot be read: {}", message.unwrap_or_else(|| format!("{error:?}")))
}
