//! The reference's KV cache: keys and values of every layer, grown by concatenation.

use burn::tensor::Tensor;

use understory_model::config::ModelConfig;

/// Keys and values of one layer; keys are normed and rotated already.
#[derive(Clone, Default)]
pub(super) struct LayerCache(Option<(Tensor<3>, Tensor<3>)>);

impl LayerCache {
    /// Appends `[n_kv_heads, n_tokens, head_dim]` each and returns all that is held:
    /// `[n_kv_heads, n_positions, head_dim]` each.
    pub(super) fn append(&mut self, k: Tensor<3>, v: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        let kv = match self.0.take() {
            Some((old_k, old_v)) => (Tensor::cat(vec![old_k, k], 1), Tensor::cat(vec![old_v, v], 1)),
            None => (k, v),
        };
        self.0 = Some(kv.clone());
        kv
    }
}

/// The keys and values of one sequence. A clone shares its tensors, so a sequence can be forked.
#[derive(Clone)]
pub struct ReferenceCache {
    layers: Vec<LayerCache>,
    n_positions: usize,
}

impl ReferenceCache {
    pub fn new(config: &ModelConfig) -> Self {
        Self { layers: vec![LayerCache::default(); config.n_layers()], n_positions: 0 }
    }

    /// Positions held, which is also the position of the next token.
    pub fn len(&self) -> usize {
        self.n_positions
    }

    pub fn is_empty(&self) -> bool {
        self.n_positions == 0
    }

    pub(super) fn n_layers(&self) -> usize {
        self.layers.len()
    }

    pub(super) fn layer(&mut self, layer_idx: usize) -> &mut LayerCache {
        &mut self.layers[layer_idx]
    }

    pub(super) fn advance(&mut self, n_tokens: usize) {
        self.n_positions += n_tokens;
    }
}
