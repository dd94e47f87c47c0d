//! The reference forward against `transformers`: every folder of `fixtures/`, on burn's CPU backend and on
//! a wgpu device.
//!
//! `golden.json` holds what `transformers` computed in float32 for a tiny model of random weights; greedy
//! tokens have no near ties, so they must be equal.
//!
//! Known-wrong versions that were tried, each of which fails: rotating neighbours (2i, 2i+1) in place of
//! halves; norms without Gemma's unit offset; a window one key too wide; no causal mask; k normed after the
//! rotation; Gemma's two rope tables swapped; no embedding scale; no post-norms; serial in place of parallel
//! residual; RMS in place of layer norm; query heads dealt to KV heads in turn in place of in groups;
//! positions that restart with each piece; and the two GELUs exchanged, the finest of them.

#[path = "../../runtime/tests/common/folders.rs"]
mod folders;

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use folders::copy_with;
use serde::Deserialize;
use understory_learn::reference::{Reference, ReferenceCache, burn_device, cpu_device, generate_greedy, logits_to_vec};
use understory_model::config::ModelConfig;
use understory_model::files::FolderFiles;
use understory_model::weights::ModelWeights;
use understory_protocol::Error;

/// Largest difference of a logit, as a share of the golden logits' spread. Both devices stay below 1e-6; the
/// rest is for GPUs whose exp and tanh are less exact.
const LOGIT_TOLERANCE: f64 = 1e-4;
/// Largest difference of a token's negative log-likelihood, nats; 3e-5 was measured.
const NLL_TOLERANCE: f64 = 5e-4;
/// A prompt is also fed in pieces of this many tokens: odd, and far below the prompts' lengths.
const PIECE_TOKENS: usize = 13;

#[derive(Deserialize)]
struct Golden {
    prompts: Vec<GoldenPrompt>,
    nll: GoldenNll,
}

#[derive(Deserialize)]
struct GoldenPrompt {
    token_ids: Vec<u32>,
    greedy_ids: Vec<u32>,
    last_logits: Vec<f32>,
}

#[derive(Deserialize)]
struct GoldenNll {
    token_ids: Vec<u32>,
    per_token: Vec<f64>,
}

fn fixtures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let entries = std::fs::read_dir(&root).unwrap_or_else(|e| panic!("{}: {e}", root.display()));
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.join("golden.json").is_file())
        .collect();
    folders.sort();
    assert!(!folders.is_empty(), "{} holds no fixture", root.display());
    folders
}

fn open(folder: &Path, device: &Device) -> (Reference, Golden) {
    let files = FolderFiles::open(folder).expect("a model folder");
    let config = ModelConfig::from_files(&files).expect("a known configuration");
    let weights = ModelWeights::open(&files, &config).expect("complete weights");
    let model = Reference::load(&weights, &config, device).expect("readable weights");
    let golden = std::fs::read(folder.join("golden.json")).expect("golden.json");
    (model, serde_json::from_slice(&golden).expect("golden.json's format"))
}

/// Logits after the last of `tokens`, fed in pieces of `piece` tokens.
async fn last_logits(model: &Reference, tokens: &[u32], piece: usize) -> Vec<f32> {
    let mut cache = ReferenceCache::new(model.config());
    let mut last = None;
    for tokens in tokens.chunks(piece) {
        last = Some(model.forward(&mut cache, tokens).narrow(0, tokens.len() - 1, 1));
    }
    logits_to_vec(last.expect("at least one token")).await.expect("logits")
}

/// Negative log-likelihood of each token after the first, nats.
async fn nll(model: &Reference, tokens: &[u32]) -> Vec<f64> {
    let logits = model.forward(&mut ReferenceCache::new(model.config()), &tokens[..tokens.len() - 1]);
    let logits = logits_to_vec(logits).await.expect("logits");
    let rows = logits.chunks(model.config().vocab_size).zip(&tokens[1..]);
    rows.map(|(row, &next)| {
        let max = row.iter().fold(f64::NEG_INFINITY, |max, &v| max.max(f64::from(v)));
        let sum: f64 = row.iter().map(|&v| (f64::from(v) - max).exp()).sum();
        max + sum.ln() - f64::from(row[next as usize])
    })
    .collect()
}

