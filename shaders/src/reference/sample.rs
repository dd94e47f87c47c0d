//! `sample.wesl` and the kernels before it (`penalise`, `sample_peak`, `sample_threshold`, `sample_sum`, `sample_score`):
//! the next token from a row of logits, and the step of the state.

use super::rng::noise;

/// Slots of the output ring.
pub const RING: usize = 64;
/// What the ring holds where the logits were NaN.
pub const NO_TOKEN: u32 = u32::MAX;
const FLAG_NAN: u32 = 1;
/// Mass of the largest logit in top-p's sums.
const MASS: f64 = (1u32 << 31) as f64;

/// How to choose.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// 0: the largest logit
    pub temperature: f32,
    /// 0: all
    pub top_k: usize,
    /// 1: all
    pub top_p: f32,
    /// 0: all
    pub min_p: f32,
    /// on logits of tokens seen; 1: off
    pub penalty: f32,
    pub seed: u64,
}

/// The state that a choice reads and steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub n_rows: u32,
    pub base: u32,
    pub n_chosen: u32,
    pub flags: u32,
    /// the token that the next forward pass reads
    pub next: u32,
    pub ring: [u32; RING],
    /// one bit a token of the vocabulary
    pub seen: Vec<u32>,
}

/// A choice, and how clear it was.
#[derive(Clone, Debug)]
pub struct Choice {
    pub token: u32,
    /// tokens that passed the filters
    pub kept: Vec<u32>,
    /// by how much the best score beats the second
    pub lead: f64,
    /// the least distance of a filter's decision from falling otherwise (top-p: share of the mass; min-p: of a logit)
    pub clearance: f64,
}

impl State {
    pub fn new(vocab_size: usize) -> Self {
        let seen = vec![0; vocab_size.div_ceil(32)];
        Self { n_rows: 1, base: 0, n_chosen: 0, flags: 0, next: 0, ring: [0; RING], seen }
    }

    fn has_seen(&self, token: usize) -> bool {
        self.seen[token / 32] >> (token % 32) & 1 == 1
    }

    /// Takes `token` as chosen.
    pub fn advance(&mut self, token: u32) {
        self.ring[self.n_chosen as usize % RING] = token;
        self.n_chosen += 1;
        self.base += self.n_rows;
        self.n_rows = 1;
        self.next = if token == NO_TOKEN { 0 } else { token };
        match token {
            NO_TOKEN => self.flags |= FLAG_NAN,
            _ => self.seen[token as usize / 32] |= 1 << (token % 32),
        }
    }
}

/// Chooses from `logits`; [`State::advance`] takes the step.
///
/// Penalised logits are f32 as in the kernel, since filters compare them for equality: tokens equal to a threshold
/// are all kept.
pub fn sample(op: &Sample, logits: &[f32], state: &State) -> Choice {
    if logits.iter().any(|l| l.is_nan() || *l == f32::INFINITY) {
        return Choice { token: NO_TOKEN, kept: Vec::new(), lead: f64::INFINITY, clearance: f64::INFINITY };
    }
    let penalised = |(v, &l): (usize, &f32)| match state.has_seen(v) && op.penalty != 1.0 {
        true if l > 0.0 => l / op.penalty,
        true => l * op.penalty,
        false => l,
    };
    let l: Vec<f32> = logits.iter().enumerate().map(penalised).collect();
    let all = (0..l.len() as u32).collect();
    if op.temperature == 0.0 {
        return best(all, f64::INFINITY, |v| f64::from(l[v as usize]));
    }
    let (kept, clearance) = filtered(op, &l);
    let position = state.base + state.n_rows;
    best(kept, clearance, |v| f64::from(l[v as usize]) / f64::from(op.temperature) + noise(op.seed, position, v))
}

/// The largest score, the lowest token among equals.
fn best(kept: Vec<u32>, clearance: f64, score: impl Fn(u32) -> f64) -> Choice {
    let mut token = NO_TOKEN;
    let [mut first, mut second] = [f64::NEG_INFINITY; 2];
    for &v in &kept {
        let s = score(v);
        if s > first {
            (token, first, second) = (v, s, first);
        } else {
            second = second.max(s);
        }
    }
    Choice { token, kept, lead: first - second, clearance }
}

/// Tokens at or above the largest of the three thresholds.
fn filtered(op: &Sample, l: &[f32]) -> (Vec<u32>, f64) {
    let t = f64::from(op.temperature);
    let mut sorted = l.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let peak = f64::from(sorted[0]);
    let mut threshold = f64::NEG_INFINITY;
    let mut clearance = f64::INFINITY;
    if op.top_k > 0 && op.top_k < l.len() {
        threshold = f64::from(sorted[op.top_k - 1]);
    }
    if op.top_p < 1.0 {
        sorted.retain(|&l| f64::from(l) >= threshold);
        // Whole numbers, whose sum is the same in any order; below 2^53 also in f64.
        let weight = |&l: &f32| (MASS * ((f64::from(l) - peak) / t).exp()).floor();
        let total: f64 = sorted.iter().map(weight).sum();
        let goal = (f64::from(op.top_p) * total).floor().max(1.0);
        let mut mass = 0.0;
        for group in sorted.chunk_by(|a, b| a == b) {
            mass += group.iter().map(weight).sum::<f64>();
            threshold = f64::from(group[0]);
            clearance = clearance.min((mass - goal).abs() / total);
            if mass >= goal {
                break;
            }
        }
    }
    if op.min_p > 0.0 {
        let least = peak + t * f64::from(op.min_p).ln();
        clearance = l.iter().map(|&l| (f64::from(l) - least).abs()).fold(clearance, f64::min);
        threshold = threshold.max(least);
    }
    let kept = (0..l.len() as u32).filter(|&v| f64::from(l[v as usize]) >= threshold).collect();
    (kept, clearance)
}

