//! One request: from a prompt to a [`Generation`], with an event for each emission.

use std::ops::ControlFlow;

use understory_model::chat::Conversation;
use understory_protocol::{
    Error, Event, FinishReason, GenerateRequest, Generation, Method, Metrics, Phases, Prompt, Result, formulas,
};
use web_time::Instant;

use super::Engine;
use crate::generate::{Consumed, Emission, SpeculativeTask, Task, Timeline};
use crate::output::{Added, Ends, OutputAssembler};

impl Engine {
    /// Generates, calling `on_event` for each emission; `Break` ends the generation (finish reason `Cancelled`).
    /// Tokens of the prompt that the KV cache still holds from the last request are not computed again. Until there is
    /// enough known of this device ([`Self::calibrate`]) any method decodes plainly, and what is missing is learned in
    /// between, for a fifth of the time at most.
    ///
    /// # Errors
    /// [`Error::BadParameter`], [`Error::EmptyPrompt`], [`Error::PromptTooLong`] before any work;
    /// [`Error::NanLogits`], [`Error::DeviceLost`], [`Error::OutOfDeviceMemory`].
    pub async fn generate(
        &mut self,
        request: &GenerateRequest,
        on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<Generation> {
        self.resume(request, &[], &|| false, on_event).await
    }

    /// As [`Self::generate`], from where an earlier call left off: `known` tokens of the answer are there already. They
    /// are computed as decoding computes them, and only what comes after them is handed to `on_event`; the result holds
    /// all. A token is chosen by its position and the seed, so the text is that of one call. `interrupted` is asked while a
    /// chat template makes the prompt, when there is no event yet; with `true` that is an error.
    ///
    /// # Errors
    /// Those of [`Self::generate`]; as many `known` tokens as may be generated are a [`Error::BadParameter`].
    pub async fn resume(
        &mut self,
        request: &GenerateRequest,
        known: &[u32],
        interrupted: &dyn Fn() -> bool,
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
        let prompt = self.tokenise(&request.prompt, interrupted)?;
        let tokenise = elapsed();
        if request.method != Method::Ar {
            self.check_method(request)?;
            if request.synthetic_acceptance.is_some() {
                // A measurement, of rounds alone.
                self.speculator.finish(&self.gpu, &mut self.forward).await?;
            }
        }
        self.speculator.apply(&mut self.forward);
        let sequence = [prompt.as_slice(), known].concat();
        let reused_tokens = self.forward.cache.reusable(&sequence);
        let mut cancelled = on_event(Event::Started { prompt_tokens: prompt.len(), reused_tokens }).is_break();

        let task = Task {
            prompt: &sequence,
            n_decoded: known.len(),
            max_new_tokens: request.max_new_tokens - known.len(),
            sampling: &request.sampling,
        };
        let tokenizer = &self.tokenizer;
        let config = &self.forward.config;
        let ends = Ends::new(request, &config.eos_token_ids, config.max_position_embeddings);
        let mut output = OutputAssembler::new(tokenizer, &request.stop, ends, prompt.len(), known)?;
        let mut first_text_ms = None;
        let mut on_emission = |emission: &Emission| {
            let Added { pieces, text } = output.push(&emission.tokens)?;
            let kept = pieces.len();
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
            Ok(Consumed { kept, more: output.finish_reason().is_none() && !cancelled })
        };
        let speculation = match &request.method {
            Method::Ar => None,
            method => {
                let (speculator, synthetic_acceptance) = (&mut self.speculator, request.synthetic_acceptance);
                Some(SpeculativeTask { speculator, method, synthetic_acceptance })
            }
        };
        let (gpu, forward) = (&self.gpu, &mut self.forward);
        let timeline = self.decoder.run(gpu, forward, &task, speculation, start, &mut on_emission).await?;
        let metrics = self.metrics(&timeline, sequence.len(), tokenise, first_text_ms);
        let finish_reason = output.finish_reason().unwrap_or(FinishReason::Cancelled);
        let (token_ids, text) = output.into_answer();
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

    fn tokenise(&self, prompt: &Prompt, interrupted: &dyn Fn() -> bool) -> Result<Vec<u32>> {
        match prompt {
            Prompt::Tokens(ids) => Ok(ids.clone()),
            Prompt::Text(text) => self.tokenizer.encode(text, true),
            Prompt::Chat(messages) => self.tokenise_chat(&Conversation::from_messages(messages, true)?, interrupted),
            Prompt::Conversation(json) => self.tokenise_chat(&Conversation::from_json(json)?, interrupted),
        }
    }

    fn tokenise_chat(&self, conversation: &Conversation, interrupted: &dyn Fn() -> bool) -> Result<Vec<u32>> {
        let absent = || Error::ChatTemplate { reason: "this model has none".into() };
        let template = self.chat.as_ref().ok_or_else(absent)?;
        // The template writes the special tokens itself.
        self.tokenizer.encode(&template.render(conversation, interrupted)?, false)
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
}
