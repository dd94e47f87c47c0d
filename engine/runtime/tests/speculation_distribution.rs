//! Text that comes through draft trees has the target's distribution: a million tokens of a toy model, counted by
//! context. Two wrong rules show that the test can tell.

use understory_shaders::reference::{noise, philox};
use understory_speculation::accept::accept;
use understory_speculation::grow::{Branch, GrowRule, grow};
use understory_speculation::lookup::{LookupRule, lookup};
use understory_speculation::tree::DraftTree;

const VOCAB: usize = 32;
const DRAWS: usize = 1_000_000;
const TEMPERATURE: f64 = 0.8;
/// A right rule falls below this in one of [`VOCAB`] contexts with probability 0.003.
const LEAST_P: f64 = 1e-4;
const MOST_VARIATION: f64 = 0.0085;

type Row = [f64; VOCAB];
type Counts = Vec<[u32; VOCAB]>;

fn uniform(seed: u32, a: u32, b: u32) -> f64 {
    (f64::from(philox([a, b, 0, 1], [seed, 0])[0]) + 0.5) / 2f64.powi(32)
}

/// Logits of the next token after each token: some rows leave little choice, some much.
fn target() -> Vec<Row> {
    let logit = |context: usize, token: usize| {
        let sharpness = [1.0, 4.0, 6.0, 8.0][context % 4];
        sharpness * (uniform(1, context as u32, token as u32) * 2.0 - 1.0)
    };
    (0..VOCAB).map(|c| std::array::from_fn(|t| logit(c, t))).collect()
}

/// The target's logits, blurred.
fn draft() -> Vec<Row> {
    let blurred = |(c, row): (usize, Row)| std::array::from_fn(|t| 0.7 * row[t] + 2.0 * uniform(2, c as u32, t as u32));
    target().into_iter().enumerate().map(blurred).collect()
}

fn softmax(logits: &Row) -> Row {
    let peak = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights = logits.map(|l| ((l - peak) / TEMPERATURE).exp());
    let total: f64 = weights.iter().sum();
    weights.map(|w| w / total)
}

/// How far counts are from the exact distribution.
#[derive(Debug)]
struct Verdict {
    /// the least p-value of a G-test over the contexts
    least_p: f64,
    /// mean over contexts, by how often each occurred
    variation: f64,
}

impl Verdict {
    fn passes(&self) -> bool {
        self.least_p > LEAST_P && self.variation < MOST_VARIATION
    }
}

fn judge(counts: &Counts) -> Verdict {
    let total: u32 = counts.iter().flatten().sum();
    let mut verdict = Verdict { least_p: 1.0, variation: 0.0 };
    for (logits, counts) in target().iter().zip(counts) {
        let n = f64::from(counts.iter().sum::<u32>());
        let expected = softmax(logits).map(|p| p * n);
        verdict.variation +=
            expected.iter().zip(counts).map(|(e, &o)| (e - f64::from(o)).abs()).sum::<f64>() / (2.0 * f64::from(total));
        // Cells of fewer than ten expected draws count as one.
        let mut cells: Vec<(f64, f64)> = Vec::new();
        let mut rare = (0.0, 0.0);
        for (&e, &o) in expected.iter().zip(counts) {
            if e < 10.0 {
                rare = (rare.0 + e, rare.1 + f64::from(o));
            } else {
                cells.push((e, f64::from(o)));
            }
        }
        if rare.0 > 0.0 {
            cells.push(rare);
        }
        let g: f64 = cells.iter().filter(|c| c.1 > 0.0).map(|(e, o)| 2.0 * o * (o / e).ln()).sum();
        verdict.least_p = verdict.least_p.min(chi_square_tail(cells.len() - 1, g.max(0.0)));
    }
    verdict
}

/// `P(X > x)` for chi-square with `df` degrees of freedom: the regularised upper incomplete gamma function Q(df / 2,
/// x / 2), by its series below the mean and by Lentz's continued fraction above.
fn chi_square_tail(df: usize, x: f64) -> f64 {
    let (a, x) = (df as f64 / 2.0, x / 2.0);
    if a == 0.0 || x == 0.0 {
        return 1.0;
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum) = (1.0 / a, 1.0 / a);
        for n in 1..1000 {
            term *= x / (a + f64::from(n));
            sum += term;
        }
        return 1.0 - front * sum;
    }
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1e300, 1.0 / b);
    let mut h = d;
    for n in 1..1000 {
        let an = f64::from(n) * (a - f64::from(n));
        b += 2.0;
        d = 1.0 / (an * d + b);
        c = b + an / c;
        h *= d * c;
    }
    front * h
}

/// Lanczos' approximation (g = 7, nine terms).
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let t = x + 7.5;
    let sum: f64 = TERMS[1..].iter().zip(1..).map(|(term, i)| term / (x + f64::from(i))).sum();
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + (TERMS[0] + sum).ln()
}

#[test]
fn the_tail_of_chi_square_has_its_known_values() {
    let close = |df, x: f64, want: f64| {
        let got = chi_square_tail(df, x);
        assert!((got / want - 1.0).abs() < 1e-4, "{df}, {x}: {got}, expected {want}");
    };
    // Tables.
    close(1, 3.841_458_8, 0.05);
    close(10, 18.307_038, 0.05);
    close(31, 69.105_7, 1e-4);
    close(100, 67.327_56, 0.995);
    // Closed forms of even degrees.
    for x in [0.1f64, 1.0, 3.9, 4.1, 20.0, 80.0] {
        let half = x / 2.0;
        close(2, x, (-half).exp());
        close(6, x, (-half).exp() * (1.0 + half + half * half / 2.0));
    }
}

