//! Which mode runs. The promise is never to be slower than plain decoding for long:
//!
//! - a mode leaves as soon as it is expected to lose, and comes back only through a short probe;
//! - probes grow rarer each time that they fail, and wait while they have cost more than a share of the time so far;
//! - what expectations get wrong is bounded by a debt: where all speculation of the text so far has cost more than that
//!   against plain decoding, there is none until the text is long enough to bear it.

use understory_protocol::{GovernorDecision, RoundMode};

use super::{Expected, slot};
use crate::controller::RoundPlan;

/// By how much another mode must be better to be preferred.
const HYSTERESIS: f64 = 1.03;
/// By how much a mode must be better that was only imagined, or that the costs measured at load promise: a false start
/// spends what speculation may cost.
const IMAGINED_HYSTERESIS: f64 = 1.1;
/// What is imagined to be so much better begins whatever was lost before, with credit for so many plain steps.
const STRIKING: f64 = 1.25;
const STRIKING_STEPS: f64 = 2.0;
const PROBE_ROUNDS: usize = 3;
/// Rounds to the first probe of a paused mode; doubled each time that one fails.
const FIRST_WAIT: usize = 24;
const LONGEST_WAIT: usize = 256;
/// What probes may have cost against the mode that runs, as a share of all time so far.
const PROBE_SHARE: f64 = 0.015;
/// What speculation may have cost against plain decoding: so many plain steps, and a share of all time so far.
const DEBT_STEPS: f64 = 1.25;
const DEBT_SHARE: f64 = 0.005;
/// After so many rounds in a mode its pauses are short again, and what is known of plain decoding is old.
const LONG: usize = 64;

const MODES: [RoundMode; 3] = [RoundMode::Plain, RoundMode::Lookup, RoundMode::Draft];

#[derive(Debug)]
pub(super) struct Governor {
    mode: RoundMode,
    /// rounds planned so far: the index of the next one
    planned: usize,
    /// since when `mode` runs
    since: usize,
    pauses: [Pause; 3],
    probe: Option<Probe>,
    /// the last round that was observed in plain mode
    last_plain: Option<usize>,
    spent_ms: f64,
    /// of which in other modes than plain, and the tokens that came of it
    speculated_ms: f64,
    speculated_tokens: usize,
    probes_lost_ms: f64,
    granted_ms: f64,
    decisions: Vec<GovernorDecision>,
}

/// When a mode may be tried again.
#[derive(Clone, Copy, Debug)]
struct Pause {
    until: usize,
    wait: usize,
}

#[derive(Debug)]
struct Probe {
    mode: RoundMode,
    to_plan: usize,
    to_observe: usize,
}

/// The next round's mode.
#[derive(Debug)]
pub(super) struct Turn {
    pub mode: RoundMode,
    pub probe: bool,
    /// a probe of this mode begins: what is known of it is old
    pub begins: Option<RoundMode>,
}

impl Governor {
    /// Starts in the mode of which most is expected.
    pub fn new(expected: Expected) -> Self {
        let pause = |until| Pause { until, wait: FIRST_WAIT };
        let mut governor = Self {
            mode: RoundMode::Plain,
            planned: 0,
            since: 0,
            // Plain decoding waits for nothing: it is tried as soon as it is expected to win.
            pauses: [pause(0), pause(FIRST_WAIT), pause(FIRST_WAIT)],
            probe: None,
            last_plain: None,
            spent_ms: 0.0,
            speculated_ms: 0.0,
            speculated_tokens: 0,
            probes_lost_ms: 0.0,
            granted_ms: 0.0,
            decisions: Vec::new(),
        };
        let start = MODES.into_iter().fold(RoundMode::Plain, |best, mode| {
            let needed = rate(expected, best) * if best == RoundMode::Plain { IMAGINED_HYSTERESIS } else { 1.0 };
            if rate(expected, mode) > needed { mode } else { best }
        });
        governor.mode = start;
        governor.decide(expected, format!("start: {}", versus_plain(expected, start)));
        governor
    }

