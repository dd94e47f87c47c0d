//! One generation as it comes in: tokens with where they came from, emissions, rounds. Plain data, no DOM.

use understory_protocol::{Event, Generation, NodeOrigin, Round};

/// How a token came into the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenSource {
    /// chosen by the target where no guess was right, or beyond the last right one
    Own,
    /// guessed by the draft model, at this depth of its tree
    Drafted(usize),
    /// found in the text before, at this depth
    LookedUp(usize),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub text: String,
    pub source: TokenSource,
}

/// Tokens read at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Emission {
    pub at_ms: f64,
    pub tokens: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TracedRound {
    pub round: Round,
    /// index among the new tokens of the first that it emitted
    pub first: usize,
    /// of the nodes
    pub texts: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Run {
    /// which engine wrote
    pub engine: String,
    /// what the text goes on from; empty in a conversation
    pub prompt: String,
    /// `None`: the engine has not begun
    pub prompt_tokens: Option<usize>,
    pub tokens: Vec<Token>,
    pub emissions: Vec<Emission>,
    pub rounds: Vec<TracedRound>,
    /// the first token of the last emission that no round was told of yet
    unexplained: usize,
    /// on the page's clock
    pub submitted_ms: f64,
    pub paint_ttft_ms: Option<f64>,
    /// The tab was hidden at some moment of it.
    pub hidden: bool,
    pub generation: Option<Generation>,
}

impl Run {
    pub fn new(prompt: String, engine: String, submitted_ms: f64) -> Self {
        Self { engine, prompt, submitted_ms, ..Self::default() }
    }

    pub fn take(&mut self, event: Event) {
        match event {
            Event::Started { prompt_tokens, .. } => self.prompt_tokens = Some(prompt_tokens),
            Event::Emission { pieces, at_ms, .. } => {
                self.unexplained = self.tokens.len();
                self.emissions.push(Emission { at_ms, tokens: pieces.len() });
                // A round, if it was one, comes next and says more.
                self.tokens.extend(pieces.into_iter().map(|text| Token { text, source: TokenSource::Own }));
            }
            Event::Round { round, texts } => {
                let first = self.unexplained;
                self.unexplained += round.emitted.len();
                self.note_sources(first, &round);
                self.rounds.push(TracedRound { round, first, texts });
            }
        }
    }

    /// The text that token `index` added; `None` where it is not part of the text.
    pub fn piece(&self, index: usize) -> Option<&str> {
        self.tokens.get(index).map(|token| token.text.as_str())
    }

    /// Tokens per second since the first one.
    pub fn rate(&self) -> Option<f64> {
        let (first, last) = (self.emissions.first()?, self.emissions.last()?);
        let after_first = self.tokens.len().checked_sub(1).filter(|&n| n > 0)?;
        Some(after_first as f64 / (last.at_ms - first.at_ms) * 1e3)
    }

    fn note_sources(&mut self, first: usize, round: &Round) {
        let accepted = round.path.iter().skip(1).filter_map(|&row| round.nodes.get(row));
        for (token, node) in self.tokens.iter_mut().skip(first).zip(accepted) {
            token.source = match node.origin {
                NodeOrigin::Root => TokenSource::Own,
                NodeOrigin::Draft { .. } => TokenSource::Drafted(node.depth),
                NodeOrigin::Lookup => TokenSource::LookedUp(node.depth),
            };
        }
    }
}
