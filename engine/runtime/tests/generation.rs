//! The loop: what it generates is what the logits say, whatever the cache held, and it ends where it should.

mod common;

use std::ops::ControlFlow;

use common::folders::copy_with;
use common::{bundled, engine, fixture, generate, golden, request};
use understory_protocol::{Dtype, Error, Event, FinishReason, GenerateRequest, KernelSet, Method, Prompt, Sampling};
use understory_runtime::Engine;

fn tales() -> Engine {
    engine(&bundled("tales"), Dtype::F16, KernelSet::Cpu)
}

fn sampled(prompt: &str, seed: u64) -> GenerateRequest {
    GenerateRequest {
        prompt: Prompt::Text(prompt.into()),
        max_new_tokens: 40,
        ignore_eos: true,
        stop: Vec::new(),
        sampling: Sampling { temperature: 0.8, top_p: 0.95, top_k: 200, min_p: 0.001, repetition_penalty: 1.1, seed },
        method: Method::Ar,
        synthetic_acceptance: None,
        trace: false,
    }
}

#[test]
fn greedy_tokens_are_the_arguments_of_the_largest_logits_while_the_cache_grows() {
    // From 9 tokens past 256 and 384: the cache is reserved for the first 128 new tokens and grows twice.
    for kernel_set in [KernelSet::Cpu, KernelSet::Gpu] {
        let mut engine = engine(&fixture("qwen3"), Dtype::F16, kernel_set);
        let prompt = &golden(&fixture("qwen3")).prompts[0].token_ids;
        let out = generate(&mut engine, &request(prompt, 400));
        assert_eq!((out.token_ids.len(), out.finish_reason), (400, FinishReason::Length));
        let all = [prompt.as_slice(), &out.token_ids].concat();
        let vocab = engine.config().vocab_size;
        let logits = pollster::block_on(engine.logits(&all, 64)).expect("logits");
        for (i, row) in logits.chunks_exact(vocab).enumerate().skip(prompt.len() - 1).take(400) {
            let best = (0..vocab).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("a vocabulary");
            assert_eq!(all[i + 1] as usize, best, "{kernel_set:?}, position {}", i + 1);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_text_whatever_the_cache_holds() {
    let mut engine = tales();
    let first = generate(&mut engine, &sampled("The fox and the crow", 7));
    // Another request in between, then one whose prompt is in the cache already.
    let other = generate(&mut engine, &sampled("The fox went home", 7));
    let again = generate(&mut engine, &sampled("The fox and the crow", 7));
    engine.clear_cache();
    let fresh = generate(&mut engine, &sampled("The fox and the crow", 7));
    let third = generate(&mut engine, &sampled("The fox and the crow", 8));
    assert_eq!(first.token_ids, again.token_ids);
    assert_eq!(first.token_ids, fresh.token_ids);
    assert_eq!(first.text, fresh.text);
    assert_ne!(first.token_ids, third.token_ids, "another seed, another text");
    assert_ne!(first.token_ids, other.token_ids);
}

#[test]
fn a_second_turn_reuses_the_cache_and_changes_nothing() {
    let mut engine = tales();
    let first = generate(&mut engine, &request(&[300, 301, 302, 303], 20));
    let mut longer = first.prompt_token_ids.clone();
    longer.extend(&first.token_ids);
    longer.push(77);
    let mut reused = None;
    let second = pollster::block_on(engine.generate(&request(&longer, 20), &mut |event| {
        if let Event::Started { reused_tokens, .. } = event {
            reused = Some(reused_tokens);
        }
        ControlFlow::Continue(())
    }))
    .expect("generates");
    // All but the last chosen token have been through the layers.
    assert_eq!(reused, Some(4 + 20 - 1));
    let mut cold = tales();
    assert_eq!(second.token_ids, generate(&mut cold, &request(&longer, 20)).token_ids);
}

#[test]
fn events_carry_every_token_and_the_whole_text() {
    let mut engine = tales();
    let (mut text, mut ids) = (String::new(), Vec::new());
    let out = pollster::block_on(engine.generate(&sampled("Once upon a time", 1), &mut |event| {
        if let Event::Emission { token_ids, pieces, text: added, .. } = event {
            assert_eq!((pieces.len(), pieces.concat()), (token_ids.len(), added.clone()));
            ids.extend(token_ids);
            text.push_str(&added);
        }
        ControlFlow::Continue(())
    }))
    .expect("generates");
    assert_eq!((&text, &ids), (&out.text, &out.token_ids));
    assert_eq!(out.metrics.emit_ms.len(), 40);
    assert!(out.metrics.emit_ms.is_sorted());
    let dispatches = out.metrics.dispatches_per_token.expect("more than one token");
    // Top-k and top-p take nine each with the cpu kernels, penalty and choice a few.
    assert!(dispatches <= (6 * engine.config().n_layers() + 6 + 2 * 9) as f64, "{dispatches}");
    assert!(out.metrics.peak_gpu_bytes <= out.metrics.weights_bytes + out.metrics.kv_bytes + (64 << 20));
}

/// Five a layer with the gpu kernels while the keys are within one split; the cpu kernels' attention is always split and
/// joined. Seen to fail here: a rotation of its own, and norms apart.
#[test]
fn a_greedy_token_takes_few_dispatches() {
    for (kernel_set, of_layer) in [(KernelSet::Gpu, 5), (KernelSet::Cpu, 6)] {
        let mut engine = engine(&bundled("tales"), Dtype::F16, kernel_set);
        let out = generate(&mut engine, &request(&[300, 301, 302, 303], 40));
        let dispatches = out.metrics.dispatches_per_token.expect("more than one token");
        assert!(dispatches <= (of_layer * engine.config().n_layers() + 4) as f64, "{kernel_set:?}: {dispatches}");
    }
}

/// Sampled with a penalty, so that every token depends on all before it. Seen to fail here: the known tokens left out of
/// the history that the penalty looks at.
#[test]
fn a_text_that_is_gone_on_with_is_the_same_text() {
    let mut engine = tales();
    let mut request = sampled("Once upon a time", 3);
    request.sampling.repetition_penalty = 1.3;
    let whole = generate(&mut engine, &request);
    for n in [1, 17, 39] {
        engine.clear_cache();
        let mut said = String::new();
        let rest = pollster::block_on(engine.resume(&request, &whole.token_ids[..n], &|| false, &mut |event| {
            if let Event::Emission { text, .. } = event {
                said.push_str(&text);
            }
            ControlFlow::Continue(())
        }))
        .expect("goes on");
        assert_eq!((&rest.token_ids, &rest.text), (&whole.token_ids, &whole.text), "after {n}");
        assert!(whole.text.ends_with(&said) && said.len() < whole.text.len(), "after {n}: {said}");
    }
    let all =
        pollster::block_on(engine.resume(&request, &whole.token_ids, &|| false, &mut |_| ControlFlow::Continue(())));
    assert!(matches!(all, Err(Error::BadParameter { name: "max-new-tokens", .. })));
}

#[test]
fn a_stop_string_ends_the_text_before_it() {
    let mut engine = tales();
    let whole = generate(&mut engine, &sampled("Once upon a time", 1)).text;
    // A stop in the middle of the text, across tokens.
    let cut = whole.char_indices().nth(whole.chars().count() / 2).expect("a long text").0;
    let stop: String = whole[cut..].chars().take(6).collect();
    let stopped = GenerateRequest { stop: vec!["@@@".into(), stop.clone()], ..sampled("Once upon a time", 1) };
    let out = generate(&mut engine, &stopped);
    assert_eq!(out.finish_reason, FinishReason::Stop);
    assert_eq!(out.text, whole[..whole.find(&stop).expect("it is there")]);
}

#[test]
fn an_end_token_ends_the_generation_unless_ignored() {
    let family = fixture("llama");
    let prompt = &golden(&family).prompts[1];
    let eos = prompt.greedy_ids[5];
    let end = prompt.greedy_ids.iter().position(|&t| t == eos).expect("it is there");
    let ends = format!("{{\"eos_token_id\": [{eos}, 0]}}");
    let folder = copy_with(&family, &[("generation_config.json", ends.as_bytes())]);
    let mut engine = engine(folder.path(), Dtype::F32, KernelSet::Cpu);
    let mut ask = request(&prompt.token_ids, 48);
    ask.ignore_eos = false;
    let out = generate(&mut engine, &ask);
    assert_eq!((out.finish_reason, &out.token_ids[..]), (FinishReason::Eos, &prompt.greedy_ids[..=end]));
    ask.ignore_eos = true;
    assert_eq!(generate(&mut engine, &ask).token_ids, prompt.greedy_ids);
}

#[test]
fn a_generation_that_fills_the_context_says_so() {
    let mut engine = engine(&fixture("gpt2"), Dtype::F16, KernelSet::Cpu);
    let context = engine.config().max_position_embeddings;
    let prompt: Vec<u32> = (0..context as u32 - 10).map(|i| i % 500).collect();
    let out = generate(&mut engine, &request(&prompt, 100));
    assert_eq!((out.token_ids.len(), out.finish_reason), (10, FinishReason::Context));
}

#[test]
fn the_front_end_can_end_a_generation() {
    let mut engine = tales();
    let mut seen = 0;
    let out = pollster::block_on(engine.generate(&sampled("Once", 1), &mut |event| {
        seen += usize::from(matches!(event, Event::Emission { .. }));
        if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }))
    .expect("generates");
    assert_eq!((out.token_ids.len(), out.finish_reason), (3, FinishReason::Cancelled));
    // The engine is as good as new.
    assert_eq!(generate(&mut engine, &sampled("Once", 1)).token_ids[..3], out.token_ids);
}
