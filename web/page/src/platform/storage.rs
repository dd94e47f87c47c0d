//! What the browser keeps for this page: the engine that was chosen, this device's name and last report, and the
//! costs measured, for as long as device, models and build are the same.

use leptos::prelude::window;
use serde::{Deserialize, Serialize};
use understory_protocol::Costs;

const ITEM: &str = "understory.costs";
const ENGINE: &str = "understory.engine";
const LABEL: &str = "understory.label";
const REPORT: &str = "understory.report";
/// Costs kept, the newest first: of each engine, and of some pairs of models.
const MOST: usize = 8;

#[derive(Serialize, Deserialize)]
struct Kept {
    calibration_key: String,
    costs: Costs,
}

/// The costs kept for this key. `None` too where the browser keeps nothing (private windows).
pub fn costs(calibration_key: &str) -> Option<Costs> {
    all_costs().into_iter().find(|kept| kept.calibration_key == calibration_key).map(|kept| kept.costs)
}

pub fn keep_costs(calibration_key: String, costs: Costs) {
    let mut all = all_costs();
    all.retain(|kept| kept.calibration_key != calibration_key);
    all.insert(0, Kept { calibration_key, costs });
    all.truncate(MOST);
    if let (Some(storage), Ok(text)) = (storage(), serde_json::to_string(&all)) {
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

/// What this device is called in reports.
pub fn label() -> Option<String> {
    storage()?.get_item(LABEL).ok()?
}

pub fn keep_label(label: &str) {
    if let Some(storage) = storage() {
        // Without it the next visit asks again.
        let _ = storage.set_item(LABEL, label);
    }
}

/// Run and text of this device's last report.
pub fn report() -> Option<(String, String)> {
    let kept = storage()?.get_item(REPORT).ok()??;
    let (run_id, text) = kept.split_once('\n')?;
    Some((run_id.into(), text.into()))
}

/// It fails for a report that is too large for what a browser keeps; then the one before goes too.
pub fn keep_report(run_id: &str, text: &str) {
    if let Some(storage) = storage()
        && storage.set_item(REPORT, &format!("{run_id}\n{text}")).is_err()
    {
        let _ = storage.remove_item(REPORT);
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

fn all_costs() -> Vec<Kept> {
    let text = storage().and_then(|storage| storage.get_item(ITEM).ok()?);
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// The engine that was chosen last.
pub fn engine() -> Option<String> {
    storage()?.get_item(ENGINE).ok()?
}

pub fn keep_engine(id: &str) {
    if let Some(storage) = storage() {
        // Without it the next visit begins with the browser's engine.
        let _ = storage.set_item(ENGINE, id);
    }
}

fn storage() -> Option<web_sys::Storage> {
    window().local_storage().ok()?
}
