//! From a model's source in a request to its files.

use anyhow::{Context, Result, bail};
use understory_model::files::ModelFiles;
use understory_protocol::ModelSource;

use crate::hub::{Hub, HubName, Observer};
use crate::models::{BUNDLED, Found, open};
use crate::output::Console;

/// Where the server may look for models.
#[derive(Clone, Copy)]
pub struct ModelSources {
    pub offline: bool,
    pub console: Console,
}

impl ModelSources {
    /// Finds `source`, downloading it into the hub's cache if need be; `observer` hears of that.
    ///
    /// # Errors
    /// A message for the page.
    pub fn find(self, source: &ModelSource, observer: &Observer) -> Result<Found> {
        match source {
            ModelSource::Bundled { name } => {
                let known = || BUNDLED.map(|model| model.name).join(", ");
                let model = BUNDLED.iter().find(|model| model.name == name);
                let model = model.with_context(|| format!("there is no model `{name}` here; known: {}", known()))?;
                Ok(Found { label: name.clone(), files: Box::new(*model) as Box<dyn ModelFiles> })
            }
            ModelSource::Hub { repo, revision } => {
                let label = revision.as_ref().map_or_else(|| repo.clone(), |revision| format!("{repo}@{revision}"));
                let name = HubName::parse(&label).with_context(|| {
                    format!(
                        "`{label}` is no repository: expected owner/name, perhaps with /FILE.gguf or :Q4_K_M, and \
                         perhaps @revision"
                    )
                })?;
                let hub = Hub::from_env(self.offline, self.console)?.observed(observer.clone());
                Ok(Found { label, files: Box::new(open(&hub.fetch(&name)?)?) })
            }
            ModelSource::Folder { name } => bail!(
                "`{name}` was opened in the browser, which cannot hand it to `understory serve`; use the engine in this \
                 browser for it, or the command line: understory generate --model PATH"
            ),
        }
    }
}
