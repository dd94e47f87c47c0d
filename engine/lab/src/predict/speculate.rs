//! What speculation would make of a prediction: rounds of drafting and checking from the same roofline.
//!
//! A round is one pass of the draft a level, two small dispatches each, and one pass of the target over the root and all
//! guesses. Chances come from the user or from a measured report; none is made up here.

use serde::Serialize;
use understory_model::config::ModelConfig;
use understory_protocol::{Case, Result};

use super::operators::{Pass, weights_bytes};
use super::prediction::{Prediction, numerics, prefill, validate};
use super::roofline::PassCost;
use super::tree::{Acceptance, GuessTree};
use super::{DeviceProfile, Numerics};

/// Guesses of the longest chain, and levels of the deepest tree, that are tried.
const DEEPEST: usize = 16;
/// Rows of the largest tree, its root included, as in this engine.
const MOST_ROWS: usize = 64;

/// What is drafted and what it costs besides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpeculationCase {
    pub acceptance: Acceptance,
    /// time to bring the draft onto the device; 0 where it is there already
    pub draft_load_ms: f64,
}

/// A way of guessing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Proposal {
    /// nodes, the root not counted
    pub nodes: usize,
    /// passes of the draft
    pub levels: usize,
    pub expected_tokens: f64,
    pub draft_ms: f64,
    pub verify_ms: f64,
    pub round_ms: f64,
    pub tpot_ms: f64,
    /// plain TPOT over this one
    pub speed_up: f64,
}

/// Speculation beside plain decoding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Speculation {
    pub acceptance: Acceptance,
    /// of a plain step with the same context
    pub plain_tpot_ms: f64,
    /// entry k - 1: k guesses in a row
    pub chains: Vec<Proposal>,
    pub best_chain: Proposal,
    /// entry n - 1: the fastest tree of n nodes, to 63 of them or as many as have a chance
    pub trees: Vec<Proposal>,
    /// of all those trees
    pub best_tree: Proposal,
    /// chances of ranks below the first were assumed, optimistically: what follows is of the best chain then, and of the
    /// best of all where they are known
    pub ranks_assumed: bool,
    pub draft_weights_bytes: f64,
    pub draft_prefill_ms: f64,
    pub draft_load_ms: f64,
    /// output tokens from which the draft's prefill and load are paid for; `None`: never
    pub break_even_tokens: Option<f64>,
    /// of the whole request
    pub e2e_ms: Option<f64>,
    /// whether that is less than without speculation
    pub pays: Option<bool>,
}

/// The output length from which a slower start is paid for: `(ttft_s - ttft_b) / (tpot_b - tpot_s)`; `None`: never.
pub fn break_even(ttft_s: f64, ttft_b: f64, tpot_b: f64, tpot_s: f64) -> Option<f64> {
    (tpot_b > tpot_s).then(|| ((ttft_s - ttft_b) / (tpot_b - tpot_s)).max(0.0))
}

/// Adds speculation to `plain`, which is the prediction of `case` for `target`.
///
/// # Errors
/// [`understory_protocol::Error::BadParameter`] where the case does not fit the draft.
pub fn speculate(
    (target, draft): (&ModelConfig, &ModelConfig),
    profile: &DeviceProfile,
    case: &Case,
    plain: &Prediction,
    what: &SpeculationCase,
) -> Result<Speculation> {
    validate(case, draft)?;
    let acceptance = &what.acceptance;
    let of_target = numerics(case, profile);
    // Adapters belong to the target.
    let of_draft = Numerics { lora: None, ..of_target };
    let small_ms = profile.dispatch_us.unwrap_or(0.0) / 1e3;
    let context = plain.decode_context;
    let pass = |config, numerics, rows, before| {
        let pass = Pass { rows, base: context - 1 + before, batch: case.batch, head_rows: rows };
        PassCost::of(config, profile, numerics, &pass).time_ms
    };
    let plain_tpot_ms = plain.decode.time_ms;
    let proposal = |tree: &GuessTree| {
        let level = |(depth, &rows): (usize, &usize)| pass(draft, &of_draft, rows, depth) + 2.0 * small_ms;
        let draft_ms = tree.draft_rows.iter().enumerate().map(level).sum();
        let verify_ms = pass(target, &of_target, tree.nodes + 1, 0);
        // Catching up and accepting.
        let round_ms = draft_ms + verify_ms + 2.0 * small_ms;
        let tpot_ms = round_ms / tree.expected_tokens;
        Proposal {
            nodes: tree.nodes,
            levels: tree.draft_rows.len(),
            expected_tokens: tree.expected_tokens,
            draft_ms,
            verify_ms,
            round_ms,
            tpot_ms,
            speed_up: plain_tpot_ms / tpot_ms,
        }
    };
    let chains: Vec<_> = (1..=DEEPEST).map(|k| proposal(&GuessTree::chain(acceptance, k))).collect();
    let best_chain = chains.iter().copied().reduce(faster).expect("there is a chain of one");
    let mut trees: Vec<Proposal> = Vec::new();
    // Each depth has a tree of every size that it can hold.
    for tree in (1..=DEEPEST).flat_map(|depth| GuessTree::best(acceptance, depth, MOST_ROWS - 1)) {
        let new = proposal(&tree);
        match trees.get_mut(tree.nodes - 1) {
            Some(known) => *known = faster(*known, new),
            None => trees.push(new),
        }
    }
    let best_tree = trees.iter().copied().reduce(faster).unwrap_or(best_chain);
    let ranks_assumed = acceptance.by_rank.is_none();
    let best = if ranks_assumed { best_chain } else { faster(best_chain, best_tree) };
    let draft_prefill_ms = prefill(draft, profile, &Case { lora: None, ..*case }).time_ms;
    let start_ms = draft_prefill_ms + what.draft_load_ms;
    let e2e_ms = plain.ttft_ms.map(|ttft| ttft + start_ms + (case.output - 1) as f64 * best.tpot_ms);
    Ok(Speculation {
        acceptance: acceptance.clone(),
        plain_tpot_ms,
        chains,
        best_chain,
        trees,
        best_tree,
        ranks_assumed,
        draft_weights_bytes: weights_bytes(draft, &of_draft),
        draft_prefill_ms,
        draft_load_ms: what.draft_load_ms,
        break_even_tokens: plain.ttft_ms.and_then(|_| break_even(start_ms, 0.0, plain_tpot_ms, best.tpot_ms)),
        e2e_ms,
        pays: e2e_ms.zip(plain.e2e_ms).map(|(with, without)| with < without),
    })
}

