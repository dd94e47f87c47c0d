//! Loads a model folder and prints a text.
//!
//!     cargo run --release -p understory-runtime --example generate -- [FOLDER] [PROMPT]
//!
//! FOLDER holds config.json, tokenizer.json and model.safetensors, as the Hugging Face hub has them; without it the
//! bundled model is used. The engine does no I/O of its own beside these files and knows no async runtime: any executor
//! drives it, here the smallest.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use understory_model::files::FolderFiles;
use understory_protocol::{Dtype, GenerateRequest, LoadOptions, Method, Prompt, Result, Sampling};
use understory_runtime::Engine;
use understory_runtime::gpu::Gpu;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let bundled = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tales");
    let folder = args.next().map_or_else(bundled, PathBuf::from);
    let prompt = args.next().unwrap_or_else(|| "Once upon a time there was a fox".into());
    pollster::block_on(generate(&folder, prompt))
}

async fn generate(folder: &Path, prompt: String) -> Result<()> {
    // The adapter that the system prefers; a model stays on the device until its engine is dropped.
    let gpu = Gpu::open(None).await?;
    println!("{}\n", gpu.report().name);
    let files = FolderFiles::open(folder)?;
    // `profile: None`: the kernels that fit the adapter.
    let options = LoadOptions { dtype: Dtype::F16, kv_dtype: None, profile: None };
    let mut engine = Engine::open(gpu, &files, &options, &mut |_progress| {}).await?;

    let request = GenerateRequest {
        prompt: Prompt::Text(prompt.clone()),
        max_new_tokens: 80,
        ignore_eos: false,
        stop: Vec::new(),
        // The same seed gives the same text, on this device and with every method.
        sampling: Sampling { temperature: 0.8, top_p: 0.95, seed: 7, ..Sampling::default() },
        method: Method::Ar,
        synthetic_acceptance: None,
        trace: false,
    };
    let generation = engine.generate(&request, &mut |_event| ControlFlow::Continue(())).await?;
    println!("{prompt}{}\n", generation.text);
    let speed = generation.metrics.decode_tokens_per_s.unwrap_or_default();
    println!("{} tokens, {:?}, {speed:.0} tokens/s", generation.token_ids.len(), generation.finish_reason);
    Ok(())
}
