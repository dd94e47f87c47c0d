//! Where an engine runs.

/// Which of the engines that the page can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// a worker of this page
    Browser,
    /// `understory serve`, where that serves the page
    Native,
}

impl Place {
    /// As it is kept.
    pub fn id(self) -> &'static str {
        match self {
            Place::Browser => "browser",
            Place::Native => "native",
        }
    }

    pub fn from_id(id: &str) -> Option<Self> {
        [Place::Browser, Place::Native].into_iter().find(|place| place.id() == id)
    }
}