/// The faster one; of equal ones the first.
fn faster(a: Proposal, b: Proposal) -> Proposal {
    if b.tpot_ms < a.tpot_ms { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::super::device::device;
    use super::super::models::model;
    use super::super::prediction::predict;
    use super::*;
    use understory_protocol::Precision;

    fn config(name: &str) -> ModelConfig {
        model(name).unwrap().unwrap().config().unwrap()
    }

    fn run(acceptance: f64, draft_load_ms: f64, profile: &DeviceProfile) -> (Prediction, Speculation) {
        let (target, draft) = (config("llama-3.1-8b"), config("llama-3.2-1b"));
        let case = Case {
            dtype: Precision::Bf16,
            input: 512,
            output: 256,
            batch: 1,
            chunk: None,
            tensor_parallel: 1,
            lora: None,
        };
        let plain = predict(&target, profile, &case).unwrap();
        let what = SpeculationCase { acceptance: Acceptance::new(vec![acceptance], None).unwrap(), draft_load_ms };
        let speculation = speculate((&target, &draft), profile, &case, &plain, &what).unwrap();
        (plain, speculation)
    }

    /// The published pair (Llama 3.2, 3B and 1B): with its own figures, raw rate 46.93 and "effective" rate 162.7, about
    /// 93 tokens, not the stated 10 to 50; with the measured effective rates of its later analysis (23.44 against 48.60
    /// tokens a second) it never pays.
    #[test]
    fn the_published_pair_breaks_even_late_or_never() {
        let n = break_even(1530.0, 121.1, 1000.0 / 46.93, 1000.0 / 162.7).unwrap();
        assert!((n - 93.0).abs() < 1.0, "{n}");
        assert_eq!(break_even(1530.0, 121.1, 1000.0 / 48.60, 1000.0 / 23.44), None);
        assert_eq!(break_even(2.0, 1.0, 5.0, 5.0), None);
    }

    /// A round by hand, where all is bound by memory: k passes of the draft, one of the target, each its weights and its
    /// cache once.
    #[test]
    fn a_round_is_drafting_and_checking() {
        let profile = device("genz-a100-40gb").unwrap().unwrap();
        let (plain, speculation) = run(0.8, 0.0, &profile);
        let chain = speculation.chains[3];
        assert_eq!((chain.nodes, chain.levels), (4, 4));
        assert!((chain.expected_tokens - 3.3616).abs() < 1e-9);
        assert!((chain.round_ms - (chain.draft_ms + chain.verify_ms)).abs() < 1e-9);
        assert!((chain.tpot_ms - chain.round_ms / 3.3616).abs() < 1e-9);
        // The 1B streams 2.47 GB (its lm_head is the embedding) a pass at 1718 GB/s.
        let pass = 2.0 * 1_235_814_400.0 / 1.717_986_918e12 * 1e3;
        assert!((chain.draft_ms / 4.0 / pass - 1.0).abs() < 0.02, "{}", chain.draft_ms);
        assert!((chain.verify_ms / plain.tpot_ms.unwrap() - 1.0).abs() < 0.01, "{}", chain.verify_ms);
        assert!((chain.speed_up - speculation.plain_tpot_ms / chain.tpot_ms).abs() < 1e-12);
        assert!(speculation.chains.iter().all(|c| c.tpot_ms >= speculation.best_chain.tpot_ms));
        assert!(speculation.best_tree.tpot_ms <= speculation.best_chain.tpot_ms);
    }

    /// Guesses that never come true cost and bring nothing; a draft that must be loaded pays later.
    #[test]
    fn a_bad_draft_never_pays_and_a_load_delays() {
        let profile = device("genz-a100-40gb").unwrap().unwrap();
        let (_, hopeless) = run(0.0, 0.0, &profile);
        assert!(hopeless.best_chain.speed_up < 1.0 && hopeless.best_chain.nodes == 1);
        assert_eq!((hopeless.break_even_tokens, hopeless.pays), (None, Some(false)));
        let (plain, good) = run(0.8, 0.0, &profile);
        let (_, loaded) = run(0.8, 5000.0, &profile);
        let gain = good.plain_tpot_ms - good.best_chain.tpot_ms;
        let n = good.break_even_tokens.unwrap();
        assert!((n - good.draft_prefill_ms / gain).abs() < 1e-9, "{n}");
        assert!((loaded.break_even_tokens.unwrap() - n - 5000.0 / gain).abs() < 1e-6);
        assert_eq!((good.pays, loaded.pays), (Some(true), Some(false)));
        let e2e = plain.ttft_ms.unwrap() + good.draft_prefill_ms + 255.0 * good.best_chain.tpot_ms;
        assert!((good.e2e_ms.unwrap() - e2e).abs() < 1e-9);
    }
}
