//! What the browser keeps for this page: the costs measured here, for as long as device, models and build are the same.

use leptos::prelude::window;
use serde::{Deserialize, Serialize};
use understory_engine::protocol::Costs;

const ITEM: &str = "understory.costs";

#[derive(Serialize, Deserialize)]
struct Kept {
    calibration_key: String,
    costs: Costs,
}

/// The costs kept for this key. `None` too where the browser keeps nothing (private windows).
pub fn costs(calibration_key: &str) -> Option<Costs> {
    let text = storage()?.get_item(ITEM).ok()??;
    let kept: Kept = serde_json::from_str(&text).ok()?;
    (kept.calibration_key == calibration_key).then_some(kept.costs)
}

pub fn keep_costs(calibration_key: String, costs: Costs) {
    if let (Some(storage), Ok(text)) = (storage(), serde_json::to_string(&Kept { calibration_key, costs })) {
        // Without it the next visit measures again.
        let _ = storage.set_item(ITEM, &text);
    }
}

/// The next visit measures them again.
pub fn forget_costs() {
    if let Some(storage) = storage() {
        let _ = storage.remove_item(ITEM);
    }
}

/// What this tab keeps for as long as it lives.
pub fn session_item(name: &str) -> Option<String> {
    window().session_storage().ok()??.get_item(name).ok()?
}

pub fn keep_session_item(name: &str, text: &str) {
    if let Ok(Some(storage)) = window().session_storage() {
        // Without it a reload forgets.
        let _ = storage.set_item(name, text);
    }
}

fn storage() -> Option<web_sys::Storage> {
    window().local_storage().ok()?
}
