//! The order of runs. Rounds are outermost, so that each case's runs are spread over the whole session; within a round
//! the methods of a group (same prompt, length, sampling and start) follow each other, so that what is compared ran
//! seconds apart; and each round is the mirror of the one before (ABBA), so that a device that slowly gets slower
//! favours nobody.
//!
//! With more than two methods the order of every second round is the next row of a Williams square (Williams 1949), in
//! which each method follows each other one equally often.

/// One run to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// index of the case: those of the first group, then those of the second, ...
    pub case: usize,
    /// `None`: a warm-up, which does not count
    pub round: Option<usize>,
    /// place among the measured runs, or among the warm-ups
    pub order: usize,
}

/// How many runs of which cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// methods of each group
    pub groups: Vec<usize>,
    /// warm-up runs of each case, in the order of the cases
    pub warm_up: Vec<usize>,
    /// measured runs of each case; the mirror images are complete where it is even
    pub rounds: usize,
}

impl Schedule {
    /// All runs of all cases, warm-ups first.
    pub fn runs(&self) -> impl Iterator<Item = Run> + '_ {
        let most = self.warm_up.iter().copied().max().unwrap_or(0);
        let warm_ups =
            (0..most).flat_map(move |nth| self.round(nth).into_iter().filter(move |&c| self.warm_up[c] > nth));
        let warm_ups = warm_ups.enumerate().map(|(order, case)| Run { case, round: None, order });
        let measured =
            (0..self.rounds).flat_map(move |round| self.round(round).into_iter().map(move |case| (case, round)));
        let measured = measured.enumerate().map(|(order, (case, round))| Run { case, round: Some(round), order });
        warm_ups.chain(measured)
    }

    /// Runs of all, for progress.
    pub fn len(&self) -> usize {
        self.groups.iter().sum::<usize>() * self.rounds + self.warm_up.iter().sum::<usize>()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cases of a round in their order.
    fn round(&self, round: usize) -> Vec<usize> {
        let mut cases = Vec::new();
        let mut first = 0;
        for &methods in &self.groups {
            cases.extend(row(methods, round / 2).map(|method| first + method));
            first += methods;
        }
        if round % 2 == 1 {
            cases.reverse();
        }
        cases
    }
}

/// Row `nth` of the Williams square of `k` methods: 0, 1, k - 1, 2, k - 2, ..., each moved on by `nth`. Two methods need
/// no second row, and their medians are the safer against drift without one.
fn row(k: usize, nth: usize) -> impl Iterator<Item = usize> {
    let shift = if k > 2 { nth % k } else { 0 };
    (0..k).map(move |i| {
        let zigzag = if i % 2 == 1 { i.div_ceil(2) } else { (k - i / 2) % k };
        (zigzag + shift) % k
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(schedule: &Schedule) -> Vec<usize> {
        schedule.runs().filter(|run| run.round.is_some()).map(|run| run.case).collect()
    }

    #[test]
    fn two_methods_run_a_b_b_a() {
        let schedule = Schedule { groups: vec![2], warm_up: vec![1, 1], rounds: 4 };
        assert_eq!(measured(&schedule), [0, 1, 1, 0, 0, 1, 1, 0]);
        assert_eq!(schedule.runs().filter(|run| run.round.is_none()).map(|run| run.case).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(schedule.runs().count(), schedule.len());
    }

    #[test]
    fn groups_keep_their_methods_together() {
        let schedule = Schedule { groups: vec![2, 1, 2], warm_up: vec![0, 2, 0, 1, 0], rounds: 2 };
        assert_eq!(measured(&schedule), [0, 1, 2, 3, 4, 4, 3, 2, 1, 0]);
        let warm_ups: Vec<_> = schedule.runs().take_while(|run| run.round.is_none()).map(|run| run.case).collect();
        assert_eq!(warm_ups, [1, 3, 1]);
        let orders: Vec<_> = schedule.runs().skip(3).map(|run| run.order).collect();
        assert_eq!(orders, (0..10).collect::<Vec<_>>());
    }

    /// Reversing alone passes the first two checks and fails the third from three methods on; rotating alone fails the
    /// second.
    #[test]
    fn every_method_has_every_place_and_every_neighbour() {
        for k in 2..=7 {
            let rounds = 2 * k;
            let schedule = Schedule { groups: vec![k], warm_up: vec![0; k], rounds };
            let order = measured(&schedule);
            let mut follows = vec![vec![0; k]; k];
            for (round, cases) in order.chunks(k).enumerate() {
                let mut sorted = cases.to_vec();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..k).collect::<Vec<_>>());
                if round % 2 == 1 {
                    let mirror: Vec<_> = cases.iter().rev().copied().collect();
                    assert_eq!(order[(round - 1) * k..round * k], mirror);
                }
                for pair in cases.windows(2) {
                    follows[pair[0]][pair[1]] += 1;
                }
            }
            for (a, counts) in follows.iter().enumerate() {
                for (b, &count) in counts.iter().enumerate() {
                    assert_eq!(count, if a == b { 0 } else { 2 }, "{k} methods: {b} after {a}");
                }
            }
        }
    }
}
