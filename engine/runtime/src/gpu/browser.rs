//! What a browser says only past wgpu: who made the adapter, and when its messages have arrived.

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use understory_protocol::AdapterReport;

/// How often, and how many milliseconds apart, [`wait_briefly`] looks again.
const LOOKS: u32 = 20;
const LOOK_MS: i32 = 5;

/// What a browser's adapter tells of itself beyond wgpu's account; missing or empty where it tells nothing.
#[derive(Default)]
pub struct AdapterNames {
    vendor: String,
    architecture: String,
    subgroups: bool,
}

impl AdapterNames {
    /// Of the adapter that wgpu's request is answered with.
    pub async fn ask() -> AdapterNames {
        Self::try_ask().await.unwrap_or_default()
    }

    /// A name where the browser gives no description, as most do; subgroups, which wgpu does not know there.
    pub fn complete(self, report: &mut AdapterReport) {
        if report.name.is_empty() {
            let known = [self.vendor, self.architecture].into_iter().filter(|word| !word.is_empty());
            report.name = known.collect::<Vec<_>>().join(" ");
        }
        if report.name.is_empty() {
            report.name = "unnamed adapter".into();
        }
        if self.subgroups && !report.features.iter().any(|feature| feature == "subgroups") {
            report.features.push("subgroups".into());
        }
    }

    async fn try_ask() -> Result<AdapterNames, JsValue> {
        let gpu = get(&get(&js_sys::global(), "navigator")?, "gpu")?;
        let options = js_sys::Object::new();
        Reflect::set(&options, &"powerPreference".into(), &"high-performance".into())?;
        let request: Function = get(&gpu, "requestAdapter")?.dyn_into()?;
        let adapter = JsFuture::from(request.call1(&gpu, &options)?.dyn_into::<Promise>()?).await?;
        let info = get(&adapter, "info")?;
        let text = |name| get(&info, name).ok().and_then(|value| value.as_string()).unwrap_or_default();
        let features = get(&adapter, "features")?;
        let has: Function = get(&features, "has")?.dyn_into()?;
        let subgroups = has.call1(&features, &"subgroups".into())?.is_truthy();
        Ok(AdapterNames { vendor: text("vendor"), architecture: text("architecture"), subgroups })
    }
}

fn get(object: &JsValue, name: &str) -> Result<JsValue, JsValue> {
    Reflect::get(object, &name.into())
}

/// Waits until `arrived`, for [`LOOKS`] times [`LOOK_MS`] at most: a browser rejects what was asked of a lost device before it says that the device is
/// lost.
pub async fn wait_briefly(arrived: impl Fn() -> bool) {
    for _ in 0..LOOKS {
        if arrived() {
            return;
        }
        let turn = Promise::new(&mut |resolve, _| {
            let later = get(&js_sys::global(), "setTimeout").and_then(|timer| timer.dyn_into::<Function>());
            let set = later.and_then(|timer| timer.call2(&JsValue::UNDEFINED, &resolve, &LOOK_MS.into()));
            if set.is_err() {
                let _ = resolve.call0(&JsValue::UNDEFINED);
            }
        });
        let _ = JsFuture::from(turn).await;
    }
}
