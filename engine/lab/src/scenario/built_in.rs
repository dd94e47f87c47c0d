//! The built-in scenarios. `published.rs` has the figures that they answer.

use understory_protocol::{Error, Method, Result, Sampling};

use super::{Prompt, Scenario, long_text, tales};
use crate::report::StartState;

/// Names of [`built_in`], the default first.
pub const NAMES: [&str; 5] = ["quick", "dynatree", "single-request", "pair", "position"];

const GREEDY: Sampling =
    Sampling { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, seed: 0 };

/// # Errors
/// [`Error::BadParameter`] for a name that is none of [`NAMES`].
pub fn built_in(name: &str) -> Result<Scenario> {
    match name {
        "quick" => Ok(quick()),
        "dynatree" => Ok(dynatree()),
        "single-request" => Ok(single_request()),
        "pair" => Ok(pair()),
        "position" => Ok(position()),
        _ => Err(Error::BadParameter {
            name: "scenario",
            value: name.into(),
            expected: "quick, dynatree, single-request, pair or position",
        }),
    }
}

/// What they have in common: greedy, a resident model, ten runs after one that does not count.
fn scenario(name: &str, purpose: &str) -> Scenario {
    Scenario {
        name: name.into(),
        purpose: purpose.into(),
        prompts: Vec::new(),
        lengths: Vec::new(),
        methods: vec![Method::Ar],
        sampling: vec![GREEDY],
        starts: vec![StartState::Warm],
        runs: 10,
        warm_up: 1,
        ignore_eos: true,
        synthetic_acceptance: None,
        limits: None,
    }
}

fn prompt(id: &str, text: &str) -> Prompt {
    Prompt { id: id.into(), text: text.into(), tokens: None }
}

/// A minute, for comparing devices.
pub fn quick() -> Scenario {
    Scenario {
        prompts: vec![
            prompt("once", "Once upon a time"),
            prompt(
                "prince",
                "There was once a poor Prince, who had a kingdom. His kingdom was very small, but still quite large \
                 enough to marry upon; and he wished to marry.",
            ),
        ],
        lengths: vec![64],
        methods: vec![Method::Ar, Method::LINEAR, Method::Auto],
        ..scenario("quick", "About a minute: plain decoding, a fixed chain and auto, to compare devices.")
    }
}

/// Published results, 1: methods by length.
pub fn dynatree() -> Scenario {
    Scenario {
        prompts: tales(48, 3),
        lengths: vec![100, 200, 500],
        methods: vec![
            Method::Ar,
            Method::LINEAR,
            Method::TREE,
            Method::Tree { depth: 6, branch: 2, tau: 0.0, budget: 63 },
            Method::DynaTree,
            Method::HEURISTIC,
            Method::LOOKUP,
            Method::Auto,
        ],
        ..scenario(
            "dynatree",
            "Methods by length: TTFT, TPOT, rate, speed-up, tokens per round, verification efficiency and repetition. \
             Answers DynaTree's table of methods, its speed-ups by length and its ablation of pruning.",
        )
    }
}

/// Published results, 2: one request, cold and warm.
pub fn single_request() -> Scenario {
    Scenario {
        prompts: vec![prompt("increasing", "An increasing sequence: one,")],
        lengths: vec![20],
        starts: vec![StartState::Cold, StartState::WarmCache, StartState::Warm],
        ..scenario(
            "single-request",
            "One request from each start state: TTFT with its phases, E2EL, token generation, TPOT and ITL. Answers the \
             single-request metrics published for distilgpt2.",
        )
    }
}

/// Published results, 3: is the draft worth it, and from which length on.
pub fn pair() -> Scenario {
    Scenario {
        prompts: tales(16, 2),
        lengths: vec![20, 100, 300],
        methods: vec![Method::Ar, Method::LINEAR, Method::Auto],
        starts: vec![StartState::WarmCache, StartState::Warm],
        ..scenario(
            "pair",
            "A target with its draft against the target alone: start, TTFT, TPOT, effective rate, acceptance, the length \
             from which on the draft pays, and what to use at each length. Answers the comparison published for Llama 3.2 \
             1B and 3B.",
        )
    }
}

/// Published results, 5: latency by position. The prompt changes at a fixed output, and the output at a fixed prompt.
pub fn position() -> Scenario {
    let text = long_text();
    let cut = |tokens: usize| Prompt { id: format!("first-{tokens}"), text: text.clone(), tokens: Some(tokens) };
    Scenario {
        prompts: [16, 128, 512].map(cut).into(),
        lengths: vec![2, 4, 8, 16, 32, 256],
        ..scenario(
            "position",
            "Time of each step by position, over lengths of prompt and output. Answers the table of latency by output \
             length, which divided the time of N - 1 steps by N.",
        )
    }
}
