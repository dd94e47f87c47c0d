//! What depends on the positions of a forward and not on a layer's weights: rotations and masks.

use burn::tensor::{Device, Tensor, TensorData};

use understory_model::config::{LayerKind, ModelConfig, Rope};

/// Added to a score that must not count. Finite, so that no backend has to get infinities right.
const MASKED: f32 = -1e30;

/// Tables for the tokens at positions `start .. start + n_tokens`.
pub(super) struct Positions {
    /// one for each entry of [`ModelConfig::ropes`]
    rotations: Vec<Rotation>,
    /// one for each window size that occurs; `None` where every key counts
    masks: Vec<(Option<usize>, Option<Tensor<2>>)>,
}

impl Positions {
    pub(super) fn new(config: &ModelConfig, start: usize, n_tokens: usize, device: &Device) -> Self {
        let rotations = config.ropes.iter().map(|rope| Rotation::new(rope, start, n_tokens, device)).collect();
        let mut masks: Vec<(Option<usize>, Option<Tensor<2>>)> = Vec::new();
        for &LayerKind { window, .. } in &config.layers {
            if masks.iter().all(|(known, _)| *known != window) {
                masks.push((window, mask(window, start, n_tokens, device)));
            }
        }
        Self { rotations, masks }
    }

    /// Rotates `[heads, n_tokens, head_dim]` as layers of this kind do; learned positions rotate nothing.
    pub(super) fn rotate(&self, kind: &LayerKind, x: Tensor<3>) -> Tensor<3> {
        match kind.rope {
            Some(table) => self.rotations[table].apply(x),
            None => x,
        }
    }

    /// `[n_tokens, start + n_tokens]`, added to the scores of layers of this kind.
    pub(super) fn mask(&self, kind: &LayerKind) -> Option<Tensor<2>> {
        self.masks.iter().find(|(window, _)| *window == kind.window).and_then(|(_, mask)| mask.clone())
    }
}

/// Row i is the query at position `start + i`: it sees no later key, and none that left its window.
fn mask(window: Option<usize>, start: usize, n_tokens: usize, device: &Device) -> Option<Tensor<2>> {
    let n_keys = start + n_tokens;
    if n_tokens == 1 && window.is_none_or(|window| n_keys <= window) {
        return None;
    }
    let sees = |query: usize, key: usize| key <= query && window.is_none_or(|window| query - key < window);
    let values: Vec<f32> = (start..n_keys)
        .flat_map(|query| (0..n_keys).map(move |key| if sees(query, key) { 0.0 } else { MASKED }))
        .collect();
    Some(Tensor::from_data(TensorData::new(values, [n_tokens, n_keys]), device))
}

/// Cosines and sines of one rope, `[1, n_tokens, rotary_dim / 2]`.
struct Rotation {
    cos: Tensor<3>,
    sin: Tensor<3>,
}

impl Rotation {
    fn new(rope: &Rope, start: usize, n_tokens: usize, device: &Device) -> Self {
        // `transformers` rounds the angle to f32 before it takes the cosine.
        let angles: Vec<f32> = (start..start + n_tokens)
            .flat_map(|position| rope.inv_freq.iter().map(move |freq| position as f32 * freq))
            .collect();
        let table = |f: fn(f64) -> f64| {
            let values: Vec<f32> = angles.iter().map(|&angle| f(f64::from(angle)) as f32).collect();
            Tensor::from_data(TensorData::new(values, [1, n_tokens, rope.inv_freq.len()]), device)
        };
        Self { cos: table(f64::cos), sin: table(f64::sin) }
    }

    /// `rotate_half`: dimension i turns with dimension i + rotary_dim / 2; dimensions beyond rotary_dim pass.
    fn apply(&self, x: Tensor<3>) -> Tensor<3> {
        let half = self.cos.dims()[2];
        let head_dim = x.dims()[2];
        let (a, b) = (x.clone().narrow(2, 0, half), x.clone().narrow(2, half, half));
        let mut parts = vec![
            a.clone() * self.cos.clone() - b.clone() * self.sin.clone(),
            b * self.cos.clone() + a * self.sin.clone(),
        ];
        if head_dim > 2 * half {
            parts.push(x.narrow(2, 2 * half, head_dim - 2 * half));
        }
        Tensor::cat(parts, 2)
    }
}
