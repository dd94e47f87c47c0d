//! The benchmark's arguments.

use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};
use understory_protocol::KernelSet;

use crate::synthetic::Sizes;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// A model by this engine and by the burn reference
    Tales,
    /// A model of Pythia 2.8B's shape with random weights by this engine alone
    Synthetic,
}

/// Decode in one process, with engines in turns; each run is one JSON line on stdout.
#[derive(Parser)]
pub struct Args {
    #[arg(value_enum, default_value = "tales")]
    pub mode: Mode,
    /// Measured runs of each engine
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Generated tokens of a run
    #[arg(long, default_value_t = 64)]
    pub n_out: usize,
    /// tales: engines to run, of burn-f32, f16 and f32
    #[arg(long, value_delimiter = ',', default_value = "burn-f32,f16,f32")]
    pub engines: Vec<String>,
    /// tales: text to continue
    #[arg(long, default_value = "Once upon a time there was a king who had three sons")]
    pub prompt: String,
    /// tales: folder of the model
    #[arg(long, default_value_os_t = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tales"))]
    pub model: PathBuf,
    /// synthetic: prompt tokens
    #[arg(long, default_value_t = 16)]
    pub n_prompt: usize,
    /// Adapter, by its number in `understory devices`
    #[arg(long)]
    pub device: Option<usize>,
    /// Kernel set: gpu or cpu
    #[arg(long, value_parser = kernel_set)]
    pub profile: Option<KernelSet>,
    #[command(flatten)]
    pub sizes: SizeArgs,
    /// cargo adds it
    #[arg(long, hide = true)]
    bench: bool,
}

// Sizes of the synthetic model. Not a doc comment: clap would take it for the text of the whole command.
#[derive(clap::Args)]
pub struct SizeArgs {
    #[arg(long, default_value_t = Sizes::default().layers)]
    layers: usize,
    #[arg(long, default_value_t = Sizes::default().hidden)]
    hidden: usize,
    #[arg(long, default_value_t = Sizes::default().heads)]
    heads: usize,
    #[arg(long, default_value_t = Sizes::default().vocab)]
    vocab: usize,
}

impl Args {
    pub fn sizes(&self) -> Sizes {
        let &SizeArgs { layers, hidden, heads, vocab } = &self.sizes;
        Sizes { layers, hidden, heads, vocab }
    }
}

fn kernel_set(value: &str) -> Result<KernelSet, String> {
    match value {
        "gpu" => Ok(KernelSet::Gpu),
        "cpu" => Ok(KernelSet::Cpu),
        _ => Err("expected gpu or cpu".into()),
    }
}
