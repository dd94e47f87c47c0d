//! The facade that a front end holds: one model on one device, and its draft if it has one.

mod generating;
mod loading;
#[cfg(test)]
mod tests;

pub use loading::LoadContext;
use loading::{Lap, load};

use understory_model::chat::ChatTemplate;
use understory_model::check_pair;
use understory_model::config::ModelConfig;
use understory_model::files::ModelFiles;
use understory_model::tokenizer::Tokenizer;
use understory_model::weights::ModelWeights;
use understory_protocol::{Costs, Error, Evaluation, KernelSet, KvDtype, LoadOptions, Phases, Progress, Result};

use crate::evaluate;
use crate::forward::Forward;
use crate::generate::{Decoder, LONGEST_MS};
use crate::gpu::{Gpu, Staging};
pub use crate::speculative::learning::Learned;
use crate::speculative::speculator::Speculator;

/// One model, loaded on one device, with the KV cache of its last request.
pub struct Engine {
    gpu: Gpu,
    forward: Forward,
    decoder: Decoder,
    tokenizer: Tokenizer,
    chat: Option<ChatTemplate>,
    phases: Phases,
    speculator: Speculator,
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
        mut context: LoadContext,
        files: &dyn ModelFiles,
        options: &LoadOptions,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Engine> {
        let mut clock = Lap::new();
        let config = ModelConfig::from_files(files)?;
        let weights = ModelWeights::open(files, &config)?;
        context.compile_stored(&config, &weights, options);
        let LoadContext { gpu, pipelines, device_ms } = context;
        let chat = ChatTemplate::from_files(files)?;
        let tokenizer = Tokenizer::from_files(files, &config)?;
        let open = clock.lap();
        let (forward, upload) = load(&gpu, config, &weights, options, pipelines, &mut clock, on_progress).await?;
        files.release();
        let decoder = Decoder::new(&gpu).await?;
        let phases = Phases { device: device_ms, open, upload, pipelines: clock.lap(), ..Phases::default() };
        let speculator = Speculator::new();
        Ok(Engine { gpu, forward, decoder, tokenizer, chat, phases, speculator })
    }

