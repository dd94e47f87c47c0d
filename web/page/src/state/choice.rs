//! Which models are to be loaded.

use understory_protocol::{Dtype, HubAccess, ModelSource};

use crate::wording::notice::Origin;

pub const TARGET: &str = "tales";
pub const DRAFT: &str = "tales-draft";

/// Models to load; the default is the bundled pair.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelChoice {
    pub target: ModelSource,
    pub draft: Option<ModelSource>,
    /// of the weights on the device
    pub dtype: Dtype,
    pub hub: HubAccess,
}

impl Default for ModelChoice {
    fn default() -> Self {
        let bundled = |name: &str| ModelSource::Bundled { name: name.into() };
        Self { target: bundled(TARGET), draft: Some(bundled(DRAFT)), dtype: Dtype::F16, hub: HubAccess::default() }
    }
}

impl ModelChoice {
    pub fn is_bundled(&self) -> bool {
        self.sources().all(|source| matches!(source, ModelSource::Bundled { .. }))
    }

    /// Where most can go wrong: a repository of the hub, if one is chosen, then a folder.
    pub fn origin(&self) -> Origin {
        match self.sources().any(|source| matches!(source, ModelSource::Folder { .. })) {
            _ if self.is_from_hub() => Origin::Hub,
            true => Origin::Folder,
            false => Origin::Bundled,
        }
    }

    pub fn is_from_hub(&self) -> bool {
        self.sources().any(|source| matches!(source, ModelSource::Hub { .. }))
    }

    fn sources(&self) -> impl Iterator<Item = &ModelSource> {
        std::iter::once(&self.target).chain(&self.draft)
    }
}
