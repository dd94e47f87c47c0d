//! Text that is shared, not copied.

use std::ops::Deref;
use std::rc::Rc;

/// A `str`, or markupsafe's `Markup`.
#[derive(Clone)]
pub struct Text {
    pub(super) text: Rc<str>,
    /// escaped already
    pub markup: bool,
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self { text: text.into(), markup: false }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}
