//! Fields of JavaScript's objects.

use js_sys::Reflect;
use wasm_bindgen::prelude::*;

/// `None`: there is no such field.
pub fn get(of: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(of, &name.into()).ok().filter(|value| !value.is_undefined() && !value.is_null())
}

pub fn text(of: &JsValue, name: &str) -> Option<String> {
    get(of, name)?.as_string()
}

pub fn number(of: &JsValue, name: &str) -> Option<f64> {
    get(of, name)?.as_f64()
}
