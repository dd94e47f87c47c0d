//! Which models are to be loaded: the choice itself, and the form that it is made in.

use leptos::prelude::*;
use leptos::task::spawn_local;
use understory_protocol::{Dtype, HubAccess, ModelSource, Reply, Request, StoredModel};
use web_sys::File;

use crate::app::Page;
use crate::session::Ended;
use crate::settings::Kind;

pub const TARGET: &str = "tales";
pub const DRAFT: &str = "tales-draft";

/// Models to load; the default is the bundled pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    pub target: ModelSource,
    pub draft: Option<ModelSource>,
    /// of the weights on the device
    pub dtype: Dtype,
    pub hub: HubAccess,
}

impl Default for Choice {
    fn default() -> Self {
        let bundled = |name: &str| ModelSource::Bundled { name: name.into() };
        Self { target: bundled(TARGET), draft: Some(bundled(DRAFT)), dtype: Dtype::F16, hub: HubAccess::default() }
    }
}

impl Choice {
    pub fn is_bundled(&self) -> bool {
        self.sources().all(|source| matches!(source, ModelSource::Bundled { .. }))
    }

    pub fn is_from_hub(&self) -> bool {
        self.sources().any(|source| matches!(source, ModelSource::Hub { .. }))
    }

    fn sources(&self) -> impl Iterator<Item = &ModelSource> {
        std::iter::once(&self.target).chain(&self.draft)
    }
}

/// A folder of the person's own; paths are relative to it.
pub struct Folder {
    pub name: String,
    pub files: Vec<(String, File)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Target,
    Draft,
}

impl Role {
    pub fn label(self) -> &'static str {
        match self {
            Role::Target => "Target",
            Role::Draft => "Draft",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Bundled,
    Hub,
    Folder,
    None,
}

impl From {
    /// Where a model of this role can come from.
    pub fn all(role: Role) -> &'static [From] {
        match role {
            Role::Target => &[From::Bundled, From::Hub, From::Folder],
            Role::Draft => &[From::Bundled, From::Hub, From::Folder, From::None],
        }
    }

    pub fn label(self, role: Role) -> &'static str {
        match (self, role) {
            (From::Bundled, Role::Target) => "tales (bundled)",
            (From::Bundled, Role::Draft) => "tales-draft (bundled)",
            (From::Hub, _) => "a repository of the hub",
            (From::Folder, _) => "a folder of this computer",
            (From::None, _) => "none",
        }
    }
}

/// What was typed and chosen for one model.
#[derive(Clone, Copy)]
pub struct ModelFields {
    pub from: RwSignal<From>,
    pub repo: RwSignal<String>,
    pub revision: RwSignal<String>,
    pub folder: RwSignal<Option<String>>,
}

impl ModelFields {
    fn new() -> Self {
        Self {
            from: RwSignal::new(From::Bundled),
            repo: RwSignal::new(String::new()),
            revision: RwSignal::new(String::new()),
            folder: RwSignal::new(None),
        }
    }

    fn set(self, source: &ModelSource) {
        match source {
            ModelSource::Bundled { .. } => self.from.set(From::Bundled),
            ModelSource::Folder { name } => {
                self.from.set(From::Folder);
                self.folder.set(Some(name.clone()));
            }
            ModelSource::Hub { repo, revision } => {
                self.from.set(From::Hub);
                self.repo.set(repo.clone());
                self.revision.set(revision.clone().unwrap_or_default());
            }
        }
    }

    /// `None`: no model.
    fn read(self, role: Role) -> Result<Option<ModelSource>, String> {
        let of = role.label().to_ascii_lowercase();
        Ok(Some(match self.from.get_untracked() {
            From::None => return Ok(None),
            From::Bundled => ModelSource::Bundled { name: if role == Role::Target { TARGET } else { DRAFT }.into() },
            From::Hub => {
                let typed = |text: RwSignal<String>| text.get_untracked().trim().to_owned();
                let (repo, revision) = (typed(self.repo), typed(self.revision));
                if repo.is_empty() {
                    return Err(format!("the {of}'s repository is empty: expected owner/name"));
                }
                ModelSource::Hub { repo, revision: (!revision.is_empty()).then_some(revision) }
            }
            From::Folder => {
                let folder = self.folder.get_untracked();
                let name = folder.ok_or_else(|| format!("no folder is chosen for the {of}: choose or drop one"))?;
                ModelSource::Folder { name }
            }
        }))
    }
}

