//! Which view is shown: the hash of the address.

use leptos::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    Generate,
    Tree,
    SideBySide,
    Starts,
    Models,
    Device,
    Bench,
    Compare,
    Predict,
}

impl Route {
    pub const ALL: [Route; 9] = [
        Route::Generate,
        Route::Tree,
        Route::SideBySide,
        Route::Models,
        Route::Starts,
        Route::Device,
        Route::Bench,
        Route::Compare,
        Route::Predict,
    ];

    pub fn hash(self) -> &'static str {
        match self {
            Route::Generate => "#generate",
            Route::Tree => "#tree",
            Route::SideBySide => "#side-by-side",
            Route::Starts => "#starts",
            Route::Models => "#models",
            Route::Device => "#device",
            Route::Bench => "#bench",
            Route::Compare => "#compare",
            Route::Predict => "#predict",
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Route::Generate => "Generate",
            Route::Tree => "Tree",
            Route::SideBySide => "Side by side",
            Route::Starts => "Starts",
            Route::Models => "Models",
            Route::Device => "Device",
            Route::Bench => "Bench",
            Route::Compare => "Compare",
            Route::Predict => "Predict",
        }
    }

    /// The route that the address names; the first one where it names none.
    fn current() -> Self {
        let hash = location().hash().unwrap_or_default();
        let hash = hash.split('?').next().unwrap_or_default();
        Self::ALL.into_iter().find(|route| route.hash() == hash).unwrap_or(Route::Generate)
    }

    /// What stands behind this view in the address: `VIEW?NAME=VALUE`.
    pub fn parameter(self, name: &str) -> Option<String> {
        let hash = location().hash().ok()?;
        let value = hash.strip_prefix(self.hash())?.strip_prefix('?')?.strip_prefix(name)?.strip_prefix('=')?;
        Some(value.into())
    }

    /// Follows the address for as long as the page lives.
    pub fn follow() -> ReadSignal<Route> {
        let (route, set) = signal(Self::current());
        let _ = window_event_listener_untyped("hashchange", move |_| set.set(Self::current()));
        Effect::new(move || document().set_title(&format!("{} · Understory", route.get().label())));
        route
    }
}
