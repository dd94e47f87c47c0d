//! A scripted device: texts, drafts and costs by which the controller's plans are run without a model.

use std::collections::VecDeque;

use understory_protocol::{Costs, Lossless, Method, Round, RoundMode};
use understory_speculation::accept::accept;
use understory_speculation::controller::{Controller, RoundPlan};
use understory_speculation::grow::grow;
use understory_speculation::lookup::lookup;
use understory_speculation::prune::{prune, verify_ms};
use understory_speculation::tree::DraftTree;

pub const AHEAD: usize = 4;

/// Uniform on [0, 1), a function of its arguments (splitmix64).
pub fn uniform(seed: u64, a: u64, b: u64) -> f64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ a.wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (b << 40);
    for _ in 0..2 {
        x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
    }
    (x >> 11) as f64 / (1u64 << 53) as f64
}

#[derive(Clone, Copy, Debug)]
pub enum Text {
    /// no token twice, as good as
    Fresh,
    /// comes back after 17 tokens, but for one in 25
    Repetitive,
    /// six tokens at random: matches everywhere, and none of them means anything
    FalseMatches,
}

pub fn text(kind: Text, seed: u64, n: usize) -> Vec<u32> {
    let mut tokens: Vec<u32> = Vec::with_capacity(n);
    for i in 0..n {
        let random = |vocab: f64| (uniform(seed, i as u64, 1) * vocab) as u32;
        tokens.push(match kind {
            Text::Fresh => random(50_000.0),
            Text::FalseMatches => random(6.0),
            Text::Repetitive if i >= 17 && uniform(seed, i as u64, 2) < 0.96 => tokens[i - 17],
            Text::Repetitive => random(50_000.0),
        });
    }
    tokens
}

/// How often the draft's best candidate is right, and how sure the draft is of it. Of what is left (or of the chance,
/// where that is less) the second has 0.4, the third 0.2, the fourth 0.1.
#[derive(Clone, Copy, Debug)]
pub struct Draft {
    pub chance: f64,
    pub claim: f64,
}

impl Draft {
    pub fn candidates(best: f64) -> [f64; 4] {
        let rest = (1.0 - best).min(best);
        [best, 0.4 * rest, 0.2 * rest, 0.1 * rest]
    }
}

/// What passes take, and what the calibration said that they take.
#[derive(Clone)]
pub struct Device {
    pub told: Costs,
    /// what verification takes by rows; `None`: as told
    pub verify: Option<Vec<(usize, f64)>>,
    /// verification, drafting: true over told
    pub truth: [f64; 2],
    pub plain_truth: f64,
    /// every time varies by up to this share
    pub jitter: f64,
    /// every third round is read together with the next one, at its end
    pub bunched: bool,
}

pub fn device(plain_ms: f64, verify_ms: &[(usize, f64)], draft_ms: f64) -> Device {
    let told = Costs {
        verify_ms: verify_ms.to_vec(),
        draft_ms: vec![(1, draft_ms), (8, draft_ms)],
        plain_ms,
        fixed_ms: 0.0,
        lossless: Lossless::Verified,
        took_ms: 0.0,
    };
    Device { told, verify: None, truth: [1.0; 2], plain_truth: 1.0, jitter: 0.02, bunched: false }
}

pub fn emulated() -> Device {
    device(5.0, &[(1, 5.0), (2, 6.0), (3, 6.5), (4, 7.0), (8, 9.0), (16, 13.0)], 2.0)
}

/// As measured on llvmpipe for the bundled pair.
pub fn llvmpipe() -> Device {
    device(4.2, &[(1, 5.2), (4, 6.7), (8, 9.0), (16, 14.0)], 1.9)
}

pub fn gpu() -> Device {
    device(10.0, &[(1, 10.0), (16, 11.5)], 1.0)
}

pub struct Run {
    pub ms: f64,
    pub tokens: usize,
    pub modes: [usize; 3],
    pub plans: Vec<RoundPlan>,
    pub trees: Vec<usize>,
    pub controller: Controller,
}

impl Run {
    pub fn speed_up(&self, device: &Device) -> f64 {
        self.tokens as f64 * device.told.plain_ms * device.plain_truth / self.ms
    }
}

