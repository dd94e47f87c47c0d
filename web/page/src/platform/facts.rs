//! What the browser tells of itself and its device. What it does not tell is `None`.

use js_sys::{Array, Function, Promise};
use leptos::prelude::{document, window};
use understory_protocol::{Browser, PageFacts, Power};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::values::{get, number, text};

pub async fn all() -> PageFacts {
    let data = get(&window().navigator(), "userAgentData");
    let (browser, os) = match data.as_ref() {
        Some(data) => by_hints(data).await,
        None => by_agent(&window().navigator().user_agent().unwrap_or_default()),
    };
    PageFacts {
        browser,
        os,
        cores: number(&window().navigator(), "hardwareConcurrency").map(|cores| cores as u32),
        isolated: isolated(),
        power: power().await,
        hidden: document().hidden(),
    }
}

/// Other sites cannot share this page's process, so its clock may be fine.
pub fn isolated() -> Option<bool> {
    get(&window(), "crossOriginIsolated")?.as_bool()
}

/// Memory of this device as the browser states it: rounded, and no more than a limit of its own.
pub fn memory_bytes() -> Option<u64> {
    number(&window().navigator(), "deviceMemory").map(|gib| (gib * (1u64 << 30) as f64) as u64)
}

/// Where the browser tells of a battery. Without one it speaks of a full battery on mains, so a full one is not told.
pub async fn power() -> Option<Power> {
    let battery = call(&window().navigator(), "getBattery", &JsValue::UNDEFINED).await?;
    let on_battery = !get(&battery, "charging")?.as_bool()?;
    let level = number(&battery, "level").filter(|&level| level < 1.0);
    Some(Power {
        on_battery: Some(on_battery),
        battery_percent: level.map(|level| (100.0 * level).round() as u32),
        mode: None,
    })
}

/// By user agent client hints (Chromium).
async fn by_hints(data: &JsValue) -> (Option<Browser>, Option<String>) {
    let wanted: Array = ["fullVersionList", "platformVersion"].map(JsValue::from).iter().collect();
    let all = call(data, "getHighEntropyValues", &wanted).await.unwrap_or_else(|| data.clone());
    let brands = get(&all, "fullVersionList").or_else(|| get(data, "brands")).map(|list| Array::from(&list));
    let brands =
        brands.iter().flat_map(Array::iter).filter_map(|one| Some((text(&one, "brand")?, text(&one, "version"))));
    // One entry is there to be ignored; Chromium stands beside what is made of it.
    let brands = brands.filter(|(brand, _)| !brand.contains("Not"));
    let brand = brands.reduce(|known, other| if known.0 == "Chromium" { other } else { known });
    let mobile = get(data, "mobile").and_then(|mobile| mobile.as_bool());
    let browser = brand.map(|(name, version)| Browser { name, version, mobile });
    let os = text(data, "platform").filter(|platform| !platform.is_empty()).map(|platform| {
        let version = text(&all, "platformVersion").filter(|version| !version.is_empty());
        version.map_or_else(|| platform.clone(), |version| format!("{platform} {version}"))
    });
    (browser, os)
}

/// By the user agent's text, as far as it is true: systems' versions in it are frozen.
fn by_agent(agent: &str) -> (Option<Browser>, Option<String>) {
    let known = [("Firefox", "Firefox/"), ("Chrome", "Chrome/"), ("Safari", "Version/")];
    let browser = known.into_iter().find_map(|(name, mark)| {
        let version = agent.split_once(mark)?.1.split(' ').next()?;
        Some(Browser { name: name.into(), version: Some(version.into()), mobile: Some(agent.contains("Mobile")) })
    });
    let systems = ["Android", "iPhone", "iPad", "Windows", "Mac OS X", "Linux"];
    let os = systems.into_iter().find(|system| agent.contains(system)).map(String::from);
    (browser, os)
}

/// What a method's promise becomes; `None` where there is no such method or it is refused.
async fn call(of: &JsValue, method: &str, argument: &JsValue) -> Option<JsValue> {
    let promise = get(of, method)?.dyn_into::<Function>().ok()?.call1(of, argument).ok()?;
    JsFuture::from(promise.dyn_into::<Promise>().ok()?).await.ok()
}