/// All that differs from the golden values, in words, with `n_greedy` tokens of each prompt compared.
async fn differences(model: &Reference, golden: &Golden, n_greedy: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut worst_logit = 0.0_f64;
    for (i, prompt) in golden.prompts.iter().enumerate() {
        let expected = &prompt.greedy_ids[..n_greedy.min(prompt.greedy_ids.len())];
        let greedy = generate_greedy(model, &prompt.token_ids, expected.len()).await.expect("tokens");
        if greedy != expected {
            let same = greedy.iter().zip(expected).take_while(|(a, b)| a == b).count();
            found.push(format!("prompt {i}: greedy tokens differ after {same}"));
        }
        let (low, high) = prompt
            .last_logits
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
        for piece in [prompt.token_ids.len(), PIECE_TOKENS] {
            let logits = last_logits(model, &prompt.token_ids, piece).await;
            assert_eq!(logits.len(), prompt.last_logits.len());
            let pairs = logits.iter().zip(&prompt.last_logits);
            let worst = largest(pairs.map(|(a, b)| f64::from((a - b) / (high - low))));
            worst_logit = worst_logit.max(worst);
            if worst > LOGIT_TOLERANCE {
                found.push(format!("prompt {i} in pieces of {piece}: logits differ by {worst:.1e} of their spread"));
            }
        }
    }
    let per_token = nll(model, &golden.nll.token_ids).await;
    assert_eq!(per_token.len(), golden.nll.per_token.len());
    let worst_nll = largest(per_token.iter().zip(&golden.nll.per_token).map(|(a, b)| a - b));
    if worst_nll > NLL_TOLERANCE {
        found.push(format!("nll differs by {worst_nll:.1e}"));
    }
    println!("  largest difference: logits {worst_logit:.1e} of their spread, nll {worst_nll:.1e}");
    found
}

/// The largest magnitude; NaN counts as infinite, so that it cannot pass.
fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |max, v| if v.is_nan() { f64::INFINITY } else { max.max(v.abs()) })
}

fn check_all(device: &Device, n_greedy: usize) {
    let mut failures = Vec::new();
    for folder in fixtures() {
        let start = Instant::now();
        let (model, golden) = open(&folder, device);
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!("{name}, opened in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
        let found = pollster::block_on(differences(&model, &golden, n_greedy));
        println!("  {:.1} s", start.elapsed().as_secs_f64());
        failures.extend(found.into_iter().map(|difference| format!("{name}: {difference}")));
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn cpu_backend_matches_transformers() {
    check_all(&cpu_device(), usize::MAX);
}

/// Fewer tokens: decoding the whole of them takes a minute where a CPU plays the GPU.
#[test]
fn wgpu_device_matches_transformers() {
    check_all(&pollster::block_on(open_wgpu_device()), 16);
}

/// A device as the engine opens one, handed to burn.
async fn open_wgpu_device() -> Device {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = instance
        .request_adapter(&wgpu::RequestAdapterOptions::default())
        .await
        .expect("a wgpu adapter; on Debian `apt-get install mesa-vulkan-drivers` brings one without a GPU");
    let unwanted = wgpu::Features::all_experimental_mask() | wgpu::Features::MAPPABLE_PRIMARY_BUFFERS;
    let (device, queue) = adapter
        .request_device(&wgpu::DeviceDescriptor {
            required_features: adapter.features() - unwanted,
            required_limits: adapter.limits(),
            ..Default::default()
        })
        .await
        .expect("a device");
    burn_device(instance, adapter, device, queue).expect("a device that burn can use")
}

#[test]
fn a_request_that_cannot_be_served_is_refused() {
    let (model, golden) = open(&fixtures()[0], &cpu_device());
    let config = model.config();
    let context = config.max_position_embeddings;
    let prompt = &golden.prompts[0].token_ids;
    let refusal = |prompt: &[u32], n| pollster::block_on(generate_greedy(&model, prompt, n)).expect_err("refused");
    assert!(matches!(refusal(&[], 1), Error::EmptyPrompt));
    let token = config.vocab_size as u32;
    assert!(matches!(refusal(&[1, token], 1), Error::BadToken { token: given, .. } if given == token));
    assert!(matches!(refusal(prompt, context), Error::PromptTooLong { .. }));
}

/// The last stored weight becomes NaN; a plain argmax would go on with some token.
#[test]
fn nan_logits_are_an_error() {
    let source = fixtures().into_iter().find(|folder| folder.join("model.safetensors").is_file());
    let source = source.expect("a fixture in one file");
    let mut bytes = std::fs::read(source.join("model.safetensors")).expect("weights");
    let last = bytes.len() - 2;
    bytes[last..].copy_from_slice(&half::f16::NAN.to_le_bytes());
    let broken = copy_with(&source, &[("model.safetensors", &bytes)]);
    for device in [cpu_device(), pollster::block_on(open_wgpu_device())] {
        let (model, golden) = open(broken.path(), &device);
        let prompt = &golden.prompts[0].token_ids;
        let result = pollster::block_on(generate_greedy(&model, prompt, 2));
        assert!(matches!(result, Err(Error::NanLogits { position }) if position == prompt.len() - 1), "{result:?}");
    }
}
