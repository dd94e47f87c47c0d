//! The engine behind messages: what the page's worker and the server both run. A front end finds the models' files;
//! everything after that is here, a lost device included.

mod bench;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

pub use self::bench::Watch;
use understory_lab::html::prediction;
use understory_lab::predict::ask::{LoadedModels, Predictor};
use understory_lab::predict::models::ModelShape;
use understory_model::chat::ChatTemplate;
use understory_model::config::ModelConfig;
use understory_model::files::ModelFiles;
use understory_protocol::{
    Costs, Dtype, Error, Event, GenerateRequest, Generation, LoadRequest, Loaded, Phases, Precision, PredictReply,
    PredictRequest, Reply, Result,
};
use understory_runtime::engine::{Engine, Learned, LoadContext};
use understory_runtime::kernels::tiling;

/// How often a device may be lost in one generation before that is its end.
const RECOVERIES: usize = 2;

/// One loaded model, or none yet.
#[derive(Default)]
pub struct Session {
    engine: Option<Engine>,
    models: Option<Models>,
    device: SharedDevice,
    predictor: SharedPredictor,
}

/// What was loaded, to load it again.
struct Models {
    request: LoadRequest,
    target: Box<dyn ModelFiles>,
    draft: Option<Box<dyn ModelFiles>>,
    costs: Option<Costs>,
}

/// The session's device for those who do not hold the session.
#[derive(Clone, Default)]
pub struct SharedDevice(Arc<Mutex<Option<wgpu::Device>>>);

impl SharedDevice {
    /// Destroys the device, as a driver's reset would: to try what comes of it.
    pub fn destroy(&self) {
        if let Some(device) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            device.destroy();
        }
    }

    fn set(&self, device: &wgpu::Device) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(device.clone());
    }
}

/// Predictions, which ask neither device nor session and need not wait for them.
#[derive(Clone, Default)]
pub struct SharedPredictor(Arc<Mutex<Predictor>>);

impl SharedPredictor {
    /// # Errors
    /// Those of [`Predictor::ask`].
    pub fn answer(&self, request: &PredictRequest) -> Result<PredictReply> {
        prediction::reply(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), request)
    }

    fn set(&self, loaded: Option<LoadedModels>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).set_loaded(loaded);
    }
}

impl Session {
    /// Loads `target`, then `draft`, on the device that was opened for `request` ([`LoadContext::open`] with its adapter);
    /// what was loaded before is gone, whatever comes of it.
    ///
    /// # Errors
    /// Those of [`Engine::open`] and [`Engine::load_draft`].
    pub async fn load(
        &mut self,
        context: LoadContext,
        request: LoadRequest,
        target: Box<dyn ModelFiles>,
        draft: Option<Box<dyn ModelFiles>>,
        emit: &mut dyn FnMut(Reply),
    ) -> Result<Loaded> {
        // Its memory is free before the new model's is asked for.
        self.engine = None;
        self.predictor.set(None);
        let models = self.models.insert(Models { request, target, draft, costs: None });
        let engine = self.engine.insert(models.open(context, &self.device, emit).await?);
        self.predictor.set(Some(models.shapes(engine)?));
        Ok(Loaded {
            target: models.target.name(),
            draft: models.draft.as_ref().map(|files| files.name()),
            device: engine.gpu().report().clone(),
            profile: engine.kernel_set(),
            dtype: models.request.dtype,
            has_chat_template: engine.chat_template().is_some(),
            template_switches: engine.chat_template().map(ChatTemplate::switches).unwrap_or_default(),
            context: engine.config().max_position_embeddings,
            calibration_key: engine.calibration_key(),
            phases_ms: *engine.phases_mut(),
        })
    }

    /// As [`Engine::calibrate`].
    ///
    /// # Errors
    /// [`Error::NothingLoaded`], and those of [`Engine::calibrate`].
    pub async fn calibrate(&mut self, cached: Option<Costs>) -> Result<Costs> {
        let (engine, models) = self.loaded()?;
        let costs = engine.calibrate(cached).await?.clone();
        models.costs = Some(costs.clone());
        Ok(costs)
    }

    /// As [`Engine::generate`]; `stopped` is asked after every event, and while a chat template runs. Where the device is
    /// lost on the way, it is opened and loaded again, and the text goes on ([`Reply::Recovering`]); times and counts are
    /// of what came after that.
    ///
    /// # Errors
    /// [`Error::NothingLoaded`], and those of [`Engine::generate`].
    pub async fn generate(
        &mut self,
        request: &GenerateRequest,
        stopped: &dyn Fn() -> bool,
        emit: &mut dyn FnMut(Reply),
    ) -> Result<Generation> {
        let mut known = Vec::new();
        for left in (0..=RECOVERIES).rev() {
            let (engine, _) = self.loaded()?;
            let mut said: Vec<u32> = Vec::new();
            let ended = engine
                .resume(request, &known, stopped, &mut |event| {
                    if let Event::Emission { token_ids, .. } = &event {
                        said.extend(token_ids);
                    }
                    emit(Reply::Event(event));
                    if stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })
                .await;
            match ended {
                Err(Error::DeviceLost { reason, .. }) if left > 0 => emit(Reply::Recovering { reason }),
                ended => return ended,
            }
            known.extend(said);
            self.reopen(emit).await?;
        }
        unreachable!("the last turn returns")
    }

