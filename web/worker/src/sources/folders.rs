//! Folders of the person's own, and files without their folder, as the page handed them over: `{folder: NAME, files:
//! [[PATH, File], ...]}`, a message beside the JSON texts, sent before the request that names the folder. Paths are
//! relative to the folder. The files stay where they are: nothing is copied, and they are read piece by piece as the
//! store's are.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use js_sys::{Array, Reflect};
use understory_model::gguf::model_name;
use understory_model::repository::{WEIGHTS, WEIGHTS_INDEX, model_files, shards};
use wasm_bindgen::prelude::*;
use web_sys::Blob;

use crate::files::{BlobFiles, read_blob};
use crate::js::shown;

/// What was handed over so far.
#[derive(Clone, Default)]
pub struct Folders(Rc<RefCell<HashMap<String, HashMap<String, Blob>>>>);

impl Folders {
    /// Takes a message; `None` where it is no folder.
    pub fn take(&self, message: &JsValue) -> Option<()> {
        let name = Reflect::get(message, &"folder".into()).ok()?.as_string()?;
        let entries: Array = Reflect::get(message, &"files".into()).ok()?.dyn_into().ok()?;
        let mut files = HashMap::new();
        for entry in entries.iter() {
            let entry: Array = entry.dyn_into().ok()?;
            files.insert(entry.get(0).as_string()?, entry.get(1).dyn_into().ok()?);
        }
        self.0.borrow_mut().insert(name, files);
        Some(())
    }

    /// The files of the folder with this name.
    ///
    /// # Errors
    /// What is missing in it.
    pub fn files(&self, name: &str) -> Result<BlobFiles, String> {
        let folders = self.0.borrow();
        let files = folders.get(name).ok_or_else(|| format!("`{name}` is not open; choose it again"))?;
        let gguf = check(files).map_err(|reason| format!("`{name}` cannot be used: {reason}"))?;
        let of_file = |file: &String| model_name(file.rsplit('/').next().unwrap_or(file)).to_owned();
        let label = gguf.as_ref().map_or_else(|| name.into(), of_file);
        Ok(BlobFiles::new(label, files.clone(), gguf))
    }
}

/// The first file of a model in GGUF; `None`: the model is in safetensors.
fn check(files: &HashMap<String, Blob>) -> Result<Option<String>, String> {
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let gguf = model_files(&names, None).map_err(|missing| {
        let mut below: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix("/config.json")).collect();
        below.sort_unstable();
        let hint = below.first().map_or(String::new(), |folder| format!("; there is a model in its folder `{folder}`"));
        format!("{missing}{hint}")
    })?;
    if gguf.is_some() || files.contains_key(WEIGHTS) {
        return Ok(gguf.and_then(|files| files.into_iter().next()));
    }
    let index = read_blob(&files[WEIGHTS_INDEX]).map_err(|error| format!("{WEIGHTS_INDEX}: {}", shown(&error)))?;
    let mut missing = shards(&index)?;
    missing.retain(|shard| !files.contains_key(shard));
    if missing.is_empty() { Ok(None) } else { Err(format!("it lacks {}", missing.join(", "))) }
}
