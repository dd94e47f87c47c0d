//! The facade that a front end holds: one model on one device.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use web_time::Instant;

use crate::chat::ChatTemplate;
use crate::error::{Error, Result};
use crate::evaluate;
use crate::forward::Forward;
use crate::generate::{Decoder, Task, Timeline};
use crate::gpu::{Gpu, Profile};
use crate::model::config::ModelConfig;
use crate::model::device_weights;
use crate::model::files::ModelFiles;
use crate::model::weights::ModelWeights;
use crate::protocol::{Evaluation, Event, FinishReason, GenerateRequest, Generation, Metrics, Phases, Prompt};
use crate::text::TextStream;
use crate::tokenizer::Tokenizer;

/// How weights are stored on the device. Activations and accumulation are always f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    F16,
    F32,
}

#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    pub dtype: Dtype,
    /// `None`: by the adapter's type
    pub profile: Option<Profile>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Upload {
        done_bytes: u64,
        total_bytes: u64,
    },
    Pipelines {
        done: usize,
        total: usize,
    },
    /// prompt tokens through the model (prefill, evaluation)
    Tokens {
        done: usize,
        total: usize,
    },
}

/// One model, loaded on one device, with the KV cache of its last request.
pub struct Engine {
    gpu: Gpu,
    forward: Forward,
    decoder: Decoder,
    tokenizer: Tokenizer,
    chat: Option<ChatTemplate>,
    phases: Phases,
}

