//! The messages: what a front end asks of the engine and what comes back.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    AdapterReport, BenchRequest, BenchStep, Benched, Compared, Costs, Dtype, Failure, KernelSet, KvDtype, LoadOptions,
    Method, Metrics, Phases, PredictReply, PredictRequest, Progress, ReportInput, Round, Sampling, Speculation,
};

/// A request or a reply on its way; replies carry the id of their request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message<T> {
    pub id: u64,
    pub body: T,
}

/// What is asked of a session. Each ends with one reply of its own kind or with
/// [`Reply::Failed`]; they run in the order in which they come, but for the last three and, in a browser, predictions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Ends with [`Reply::Devices`].
    Devices,
    /// Ends with [`Reply::Loaded`].
    Load(LoadRequest),
    /// Ends with [`Reply::Costs`]; `cached`: costs once returned for this calibration key. `in_background`: only while
    /// nothing else is asked for; until it ends, texts are decoded plainly. Another model ends it with [`Reply::Failed`].
    Calibrate {
        cached: Option<Costs>,
        #[serde(default)]
        in_background: bool,
    },
    /// Ends with [`Reply::Generated`].
    Generate(GenerateRequest),
    /// Measures a scenario with the models that are loaded; ends with [`Reply::Benched`].
    Bench(BenchRequest),
    /// Reads reports and sets them side by side; ends with [`Reply::Compared`]. `own`: the run that stands out.
    Compare { reports: Vec<ReportInput>, own: Option<String> },
    /// Ends with [`Reply::Models`].
    Models,
    /// Ends with [`Reply::Predicted`]; nothing needs to be loaded for it.
    Predict(Box<PredictRequest>),
    /// Deletes what is kept of the model with this [`StoredModel::id`]; ends with [`Reply::Models`].
    Forget { model: String },
    /// Ends the generation with this message id, running or waiting; it has no reply of its own.
    Stop { id: u64 },
    /// Whether the tab is hidden, of which the engine knows nothing, while something is measured. It has no reply.
    VisibilityChanged { hidden: bool },
    /// Destroys the device, as a driver's reset would: to try what comes of it. It has no reply.
    DestroyDevice,
}

/// Opens the device and loads a model, and a draft for it, in place of what was loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadRequest {
    pub target: ModelSource,
    pub draft: Option<ModelSource>,
    pub dtype: Dtype,
    /// `None`: f16 on GPUs, f32 on CPU adapters
    #[serde(default)]
    pub kv_dtype: Option<KvDtype>,
    /// `None`: by the adapter
    pub profile: Option<KernelSet>,
    /// index of the adapter; `None`: the preferred one
    pub adapter: Option<usize>,
    /// for models of the hub
    #[serde(default)]
    pub hub: HubAccess,
}

impl LoadRequest {
    pub fn options(&self) -> LoadOptions {
        LoadOptions { dtype: self.dtype, kv_dtype: self.kv_dtype, profile: self.profile }
    }
}

/// The hub to ask, and as whom.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HubAccess {
    /// no slash at its end
    pub endpoint: String,
    /// an access token, for this endpoint's origin and nobody else
    pub token: Option<String>,
}

impl HubAccess {
    pub const ENDPOINT: &str = "https://huggingface.co";
}

impl Default for HubAccess {
    fn default() -> Self {
        Self { endpoint: Self::ENDPOINT.into(), token: None }
    }
}

/// Without the token: what is printed is not secret.
impl fmt::Debug for HubAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "(not shown)");
        f.debug_struct("HubAccess").field("endpoint", &self.endpoint).field("token", &token).finish()
    }
}

/// Where the files of a model come from; the front end finds them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum ModelSource {
    /// One of those that come with the front end.
    Bundled { name: String },
    /// A repository of the Hugging Face Hub, `owner/name`; without a revision, `main`.
    Hub { repo: String, revision: Option<String> },
    /// A folder, or files without one, that the front end was handed before, by their name.
    Folder { name: String },
}

