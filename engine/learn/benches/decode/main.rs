//! Decoding in one process, interleaved, one JSON line a run on stdout.
//!
//!     cargo bench -p understory-learn --bench decode -- [tales] --rounds 5
//!     cargo bench -p understory-learn --bench decode -- synthetic --layers 8
//!     cargo bench -p understory-learn --bench decode -- --help
//!
//! `tales`: a model by this engine, and by the burn reference on a wgpu device of the same adapter (f32, with a KV
//! cache). `synthetic`: a model of Pythia 2.8B's shape with made-up weights by this engine alone, with the bandwidth
//! that it reaches as a share of the device's measured copy bandwidth.

mod args;
mod reference;
mod synthetic;

use std::error::Error;
use std::ops::ControlFlow;

use clap::Parser;
use serde_json::{Value, json};
use understory_model::config::ModelConfig;
use understory_model::files::{FolderFiles, ModelFiles};
use understory_model::tokenizer::Tokenizer;
use understory_protocol::{Dtype, GenerateRequest, Generation, LoadOptions};
use understory_runtime::Engine;
use understory_runtime::bench::copy_bandwidth;
use understory_runtime::gpu::Gpu;

use args::{Args, Mode};
use reference::Burn;
use synthetic::Synthetic;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Tokens of the uncounted generation that comes first.
const WARM_UP_TOKENS: usize = 8;

fn main() -> Outcome<()> {
    let args = Args::parse();
    pollster::block_on(async {
        match args.mode {
            Mode::Tales => compare(&args).await,
            Mode::Synthetic => bandwidth(&args).await,
        }
    })
}

/// Somebody who generates.
enum Decoder {
    Burn(Box<Burn>),
    Understory(Box<Engine>, Dtype),
}

impl Decoder {
    async fn open(name: &str, args: &Args, files: &dyn ModelFiles) -> Outcome<Self> {
        let gpu = Gpu::open(args.device).await?;
        let dtype = match name {
            "burn-f32" => return Ok(Self::Burn(Box::new(Burn::open(&gpu, files).await?))),
            "f16" => Dtype::F16,
            "f32" => Dtype::F32,
            _ => return Err(format!("--engines: unknown engine `{name}`; expected burn-f32, f16 or f32").into()),
        };
        Ok(Self::Understory(Box::new(engine(gpu, files, dtype, args).await?), dtype))
    }

    /// One run as a JSON object.
    async fn run(&mut self, prompt: &[u32], n_out: usize) -> Outcome<Value> {
        let (engine, dtype, device, emit_ms, token_ids) = match self {
            Self::Burn(burn) => {
                let (emit_ms, token_ids) = burn.generate(prompt, n_out).await?;
                ("burn", "f32", burn.device_name(), emit_ms, token_ids)
            }
            Self::Understory(engine, dtype) => {
                let generation = generate(engine, prompt, n_out).await?;
                let dtype = dtype.name();
                let device = engine.gpu().report().name.clone();
                ("understory", dtype, device, generation.metrics.emit_ms, generation.token_ids)
            }
        };
        let gaps = emit_ms.len().saturating_sub(1).max(1);
        Ok(json!({
            "engine": engine,
            "backend": format!("wgpu {dtype}"),
            "dtype": dtype,
            "device": device,
            "ttft_ms": emit_ms[0],
            "tpot_ms": (emit_ms[emit_ms.len() - 1] - emit_ms[0]) / gaps as f64,
            "n_prompt": prompt.len(),
            "n_out": token_ids.len(),
            "prompt_token_ids": prompt,
            "token_ids": token_ids,
            "emit_ms": emit_ms,
        }))
    }
}

/// Rounds of all engines, every other one in reverse (A B C, C B A).
async fn compare(args: &Args) -> Outcome<()> {
    let files = FolderFiles::open(&args.model)?;
    let prompt = tokenise(&files, &args.prompt)?;
    let mut decoders = Vec::new();
    for name in &args.engines {
        let mut decoder = Decoder::open(name, args, &files).await?;
        decoder.run(&prompt, WARM_UP_TOKENS).await?;
        decoders.push(decoder);
    }
    for round in 0..args.rounds {
        let mut order: Vec<usize> = (0..decoders.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for i in order {
            let mut line = decoders[i].run(&prompt, args.n_out).await?;
            line["round"] = round.into();
            println!("{line}");
        }
    }
    Ok(())
}

async fn bandwidth(args: &Args) -> Outcome<()> {
    let files = Synthetic::new(args.sizes());
    // On a device of its own, so that its buffers do not count in the engine's peak.
    let copy = copy_bandwidth(&Gpu::open(args.device).await?).await?;
    let mut engine = engine(Gpu::open(args.device).await?, &files, Dtype::F16, args).await?;
    let prompt: Vec<u32> = (0..args.n_prompt as u32).map(|i| i * 37 % args.sizes().vocab as u32).collect();
    generate(&mut engine, &prompt, WARM_UP_TOKENS).await?;
    for round in 0..args.rounds {
        let generation = generate(&mut engine, &prompt, args.n_out).await?;
        let metrics = &generation.metrics;
        let tpot_ms = metrics.tpot_ms.ok_or("--n-out: a time per token takes at least 2")?;
        let bytes = files.bytes_per_token(metrics.weights_bytes, prompt.len() + args.n_out / 2);
        let gb_per_s = bytes as f64 / tpot_ms / 1e6;
        let line = json!({
            "engine": "understory",
            "backend": "wgpu f16",
            "dtype": "f16",
            "device": engine.gpu().report().name,
            "profile": engine.kernel_set().name(),
            "round": round,
            "sizes": args.sizes(),
            "ttft_ms": metrics.engine_ttft_ms,
            "tpot_ms": tpot_ms,
            "weights_bytes": metrics.weights_bytes,
            "peak_gpu_bytes": metrics.peak_gpu_bytes,
            "dispatches_per_token": metrics.dispatches_per_token,
            "bytes_per_token": bytes,
            "gb_per_s": gb_per_s,
            "copy_gb_per_s": copy.value,
            "copy_samples_gb_per_s": copy.samples,
            "share_of_copy": gb_per_s / copy.value,
            "n_prompt": prompt.len(),
            "n_out": generation.token_ids.len(),
            "emit_ms": metrics.emit_ms,
        });
        println!("{line}");
    }
    Ok(())
}

async fn engine(gpu: Gpu, files: &dyn ModelFiles, dtype: Dtype, args: &Args) -> Outcome<Engine> {
    Ok(Engine::open(gpu, files, &LoadOptions { dtype, kv_dtype: None, profile: args.profile }, &mut |_| {}).await?)
}

/// Greedy, past end tokens, from an empty KV cache.
async fn generate(engine: &mut Engine, prompt: &[u32], n_out: usize) -> Outcome<Generation> {
    engine.clear_cache();
    let request = GenerateRequest::plain(prompt.to_vec(), n_out);
    Ok(engine.generate(&request, &mut |_| ControlFlow::Continue(())).await?)
}

fn tokenise(files: &dyn ModelFiles, text: &str) -> Outcome<Vec<u32>> {
    let config = ModelConfig::from_files(files)?;
    Ok(Tokenizer::from_files(files, &config)?.encode(text, true)?)
}