    /// Loads a draft model for this engine's target, in place of the one before. What was learned for that one is
    /// forgotten.
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
        self.speculator = Speculator::new();
        self.phases = Phases { draft_open: None, draft_upload: None, draft_pipelines: None, ..self.phases };
        let mut clock = Lap::new();
        let config = ModelConfig::from_files(files)?;
        let weights = ModelWeights::open(files, &config)?;
        let tokenizer = Tokenizer::from_files(files, &config)?;
        let target = (&self.tokenizer, self.forward.config.vocab_size);
        check_pair(target, (&tokenizer, config.vocab_size))?;
        let draft_open = clock.lap();
        // Kernels that both models use are compiled once.
        let pipelines = self.forward.pipelines.clone();
        let (draft, draft_upload) =
            load(&self.gpu, config, &weights, options, pipelines, &mut clock, on_progress).await?;
        files.release();
        self.speculator.set_draft(&self.gpu, &mut self.forward, draft).await?;
        self.phases = Phases { draft_open, draft_upload, draft_pipelines: clock.lap(), ..self.phases };
        Ok(())
    }

    /// Makes speculation ready: compiles its kernels, checks on this device that trees have the bits of plain decoding,
    /// and measures what passes cost. The last two are taken from `cached` where given (costs once returned for this
    /// [`Self::calibration_key`]). Rounds do not change these costs. Without this call the same is done step by step
    /// ([`Self::learn_one`]), and texts are decoded plainly until then.
    ///
    /// # Errors
    /// [`Error::OutOfDeviceMemory`], [`Error::Device`], [`Error::DeviceLost`].
    pub async fn calibrate(&mut self, cached: Option<Costs>) -> Result<&Costs> {
        self.speculator.calibrate(&self.gpu, &mut self.forward, cached).await
    }

    /// Begins with `kept`, once [`Self::learned`] for this [`Self::calibration_key`], in place of what is known: there is no
    /// self-test then, and where it is complete no measurement.
    pub fn begin_with(&mut self, kept: Learned) {
        self.speculator.keep(kept);
    }

    /// Takes a step of what [`Self::calibrate`] does, a kernel or a pass or two; false: there is none left. For the time
    /// in which nobody asks for anything. After an error nothing is left.
    ///
    /// # Errors
    /// Those of [`Self::calibrate`].
    pub async fn learn_one(&mut self) -> Result<bool> {
        self.speculator.learn_one(&self.gpu, &mut self.forward, LONGEST_MS).await
    }

    /// What is known of costs so far, some of it perhaps only predicted; `None` before the self-test is done.
    pub fn learned(&self) -> Option<Learned> {
        self.speculator.learned(&self.forward)
    }

    /// What passes cost, once all of it is known: measured or kept, and refined by the rounds of texts.
    pub fn costs(&self) -> Option<&Costs> {
        self.speculator.learning().complete()
    }

    /// Whether [`Self::learn_one`] has nothing left to do.
    pub fn has_learned(&self) -> bool {
        self.speculator.learning().is_over()
    }

    /// Steps of learning that were taken.
    pub fn learning_steps(&self) -> usize {
        self.speculator.steps()
    }

    /// Compiles one of the pipelines that were put off ([`DEFER_COMPILATION`](crate::gpu::DEFER_COMPILATION)); false: there is none left.
    /// What it takes counts among the pipelines' phase.
    ///
    /// # Errors
    /// [`Error::Device`], [`Error::DeviceLost`].
    pub async fn compile_one(&mut self) -> Result<bool> {
        let mut clock = Lap::new();
        let mut more = self.forward.compile_one(&self.gpu).await?;
        if let Some(draft) = self.draft().filter(|_| !more) {
            more = draft.compile_one(&self.gpu).await?;
        }
        if let (true, Some(ms), Some(pipelines)) = (more, clock.lap(), &mut self.phases.pipelines) {
            *pipelines += ms;
        }
        Ok(more)
    }

    pub fn has_draft(&self) -> bool {
        self.draft().is_some()
    }

    /// Of the draft model, if there is one.
    pub fn draft_config(&self) -> Option<&ModelConfig> {
        self.draft().map(|draft| &draft.config)
    }

    fn draft(&self) -> Option<&Forward> {
        self.speculator.draft()
    }

    /// What [`Costs`] depend on, as text: adapter and driver, kernels, the shapes of both models, their storage.
    pub fn calibration_key(&self) -> String {
        let report = self.gpu.report();
        // The files of a model in blocks have each their own.
        let storage =
            |model: &Forward| format!("{:?} {:?} {}", model.shape(), model.weights.types(), model.weights.bytes);
        format!(
            "{} {} {report:?} {:?} {:?}",
            env!("CARGO_PKG_VERSION"),
            understory_shaders::hash(),
            storage(&self.forward),
            self.draft().map(storage)
        )
    }

    /// Negative log-likelihood of `text`, in windows of the model's context.
    ///
    /// # Errors
    /// [`Error::TextTooShort`] for a text of fewer than two tokens, [`Error::NanLogits`], [`Error::DeviceLost`].
    pub async fn evaluate(&mut self, text: &str, on_progress: &mut dyn FnMut(Progress)) -> Result<Evaluation> {
        let token_ids = self.tokenizer.encode(text, true)?;
        if token_ids.len() < 2 {
            return Err(Error::TextTooShort { tokens: token_ids.len() });
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
        let bytes = (cache.row_bytes() * cache.tokens().len()) as u64;
        let mut all = Vec::new();
        if bytes > 0 {
            let mut staging = Staging::new(&self.gpu, bytes).await?;
            for words in cache.layers.iter().flat_map(|layer| [&layer.k, &layer.v]) {
                let buffer = words.snapshot(&self.gpu, doing).await?;
                let encoder = self.gpu.device().create_command_encoder(&Default::default());
                let words = staging.read_floats(&self.gpu, doing, encoder, &buffer, bytes).await?;
                match cache.dtype() {
                    KvDtype::F32 => all.extend(words),
                    KvDtype::F16 => all.extend(words.into_iter().flat_map(|word| {
                        let bits = word.to_bits();
                        [bits as u16, (bits >> 16) as u16].map(|half| half::f16::from_bits(half).to_f32())
                    })),
                }
            }
        }
        Ok(all)
    }

    /// How the target's KV cache is stored.
    pub fn kv_dtype(&self) -> KvDtype {
        self.forward.cache.dtype()
    }

    /// Forgets the KV cache's contents: the next request computes its whole prompt.
    pub fn clear_cache(&mut self) {
        self.forward.cache.invalidate();
        self.speculator.clear_caches();
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
    /// How the weights of the target are stored on the device, each type once.
    pub fn weight_types(&self) -> Vec<&'static str> {
        self.forward.weights.types()
    }
    /// The kernels in use.
    pub fn kernel_set(&self) -> KernelSet {
        self.forward.kernel_set()
    }
    /// Phases of the start so far; the front end adds what only it knows.
    pub fn phases_mut(&mut self) -> &mut Phases {
        &mut self.phases
    }
}
