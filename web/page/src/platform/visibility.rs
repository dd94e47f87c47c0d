//! Whether the tab was hidden while something was measured. A browser slows hidden tabs down, so figures taken then are
//! marked.

use std::cell::Cell;

use leptos::prelude::*;

use super::clock;

thread_local! {
    /// the last moment at which the tab was hidden or shown again, on the page's clock
    static CHANGED_MS: Cell<Option<f64>> = const { Cell::new(None) };
    /// the last moment at which the browser brought the page back as it had been left
    static RESTORED_MS: Cell<Option<f64>> = const { Cell::new(None) };
}

/// Watches for as long as the page lives.
pub fn watch() {
    if document().hidden() {
        CHANGED_MS.set(Some(clock::now_ms()));
    }
    let _ = window_event_listener_untyped("visibilitychange", |_| CHANGED_MS.set(Some(clock::now_ms())));
    let _ = window_event_listener_untyped("pageshow", |event| {
        if js_sys::Reflect::get(&event, &"persisted".into()).is_ok_and(|persisted| persisted.is_truthy()) {
            RESTORED_MS.set(Some(clock::now_ms()));
        }
    });
}

/// Whether the tab was hidden at some moment since `since_ms`, on the page's clock.
pub fn hidden_since(since_ms: f64) -> bool {
    document().hidden() || CHANGED_MS.get().is_some_and(|ms| ms >= since_ms)
}

/// Whether the page was brought back from the browser's back-forward cache since `since_ms`.
pub fn restored_since(since_ms: f64) -> bool {
    RESTORED_MS.get().is_some_and(|ms| ms >= since_ms)
}
