//! GGUF models on the device: fixtures that were converted, against their own logits, and published models against
//! transformers.

mod common;

#[path = "../../model/tests/gguf_models/mod.rs"]
mod gguf_models;

use common::{engine, fixtures, generate, golden, gpu, name, request};
use gguf_models::convert::converted;
use gguf_models::real::{GEMMA3, Model, SMOLLM2, ids};
use understory_model::files::FolderFiles;
use understory_protocol::{Dtype, GenerateRequest, KernelSet, LoadOptions, Method, Sampling};
use understory_runtime::Engine;

fn open(path: &std::path::Path, options: &LoadOptions) -> Engine {
    let files = FolderFiles::open(path).expect("a GGUF model");
    pollster::block_on(Engine::open(gpu(), &files, options, &mut |_| {})).expect("the model loads")
}

/// The folder's own bits; but where frequencies were divided by rounded factors (Llama 3's), its tokens. Rows of q and k
/// that stay interleaved fail this, as does Gemma's 1 added twice.
#[test]
fn a_converted_model_has_the_logits_of_its_folder() {
    for folder in fixtures() {
        let golden = golden(&folder);
        for (half, dtype, profile) in [(true, Dtype::F32, KernelSet::Cpu), (false, Dtype::F16, KernelSet::Gpu)] {
            let what = format!("{} {dtype:?}", name(&folder));
            let place = tempfile::tempdir().expect("a folder");
            let path = place.path().join("model.gguf");
            std::fs::write(&path, converted(&folder, half).bytes()).expect("written");
            let mut from_gguf = open(&path, &LoadOptions { dtype, kv_dtype: None, profile: Some(profile) });
            let mut from_folder = engine(&folder, dtype, profile);
            for prompt in &golden.prompts {
                let logits =
                    |engine: &mut Engine| pollster::block_on(engine.logits(&prompt.token_ids, 64)).expect("logits");
                if name(&folder) != "llama3.2" {
                    assert_eq!(logits(&mut from_gguf), logits(&mut from_folder), "{what}");
                }
                from_gguf.clear_cache();
                let generation = generate(&mut from_gguf, &request(&prompt.token_ids, prompt.greedy_ids.len()));
                assert_eq!(generation.token_ids, prompt.greedy_ids, "{what}");
            }
        }
    }
}

/// Cases of each published model that are run: a device emulated by a CPU takes a while for each.
const CASES: usize = 2;

/// What transformers computes over the same values: the likelihood of each token, and that the chosen ones are the best but
/// for end tokens, which were not allowed there.
fn check(model: &Model) {
    let Some(path) = model.get() else { return };
    // Blocks stay as they are: their values are those that transformers was given in f32.
    let mut engine = open(&path, &LoadOptions { dtype: Dtype::F16, kv_dtype: None, profile: None });
    let (vocab, ends) = (engine.config().vocab_size, engine.config().eos_token_ids.clone());
    for (nth, case) in model.golden().iter().take(CASES).enumerate() {
        let (prompt, greedy) = (ids(case, "token_ids"), ids(case, "greedy_ids"));
        let all = [prompt.as_slice(), &greedy].concat();
        let logits = pollster::block_on(engine.logits(&all, 64)).expect("logits");
        let nll = case["nll"].as_array().expect("a list").iter().map(|nll| nll.as_f64().expect("a number"));
        let (mut largest, mut before_end): (f64, usize) = (0.0, greedy.len());
        for ((at, row), expected) in logits.chunks_exact(vocab).enumerate().zip(nll) {
            let next = all[at + 1] as usize;
            let best = row.iter().copied().fold(f32::MIN, f32::max);
            let sum: f64 = row.iter().map(|&logit| f64::from(logit - best).exp()).sum();
            let given = sum.ln() + f64::from(best - row[next]);
            largest = largest.max((given - expected).abs());
            if at + 1 >= prompt.len() {
                let is_end = |id: usize| ends.contains(&(id as u32));
                let others = row.iter().enumerate().filter(|(id, _)| !is_end(*id)).map(|(_, &logit)| logit);
                assert_eq!(row[next], others.fold(f32::MIN, f32::max), "{}: token {at} of case {nth}", model.file);
                if row[next] < best {
                    before_end = before_end.min(at + 1 - prompt.len());
                }
            }
        }
        println!("{} case {nth}: nll differs by at most {largest:.5}", model.file);
        assert!(largest < 2e-3, "{} case {nth}: nll differs by {largest}", model.file);
        engine.clear_cache();
        if nth == 0 {
            let generation = generate(&mut engine, &request(&prompt, before_end));
            assert_eq!(generation.token_ids, greedy[..before_end], "{}", model.file);
        }
    }
}

/// Logits of a row are the same bits however many rows go through together, and so are texts by every method that needs no
/// draft model.
#[test]
fn blocks_of_a_published_model_are_lossless() {
    let Some(path) = SMOLLM2.get() else { return };
    let prompt = ids(&SMOLLM2.golden()[2], "token_ids");
    // Emulated on a CPU, the kernels for GPUs take seconds a row.
    for (profile, tokens, rows) in [(KernelSet::Cpu, 17, [2, 4, 8, 16].as_slice()), (KernelSet::Gpu, 4, &[4])] {
        let mut engine = open(&path, &LoadOptions { dtype: Dtype::F16, kv_dtype: None, profile: Some(profile) });
        let mut bits = |rows| {
            engine.clear_cache();
            let logits = pollster::block_on(engine.logits(&prompt[..tokens], rows)).expect("logits");
            logits.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let one_by_one = bits(1);
        for &rows in rows {
            assert!(bits(rows) == one_by_one, "{rows} rows at once, {profile:?}");
        }
    }
    let mut engine = open(&path, &LoadOptions { dtype: Dtype::F16, kv_dtype: None, profile: Some(KernelSet::Cpu) });
    pollster::block_on(engine.calibrate(None)).expect("calibrates");
    let ask = GenerateRequest {
        sampling: Sampling { temperature: 0.8, top_p: 0.95, seed: 7, ..Sampling::default() },
        ..request(&prompt, 24)
    };
    for ask in [request(&prompt, 24), ask] {
        engine.clear_cache();
        let plain = generate(&mut engine, &ask);
        for method in [Method::Lookup { ngram: 3, tokens: 10 }, Method::Auto] {
            engine.clear_cache();
            let drafted = generate(&mut engine, &GenerateRequest { method, ..ask.clone() });
            assert_eq!(drafted.token_ids, plain.token_ids, "{method:?}, {:?}", ask.sampling);
        }
    }
}

#[test]
fn smollm2_is_that_of_transformers() {
    check(&SMOLLM2);
}

#[test]
fn gemma3_is_that_of_transformers() {
    check(&GEMMA3);
}