impl Engine {
    /// Reads, checks and uploads a model, and compiles its pipelines.
    ///
    /// # Errors
    /// Whatever is wrong with the files, and what the device refuses.
    pub async fn open(
        gpu: Gpu,
        files: &dyn ModelFiles,
        options: &LoadOptions,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Engine> {
        let mut clock = Lap::new();
        let config = ModelConfig::from_files(files)?;
        let weights = ModelWeights::open(files, &config)?;
        let tokenizer = Tokenizer::from_files(files, &config)?;
        let chat = ChatTemplate::from_files(files)?;
        let open = clock.lap();
        let profile = options.profile.unwrap_or(gpu.report().profile);
        let mut on_upload = |done_bytes, total_bytes| on_progress(Progress::Upload { done_bytes, total_bytes });
        let device_weights =
            device_weights::upload(&gpu, &weights, &config, options.dtype, profile, &mut on_upload).await?;
        let upload = clock.lap();
        let forward = Forward::new(&gpu, config, device_weights, options.dtype, profile, &mut |done, total| {
            on_progress(Progress::Pipelines { done, total });
        })
        .await?;
        let decoder = Decoder::new(&gpu).await?;
        let phases = Phases { open, upload, pipelines: clock.lap(), ..Phases::default() };
        Ok(Engine { gpu, forward, decoder, tokenizer, chat, phases })
    }

    /// Generates, calling `on_event` for each emission; `Break` ends the generation (finish reason `Cancelled`).
    /// Tokens of the prompt that the KV cache still holds from the last request are not computed again.
    ///
    /// # Errors
    /// [`Error::BadParameter`], [`Error::EmptyPrompt`], [`Error::PromptTooLong`] before any work;
    /// [`Error::NanLogits`], [`Error::DeviceLost`], [`Error::OutOfDeviceMemory`].
    pub async fn generate(
        &mut self,
        request: &GenerateRequest,
        on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<Generation> {
        let start = Instant::now();
        let elapsed = || start.elapsed().as_secs_f64() * 1e3;
        request.sampling.validate()?;
        if request.max_new_tokens == 0 {
            let expected = "at least 1";
            return Err(Error::BadParameter { name: "max-new-tokens", value: "0".into(), expected });
        }
        let prompt = self.tokenise(&request.prompt)?;
        let tokenise = elapsed();
        let reused_tokens = self.forward.cache.reusable(&prompt);
        let mut cancelled = on_event(Event::Started { prompt_tokens: prompt.len(), reused_tokens }).is_break();

        let task = Task { prompt: &prompt, max_new_tokens: request.max_new_tokens, sampling: &request.sampling };
        let tokenizer = &self.tokenizer;
        let eos = &self.forward.config.eos_token_ids.clone();
        let context = self.forward.config.max_position_embeddings;
        let mut stream = TextStream::new(tokenizer, &request.stop);
        let mut token_ids = Vec::new();
        let mut finish = None;
        let mut first_text_ms = None;
        let mut on_token = |token: u32, at_ms: f64| {
            token_ids.push(token);
            let mut text = String::new();
            if !request.ignore_eos && eos.contains(&token) {
                finish = Some(FinishReason::Eos);
            } else {
                let piece = stream.push(tokenizer, token)?;
                text = piece.text;
                if piece.stopped {
                    finish = Some(FinishReason::Stop);
                } else if token_ids.len() == request.max_new_tokens {
                    finish = Some(FinishReason::Length);
                } else if prompt.len() + token_ids.len() >= context {
                    finish = Some(FinishReason::Context);
                }
            }
            if finish.is_some_and(|f| f != FinishReason::Stop) {
                let rest = stream.finish(tokenizer)?;
                text.push_str(&rest.text);
                if rest.stopped {
                    finish = Some(FinishReason::Stop);
                }
            }
            if !text.is_empty() {
                first_text_ms.get_or_insert(elapsed());
            }
            cancelled |= on_event(Event::Emission { token_ids: vec![token], text, at_ms }).is_break();
            Ok(finish.is_none() && !cancelled)
        };
        let timeline = self.decoder.run(&self.gpu, &mut self.forward, &task, start, &mut on_token).await?;
        let text = stream.text().to_string();
        let metrics = self.metrics(&timeline, prompt.len(), tokenise, first_text_ms);
        let finish_reason = finish.unwrap_or(FinishReason::Cancelled);
        Ok(Generation { prompt_token_ids: prompt, token_ids, text, finish_reason, sampling: request.sampling, metrics })
    }

    fn tokenise(&self, prompt: &Prompt) -> Result<Vec<u32>> {
        match prompt {
            Prompt::Tokens(ids) => Ok(ids.clone()),
            Prompt::Text(text) => self.tokenizer.encode(text, true),
            Prompt::Chat(messages) => {
                let template = self.chat.as_ref().ok_or_else(|| Error::ChatTemplate {
                    reason: "this model has none; use a plain prompt (--raw)".into(),
                })?;
                // The template writes the special tokens itself.
                self.tokenizer.encode(&template.render(messages, true)?, false)
            }
        }
    }

    fn metrics(&self, timeline: &Timeline, n_prompt: usize, tokenise: f64, first_text_ms: Option<f64>) -> Metrics {
        let read = &timeline.read_ms;
        let first = read.first().copied();
        let last = read.last().copied().unwrap_or_default();
        let tpot_ms = first.filter(|_| read.len() > 1).map(|f| (last - f) / (read.len() - 1) as f64);
        let prefill = first.map(|f| f - timeline.submitted_ms);
        let computed = (n_prompt - timeline.reused_tokens) as f64;
        Metrics {
            ttft_ms: first_text_ms,
            engine_ttft_ms: first,
            tpot_ms,
            e2el_ms: last,
            token_generation_ms: first_text_ms.map(|t| last - t),
            prefill_tokens_per_s: prefill.map(|ms| computed / ms * 1e3),
            decode_tokens_per_s: tpot_ms.map(|ms| 1e3 / ms),
            emit_ms: read.clone(),
            phases_ms: Phases {
                tokenise: Some(tokenise),
                prefill,
                first_step: (read.len() > 1).then(|| read[1] - read[0]),
                ..self.phases
            },
            n_pipelines: self.forward.pipelines.len(),
            dispatches_per_token: timeline.dispatches_per_token,
            peak_gpu_bytes: self.gpu.peak_bytes(),
            weights_bytes: self.forward.weights.bytes,
            kv_bytes: self.forward.cache.bytes(),
        }
    }

    /// Negative log-likelihood of `text`, in windows of the model's context.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`] for a text of fewer than two tokens, [`Error::NanLogits`], [`Error::DeviceLost`].
    pub async fn evaluate(&mut self, text: &str, on_progress: &mut dyn FnMut(Progress)) -> Result<Evaluation> {
        let token_ids = self.tokenizer.encode(text, true)?;
        if token_ids.len() < 2 {
            return Err(Error::EmptyPrompt);
        }
        let per_token =
            evaluate::negative_log_likelihood(&self.gpu, &mut self.forward, &token_ids, &mut |done, total| {
                on_progress(Progress::Tokens { done, total });
            })
            .await?;
        let mean_nll = per_token.iter().sum::<f64>() / per_token.len() as f64;
        Ok(Evaluation { token_ids, per_token, mean_nll, perplexity: mean_nll.exp() })
    }

    /// Logits `[tokens.len(), vocab_size]`, `rows` (1 to 64) at a time; the bits do not depend on `rows`.
    ///
    /// # Errors
    /// [`Error::BadToken`], [`Error::PromptTooLong`], [`Error::DeviceLost`].
    pub async fn logits(&mut self, tokens: &[u32], rows: usize) -> Result<Vec<f32>> {
        let context = self.forward.config.max_position_embeddings;
        if tokens.len() > context {
            return Err(Error::PromptTooLong { prompt_tokens: tokens.len(), context });
        }
        let mut all = Vec::new();
        evaluate::logits(&self.gpu, &mut self.forward, tokens, rows, &mut |_, values| {
            all.extend_from_slice(values);
            Ok(())
        })
        .await?;
        Ok(all)
    }

    /// Forgets the KV cache's contents: the next request computes its whole prompt.
    pub fn clear_cache(&mut self) {
        self.forward.cache.tokens.clear();
    }

    pub fn config(&self) -> &ModelConfig {
        &self.forward.config
    }
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.chat.as_ref()
    }
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }
    /// The kernels in use.
    pub fn profile(&self) -> Profile {
        self.forward.profile()
    }
    /// Phases of the start so far; the front end adds what only it knows.
    pub fn phases_mut(&mut self) -> &mut Phases {
        &mut self.phases
    }
}

/// Time since the last lap, in milliseconds.
struct Lap(Instant);

impl Lap {
    fn new() -> Self {
        Lap(Instant::now())
    }
    fn lap(&mut self) -> Option<f64> {
        let ms = self.0.elapsed().as_secs_f64() * 1e3;
        self.0 = Instant::now();
        Some(ms)
    }
}
