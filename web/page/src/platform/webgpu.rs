//! Whether this browser offers WebGPU to this page.

use js_sys::Reflect;
use leptos::prelude::window;

use crate::wording::notice::Notice;
use crate::wording::webgpu;

/// `Some`: it does not, and why.
pub fn missing() -> Option<Notice> {
    let has_gpu = Reflect::get(&window().navigator(), &"gpu".into()).is_ok_and(|gpu| !gpu.is_undefined());
    if has_gpu {
        return None;
    }
    let (message, advice) = match window().is_secure_context() {
        true => ("The models run on WebGPU, which is missing or switched off.", webgpu::advice(&agent())),
        false => (
            "WebGPU exists on secure pages only, and this one came over plain HTTP.",
            "Open it over https, or from localhost.",
        ),
    };
    Some(Notice { advice: advice.into(), ..message.into() })
}

/// What the browser calls itself.
pub fn agent() -> String {
    window().navigator().user_agent().unwrap_or_default()
}