impl ModelSource {
    /// For people: `tales`, `owner/name@revision`, a folder's name.
    pub fn label(&self) -> String {
        match self {
            Self::Bundled { name } | Self::Folder { name } => name.clone(),
            Self::Hub { repo, revision: None } => repo.clone(),
            Self::Hub { repo, revision: Some(revision) } => format!("{repo}@{revision}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// The first message of all, under id 0: requests are taken from now on.
    Ready {
        version: String,
    },
    Progress(Progress),
    Event(Event),
    /// The device was lost while a text was generated: it is opened again, the models go up again, and the text goes on.
    Recovering {
        reason: String,
    },
    Devices {
        adapters: Vec<AdapterReport>,
    },
    Loaded(Box<Loaded>),
    Costs(Costs),
    Generated(Box<Generation>),
    /// A run of a scenario begins.
    Benching(BenchStep),
    Benched(Box<Benched>),
    Compared(Compared),
    /// What the front end keeps, and how much room it has; `None`: not known.
    Models {
        models: Vec<StoredModel>,
        usage_bytes: Option<u64>,
        quota_bytes: Option<u64>,
        /// It stays until it is deleted: nobody clears it when room is short.
        persisted: Option<bool>,
    },
    Predicted(Box<PredictReply>),
    Failed(Failure),
}

impl Reply {
    /// Another reply to the same request follows.
    pub fn is_interim(&self) -> bool {
        matches!(self, Self::Progress(_) | Self::Event(_) | Self::Recovering { .. } | Self::Benching(_))
    }
}

/// A model that the front end keeps, whole or in part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredModel {
    /// for [`Request::Forget`]
    pub id: String,
    /// to load it again
    pub source: ModelSource,
    /// of a model of the hub
    pub endpoint: Option<String>,
    /// of a model of the hub
    pub commit: Option<String>,
    /// of all its files
    pub bytes: u64,
    /// of them that are here; fewer than `bytes` where a download was interrupted
    pub kept_bytes: u64,
}

/// What was loaded, and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    pub target: String,
    pub draft: Option<String>,
    pub device: AdapterReport,
    pub profile: KernelSet,
    pub dtype: Dtype,
    pub has_chat_template: bool,
    /// what its chat template leaves to the caller to switch, such as `enable_thinking`
    #[serde(default)]
    pub template_switches: Vec<String>,
    /// positions
    pub context: usize,
    pub calibration_key: String,
    pub phases_ms: Phases,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`
    pub role: String,
    pub content: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// Tokenised as it is.
    Text(String),
    /// Through the model's chat template, with the generation prompt appended.
    Chat(Vec<ChatMessage>),
    /// Through the model's chat template: `{"messages": [...], "tools": [...], "documents": [...],
    /// "add_generation_prompt": true, "chat_template_kwargs": {...}}` as JSON, of which only the messages are needed. As
    /// text, because a template sees the order of the fields.
    Conversation(String),
    Tokens(Vec<u32>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenerateRequest {
    pub prompt: Prompt,
    pub max_new_tokens: usize,
    /// Go on past end tokens.
    pub ignore_eos: bool,
    /// End before the first of these strings; it is not part of the text.
    pub stop: Vec<String>,
    pub sampling: Sampling,
    #[serde(default)]
    pub method: Method,
    /// For measuring systems with any weights: each drafted path goes on with this probability, whatever the target
    /// says. The text is not the target's then, and every result is marked as synthetic.
    #[serde(default)]
    pub synthetic_acceptance: Option<f32>,
    /// Report each round's tree ([`Event::Round`]).
    #[serde(default)]
    pub trace: bool,
}

impl GenerateRequest {
    /// Plain greedy decoding that goes on past end tokens: what is measured and compared with.
    pub fn plain(prompt: Vec<u32>, max_new_tokens: usize) -> Self {
        Self {
            prompt: Prompt::Tokens(prompt),
            max_new_tokens,
            ignore_eos: true,
            stop: Vec::new(),
            sampling: Sampling::default(),
            method: Method::Ar,
            synthetic_acceptance: None,
            trace: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    Eos,
    Stop,
    Length,
    Context,
    /// The front end asked for an end.
    Cancelled,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The prompt is tokenised; prefill begins.
    Started { prompt_tokens: usize, reused_tokens: usize },
    /// Tokens read from the device, with the text that they complete (never half a character; may be empty): `pieces`
    /// is what each of them adds to it.
    Emission { token_ids: Vec<u32>, pieces: Vec<String>, text: String, at_ms: f64 },
    /// One round of speculation, after its emission; only where the request asks for a trace. `texts`: the token of
    /// each node on its own, as people read it, those of pruned nodes at the end.
    Round { round: Round, texts: Vec<String> },
}

/// A finished request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    pub prompt_token_ids: Vec<u32>,
    /// every token chosen, an end token included
    pub token_ids: Vec<u32>,
    pub text: String,
    pub finish_reason: FinishReason,
    pub sampling: Sampling,
    pub metrics: Metrics,
    /// `None`: the method was `ar`
    pub speculation: Option<Speculation>,
}

/// Mean negative log-likelihood of a text under a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub token_ids: Vec<u32>,
    /// nats, one entry a token after the first: `-ln p(token[i + 1] | token[..= i])`
    pub per_token: Vec<f64>,
    pub mean_nll: f64,
    /// `exp(mean_nll)`
    pub perplexity: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A derived `Debug` fails this.
    #[test]
    fn a_token_is_not_printed() {
        let access = HubAccess { token: Some("hf_secret".into()), ..HubAccess::default() };
        let printed = format!("{access:?}");
        assert!(!printed.contains("hf_secret") && printed.contains("huggingface.co"), "{printed}");
    }
}
