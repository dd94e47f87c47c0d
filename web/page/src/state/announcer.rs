//! What a screen reader says next.

use leptos::prelude::*;

#[derive(Clone, Copy)]
pub struct Announcer {
    pub text: RwSignal<String>,
}

impl Announcer {
    pub fn new() -> Self {
        Self { text: RwSignal::new(String::new()) }
    }

    pub fn say(self, text: impl Into<String>) {
        self.text.set(text.into());
    }
}
