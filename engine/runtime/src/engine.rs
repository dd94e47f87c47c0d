//! The facade that a front end holds: one model on one device.

mod loading;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use web_time::Instant;

pub use loading::LoadContext;
use loading::{Lap, load, read_model};

use understory_model::chat::ChatTemplate;
use understory_model::check_pair;
use understory_model::config::ModelConfig;
use understory_model::files::ModelFiles;
use understory_model::text::TextStream;
use understory_model::tokenizer::Tokenizer;
use understory_protocol::{
    Costs, Error, Evaluation, Event, FinishReason, GenerateRequest, Generation, KernelSet, LoadOptions, Lossless,
    Method, Metrics, Phases, Progress, Prompt, Result, formulas,
};

use crate::evaluate;
use crate::forward::Forward;
use crate::generate::{Consumed, Decoder, Emission, Task, Timeline};
use crate::gpu::{Gpu, Staging};
use crate::speculative::measure;
use crate::speculative::speculator::Speculator;

/// One model, loaded on one device, with the KV cache of its last request.
pub struct Engine {
    gpu: Gpu,
    forward: Forward,
    decoder: Decoder,
    tokenizer: Tokenizer,
    chat: Option<ChatTemplate>,
    phases: Phases,
    speculator: Option<Speculator>,
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
        Self::open_in(LoadContext::from(gpu), files, options, on_progress).await
    }

    /// As [`Self::open`], where the first kernels may be on their way.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub async fn open_in(
        mut begun: LoadContext,
        files: &dyn ModelFiles,
        options: &LoadOptions,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Engine> {
        let mut clock = Lap::new();
        let config = ModelConfig::from_files(files)?;
        begun.compile_for(&config, options);
        let LoadContext { gpu, pipelines, device_ms } = begun;
        let chat = ChatTemplate::from_files(files)?;
        let (weights, tokenizer) = read_model(files, &config)?;
        let open = clock.lap();
        let (forward, upload) = load(&gpu, config, &weights, options, pipelines, &mut clock, on_progress).await?;
        files.release();
        let decoder = Decoder::new(&gpu).await?;
        let phases = Phases { device: device_ms, open, upload, pipelines: clock.lap(), ..Phases::default() };
        Ok(Engine { gpu, forward, decoder, tokenizer, chat, phases, speculator: None })
    }

    /// Loads a draft model for this engine's target, in place of the one before. [`Self::calibrate`] comes next.
    ///
    /// # Errors
    /// [`Error::PairMismatch`] where the vocabularies differ; whatever is wrong with the files, and what the device
    /// refuses: the engine is without a draft then.
    pub async fn load_draft(
        &mut self,
        files: &dyn ModelFiles,
        options: &LoadOptions,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        // The old draft's memory is free before the new one's is asked for.
        self.speculator = None;
        self.phases = Phases { draft_open: None, draft_upload: None, draft_pipelines: None, ..self.phases };
        let mut clock = Lap::new();
        let config = ModelConfig::from_files(files)?;
        let (weights, tokenizer) = read_model(files, &config)?;
        let target = (&self.tokenizer, self.forward.config.vocab_size);
        check_pair(target, (&tokenizer, config.vocab_size))?;
        let draft_open = clock.lap();
        // Kernels that both models use are compiled once.
        let pipelines = self.forward.pipelines.clone();
        let (draft, draft_upload) =
            load(&self.gpu, config, &weights, options, pipelines, &mut clock, on_progress).await?;
        files.release();
        let mut speculator = Speculator::new(&self.gpu, &mut self.forward).await?;
        speculator.set_draft(&self.gpu, &mut self.forward, draft).await?;
        self.speculator = Some(speculator);
        self.phases = Phases { draft_open, draft_upload, draft_pipelines: clock.lap(), ..self.phases };
        Ok(())
    }

    /// Makes speculation ready: checks on this device that trees have the bits of plain decoding, and measures what
    /// passes cost. Both are taken from `cached` where given (costs once returned for this
    /// [`Self::calibration_key`]). Without this call, the first request that speculates makes it.
    ///
    /// # Errors
    /// [`Error::OutOfDeviceMemory`], [`Error::DeviceLost`].
    pub async fn calibrate(&mut self, cached: Option<Costs>) -> Result<&Costs> {
        if cached.is_none() {
            self.compile_all().await?;
        }
        let speculator = match &mut self.speculator {
            Some(speculator) => speculator,
            none => none.insert(Speculator::new(&self.gpu, &mut self.forward).await?),
        };
        let costs = match cached {
            Some(costs) => costs,
            None => measure::measure(&self.gpu, &mut self.forward, speculator).await?,
        };
        self.forward.shared_pipeline = costs.lossless == Lossless::SharedPipeline;
        Ok(speculator.costs.insert(costs))
    }

    /// Compiles one of the pipelines that were put off ([`DEFER_COMPILATION`](crate::gpu::DEFER_COMPILATION)); false: there is none left.
    /// What it takes counts among the pipelines' phase.
    ///
    /// # Errors
    /// [`Error::Device`], [`Error::DeviceLost`].
    pub async fn compile_one(&mut self) -> Result<bool> {
        let mut clock = Lap::new();
        let mut more = self.forward.compile_one(&self.gpu).await?;
        if let Some(draft) = self.speculator.as_ref().and_then(|s| s.draft.as_ref()).filter(|_| !more) {
            more = draft.forward.compile_one(&self.gpu).await?;
        }
        if let (true, Some(ms), Some(pipelines)) = (more, clock.lap(), &mut self.phases.pipelines) {
            *pipelines += ms;
        }
        Ok(more)
    }

    async fn compile_all(&mut self) -> Result<()> {
        while self.compile_one().await? {}
        Ok(())
    }

    pub fn has_draft(&self) -> bool {
        self.speculator.as_ref().is_some_and(|s| s.draft.is_some())
    }

    /// Of the draft model, if there is one.
    pub fn draft_config(&self) -> Option<&ModelConfig> {
        self.speculator.as_ref()?.draft.as_ref().map(|draft| &draft.forward.config)
    }

    /// What [`Costs`] depend on, as text: adapter and driver, kernels, the shapes of both models, their storage.
    pub fn calibration_key(&self) -> String {
        let report = self.gpu.report();
        let draft = self.speculator.as_ref().and_then(|s| s.draft.as_ref());
        format!(
            "{} {} {report:?} {:?} {:?}",
            env!("CARGO_PKG_VERSION"),
            understory_shaders::hash(),
            self.forward.shape(),
            draft.map(|d| d.forward.shape())
        )
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
        self.resume(request, &[], on_event).await
    }

    /// As [`Self::generate`], from where an earlier call left off: `known` tokens of the answer are there already. They
    /// are computed as decoding computes them, and only what comes after them is handed to `on_event`; the result holds
    /// all. A token is chosen by its position and the seed, so the text is that of one call.
    ///
    /// # Errors
    /// Those of [`Self::generate`]; as many `known` tokens as may be generated are a [`Error::BadParameter`].
    pub async fn resume(
        &mut self,
        request: &GenerateRequest,
        known: &[u32],
        on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<Generation> {
        let start = Instant::now();
        let elapsed = || start.elapsed().as_secs_f64() * 1e3;
        request.sampling.validate()?;
        if request.max_new_tokens <= known.len() {
            let expected = if known.is_empty() { "at least 1" } else { "more than the tokens that are there" };
            let value = request.max_new_tokens.to_string();
            return Err(Error::BadParameter { name: "max-new-tokens", value, expected });
        }
        let prompt = self.tokenise(&request.prompt)?;
        let tokenise = elapsed();
        if request.method != Method::Ar {
            self.check_method(request)?;
            if self.speculator.as_ref().is_none_or(|s| s.costs.is_none()) {
                self.calibrate(None).await?;
            }
            // A round must not wait for a kernel: the governor would take that for the round's cost.
            self.compile_all().await?;
        }
        let sequence = [prompt.as_slice(), known].concat();
        let reused_tokens = self.forward.cache.reusable(&sequence);
        let mut cancelled = on_event(Event::Started { prompt_tokens: prompt.len(), reused_tokens }).is_break();

        let task = Task {
            prompt: &sequence,
            n_decoded: known.len(),
            max_new_tokens: request.max_new_tokens - known.len(),
            sampling: &request.sampling,
            method: &request.method,
            synthetic_acceptance: request.synthetic_acceptance,
        };
        let tokenizer = &self.tokenizer;
        let eos = &self.forward.config.eos_token_ids.clone();
        let context = self.forward.config.max_position_embeddings;
        let mut stream = TextStream::new(tokenizer, &request.stop);
        for &token in known {
            stream.push(tokenizer, token)?;
        }
        let mut token_ids = known.to_vec();
        let mut finish = None;
        let mut first_text_ms = None;
        let mut on_emission = |emission: &Emission| {
            let mut pieces: Vec<String> = Vec::new();
            for &token in &emission.tokens {
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
                pieces.push(text);
                if finish.is_some() {
                    break;
                }
            }
            if finish.is_some_and(|f| f != FinishReason::Stop) {
                let rest = stream.finish(tokenizer)?;
                if let Some(last) = pieces.last_mut() {
                    last.push_str(&rest.text);
                }
                if rest.stopped {
                    finish = Some(FinishReason::Stop);
                }
            }
            let (kept, text) = (pieces.len(), pieces.concat());
            if !text.is_empty() {
                first_text_ms.get_or_insert(elapsed());
            }
            let token_ids = emission.tokens[..kept].to_vec();
            cancelled |= on_event(Event::Emission { token_ids, pieces, text, at_ms: emission.at_ms }).is_break();
            if request.trace {
                for round in emission.rounds.iter().cloned() {
                    let texts =
                        round.nodes.iter().chain(&round.pruned).map(|node| tokenizer.shown(node.token)).collect();
                    cancelled |= on_event(Event::Round { round, texts }).is_break();
                }
            }
            Ok(Consumed { kept, more: finish.is_none() && !cancelled })
        };
        let speculator = self.speculator.as_mut().filter(|_| request.method != Method::Ar);
        let timeline =
            self.decoder.run(&self.gpu, &mut self.forward, speculator, &task, start, &mut on_emission).await?;
        let text = stream.text().to_string();
        let metrics = self.metrics(&timeline, sequence.len(), tokenise, first_text_ms);
        let finish_reason = finish.unwrap_or(FinishReason::Cancelled);
        Ok(Generation {
            prompt_token_ids: prompt,
            token_ids,
            text,
            finish_reason,
            sampling: request.sampling,
            metrics,
            speculation: timeline.speculation,
        })
    }

    /// Whether the method of `request` can run here.
    fn check_method(&self, request: &GenerateRequest) -> Result<()> {
        let method = &request.method;
        if method.needs_draft() && !self.has_draft() {
            return Err(Error::BadParameter {
                name: "method",
                value: method.name().into(),
                expected: "one that needs no draft model (ar, lookup, auto), or a draft model",
            });
        }
        if let Some(p) = request.synthetic_acceptance.filter(|p| !(0.0..=1.0).contains(p)) {
            let expected = "a number from 0 to 1";
            return Err(Error::BadParameter { name: "synthetic-acceptance", value: p.to_string(), expected });
        }
        method.validate()
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
        let tpot_ms = first.and_then(|f| formulas::tpot_ms(f, last, read.len()));
        let prefill = first.map(|f| f - timeline.submitted_ms);
        let computed = n_prompt - timeline.reused_tokens;
        Metrics {
            ttft_ms: first_text_ms,
            engine_ttft_ms: first,
            tpot_ms,
            e2el_ms: last,
            token_generation_ms: first_text_ms.map(|t| formulas::token_generation_ms(last, t)),
            prefill_tokens_per_s: prefill.and_then(|ms| formulas::per_second(computed, ms)),
            decode_tokens_per_s: tpot_ms.and_then(|ms| formulas::per_second(1, ms)),
            emit_ms: read.clone(),
            phases_ms: Phases {
                tokenise: Some(tokenise),
                prefill,
                first_step: (read.len() > 1).then(|| read[1] - read[0]),
                ..self.phases
            },
            n_pipelines: self.forward.pipelines.len(),
            dispatches_per_token: (read.len() > 1).then(|| timeline.dispatches as f64 / (read.len() - 1) as f64),
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

    /// K, then V, of every layer, for the tokens that the cache holds: `[layers, 2, tokens, n_kv_heads, head_stride]`.
    ///
    /// # Errors
    /// [`Error::OutOfDeviceMemory`], [`Error::DeviceLost`].
    pub async fn kv_cache(&self) -> Result<Vec<f32>> {
        let doing = "reading the KV cache";
        let cache = &self.forward.cache;
        let bytes = (4 * cache.row() * cache.tokens.len()) as u64;
        let mut all = Vec::new();
        if bytes > 0 {
            let mut staging = Staging::new(&self.gpu, bytes).await?;
            for buffer in cache.layers.iter().flat_map(|layer| [&layer.k, &layer.v]) {
                let encoder = self.gpu.device().create_command_encoder(&Default::default());
                all.extend(staging.read_floats(&self.gpu, doing, encoder, buffer, bytes).await?);
            }
        }
        Ok(all)
    }

    /// Forgets the KV cache's contents: the next request computes its whole prompt.
    pub fn clear_cache(&mut self) {
        self.forward.cache.tokens.clear();
        if let Some(draft) = self.speculator.as_mut().and_then(|s| s.draft.as_mut()) {
            draft.forward.cache.tokens.clear();
        }
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
    pub fn profile(&self) -> KernelSet {
        self.forward.kernel_set()
    }
    /// Phases of the start so far; the front end adds what only it knows.
    pub fn phases_mut(&mut self) -> &mut Phases {
        &mut self.phases
    }
}
