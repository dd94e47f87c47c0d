//! Which slots a configuration needs, and their shapes.

use std::ops::Range;

use super::LayerSlot::{self, *};
use super::Slot;
use crate::config::{ModelConfig, NormKind};

/// The shape of a slot. A feature is an output of a matrix, or an element of a vector.
#[derive(Clone, Copy, Debug)]
pub(super) enum Layout {
    Vector(usize),
    /// rows (output features), columns (inputs)
    Matrix(usize, usize),
}

impl Layout {
    pub fn shape(self) -> [usize; 2] {
        match self {
            Self::Vector(n) => [1, n],
            Self::Matrix(rows, columns) => [rows, columns],
        }
    }

    /// The features in some rows of [`Layout::shape`].
    pub fn features(self, rows: Range<usize>) -> Range<usize> {
        match self {
            Self::Vector(n) => 0..n * rows.len(),
            Self::Matrix(..) => rows,
        }
    }

    /// How many features each of `n_tensors` stacked tensors holds.
    pub fn parts(self, slot: Slot, n_tensors: usize, config: &ModelConfig) -> Vec<usize> {
        let (Self::Vector(features) | Self::Matrix(features, _)) = self;
        match (n_tensors, slot) {
            (3, Slot::Layer(_, Qkv | QkvBias)) => vec![config.q_dim(), config.kv_dim(), config.kv_dim()],
            (n, _) => vec![features / n; n],
        }
    }
}

/// Every slot in the order of [`super::ModelWeights::slots`]. `tied`: the head is the embedding.
pub(super) fn needed(config: &ModelConfig, tied: bool) -> Vec<(Slot, Layout)> {
    use Layout::{Matrix, Vector};
    let (hidden, vocab) = (config.hidden_size, config.vocab_size);
    let layer = layer(config);
    let mut slots = vec![(Slot::Embedding, Matrix(vocab, hidden))];
    let mut add_if = |condition, slot, layout| slots.extend(Some((slot, layout)).filter(|_| condition));
    add_if(config.learned_positions, Slot::PositionEmbedding, Matrix(config.max_position_embeddings, hidden));
    for index in 0..config.n_layers() {
        for &(slot, layout) in &layer {
            add_if(true, Slot::Layer(index, slot), layout);
        }
    }
    add_if(true, Slot::FinalNorm, Vector(hidden));
    add_if(config.norm.kind == NormKind::Layer, Slot::FinalNormBias, Vector(hidden));
    add_if(!tied, Slot::LmHead, Matrix(vocab, hidden));
    add_if(config.lm_head_bias, Slot::LmHeadBias, Vector(vocab));
    slots
}

fn layer(config: &ModelConfig) -> Vec<(LayerSlot, Layout)> {
    use Layout::{Matrix, Vector};
    let hidden = config.hidden_size;
    let qkv = config.q_dim() + 2 * config.kv_dim();
    let up = config.intermediate_size * if config.mlp_gated { 2 } else { 1 };
    let norm_bias = config.norm.kind == NormKind::Layer;
    let all = [
        (true, AttnNorm, Vector(hidden)),
        (norm_bias, AttnNormBias, Vector(hidden)),
        (true, Qkv, Matrix(qkv, hidden)),
        (config.qkv_bias, QkvBias, Vector(qkv)),
        (config.qk_norm, QNorm, Vector(config.head_dim)),
        (config.qk_norm, KNorm, Vector(config.head_dim)),
        (true, AttnOut, Matrix(hidden, config.q_dim())),
        (config.attn_out_bias, AttnOutBias, Vector(hidden)),
        (config.post_norms, PostAttnNorm, Vector(hidden)),
        (true, MlpNorm, Vector(hidden)),
        (norm_bias, MlpNormBias, Vector(hidden)),
        (true, MlpUp, Matrix(up, hidden)),
        (config.mlp_bias, MlpUpBias, Vector(up)),
        (true, MlpDown, Matrix(hidden, config.intermediate_size)),
        (config.mlp_bias, MlpDownBias, Vector(hidden)),
        (config.post_norms, PostMlpNorm, Vector(hidden)),
    ];
    all.into_iter().filter(|(needed, ..)| *needed).map(|(_, slot, layout)| (slot, layout)).collect()
}
