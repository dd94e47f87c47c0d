//! The blocks that every family is made of: linear layer, norm, attention, MLP.

use burn::tensor::{Tensor, activation, module};
use understory_model::config::{Activation, ModelConfig, NormKind};

use super::cache::LayerCache;
use super::positions::Positions;

/// `y = x W^T + b`
pub(super) struct Linear {
    /// `[out_features, in_features]`
    pub(super) weight: Tensor<2>,
    /// `[1, out_features]`
    pub(super) bias: Option<Tensor<2>>,
}

impl Linear {
    pub(super) fn apply(&self, x: Tensor<2>) -> Tensor<2> {
        let y = x.matmul(self.weight.clone().transpose());
        match &self.bias {
            Some(bias) => y + bias.clone(),
            None => y,
        }
    }
}

/// A norm over the last dimension.
pub(super) struct NormWeights {
    pub(super) kind: NormKind,
    pub(super) eps: f32,
    /// The factor itself: a unit offset was added when it was loaded.
    pub(super) weight: Tensor<1>,
    pub(super) bias: Option<Tensor<1>>,
}

impl NormWeights {
    pub(super) fn apply<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self.kind {
            NormKind::Layer => module::layer_norm(x, self.weight.clone(), self.bias.clone(), f64::from(self.eps)),
            NormKind::Rms => {
                let mean_square = x.clone().square().mean_dim(D - 1);
                x / (mean_square + self.eps).sqrt() * self.weight.clone().unsqueeze()
            }
        }
    }
}

fn apply_activation(kind: Activation, x: Tensor<2>) -> Tensor<2> {
    match kind {
        Activation::Silu => activation::silu(x),
        Activation::Gelu => activation::gelu(x),
        // Not burn's gelu_approximate: it takes the cube with a general power.
        Activation::GeluTanh => {
            let cube = x.clone() * x.clone() * x.clone();
            let inner = (x.clone() + cube * 0.044_715) * (2.0 / std::f64::consts::PI).sqrt();
            x * 0.5 * (inner.tanh() + 1.0)
        }
        Activation::Relu => activation::relu(x),
    }
}

/// One transformer layer; the names are those of [`understory_model::weights::LayerSlot`].
pub(super) struct Layer {
    pub(super) attn_norm: NormWeights,
    pub(super) qkv: Linear,
    pub(super) q_norm: Option<NormWeights>,
    pub(super) k_norm: Option<NormWeights>,
    pub(super) attn_out: Linear,
    pub(super) post_attn_norm: Option<NormWeights>,
    pub(super) mlp_norm: NormWeights,
    pub(super) mlp_up: Linear,
    pub(super) mlp_down: Linear,
    pub(super) post_mlp_norm: Option<NormWeights>,
}

impl Layer {
    /// What attention adds to the residual stream `x`, `[n_tokens, hidden_size]`.
    pub(super) fn attention(
        &self,
        config: &ModelConfig,
        layer_idx: usize,
        x: Tensor<2>,
        positions: &Positions,
        cache: &mut LayerCache,
    ) -> Tensor<2> {
        let kind = &config.layers[layer_idx];
        let [n_tokens, _] = x.dims();
        let (n_heads, n_kv_heads, head_dim) = (config.n_heads, config.n_kv_heads, config.head_dim);

        let qkv = self.qkv.apply(self.attn_norm.apply(x));
        // [n_tokens, heads, head_dim]
        let heads = |first_column: usize, heads: usize| {
            qkv.clone().narrow(1, first_column, heads * head_dim).reshape([n_tokens, heads, head_dim])
        };
        let q = apply_or_pass(&self.q_norm, heads(0, n_heads)).swap_dims(0, 1);
        let k = apply_or_pass(&self.k_norm, heads(config.q_dim(), n_kv_heads)).swap_dims(0, 1);
        let v = heads(config.q_dim() + config.kv_dim(), n_kv_heads).swap_dims(0, 1);
        let q = positions.rotate(kind, q);
        let k = positions.rotate(kind, k);
        let (k, v) = cache.append(k, v);
        let n_keys = k.dims()[1];

        // Query heads of one KV head are neighbours, so they become rows of one product.
        let group = n_heads / n_kv_heads;
        let q = q.reshape([n_kv_heads, group * n_tokens, head_dim]);
        let scores = q.matmul(k.transpose()) * kind.attention_scale;
        let mut scores = scores.reshape([n_heads, n_tokens, n_keys]);
        if let Some(mask) = positions.mask(kind) {
            scores = scores + mask.unsqueeze();
        }
        let weights = activation::softmax(scores, 2).reshape([n_kv_heads, group * n_tokens, n_keys]);
        let mixed = weights.matmul(v).reshape([n_heads, n_tokens, head_dim]);
        let mixed = mixed.swap_dims(0, 1).reshape([n_tokens, config.q_dim()]);
        apply_or_pass(&self.post_attn_norm, self.attn_out.apply(mixed))
    }

    /// What the MLP adds to the residual stream `x`, `[n_tokens, hidden_size]`.
    pub(super) fn mlp(&self, config: &ModelConfig, x: Tensor<2>) -> Tensor<2> {
        let up = self.mlp_up.apply(self.mlp_norm.apply(x));
        let inner = if config.mlp_gated {
            let n = config.intermediate_size;
            apply_activation(config.activation, up.clone().narrow(1, 0, n)) * up.narrow(1, n, n)
        } else {
            apply_activation(config.activation, up)
        };
        apply_or_pass(&self.post_mlp_norm, self.mlp_down.apply(inner))
    }
}

fn apply_or_pass<const D: usize>(norm: &Option<NormWeights>, x: Tensor<D>) -> Tensor<D> {
    match norm {
        Some(norm) => norm.apply(x),
        None => x,
    }
}
