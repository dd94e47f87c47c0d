//! The page's clock.

use leptos::prelude::window;

/// Milliseconds since the navigation to this page.
pub fn now_ms() -> f64 {
    window().performance().map_or(0.0, |performance| performance.now())
}
