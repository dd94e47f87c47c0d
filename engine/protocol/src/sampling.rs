//! How the next token is chosen from the logits, as parameters. The choice itself is a kernel
//! (`shaders/kernels/sample.wesl`) with a CPU reference of the same name.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Filters apply in this order: repetition penalty, temperature, top-k, top-p, min-p; then the token is
/// `argmax(logit / T + Gumbel(seed, position, token))`. Temperature 0 is plain argmax (lowest id wins a tie).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sampling {
    /// 0 = greedy
    pub temperature: f32,
    /// keep the k most likely tokens; 0 = all
    pub top_k: u32,
    /// keep the smallest set of tokens whose probability, in steps of 2^-31 of the largest, reaches p; 1 = all
    pub top_p: f32,
    /// drop tokens less likely than `min_p` times the most likely one; 0 = none
    pub min_p: f32,
    /// divide positive logits (multiply negative ones) of tokens already in the context; 1 = off
    pub repetition_penalty: f32,
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, seed: 0 }
    }
}

impl Sampling {
    /// Whether the token is always the largest logit as the model gives it.
    pub fn is_plain_greedy(&self) -> bool {
        self.temperature == 0.0 && self.repetition_penalty == 1.0
    }

    /// # Errors
    /// [`Error::BadParameter`] names the first parameter outside its range.
    pub fn validate(&self) -> Result<()> {
        let bad = |name, value: f32, expected| Err(Error::BadParameter { name, value: value.to_string(), expected });
        // Below the least, logits divided by it leave the range in which f32 tells them apart.
        if !(self.temperature == 0.0 || (1e-3..=1e3).contains(&self.temperature)) {
            return bad("temperature", self.temperature, "0 (greedy) or a number from 0.001 to 1000");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return bad("top-p", self.top_p, "a number above 0 and up to 1");
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return bad("min-p", self.min_p, "a number from 0 to 1");
        }
        if !(self.repetition_penalty.is_finite() && self.repetition_penalty > 0.0) {
            return bad("repetition-penalty", self.repetition_penalty, "a positive number (1 = off)");
        }
        Ok(())
    }
}
