//! Every method gives the text of plain decoding, token for token, and leaves the KV cache of plain decoding.

mod common;

use std::path::Path;

use common::{VARIANTS, bundled, engine, fixtures, generate, golden, name};
use understory_engine::gpu::Profile;
use understory_engine::model::files::FolderFiles;
use understory_engine::protocol::{GenerateRequest, Generation, Lossless, Method, Prompt, Schedule};
use understory_engine::sampling::Sampling;
use understory_engine::{Dtype, Engine, LoadOptions};

const METHODS: [Method; 8] = [
    Method::Linear { k: 6 },
    Method::Tree { depth: 6, branch: 2, tau: 0.05, budget: 63 },
    Method::Tree { depth: 3, branch: 4, tau: 0.0, budget: 63 },
    Method::DynaTree,
    Method::Assisted { schedule: Schedule::Heuristic { start: 5 } },
    Method::Assisted { schedule: Schedule::Confidence { most: 20, threshold: 0.4 } },
    Method::Lookup { ngram: 3, tokens: 10 },
    Method::Auto,
];

fn pair(target: &Path, draft: &Path, dtype: Dtype, profile: Profile) -> Engine {
    let mut engine = engine(target, dtype, profile);
    pollster::block_on(async {
        let files = FolderFiles::open(draft).expect("a model folder");
        let options = LoadOptions { dtype, profile: Some(profile) };
        engine.load_draft(&files, &options, &mut |_| {}).await.expect("the draft loads");
        let costs = engine.calibrate(None).await.expect("calibrates");
        assert_eq!(costs.lossless, Lossless::Verified, "the self-test passes on this device");
    });
    engine
}

fn request(prompt: Prompt, tokens: usize, sampling: Sampling, method: Method) -> GenerateRequest {
    GenerateRequest {
        prompt,
        max_new_tokens: tokens,
        ignore_eos: true,
        stop: Vec::new(),
        sampling,
        method,
        synthetic_acceptance: None,
        trace: false,
    }
}

fn fresh(engine: &mut Engine, request: &GenerateRequest) -> Generation {
    engine.clear_cache();
    generate(engine, request)
}

fn samplings() -> Vec<Sampling> {
    vec![
        Sampling::default(),
        Sampling { temperature: 0.8, top_p: 0.95, seed: 3, ..Sampling::default() },
        Sampling { temperature: 1.2, top_k: 40, min_p: 0.02, repetition_penalty: 1.3, seed: 4, ..Sampling::default() },
        Sampling { repetition_penalty: 1.2, ..Sampling::default() },
    ]
}

#[test]
fn every_method_gives_the_bundled_targets_own_text() {
    for (dtype, profile) in [(Dtype::F16, Profile::Cpu), (Dtype::F16, Profile::Gpu)] {
        let mut engine = pair(&bundled("tales"), &bundled("tales-draft"), dtype, profile);
        for sampling in samplings() {
            let prompt = || Prompt::Text("The king said to the fox".into());
            let plain = fresh(&mut engine, &request(prompt(), 60, sampling, Method::Ar));
            for method in METHODS {
                let out = fresh(&mut engine, &request(prompt(), 60, sampling, method));
                assert_eq!(out.token_ids, plain.token_ids, "{profile:?}, {method:?}, {sampling:?}");
                assert_eq!(out.text, plain.text);
                let speculation = out.speculation.expect("it speculated");
                println!("{profile:?} {method:?} T{} {:.2} rate {:?} nodes {} rounds {} tpot {:?} ar {:?}", sampling.temperature, speculation.acceptance_length, speculation.acceptance_rate, speculation.nodes_verified, speculation.rounds, out.metrics.tpot_ms, plain.metrics.tpot_ms);
            }
        }
    }
}

#[test]
fn debug_trace() {
    let mut engine = pair(&bundled("tales"), &bundled("tales-draft"), Dtype::F16, Profile::Cpu);
    let mut ask = request(Prompt::Text("The king said to the fox".into()), 10, Sampling::default(), METHODS[2]);
    ask.trace = true;
    let out = pollster::block_on(engine.generate(&ask, &mut |event| {
        if let understory_engine::protocol::Event::Round(round) = event {
            println!("round {} at {} path {:?} emitted {:?}", round.index, round.position, round.path, round.emitted);
            for (i, n) in round.nodes.iter().enumerate() {
                println!("   {i}: token {} parent {:?} depth {} lp {} {:?}", n.token, n.parent, n.depth, n.log_prob, n.origin);
            }
        }
        std::ops::ControlFlow::Continue(())
    }))
    .unwrap();
    println!("{:?}", out.speculation);
}