#[cfg(test)]
mod tests {
    use super::super::rng::philox;
    use super::*;

    const TEMPERATURE: f32 = 0.7;
    const DRAWS: u32 = 20_000;
    /// Chi-square with 31 degrees of freedom exceeds this with probability 1e-4.
    const LIMIT: f64 = 69.1057;

    /// 32 logits: at [`TEMPERATURE`] the rarest token is expected 11 times in [`DRAWS`].
    fn logits() -> Vec<f32> {
        (0..32u32).map(|v| (v * 11 % 32) as f32 * 0.13 - 2.0).collect()
    }

    /// Chi-square of [`DRAWS`] draws, one a position, against softmax(logits / T).
    fn chi_square(draw: impl Fn(u32) -> u32) -> f64 {
        let mut counts = [0u32; 32];
        for position in 0..DRAWS {
            counts[draw(position) as usize] += 1;
        }
        let weights: Vec<f64> = logits().iter().map(|&l| (f64::from(l) / f64::from(TEMPERATURE)).exp()).collect();
        let total: f64 = weights.iter().sum();
        let expected = weights.iter().map(|w| w / total * f64::from(DRAWS));
        expected.zip(counts).map(|(e, n)| (f64::from(n) - e).powi(2) / e).sum()
    }

    fn argmax(score: impl Fn(u32) -> f64) -> u32 {
        best((0..32).collect(), 0.0, score).token
    }

    fn plain(seed: u64) -> Sample {
        Sample { temperature: TEMPERATURE, top_k: 0, top_p: 1.0, min_p: 0.0, penalty: 1.0, seed }
    }

    #[test]
    fn draws_follow_the_softmax() {
        let logits = logits();
        for seed in [0, 1, 0x1234_5678_9abc_def0] {
            let chi = chi_square(|position| {
                let state = State { base: position, ..State::new(32) };
                sample(&plain(seed), &logits, &state).token
            });
            assert!(chi < LIMIT, "seed {seed}: {chi}");
        }
    }

    /// The test above can tell: three rules that look alike and are wrong.
    #[test]
    fn wrong_rules_do_not_follow_the_softmax() {
        let logits = logits();
        let l = |v: u32| f64::from(logits[v as usize]);
        let t = f64::from(TEMPERATURE);
        let same_noise_everywhere = chi_square(|_| argmax(|v| l(v) / t + noise(1, 0, v)));
        let temperature_on_the_noise = chi_square(|position| argmax(|v| (l(v) + noise(1, position, v)) / t));
        let one_logarithm = chi_square(|position| {
            argmax(|v| {
                let bits = philox([v / 4, position, 0, 0], [1, 0])[v as usize % 4];
                l(v) / t - (1.0 - (f64::from(bits) + 0.5) / 2f64.powi(32)).ln()
            })
        });
        for chi in [same_noise_everywhere, temperature_on_the_noise, one_logarithm] {
            assert!(chi > LIMIT, "{chi}");
        }
    }

    /// Worked by hand: probabilities 0.4, 0.3, 0.2, 0.1.
    #[test]
    fn filters_keep_the_sets_that_their_definitions_name() {
        let logits: Vec<f32> = [0.2f32, 0.4, 0.1, 0.3].iter().map(|p| p.ln()).collect();
        let kept = |op: Sample| sample(&op, &logits, &State::new(4)).kept;
        let all = Sample { temperature: 1.0, ..plain(0) };
        assert_eq!(kept(all), [0, 1, 2, 3]);
        assert_eq!(kept(Sample { top_k: 2, ..all }), [1, 3]);
        assert_eq!(kept(Sample { top_p: 0.35, ..all }), [1]);
        assert_eq!(kept(Sample { top_p: 0.65, ..all }), [1, 3]);
        assert_eq!(kept(Sample { top_p: 0.75, ..all }), [0, 1, 3]);
        // of what top-k kept, 0.4 and 0.3, the first alone has 0.57
        assert_eq!(kept(Sample { top_k: 2, top_p: 0.5, ..all }), [1]);
        assert_eq!(kept(Sample { min_p: 0.6, ..all }), [1, 3]);
        let equal = [1.0f32, 2.0, 2.0, 2.0];
        assert_eq!(sample(&Sample { top_k: 1, ..all }, &equal, &State::new(4)).kept, [1, 2, 3]);
    }
}
