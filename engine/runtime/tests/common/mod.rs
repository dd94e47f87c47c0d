//! Fixtures made by `transformers` (fixtures/make_fixtures.py) and engines over them.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod folders;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use understory_model::files::FolderFiles;
use understory_protocol::{Dtype, GenerateRequest, Generation, KernelSet, KvDtype, LoadOptions};
use understory_runtime::Engine;
use understory_runtime::gpu::Gpu;

#[derive(Deserialize)]
pub struct Golden {
    pub prompts: Vec<GoldenPrompt>,
    pub nll: GoldenNll,
}

#[derive(Deserialize)]
pub struct GoldenPrompt {
    pub text: String,
    pub token_ids: Vec<u32>,
    pub greedy_ids: Vec<u32>,
    pub last_logits: Vec<f32>,
}

#[derive(Deserialize)]
pub struct GoldenNll {
    pub text: String,
    pub token_ids: Vec<u32>,
    pub per_token: Vec<f64>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate lies in the workspace").to_path_buf()
}

/// Every fixture's folder; `UNDERSTORY_FIXTURES` names another folder of fixtures made the same way.
pub fn fixtures() -> Vec<PathBuf> {
    let folder = std::env::var_os("UNDERSTORY_FIXTURES").map_or_else(|| root().join("fixtures"), PathBuf::from);
    let mut all: Vec<_> = std::fs::read_dir(folder)
        .expect("fixtures/ exists")
        .map(|e| e.expect("fixtures/ is readable").path())
        .filter(|p| p.join("golden.json").exists())
        .collect();
    all.sort();
    assert!(all.len() >= 8, "a fixture of every family");
    all
}

/// The fixture of this family.
pub fn fixture(family: &str) -> PathBuf {
    fixtures().into_iter().find(|folder| name(folder) == family).expect("the fixture exists")
}

pub fn name(folder: &Path) -> String {
    folder.file_name().expect("a folder has a name").to_string_lossy().into_owned()
}

pub fn golden(folder: &Path) -> Golden {
    let text = std::fs::read_to_string(folder.join("golden.json")).expect("golden.json is readable");
    serde_json::from_str(&text).expect("golden.json parses")
}

/// The bundled model of this name.
pub fn bundled(name: &str) -> PathBuf {
    root().join("models").join(name)
}

pub const VARIANTS: [(Dtype, KernelSet); 4] = [
    (Dtype::F32, KernelSet::Cpu),
    (Dtype::F32, KernelSet::Gpu),
    (Dtype::F16, KernelSet::Cpu),
    (Dtype::F16, KernelSet::Gpu),
];

pub fn engine(folder: &Path, dtype: Dtype, kernel_set: KernelSet) -> Engine {
    engine_on(gpu(), folder, dtype, kernel_set)
}

pub fn gpu() -> Gpu {
    pollster::block_on(Gpu::open(None)).expect("an adapter: `cargo xtask setup` installs one")
}

/// With a KV cache in f32, as those have it whose values are compared with.
pub fn exact_engine(gpu: Gpu, folder: &Path, dtype: Dtype, kernel_set: KernelSet) -> Engine {
    let kv_dtype = Some(KvDtype::F32);
    engine_with(gpu, folder, LoadOptions { dtype, kv_dtype, profile: Some(kernel_set) })
}

pub fn engine_on(gpu: Gpu, folder: &Path, dtype: Dtype, kernel_set: KernelSet) -> Engine {
    engine_with(gpu, folder, LoadOptions { dtype, kv_dtype: None, profile: Some(kernel_set) })
}

fn engine_with(gpu: Gpu, folder: &Path, options: LoadOptions) -> Engine {
    pollster::block_on(async {
        let files = FolderFiles::open(folder).expect("a model folder");
        Engine::open(gpu, &files, &options, &mut |_| {}).await.expect("the model loads")
    })
}

/// Greedy generation that goes on past end tokens.
pub fn request(prompt: &[u32], max_new_tokens: usize) -> GenerateRequest {
    GenerateRequest::plain(prompt.to_vec(), max_new_tokens)
}

pub fn generate(engine: &mut Engine, request: &GenerateRequest) -> Generation {
    pollster::block_on(engine.generate(request, &mut |_| ControlFlow::Continue(()))).expect("generates")
}