/// What the browser keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub models: Vec<StoredModel>,
    pub usage_bytes: Option<u64>,
    pub quota_bytes: Option<u64>,
    pub persisted: Option<bool>,
}

/// The form, and what it is chosen from.
#[derive(Clone, Copy)]
pub struct ModelForm {
    pub target: ModelFields,
    pub draft: ModelFields,
    /// Weights in f32 instead of f16.
    pub full_precision: RwSignal<bool>,
    pub endpoint: RwSignal<String>,
    /// in memory only
    pub token: RwSignal<String>,
    pub kept: RwSignal<Option<Kept>>,
    /// why the last request about kept models came to nothing, or what is wrong in the form
    pub problem: RwSignal<Option<String>>,
}

impl ModelForm {
    pub fn new() -> Self {
        Self {
            target: ModelFields::new(),
            draft: ModelFields::new(),
            full_precision: RwSignal::new(false),
            endpoint: RwSignal::new(HubAccess::ENDPOINT.into()),
            token: RwSignal::new(String::new()),
            kept: RwSignal::new(None),
            problem: RwSignal::new(None),
        }
    }

    pub fn fields(self, role: Role) -> ModelFields {
        match role {
            Role::Target => self.target,
            Role::Draft => self.draft,
        }
    }

    /// The role of a bundled model.
    pub fn bundled_role(self, name: &str) -> Option<Role> {
        [(TARGET, Role::Target), (DRAFT, Role::Draft)].into_iter().find(|(of, _)| *of == name).map(|(_, role)| role)
    }

    /// Puts a kept model into the form.
    pub fn fill(self, role: Role, model: &StoredModel) {
        self.fields(role).set(&model.source);
        if let Some(endpoint) = &model.endpoint {
            self.endpoint.set(endpoint.clone());
        }
    }

    /// # Errors
    /// What is missing in the form.
    pub fn choice(self) -> Result<Choice, String> {
        let target = self.target.read(Role::Target)?.ok_or("a target is needed")?;
        let token = self.token.get_untracked().trim().to_owned();
        let hub = HubAccess { endpoint: self.endpoint.get_untracked(), token: (!token.is_empty()).then_some(token) };
        let dtype = if self.full_precision.get_untracked() { Dtype::F32 } else { Dtype::F16 };
        Ok(Choice { target, draft: self.draft.read(Role::Draft)?, dtype, hub })
    }
}

/// Takes a folder for the model of this role.
pub fn take_folder(page: Page, role: Role, mut folder: Folder) {
    let other = page.models.fields(if role == Role::Target { Role::Draft } else { Role::Target });
    if other.folder.with_untracked(|name| name.as_ref() == Some(&folder.name)) {
        folder.name = format!("{} ({})", folder.name, role.label().to_ascii_lowercase());
    }
    page.models.fields(role).folder.set(Some(folder.name.clone()));
    page.models.problem.set(None);
    page.session.hand(folder);
}

/// Asks the worker about the kept models, or has it change them.
pub fn ask_kept(page: Page, request: Request) {
    spawn_local(async move {
        match page.session.query(request).await {
            Ok(Reply::Models { models, usage_bytes, quota_bytes, persisted }) => {
                page.models.kept.set(Some(Kept { models, usage_bytes, quota_bytes, persisted }));
            }
            Err(Ended::Failed(message)) => page.models.problem.set(Some(message)),
            Ok(_) | Err(Ended::Gone) => {}
        }
    });
}

/// Settings follow what the models can do.
pub fn follow(page: Page) {
    Effect::new(move |before: Option<Option<String>>| {
        let target = page.session.loaded.with(|loaded| loaded.as_ref().map(|loaded| loaded.target.clone()));
        let has_template = page.session.loaded.with(|l| l.as_ref().is_some_and(|l| l.has_chat_template));
        if target.is_none() {
            return before.flatten();
        }
        if before.flatten() != target {
            page.conversation.set(vec![]);
            page.problem.set(None);
        }
        if !has_template {
            page.settings.chat.set(false);
        }
        if page.session.has_no_draft() && page.settings.kind.get_untracked().needs_draft() {
            page.settings.kind.set(Kind::Auto);
        }
        target
    });
}
