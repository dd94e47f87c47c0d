//! The reference forward against `transformers`: every folder of `fixtures/`, on burn's CPU backend and on
//! a wgpu device.
//!
//! `golden.json` holds what `transformers` computed in float32 for a tiny model of random weights; greedy
//! tokens have no near ties, so they must be equal.
#![cfg(feature = "reference")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use serde::Deserialize;
use understory_engine::model::config::ModelConfig;
use understory_engine::model::files::FolderFiles;
use understory_engine::model::reference::{
    Reference, ReferenceCache, burn_device, cpu_device, generate_greedy, logits_to_vec,
};
use understory_engine::model::weights::ModelWeights;

/// Largest difference of a logit, as a share of the golden logits' spread.
const LOGIT_TOLERANCE: f32 = 2e-3;
/// Largest difference of a token's negative log-likelihood, nats.
const NLL_TOLERANCE: f64 = 2e-3;

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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
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

/// All that differs from the golden values, in words.
async fn differences(model: &Reference, golden: &Golden) -> Vec<String> {
    let mut found = Vec::new();
    for (i, prompt) in golden.prompts.iter().enumerate() {
        let greedy = generate_greedy(model, &prompt.token_ids, prompt.greedy_ids.len()).await.expect("tokens");
        if greedy != prompt.greedy_ids {
            let same = greedy.iter().zip(&prompt.greedy_ids).take_while(|(a, b)| a == b).count();
            found.push(format!("prompt {i}: greedy tokens differ after {same}"));
        }
        let (low, high) = prompt
            .last_logits
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
        for piece in [prompt.token_ids.len(), 5] {
            let logits = last_logits(model, &prompt.token_ids, piece).await;
            assert_eq!(logits.len(), prompt.last_logits.len());
            let worst = largest(logits.iter().zip(&prompt.last_logits).map(|(a, b)| f64::from((a - b) / (high - low))));
            if worst > f64::from(LOGIT_TOLERANCE) {
                found.push(format!("prompt {i} in pieces of {piece}: logits differ by {worst:.1e} of their spread"));
            }
        }
    }
    let per_token = nll(model, &golden.nll.token_ids).await;
    assert_eq!(per_token.len(), golden.nll.per_token.len());
    let worst = largest(per_token.iter().zip(&golden.nll.per_token).map(|(a, b)| a - b));
    if worst > NLL_TOLERANCE {
        found.push(format!("nll differs by {worst:.1e}"));
    }
    found
}

/// The largest magnitude; NaN counts as infinite, so that it cannot pass.
fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |max, v| if v.is_nan() { f64::INFINITY } else { max.max(v.abs()) })
}

fn check_all(device: &Device) {
    let mut failures = Vec::new();
    for folder in fixtures() {
        let start = Instant::now();
        let (model, golden) = open(&folder, device);
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let found = pollster::block_on(differences(&model, &golden));
        println!("{name}: {:.1} s", start.elapsed().as_secs_f64());
        failures.extend(found.into_iter().map(|difference| format!("{name}: {difference}")));
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn cpu_backend_matches_transformers() {
    check_all(&cpu_device());
}

#[test]
fn wgpu_device_matches_transformers() {
    check_all(&pollster::block_on(open_wgpu_device()));
}

/// A device as the engine opens one, handed to burn.
async fn open_wgpu_device() -> Device {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = instance
        .request_adapter(&wgpu::RequestAdapterOptions::default())
        .await
        .expect("a wgpu adapter; on Debian `apt-get install mesa-vulkan-drivers` brings one without a GPU");
    let (device, queue) = adapter
        .request_device(&wgpu::DeviceDescriptor {
            required_features: adapter.features() - wgpu::Features::all_experimental_mask(),
            required_limits: adapter.limits(),
            ..Default::default()
        })
        .await
        .expect("a device");
    burn_device(instance, adapter, device, queue).expect("a device that burn can use")
}