    pub fn decisions(&self) -> &[GovernorDecision] {
        &self.decisions
    }

    /// `begin_draft_ms`: what the first round with a draft costs beside itself.
    pub fn plan(&mut self, expected: Expected, begin_draft_ms: f64) -> Turn {
        if expected[slot(self.mode)].is_none() {
            let lookup = rate(expected, RoundMode::Lookup) > IMAGINED_HYSTERESIS * rate(expected, RoundMode::Plain);
            let mode = if lookup { RoundMode::Lookup } else { RoundMode::Plain };
            self.change(mode, expected, "beyond the draft's context");
        }
        let mut begins = None;
        if self.probe.is_none()
            && let Some(mode) = self.due(expected, begin_draft_ms)
        {
            self.probe = Some(Probe { mode, to_plan: PROBE_ROUNDS, to_observe: PROBE_ROUNDS });
            begins = Some(mode);
        }
        self.planned += 1;
        match &mut self.probe {
            Some(probe) if probe.to_plan > 0 => {
                probe.to_plan -= 1;
                Turn { mode: probe.mode, probe: true, begins }
            }
            _ => Turn { mode: self.mode, probe: false, begins },
        }
    }

    pub fn observe(&mut self, plan: &RoundPlan, tokens: usize, elapsed_ms: f64, expected: Expected) {
        self.spent_ms += elapsed_ms;
        if plan.mode == RoundMode::Plain {
            self.last_plain = Some(self.planned);
        } else {
            self.speculated_ms += elapsed_ms;
            self.speculated_tokens += tokens;
        }
        if plan.probe {
            // What the time would have given otherwise.
            self.probes_lost_ms += (elapsed_ms - tokens as f64 / rate(expected, self.mode)).max(0.0);
            if let Some(probe) = &mut self.probe {
                probe.to_observe = probe.to_observe.saturating_sub(1);
            }
        }
        match &self.probe {
            None => self.reconsider(expected),
            Some(Probe { mode, to_observe: 0, .. }) => {
                let mode = *mode;
                self.probe = None;
                self.conclude(mode, expected);
            }
            Some(_) => (),
        }
    }

    /// A paused mode to try now.
    fn due(&self, expected: Expected, begin_draft_ms: f64) -> Option<RoundMode> {
        let here = rate(expected, self.mode);
        MODES.into_iter().find(|&mode| {
            let there = rate(expected, mode);
            match mode {
                _ if mode == self.mode || there <= 0.0 || self.planned < self.pauses[slot(mode)].until => false,
                // What plain decoding costs may have changed since it was measured: a probe makes sure before a mode
                // is left for it.
                RoundMode::Plain => there > here && !self.knows(mode),
                _ if self.knows(mode) => false,
                _ => {
                    // On as many tokens as rounds, the fewest that they can give.
                    let begin_ms = if mode == RoundMode::Draft { begin_draft_ms } else { 0.0 };
                    let loss_ms = |than: f64| (begin_ms + PROBE_ROUNDS as f64 * (1.0 / there - 1.0 / than)).max(0.0);
                    self.probes_lost_ms + loss_ms(here) <= PROBE_SHARE * self.spent_ms
                        && loss_ms(rate(expected, RoundMode::Plain)) <= self.credit_ms(expected)
                }
            }
        })
    }

    /// Whether the rounds that run now, or did lately, tell what to expect of `mode`. Rounds with a draft look up too,
    /// and while the text is decoded plainly, lookup is imagined.
    fn knows(&self, mode: RoundMode) -> bool {
        match mode {
            RoundMode::Plain => self.last_plain.is_some_and(|round| self.planned - round < LONG),
            RoundMode::Lookup => true,
            RoundMode::Draft => self.mode == RoundMode::Draft,
        }
    }

    /// What speculation may still cost. Negative: it has made this text slower than plain decoding would have been, by
    /// more than is allowed.
    fn credit_ms(&self, expected: Expected) -> f64 {
        let step_ms = 1.0 / rate(expected, RoundMode::Plain);
        let lost_ms = self.speculated_ms - self.speculated_tokens as f64 * step_ms;
        self.granted_ms + DEBT_STEPS * step_ms + DEBT_SHARE * self.spent_ms - lost_ms
    }

