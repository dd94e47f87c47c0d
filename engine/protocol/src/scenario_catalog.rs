//! The built-in scenarios for a chooser, without what they are made of: an interface needs their names and how much they
//! generate, not their prompts.

/// A scenario, of which an engine that is loaded makes the runs with a resident model.
#[derive(Debug, PartialEq, Eq)]
pub struct Offer {
    pub name: &'static str,
    pub what: &'static str,
    /// prompts x lengths x methods
    pub cases: usize,
    /// new tokens of one run of each case
    pub tokens: usize,
    /// It has starts too, which only fresh processes can make.
    pub starts: bool,
}

/// In the order of the scenarios, with a draft model.
pub static OFFERS: [Offer; 5] = [
    Offer {
        name: "quick",
        what: "Plain decoding, a fixed chain and auto on two prompts: to compare devices",
        cases: 6,
        tokens: 384,
        starts: false,
    },
    Offer {
        name: "dynatree",
        what: "Eight methods over three lengths: speed-up, tokens a round, efficiency, repetition",
        cases: 72,
        tokens: 19_200,
        starts: false,
    },
    Offer {
        name: "single-request",
        what: "One short request: TTFT, TPOT, ITL and the whole time",
        cases: 1,
        tokens: 20,
        starts: true,
    },
    Offer {
        name: "pair",
        what: "Is the draft worth it: target with draft against the target alone, and from which length on",
        cases: 18,
        tokens: 2520,
        starts: true,
    },
    Offer {
        name: "position",
        what: "The time of each step by its position, over lengths of prompt and output",
        cases: 18,
        tokens: 954,
        starts: false,
    },
];

/// Measured runs of each case unless another number is asked for, and runs before them that do not count.
pub const RUNS: usize = 10;
pub const WARM_UP: usize = 1;
