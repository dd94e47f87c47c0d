//! The form that models are chosen in, and what the browser keeps of them.

use leptos::prelude::*;
use leptos::task::spawn_local;
use understory_protocol::{Dtype, HubAccess, ModelSource, Reply, Request, StoredModel};

use super::choice::{DRAFT, ModelChoice, TARGET};
use super::session::Session;
use crate::platform::folders::Folder;
use crate::wording::notice::Notice;

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
pub enum SourceKind {
    Bundled,
    Hub,
    Folder,
    None,
}

impl SourceKind {
    /// Where a model of this role can come from.
    pub fn all(role: Role) -> &'static [SourceKind] {
        match role {
            Role::Target => &[SourceKind::Bundled, SourceKind::Hub, SourceKind::Folder],
            Role::Draft => &[SourceKind::Bundled, SourceKind::Hub, SourceKind::Folder, SourceKind::None],
        }
    }

    pub fn label(self, role: Role) -> &'static str {
        match (self, role) {
            (SourceKind::Bundled, Role::Target) => "tales (bundled)",
            (SourceKind::Bundled, Role::Draft) => "tales-draft (bundled)",
            (SourceKind::Hub, _) => "a repository of the hub",
            (SourceKind::Folder, _) => "a folder or file of this computer",
            (SourceKind::None, _) => "none",
        }
    }
}

/// What was typed and chosen for one model.
#[derive(Clone, Copy)]
pub struct ModelFields {
    pub from: RwSignal<SourceKind>,
    pub repo: RwSignal<String>,
    pub revision: RwSignal<String>,
    pub folder: RwSignal<Option<String>>,
}

impl ModelFields {
    fn new() -> Self {
        Self {
            from: RwSignal::new(SourceKind::Bundled),
            repo: RwSignal::new(String::new()),
            revision: RwSignal::new(String::new()),
            folder: RwSignal::new(None),
        }
    }

    fn set(self, source: &ModelSource) {
        match source {
            ModelSource::Bundled { .. } => self.from.set(SourceKind::Bundled),
            ModelSource::Folder { name } => {
                self.from.set(SourceKind::Folder);
                self.folder.set(Some(name.clone()));
            }
            ModelSource::Hub { repo, revision } => {
                self.from.set(SourceKind::Hub);
                self.repo.set(repo.clone());
                self.revision.set(revision.clone().unwrap_or_default());
            }
        }
    }

    /// `None`: no model.
    fn read(self, role: Role) -> Result<Option<ModelSource>, String> {
        let of = role.label().to_ascii_lowercase();
        Ok(Some(match self.from.get_untracked() {
            SourceKind::None => return Ok(None),
            SourceKind::Bundled => {
                ModelSource::Bundled { name: if role == Role::Target { TARGET } else { DRAFT }.into() }
            }
            SourceKind::Hub => {
                let typed = |text: RwSignal<String>| text.get_untracked().trim().to_owned();
                let (repo, revision) = (typed(self.repo), typed(self.revision));
                if repo.is_empty() {
                    return Err(format!("the {of}'s repository is empty: expected owner/name"));
                }
                ModelSource::Hub { repo, revision: (!revision.is_empty()).then_some(revision) }
            }
            SourceKind::Folder => {
                let folder = self.folder.get_untracked();
                let name =
                    folder.ok_or_else(|| format!("no folder or file is chosen for the {of}: choose or drop one"))?;
                ModelSource::Folder { name }
            }
        }))
    }
}

/// What the browser keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptModels {
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
    pub kept: RwSignal<Option<KeptModels>>,
    /// why the last request about kept models came to nothing, or what is wrong in the form
    pub problem: RwSignal<Option<Notice>>,
    session: Session,
}

impl ModelForm {
    pub fn new(session: Session) -> Self {
        Self {
            target: ModelFields::new(),
            draft: ModelFields::new(),
            full_precision: RwSignal::new(false),
            endpoint: RwSignal::new(HubAccess::ENDPOINT.into()),
            token: RwSignal::new(String::new()),
            kept: RwSignal::new(None),
            problem: RwSignal::new(None),
            session,
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
        self.fit_draft(role);
        if let Some(endpoint) = &model.endpoint {
            self.endpoint.set(endpoint.clone());
        }
    }

    /// After the model of this role was chosen: for another target the draft becomes the one that fits it, or none.
    pub fn fit_draft(self, role: Role) {
        if role == Role::Target {
            let is_bundled = self.target.from.get_untracked() == SourceKind::Bundled;
            self.draft.from.set(if is_bundled { SourceKind::Bundled } else { SourceKind::None });
        }
    }

    /// # Errors
    /// What is missing in the form.
    pub fn choice(self) -> Result<ModelChoice, String> {
        let target = self.target.read(Role::Target)?.ok_or("a target is needed")?;
        let token = self.token.get_untracked().trim().to_owned();
        let hub = HubAccess { endpoint: self.endpoint.get_untracked(), token: (!token.is_empty()).then_some(token) };
        let dtype = if self.full_precision.get_untracked() { Dtype::F32 } else { Dtype::F16 };
        Ok(ModelChoice { target, draft: self.draft.read(Role::Draft)?, dtype, hub })
    }

    /// Loads what the form says; what is missing in it becomes the problem.
    pub fn load(self) {
        match self.choice() {
            Ok(choice) => {
                self.problem.set(None);
                if choice.is_from_hub() {
                    // Asked of the browser, which may ask the person; without it the browser may delete what is kept.
                    let _ = window().navigator().storage().persist();
                }
                self.session.change(choice);
            }
            Err(message) => self.problem.set(Some(message.into())),
        }
    }

    /// Puts repositories of the hub into the form, no draft being none, and loads them.
    pub fn load_from_hub(self, target: &str, draft: Option<&str>) {
        let source = |id: &str| ModelSource::Hub { repo: id.into(), revision: None };
        self.target.set(&source(target));
        match draft {
            Some(draft) => self.draft.set(&source(draft)),
            None => self.draft.from.set(SourceKind::None),
        }
        self.load();
    }

    /// Ends a download with its worker; what came is kept.
    pub fn cancel(self) {
        self.session.choice.set(ModelChoice::default());
        self.session.start();
    }

    /// Takes a folder, or files, for the model of this role.
    pub fn take_folder(self, role: Role, mut folder: Folder) {
        let other = self.fields(if role == Role::Target { Role::Draft } else { Role::Target });
        if other.folder.with_untracked(|name| name.as_ref() == Some(&folder.name)) {
            folder.name = format!("{} ({})", folder.name, role.label().to_ascii_lowercase());
        }
        self.fields(role).folder.set(Some(folder.name.clone()));
        self.fit_draft(role);
        self.problem.set(None);
        self.session.hand(folder);
    }

    /// Asks the worker about the kept models, or has it change them.
    pub fn ask_kept(self, request: Request) {
        spawn_local(async move {
            match self.session.query(request).await {
                Ok(Reply::Models { models, usage_bytes, quota_bytes, persisted }) => {
                    self.kept.set(Some(KeptModels { models, usage_bytes, quota_bytes, persisted }));
                }
                Ok(_) => {}
                Err(ended) => {
                    if let Some(notice) = self.session.explain(ended) {
                        self.problem.set(Some(notice));
                    }
                }
            }
        });
    }
}