    async fn reopen(&mut self, emit: &mut dyn FnMut(Reply)) -> Result<()> {
        self.engine = None;
        let models = self.models.as_ref().ok_or(Error::NothingLoaded)?;
        let context = LoadContext::open(models.request.adapter).await?;
        let engine = self.engine.insert(models.open(context, &self.device, emit).await?);
        // A text that was speculated on goes on plainly, until kernels are compiled.
        if let Some(costs) = &models.costs {
            engine.begin_with(Learned { costs: costs.clone(), complete: true });
        }
        Ok(())
    }

    /// Phases of the loaded model's start; the front end adds what only it knows. Those that it adds are not there any
    /// more after the device was lost.
    pub fn phases_mut(&mut self) -> Option<&mut Phases> {
        self.engine.as_mut().map(Engine::phases_mut)
    }

    /// Begins to make speculation ready, which [`Self::learn_one`] goes on with. Costs, where they are known from now on:
    /// those that are given, or those of before.
    ///
    /// # Errors
    /// [`Error::NothingLoaded`].
    pub fn begin_learning(&mut self, cached: Option<Costs>) -> Result<Option<Costs>> {
        let (engine, models) = self.loaded()?;
        if let Some(costs) = cached {
            engine.begin_with(Learned { costs: costs.clone(), complete: true });
            models.costs = Some(costs);
        }
        Ok(engine.costs().cloned())
    }

    /// As [`Engine::learn_one`]; false too where nothing is loaded.
    ///
    /// # Errors
    /// Those of [`Engine::learn_one`].
    pub async fn learn_one(&mut self) -> Result<bool> {
        let Ok((engine, models)) = self.loaded() else { return Ok(false) };
        let more = engine.learn_one().await?;
        models.costs = engine.costs().cloned().or(models.costs.take());
        Ok(more)
    }

    /// What passes cost, once that is known.
    pub fn costs(&self) -> Option<Costs> {
        self.engine.as_ref()?.costs().cloned()
    }

    /// As [`Engine::compile_one`]; false too where nothing is loaded.
    ///
    /// # Errors
    /// Those of [`Engine::compile_one`].
    pub async fn compile_one(&mut self) -> Result<bool> {
        match &mut self.engine {
            Some(engine) => engine.compile_one().await,
            None => Ok(false),
        }
    }

    /// Predictions, also before anything is loaded and while something is.
    pub fn predictor(&self) -> SharedPredictor {
        self.predictor.clone()
    }

    /// The device, for [`SharedDevice::destroy`].
    pub fn device(&self) -> SharedDevice {
        self.device.clone()
    }

    fn loaded(&mut self) -> Result<(&mut Engine, &mut Models)> {
        self.engine.as_mut().zip(self.models.as_mut()).ok_or(Error::NothingLoaded)
    }
}

impl Models {
    fn shapes(&self, engine: &Engine) -> Result<LoadedModels> {
        let shape = |files: &dyn ModelFiles, config| ModelShape {
            label: files.name(),
            source: "its config.json".into(),
            config,
        };
        let draft = self.draft.as_deref();
        let report = engine.gpu().report();
        let name = if report.name.is_empty() { "this device" } else { &report.name };
        Ok(LoadedModels {
            target: shape(&*self.target, engine.config().clone()),
            draft: draft.map(|files| Ok(shape(files, ModelConfig::from_files(files)?))).transpose()?,
            dtype: match self.request.dtype {
                Dtype::F16 => Precision::F16,
                Dtype::F32 => Precision::F32,
                Dtype::Q8 => Precision::Int8,
                Dtype::Q4 => Precision::Int4,
            },
            tiling: tiling(engine.kernel_set()),
            device: format!("{name} ({})", report.backend),
        })
    }

    async fn open(&self, context: LoadContext, device: &SharedDevice, emit: &mut dyn FnMut(Reply)) -> Result<Engine> {
        device.set(context.gpu().device());
        let options = self.request.options();
        let mut progress = |progress| emit(Reply::Progress(progress));
        let mut engine = Engine::open_in(context, &*self.target, &options, &mut progress).await?;
        if let Some(draft) = &self.draft {
            engine.load_draft(&**draft, &options, &mut progress).await?;
        }
        Ok(engine)
    }
}
