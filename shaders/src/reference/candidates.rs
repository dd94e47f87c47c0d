//! `candidates.wesl` and `candidates_join.wesl`: the draft's best continuations of a row.

use super::rng::noise;

/// How to rank; as the target's [`Sample`](super::Sample), without its filters.
#[derive(Clone, Copy, Debug)]
pub struct Candidates {
    /// 0: the largest logits, without noise
    pub temperature: f32,
    /// on logits of tokens seen; 1: off
    pub penalty: f32,
    pub seed: u64,
    /// tokens that both vocabularies have
    pub n_shared: usize,
}

/// The candidates of a row.
#[derive(Clone, Debug)]
pub struct Ranked {
    /// up to four, the best first: token, and the natural logarithm of its share of `exp(score)`
    pub best: Vec<(u32, f64)>,
    /// the least distance between two of the five best scores that are not equal
    pub clearance: f64,
}

/// Ranks the row's tokens for `position`; the lowest of equals comes first. A logit of minus infinity is no candidate,
/// and a row with a NaN has none.
pub fn candidates(op: &Candidates, logits: &[f32], position: u32, seen: impl Fn(u32) -> bool) -> Ranked {
    let shared = &logits[..op.n_shared];
    if shared.iter().any(|l| l.is_nan()) {
        return Ranked { best: Vec::new(), clearance: f64::INFINITY };
    }
    let score = |(v, &l): (usize, &f32)| {
        let v = v as u32;
        let l = match op.penalty != 1.0 && seen(v) {
            true if l > 0.0 => l / op.penalty,
            true => l * op.penalty,
            false => l,
        };
        let l = f64::from(l);
        let score = if op.temperature == 0.0 { l } else { l / f64::from(op.temperature) + noise(op.seed, position, v) };
        (v, score)
    };
    let mut scores: Vec<(u32, f64)> =
        shared.iter().enumerate().map(score).filter(|s| s.1 > f64::NEG_INFINITY).collect();
    scores.sort_by(|a, b| b.1.total_cmp(&a.1));
    let top = scores.first().map_or(0.0, |s| s.1);
    let total = top + scores.iter().map(|s| (s.1 - top).exp()).sum::<f64>().ln();
    let gaps = scores.windows(2).take(4).map(|w| w[0].1 - w[1].1);
    let clearance = gaps.filter(|&gap| gap > 0.0).fold(f64::INFINITY, f64::min);
    Ranked { best: scores.into_iter().take(4).map(|(v, s)| (v, s - total)).collect(), clearance }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREEDY: Candidates = Candidates { temperature: 0.0, penalty: 1.0, seed: 5, n_shared: 6 };

    /// Logits are logarithms of weights: shares are the weights' own.
    #[test]
    fn shares_are_those_of_the_softmax() {
        let logits = [1.0f32, 4.0, 2.0, 4.0, 1.0, 4.0].map(f32::ln);
        let ranked = candidates(&GREEDY, &logits, 0, |_| false);
        let shares: Vec<(u32, f64)> = ranked.best.iter().map(|&(v, l)| (v, l.exp())).collect();
        for ((token, share), want) in shares.iter().zip([(1, 0.25), (3, 0.25), (5, 0.25), (2, 0.125)]) {
            assert!(*token == want.0 && (share - want.1).abs() < 1e-7, "{shares:?}");
        }
        assert!((ranked.clearance - 2f64.ln()).abs() < 1e-6);
        // Tokens that one vocabulary lacks have no share.
        let four = candidates(&Candidates { n_shared: 3, ..GREEDY }, &logits, 0, |_| false);
        assert!((four.best[0].1.exp() - 4.0 / 7.0).abs() < 1e-7 && four.best.len() == 3);
        // 4 / penalty 2 is 2 as a logarithm is halved.
        let seen = candidates(&Candidates { penalty: 2.0, ..GREEDY }, &logits, 0, |v| v == 1);
        assert_eq!(seen.best.iter().map(|c| c.0).collect::<Vec<_>>(), [3, 5, 1, 2]);
    }

    /// The best candidate is what the target would choose from the same logits.
    #[test]
    fn the_best_is_the_choice() {
        use super::super::{Sample, State, sample};
        let logits = [0.3, -0.2, 0.5, 0.1, -0.7, 0.4];
        let op = Candidates { temperature: 0.9, ..GREEDY };
        let by = Sample { temperature: 0.9, top_k: 0, top_p: 1.0, min_p: 0.0, penalty: 1.0, seed: op.seed };
        let best = |position: u32| candidates(&op, &logits, position, |_| false).best[0].0;
        let choice = |position: u32| sample(&by, &logits, &State { base: position - 1, ..State::new(6) }).token;
        let tokens: Vec<u32> = (1..50).map(best).collect();
        assert_eq!(tokens, (1..50).map(choice).collect::<Vec<_>>());
        assert!((0..6).all(|v| tokens.contains(&v)), "{tokens:?}");
    }

    #[test]
    fn what_cannot_come_is_not_proposed() {
        let infinite = [f32::NEG_INFINITY, 1.0, f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY, f32::NEG_INFINITY];
        assert_eq!(candidates(&GREEDY, &infinite, 0, |_| false).best.len(), 2);
        assert!(candidates(&GREEDY, &[0.0, 0.0, f32::NAN, 0.0, 0.0, 0.0], 0, |_| false).best.is_empty());
    }
}
