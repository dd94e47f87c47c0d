//! What goes wrong becomes an error that says so: no panic, no hang.

mod common;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use common::folders::copy_with;
use common::{bundled, engine, fixture, golden, gpu, request};
use understory_model::files::FolderFiles;
use understory_protocol::{Dtype, Error, GenerateRequest, KernelSet, KvDtype, LoadOptions, Prompt, Sampling};
use understory_runtime::Engine;
use understory_runtime::gpu::Gpu;

fn llama() -> PathBuf {
    fixture("llama")
}

fn open(folder: &Path, gpu: Gpu, dtype: Dtype) -> Result<Engine, Error> {
    let files = FolderFiles::open(folder)?;
    let options = LoadOptions { dtype, kv_dtype: None, profile: Some(KernelSet::Cpu) };
    pollster::block_on(Engine::open(gpu, &files, &options, &mut |_| {}))
}

fn fails(engine: &mut Engine, request: &GenerateRequest) -> Error {
    match pollster::block_on(engine.generate(request, &mut |_| ControlFlow::Continue(()))) {
        Ok(out) => panic!("must fail, but generated {} tokens", out.token_ids.len()),
        Err(error) => error,
    }
}

/// The llama fixture with the values of one tensor replaced, stored as f32.
fn with_tensor(tensor: &str, value: f32) -> tempfile::TempDir {
    with_values(tensor, |_| value)
}

/// The same with one value replaced.
fn with_one(tensor: &str, value: f32) -> tempfile::TempDir {
    let mut first = true;
    with_values(tensor, move |old| if std::mem::replace(&mut first, false) { value } else { old })
}

fn with_values(tensor: &str, mut change: impl FnMut(f32) -> f32) -> tempfile::TempDir {
    let bytes = std::fs::read(llama().join("model.safetensors")).expect("reads");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let values: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, view)| {
            let halves: Vec<half::f16> = bytemuck::pod_collect_to_vec(view.data());
            let mut replace = |h: half::f16| if name == tensor { change(h.to_f32()) } else { h.to_f32() };
            let data = halves.into_iter().flat_map(|h| replace(h).to_le_bytes()).collect();
            (name.to_string(), view.shape().to_vec(), data)
        })
        .collect();
    let views = values.iter().map(|(name, shape, data)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), data);
        (name.clone(), view.expect("a view"))
    });
    let file = safetensors::serialize(views, None).expect("serialises");
    copy_with(&llama(), &[("model.safetensors", &file)])
}

#[test]
fn a_device_lost_while_generating_is_reported() {
    let mut engine = engine(&bundled("tales"), Dtype::F16, KernelSet::Cpu);
    let device = engine.gpu().device().clone();
    let mut emissions = 0;
    let error = pollster::block_on(engine.generate(&request(&[5, 6, 7], 200), &mut |_| {
        emissions += 1;
        if emissions == 5 {
            device.destroy();
        }
        ControlFlow::Continue(())
    }))
    .expect_err("the device is gone");
    assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
    assert!(emissions < 200);
}

#[test]
fn memory_that_runs_out_is_reported() {
    for limit in [1 << 16, 600_000] {
        let error = open(&llama(), gpu().with_memory_limit(limit), Dtype::F32).err().expect("too little memory");
        assert!(matches!(error, Error::OutOfDeviceMemory { .. }), "{error}");
    }
    // Enough to load and for a short context, not for a long one.
    let loaded = open(&llama(), gpu(), Dtype::F16).expect("loads").gpu().peak_bytes();
    let mut engine = open(&llama(), gpu().with_memory_limit(loaded + 200_000), Dtype::F16).expect("loads");
    let long = golden(&llama()).nll.token_ids.repeat(5);
    let error = fails(&mut engine, &request(&long, 500));
    assert!(matches!(error, Error::OutOfDeviceMemory { doing: "growing the KV cache", .. }), "{error}");
    // It still serves what fits.
    let short = pollster::block_on(engine.generate(&request(&[1, 2, 3], 4), &mut |_| ControlFlow::Continue(())));
    assert_eq!(short.expect("generates").token_ids.len(), 4);
}

#[test]
fn a_cache_in_halves_is_refused_by_kernels_that_know_none() {
    let files = FolderFiles::open(llama()).expect("a model folder");
    let options = LoadOptions { dtype: Dtype::F16, kv_dtype: Some(KvDtype::F16), profile: Some(KernelSet::Cpu) };
    let error = pollster::block_on(Engine::open(gpu(), &files, &options, &mut |_| {})).err().expect("refused");
    assert!(matches!(error, Error::BadParameter { name: "kv-dtype", .. }), "{error}");
}