    /// After a round of the mode that runs.
    fn reconsider(&mut self, expected: Expected) {
        if self.planned - self.since >= LONG {
            self.pauses[slot(self.mode)].wait = FIRST_WAIT;
        }
        if self.mode != RoundMode::Plain && self.credit_ms(expected) < 0.0 {
            return self.change(RoundMode::Plain, expected, "lost too much so far");
        }
        let here = rate(expected, self.mode);
        // What it costs is not imagined: a mode that lost comes back after its pause, and while there is credit.
        let striking = |mode| rate(expected, mode) > STRIKING * rate(expected, RoundMode::Plain);
        let may_begin = |mode| {
            let rested = self.planned >= self.pauses[slot(mode)].until;
            mode == RoundMode::Plain
                || self.mode != RoundMode::Plain
                || (rested && (striking(mode) || self.credit_ms(expected) > 0.0))
        };
        let candidates = MODES.into_iter().filter(|&m| m != self.mode && self.knows(m) && may_begin(m));
        let better = candidates.into_iter().find(|&mode| {
            let needed = match (self.mode, mode) {
                (_, RoundMode::Plain) => 1.0,
                (RoundMode::Plain, _) => IMAGINED_HYSTERESIS,
                _ => HYSTERESIS,
            };
            rate(expected, mode) > needed * here
        });
        if let Some(mode) = better {
            if self.mode == RoundMode::Plain && striking(mode) {
                let enough = STRIKING_STEPS / rate(expected, RoundMode::Plain);
                self.granted_ms += (enough - self.credit_ms(expected)).max(0.0);
            }
            let how = if self.mode == RoundMode::Plain { "estimated" } else { "measured" };
            self.change(mode, expected, how);
        }
    }

    fn conclude(&mut self, mode: RoundMode, expected: Expected) {
        let needed = if mode == RoundMode::Plain { 1.0 } else { HYSTERESIS };
        if rate(expected, mode) > needed * rate(expected, self.mode) {
            self.change(mode, expected, "probed");
        } else {
            self.pause(mode);
        }
    }

    fn change(&mut self, mode: RoundMode, expected: Expected, how: &str) {
        let left = self.mode;
        self.pause(left);
        self.mode = mode;
        self.since = self.planned;
        let reason = format!("{how}: {} instead of {}", versus_plain(expected, mode), versus_plain(expected, left));
        self.decide(expected, reason);
    }

    /// Plain decoding is never paused: it is what everything else is measured against.
    fn pause(&mut self, mode: RoundMode) {
        let pause = &mut self.pauses[slot(mode)];
        pause.until = self.planned + pause.wait;
        pause.wait = match mode {
            RoundMode::Plain => FIRST_WAIT,
            // Coming back to a mode that was imagined meanwhile is no shot in the dark.
            RoundMode::Lookup => (2 * pause.wait).min(4 * FIRST_WAIT),
            RoundMode::Draft => (2 * pause.wait).min(LONGEST_WAIT),
        };
    }

    fn decide(&mut self, expected: Expected, reason: String) {
        self.decisions.push(GovernorDecision { round: self.planned, mode: self.mode, expected, reason });
    }
}

fn rate(expected: Expected, mode: RoundMode) -> f64 {
    expected[slot(mode)].unwrap_or(0.0)
}

fn versus_plain(expected: Expected, mode: RoundMode) -> String {
    let name = match mode {
        RoundMode::Plain => return "plain decoding".to_owned(),
        RoundMode::Lookup => "lookup",
        RoundMode::Draft => "draft",
    };
    match expected[slot(mode)] {
        Some(tokens_per_ms) => {
            format!("{name} ({:.2} x plain decoding)", tokens_per_ms / rate(expected, RoundMode::Plain))
        }
        None => name.to_owned(),
    }
}
