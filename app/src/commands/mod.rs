//! One module a subcommand, and what those that run a model share.

pub mod chat;
pub mod devices;
pub mod eval;
pub mod generate;
pub mod kernels;
pub mod models;

use std::time::Instant;

use anyhow::Result;
use understory_engine::gpu::{AdapterReport, Gpu, Profile};
use understory_engine::{Dtype, Engine};

use crate::cli::LoadArgs;
use crate::models::{Found, find};
use crate::output::Console;
use crate::timings::Subject;

/// A model on a device, ready to run.
pub struct Loaded {
    pub label: String,
    pub dtype: Dtype,
    pub engine: Engine,
}

/// Finds, reads and uploads the model that `args` names.
pub async fn load(args: &LoadArgs, console: &Console) -> Result<Loaded> {
    let Found { label, files } = find(args, console)?;
    let start = Instant::now();
    let gpu = Gpu::open(args.device).await?;
    let device_ms = start.elapsed().as_secs_f64() * 1000.0;
    tracing::info!(adapter = gpu.report().name, why = gpu.report().why, "device open");
    let options = args.options();
    let mut bar = console.engine_progress();
    let mut engine = Engine::open(gpu, files.as_ref(), &options, &mut |progress| bar.show(progress)).await?;
    let phases = engine.phases_mut();
    phases.process_start = console.process_start_ms;
    phases.device.get_or_insert(device_ms);
    Ok(Loaded { label, dtype: options.dtype, engine })
}

impl Loaded {
    pub fn device(&self) -> &AdapterReport {
        self.engine.gpu().report()
    }

    pub fn subject(&self, profile: Profile) -> Subject<'_> {
        let dtype = match self.dtype {
            Dtype::F16 => "f16",
            Dtype::F32 => "f32",
        };
        Subject { model: &self.label, dtype, profile: profile.name(), device: self.device() }
    }
}
