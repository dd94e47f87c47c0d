//! The engine behind messages: what a worker of the page and the server both run. A front end finds the models' files;
//! everything after that is here.

use std::ops::ControlFlow;

use web_time::Instant;

use crate::engine::{Engine, LoadOptions};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::model::files::ModelFiles;
use crate::protocol::{Costs, GenerateRequest, Generation, LoadRequest, Loaded, Reply};

/// One loaded model, or none yet.
#[derive(Default)]
pub struct Session {
    engine: Option<Engine>,
}

impl Session {
    /// Opens the device and loads `target`, then `draft`; what was loaded before is gone, whatever comes of it.
    ///
    /// # Errors
    /// Those of [`Gpu::open`], [`Engine::open`] and [`Engine::load_draft`].
    pub async fn load(
        &mut self,
        request: &LoadRequest,
        target: &dyn ModelFiles,
        draft: Option<&dyn ModelFiles>,
        emit: &mut dyn FnMut(Reply),
    ) -> Result<Loaded> {
        // Its memory is free before the new model's is asked for.
        self.engine = None;
        let start = Instant::now();
        let gpu = Gpu::open(request.adapter).await?;
        let device_ms = start.elapsed().as_secs_f64() * 1e3;
        let options = LoadOptions { dtype: request.dtype, profile: request.profile };
        let mut progress = |progress| emit(Reply::Progress(progress));
        let mut engine = Engine::open(gpu, target, &options, &mut progress).await?;
        engine.phases_mut().device = Some(device_ms);
        if let Some(draft) = draft {
            engine.load_draft(draft, &options, &mut progress).await?;
        }
        let loaded = Loaded {
            target: target.name(),
            draft: draft.map(|files| files.name()),
            device: engine.gpu().report().clone(),
            profile: engine.profile(),
            dtype: request.dtype,
            has_chat_template: engine.chat_template().is_some(),
            context: engine.config().max_position_embeddings,
            calibration_key: engine.calibration_key(),
            phases_ms: *engine.phases_mut(),
        };
        self.engine = Some(engine);
        Ok(loaded)
    }

    /// As [`Engine::calibrate`].
    ///
    /// # Errors
    /// [`Error::NothingLoaded`], and those of [`Engine::calibrate`].
    pub async fn calibrate(&mut self, cached: Option<Costs>) -> Result<Costs> {
        Ok(self.engine()?.calibrate(cached).await?.clone())
    }

    /// As [`Engine::generate`]; `stopped` is asked after every event.
    ///
    /// # Errors
    /// [`Error::NothingLoaded`], and those of [`Engine::generate`].
    pub async fn generate(
        &mut self,
        request: &GenerateRequest,
        stopped: &dyn Fn() -> bool,
        emit: &mut dyn FnMut(Reply),
    ) -> Result<Generation> {
        let engine = self.engine()?;
        engine
            .generate(request, &mut |event| {
                emit(Reply::Event(event));
                if stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .await
    }

    pub fn engine(&mut self) -> Result<&mut Engine> {
        self.engine.as_mut().ok_or(Error::NothingLoaded)
    }
}
