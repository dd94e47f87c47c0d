//! Names that one tab at a time holds.

use js_sys::{Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use crate::js::shown;

#[wasm_bindgen]
extern "C" {
    /// Runs `held` when nobody else holds `name`, and holds it until its promise settles. With `ifAvailable` it runs
    /// at once, with `null` where somebody else does.
    #[wasm_bindgen(js_namespace = ["navigator", "locks"], js_name = request, catch)]
    fn request_lock(name: &str, options: &Object, held: &Function) -> Result<Promise, JsValue>;
}

/// A name, held until this is dropped.
pub struct Lock {
    release: Function,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.release.call0(&JsValue::UNDEFINED);
    }
}

impl Lock {
    /// Waits until the name is free.
    ///
    /// # Errors
    /// Where the browser has no locks.
    pub async fn take(name: &str) -> Result<Self, String> {
        Self::request(name, false).await?.ok_or_else(|| format!("no lock on {name}"))
    }

    /// `None` where somebody else holds the name.
    ///
    /// # Errors
    /// Where the browser has no locks.
    pub async fn try_take(name: &str) -> Result<Option<Self>, String> {
        Self::request(name, true).await
    }

    async fn request(name: &str, if_available: bool) -> Result<Option<Self>, String> {
        let failed = |error: JsValue| format!("no lock on {name}: {}", shown(&error));
        let mut release = None;
        let held = Promise::new(&mut |resolve, _| release = Some(resolve));
        let release = release.expect("a promise's executor runs at once");
        let (granted, wait) = futures_channel::oneshot::channel::<bool>();
        let mut granted = Some(granted);
        let on_grant = Closure::<dyn FnMut(JsValue) -> JsValue>::new(move |lock: JsValue| {
            let is_held = !lock.is_null();
            if let Some(granted) = granted.take() {
                let _ = granted.send(is_held);
            }
            if is_held { held.clone().into() } else { JsValue::UNDEFINED }
        });
        let options = Object::new();
        Reflect::set(&options, &"ifAvailable".into(), &if_available.into()).map_err(failed)?;
        let done = request_lock(name, &options, on_grant.as_ref().unchecked_ref()).map_err(failed)?;
        // The closure lives until the lock is given back.
        drop(future_to_promise(async move {
            let _ = JsFuture::from(done).await;
            drop(on_grant);
            Ok(JsValue::UNDEFINED)
        }));
        let is_held = wait.await.map_err(|_| format!("no lock on {name}"))?;
        Ok(is_held.then_some(Self { release }))
    }
}