#[test]
fn nan_logits_are_an_error_not_a_token() {
    let folder = with_tensor("model.norm.weight", f32::NAN);
    let mut engine = open(folder.path(), gpu(), Dtype::F32).expect("loads");
    let sampling = Sampling { temperature: 0.7, ..Sampling::default() };
    for ask in [request(&[1, 2, 3], 4), GenerateRequest { sampling, ..request(&[1, 2, 3], 4) }] {
        let error = fails(&mut engine, &ask);
        assert!(matches!(error, Error::NanLogits { position: 3 }), "{error}");
    }
    let text = golden(&llama()).nll.text;
    let error = pollster::block_on(engine.evaluate(&text, &mut |_| {})).expect_err("NaN");
    assert!(matches!(error, Error::NanLogits { .. }), "{error}");
}

/// One infinite weight of the last norm makes every logit infinite, and none of them NaN. A test for NaN alone chooses the
/// first of them, and gives a likelihood of 0.
#[test]
fn infinite_logits_are_an_error_not_a_token() {
    let folder = with_one("model.norm.weight", f32::INFINITY);
    let sampling = Sampling { temperature: 0.7, ..Sampling::default() };
    for set in [KernelSet::Cpu, KernelSet::Gpu] {
        let mut engine = engine(folder.path(), Dtype::F32, set);
        for ask in [request(&[1, 2, 3], 4), GenerateRequest { sampling, ..request(&[1, 2, 3], 4) }] {
            let error = fails(&mut engine, &ask);
            assert!(matches!(error, Error::NanLogits { position: 3 }), "{error}");
        }
        let text = golden(&llama()).nll.text;
        let error = pollster::block_on(engine.evaluate(&text, &mut |_| {})).expect_err("infinity");
        assert!(matches!(error, Error::NanLogits { .. }), "{error}");
    }
}

/// The first token of a text is only read. Calling such a text empty fails this.
#[test]
fn a_likelihood_needs_two_tokens() {
    let mut engine = engine(&llama(), Dtype::F16, KernelSet::Cpu);
    for (text, tokens) in [("", 0), ("a", 1)] {
        let error = pollster::block_on(engine.evaluate(text, &mut |_| {})).expect_err("too short");
        assert!(matches!(error, Error::TextTooShort { tokens: given } if given == tokens), "{error}");
    }
}

#[test]
fn a_weight_beyond_f16_is_refused_in_f16_and_taken_in_f32() {
    let folder = with_tensor("model.layers.1.mlp.up_proj.weight", 1.0e6);
    let error = open(folder.path(), gpu(), Dtype::F16).err().expect("does not fit f16");
    assert!(matches!(error, Error::F16Overflow { value: 1.0e6, .. }), "{error}");
    assert!(open(folder.path(), gpu(), Dtype::F32).is_ok());
}

#[test]
fn bad_requests_are_refused_before_any_work() {
    let mut engine = engine(&llama(), Dtype::F16, KernelSet::Cpu);
    let error = fails(&mut engine, &request(&[], 4));
    assert!(matches!(error, Error::EmptyPrompt), "{error}");
    let error = fails(&mut engine, &GenerateRequest { prompt: Prompt::Text(String::new()), ..request(&[], 4) });
    assert!(matches!(error, Error::EmptyPrompt), "{error}");
    let error = fails(&mut engine, &request(&[1; 3000], 4));
    assert!(matches!(error, Error::PromptTooLong { prompt_tokens: 3000, context: 2048 }), "{error}");
    let error = fails(&mut engine, &request(&[1, 512], 4));
    assert!(matches!(error, Error::BadToken { token: 512, vocab_size: 512 }), "{error}");
    let error = fails(&mut engine, &request(&[1], 0));
    assert!(matches!(error, Error::BadParameter { name: "max-new-tokens", .. }), "{error}");
    for sampling in [
        Sampling { temperature: -1.0, ..Sampling::default() },
        Sampling { temperature: f32::NAN, ..Sampling::default() },
        Sampling { top_p: 0.0, ..Sampling::default() },
        Sampling { min_p: 1.5, ..Sampling::default() },
        Sampling { repetition_penalty: 0.0, ..Sampling::default() },
    ] {
        let error = fails(&mut engine, &GenerateRequest { sampling, ..request(&[1], 4) });
        assert!(matches!(error, Error::BadParameter { .. }), "{error}");
    }
}

#[test]
fn an_adapter_that_is_not_there_is_named() {
    let error = pollster::block_on(Gpu::open(Some(99))).err().expect("there are fewer");
    assert!(matches!(error, Error::NoSuchAdapter { asked: 99, .. }), "{error}");
}
