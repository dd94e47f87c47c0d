//! Prompt lookup: guesses from the text itself, with no draft model (Saxena, "Prompt lookup decoding", 2023). The kernel
//! `accept` prepares the next round's chain with the same rule; this is what it is tested against.

/// What to look for and how much to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupRule {
    /// longer matches count as this long
    pub max_match: usize,
    /// shorter matches are none; at least 1
    pub min_match: usize,
    /// length of the continuation
    pub tokens: usize,
}

/// Finds the earlier place whose context agrees with the end of `history` for the most tokens, the latest of several,
/// and returns how many agree (0: none) with the tokens that followed it there.
///
/// A continuation that reaches the end of `history` goes on in its own period: after `a b a b` comes `a b a b ...`.
///
/// Saxena's search takes the first place of the longest match; the latest one is the more likely to be about the same
/// thing.
pub fn lookup(history: &[u32], rule: &LookupRule) -> (usize, Vec<u32>) {
    let Some(last) = history.len().checked_sub(1) else { return (0, Vec::new()) };
    let agreement = |end: usize| {
        let earlier = history[..=end].iter().rev();
        earlier.zip(history.iter().rev()).take(rule.max_match).take_while(|(a, b)| a == b).count()
    };
    // The last of equal maxima.
    let Some((matched, end)) = (0..last).map(|end| (agreement(end), end)).max() else { return (0, Vec::new()) };
    if matched < rule.min_match.max(1) {
        return (0, Vec::new());
    }
    let continuation = history[end + 1..].iter().copied().cycle().take(rule.tokens).collect();
    (matched, continuation)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: LookupRule = LookupRule { max_match: 3, min_match: 1, tokens: 5 };

    /// Seen to fail here: the first of equal matches; no cap; a continuation that ends with the history.
    #[test]
    fn the_longest_match_wins_then_the_latest() {
        assert_eq!(lookup(&[1, 2, 3, 9, 2, 3, 8, 2, 3], &RULE), (2, vec![8, 2, 3, 8, 2]));
        assert_eq!(lookup(&[1, 2, 3, 9, 5, 2, 3, 8, 1, 2, 3], &RULE), (3, vec![9, 5, 2, 3, 8]));
        // Beyond the cap both are equal.
        let history = [7, 1, 2, 3, 5, 8, 1, 2, 3, 6, 7, 1, 2, 3];
        assert_eq!(lookup(&history, &RULE).1[0], 6);
        assert_eq!(lookup(&history, &LookupRule { max_match: 4, ..RULE }).1[0], 5);
        assert_eq!(lookup(&[4, 4], &RULE), (1, vec![4; 5]));
    }

    #[test]
    fn no_match_is_no_continuation() {
        for history in [&[][..], &[1], &[1, 2, 3]] {
            assert_eq!(lookup(history, &RULE), (0, vec![]));
        }
        assert_eq!(lookup(&[1, 2, 1], &LookupRule { min_match: 2, ..RULE }), (0, vec![]));
        assert_eq!(lookup(&[1, 2, 1], &LookupRule { min_match: 0, max_match: 0, ..RULE }), (0, vec![]));
        assert_eq!(lookup(&[1, 2, 1], &LookupRule { tokens: 0, ..RULE }), (1, vec![]));
    }
}