/// Noise of a position, computed once however often its rows come up.
struct Noise {
    seed: u64,
    rows: Vec<Option<Row>>,
}

impl Noise {
    fn at(&mut self, position: usize) -> &Row {
        if self.rows.len() <= position {
            self.rows.resize(position + 1, None);
        }
        let seed = self.seed;
        self.rows[position]
            .get_or_insert_with(|| std::array::from_fn(|token| noise(seed, position as u32, token as u32)))
    }

    /// Tokens by `logit / T + noise`, the best first.
    fn ranked(&mut self, logits: &Row, position: usize, n: usize) -> Vec<usize> {
        let noise = self.at(position);
        let mut scores: Row = std::array::from_fn(|t| logits[t] / TEMPERATURE + noise[t]);
        let mut best = || {
            let best = (1..VOCAB).fold(0, |best, t| if scores[t] > scores[best] { t } else { best });
            scores[best] = f64::NEG_INFINITY;
            best
        };
        (0..n).map(|_| best()).collect()
    }
}

/// [`DRAWS`] tokens through trees that a draft and the text's own past grow, counted by the token before; and the
/// tokens of a round.
fn through_trees(seed: u64) -> (Counts, f64) {
    let (target, draft) = (target(), draft());
    let log_q: Vec<Row> = draft.iter().map(|row| softmax(row).map(f64::ln)).collect();
    let rule = GrowRule {
        branch: Branch::ByConfidence,
        frontier: 2,
        level_nodes: 4,
        max_nodes: 12,
        tau: 0.05,
        max_depth: 3,
        ..GrowRule::chain(0)
    };
    let lookup_rule = LookupRule { max_match: 3, min_match: 2, tokens: 3 };
    let mut noise = Noise { seed, rows: Vec::new() };
    let mut counts = vec![[0; VOCAB]; VOCAB];
    let mut text = vec![0];
    let mut rounds = 0;
    while text.len() <= DRAWS {
        let last = text.len() - 1;
        let mut tree = DraftTree::new(text[last]);
        tree.push_lookup(&lookup(&text[last.saturating_sub(32)..], &lookup_rule).1, -0.7);
        let mut frontier = vec![0];
        for _ in 0..rule.max_depth {
            let mut candidates = Vec::new();
            for &row in &frontier {
                let node = &tree.rows()[row];
                let context = node.token as usize;
                let best = noise.ranked(&draft[context], last + node.depth + 1, 4);
                candidates.push(best.iter().map(|&t| (t as u32, log_q[context][t] as f32)).collect());
            }
            frontier = grow(&mut tree, &frontier, &candidates, &rule);
        }
        let mut choices = Vec::new();
        for node in tree.rows() {
            choices.push(noise.ranked(&target[node.token as usize], last + node.depth + 1, 1)[0] as u32);
        }
        text.extend(accept(&tree, &choices).unwrap().emitted);
        rounds += 1;
    }
    for pair in text.windows(2).take(DRAWS) {
        counts[pair[0] as usize][pair[1] as usize] += 1;
    }
    (counts, (text.len() - 1) as f64 / f64::from(rounds))
}

/// Seen to fail here: the first child taken, whatever the choice.
#[test]
fn text_through_trees_has_the_targets_distribution() {
    let (counts, tokens_per_round) = through_trees(0xfeed_0000_0001);
    let verdict = judge(&counts);
    assert!(verdict.passes(), "{verdict:?}");
    assert!(tokens_per_round > 1.5, "the trees hardly mattered: {tokens_per_round}");
}

/// [`DRAWS`] tokens by rejection (Leviathan et al., 2023), one draft a token: `accepts` and `again` are the rule.
/// `accepts(p, q, u)` of the drafted token, `again(p, q)` the weight of a token in the draw after a rejection.
fn by_rejection(accepts: impl Fn(f64, f64, f64) -> bool, again: impl Fn(f64, f64) -> f64) -> Counts {
    let p: Vec<Row> = target().iter().map(softmax).collect();
    let q: Vec<Row> = draft().iter().map(softmax).collect();
    let mut counts = vec![[0; VOCAB]; VOCAB];
    let mut last = 0;
    for position in 0..DRAWS {
        let random = philox([position as u32, 0, 0, 2], [7, 0]).map(|bits| (f64::from(bits) + 0.5) / 2f64.powi(32));
        let (p, q) = (&p[last], &q[last]);
        let mut token = draw(q, random[0]);
        if !accepts(p[token], q[token], random[1]) {
            token = draw(&std::array::from_fn(|t| again(p[t], q[t])), random[2]);
        }
        counts[last][token] += 1;
        last = token;
    }
    counts
}

fn draw(weights: &Row, uniform: f64) -> usize {
    let mut left = uniform * weights.iter().sum::<f64>();
    weights
        .iter()
        .position(|w| {
            left -= w;
            left < 0.0
        })
        .unwrap_or(VOCAB - 1)
}

/// The test above can tell: rejection sampling done right passes, and fails with either of two mistakes.
#[test]
fn wrong_rules_are_caught() {
    let residual = |p: f64, q: f64| (p - q).max(0.0);
    let right = judge(&by_rejection(|p, q, u| u < p / q, residual));
    assert!(right.passes(), "{right:?}");

    let p_at_least_q = judge(&by_rejection(|p, q, _| p >= q, residual));
    let again_from_p = judge(&by_rejection(|p, q, u| u < p / q, |p, _| p));
    for (name, wrong) in [("accept where p >= q", p_at_least_q), ("after a rejection draw from p", again_from_p)] {
        assert!(wrong.least_p < LEAST_P && wrong.variation > MOST_VARIATION, "{name}: {wrong:?}");
    }
}
