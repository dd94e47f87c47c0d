//! The engine in a worker of this page.

use js_sys::{Array, Object, Reflect};
use understory_protocol::FailureKind;
use wasm_bindgen::prelude::*;
use web_sys::{File, MessageEvent, Worker, WorkerOptions, WorkerType};

use super::Ears;

pub struct Link {
    worker: Worker,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(JsValue)>,
}

impl Link {
    /// # Errors
    /// Where the browser refuses the worker.
    pub fn start(ears: Ears) -> Result<Self, String> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = Worker::new_with_options("./worker.js", &options)
            .map_err(|error| format!("the browser refused the worker: {error:?}"))?;
        let on_message = {
            let ears = ears.clone();
            Closure::<dyn FnMut(_)>::new(move |event: MessageEvent| {
                ears.hear(&event.data().as_string().unwrap_or_default());
            })
        };
        let on_error = Closure::<dyn FnMut(_)>::new(move |event: JsValue| {
            // A plain event, without a message, where the worker's script could not be loaded.
            let message = Reflect::get(&event, &"message".into()).ok().and_then(|message| message.as_string());
            let message = message.unwrap_or_else(|| "its script could not be loaded".into());
            ears.crash(FailureKind::Crashed.with(message));
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        Ok(Self { worker, _on_message: on_message, _on_error: on_error })
    }

    pub fn send(&self, text: &str) -> Result<(), String> {
        self.worker.post_message(&text.into()).map_err(|error| format!("{error:?}"))
    }

    pub fn hand(&self, name: &str, files: &[(String, File)]) {
        let pairs: Array = files.iter().map(|(path, file)| Array::of2(&path.into(), file)).collect();
        let message = Object::new();
        // Neither fails: the object is a plain one, and files can be cloned.
        let _ = Reflect::set(&message, &"folder".into(), &name.into());
        let _ = Reflect::set(&message, &"files".into(), &pairs);
        let _ = self.worker.post_message(&message);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
    }
}