/// Writes `n` tokens of `text`.
pub fn run(method: Method, device: &Device, text: &[u32], draft: Draft, n: usize, seed: u64) -> Run {
    let table = verify_ms(&device.told);
    let truth =
        device.verify.clone().map_or(table, |points| verify_ms(&Costs { verify_ms: points, ..device.told.clone() }));
    let mut controller = Controller::new(&method, true, &device.told);
    controller.begin(&text[..=20], 0);
    let mut run = Run { ms: 0.0, tokens: 0, modes: [0; 3], plans: Vec::new(), trees: Vec::new(), controller };
    let mut queue = VecDeque::new();
    let (shares, claims) = (Draft::candidates(draft.chance), Draft::candidates(draft.claim));
    let mut at = 20;
    let mut waits = None;
    while run.tokens < n {
        while queue.len() < AHEAD {
            queue.push_back(run.controller.plan());
        }
        let plan = queue.pop_front().unwrap();
        let mut tree = DraftTree::new(text[at]);
        let mut matched = 0;
        // Rounds look up the next one's chain, plain steps do not.
        let had_round = run.plans.last().is_some_and(|last| last.mode != RoundMode::Plain);
        if let Some(plan) = plan.lookup.as_ref().filter(|_| had_round) {
            let found = lookup(&text[..=at], &plan.rule());
            matched = found.0;
            if matched > 0 {
                tree.push_lookup(&found.1, plan.log_prob[matched.min(8) - 1]);
            }
        }
        // The row lies on the path that the text takes.
        let is_text = |tree: &DraftTree, row: usize| {
            tree.ancestors(row).iter().enumerate().all(|(d, &r)| tree.rows()[r].token == text[at + d])
        };
        let mut frontier = vec![0];
        let mut ms = 0.0;
        for _ in 0..plan.levels {
            if frontier.is_empty() {
                break;
            }
            ms += device.told.draft_ms[0].1 * device.truth[1];
            let candidates: Vec<Vec<(u32, f32)>> = frontier
                .iter()
                .map(|&row| {
                    let position = at + tree.rows()[row].depth;
                    let mut drawn = uniform(seed, position as u64, 3);
                    let hit = shares.iter().position(|s| {
                        drawn -= s;
                        drawn < 0.0
                    });
                    let known = is_text(&tree, row);
                    let token = |rank: usize| match hit {
                        Some(hit) if known && hit == rank => text[position + 1],
                        _ => 1_000_000 + (row * 10 + rank) as u32,
                    };
                    (0..4).map(|rank| (token(rank), (claims[rank] as f32).ln())).collect()
                })
                .collect();
            frontier = grow(&mut tree, &frontier, &candidates, &plan.rule);
        }
        if let Some(rule) = &plan.prune {
            tree = prune(&tree, rule, plan.verify_ms.as_deref().unwrap_or(&table)).tree;
        }
        ms += match plan.mode {
            RoundMode::Plain => device.told.plain_ms * device.plain_truth,
            _ => f64::from(truth[tree.rows().len()]) * device.truth[0],
        };
        ms *= 1.0 + device.jitter * (2.0 * uniform(seed, run.plans.len() as u64, 4) - 1.0);
        let choices: Vec<u32> = tree.rows().iter().map(|r| text[at + r.depth + 1]).collect();
        let accepted = accept(&tree, &choices).unwrap();
        assert_eq!(accepted.emitted, text[at + 1..=at + accepted.path.len()], "lossless");
        if plan.chain {
            assert_eq!(accepted.path, (0..accepted.path.len()).collect::<Vec<_>>());
        }
        at += accepted.emitted.len();
        run.tokens += accepted.emitted.len();
        run.ms += ms;
        run.modes[plan.mode as usize] += 1;
        run.trees.push(tree.n_nodes());
        let round = Round {
            index: run.plans.len(),
            position: at,
            nodes: tree.rows().to_vec(),
            pruned: vec![],
            path: accepted.path,
            emitted: accepted.emitted,
            mode: plan.mode,
        };
        run.plans.push(plan.clone());
        if device.bunched && round.index.is_multiple_of(3) {
            waits = Some((round, plan, matched, ms));
        } else {
            let late = waits.take().map(|(first, plan, matched, first_ms)| {
                run.controller.observe(&first, &plan, matched, Some(first_ms + ms));
            });
            run.controller.observe(&round, &plan, matched, Some(if late.is_some() { 0.0 } else { ms }));
        }
    }
    run
}

/// Speed-ups over plain decoding of twenty texts, the lowest first.
pub fn speed_ups(device: &Device, kind: Text, draft: Draft, n: usize) -> Vec<f64> {
    let speed_up = |seed| run(Method::Auto, device, &text(kind, seed, 2 * n + 200), draft, n, seed).speed_up(device);
    let mut all: Vec<f64> = (0..20).map(speed_up).collect();
    all.sort_by(f64::total_cmp);
    all
}

pub const TEXTS: [Text; 3] = [Text::Fresh, Text::Repetitive, Text::FalseMatches];

pub const fn draft(chance: f64, claim: f64) -> Draft {
    Draft { chance, claim }
}

/// Honest ones, one that is too sure of itself and one that is not sure enough.
pub const DRAFTS: [Draft; 6] =
    [draft(0.02, 0.02), draft(0.2, 0.2), draft(0.6, 0.6), draft(0.9, 0.9), draft(0.2, 0.9), draft(0.9, 0.5)];
