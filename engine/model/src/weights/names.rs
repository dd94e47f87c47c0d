//! What each family calls the tensors of the shared blocks and how it stores them, in a Hugging Face repository.

use super::LayerSlot::{self, *};
use crate::config::Family;

/// How a stored tensor relates to its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// as it is; several tensors stack along the output features
    Rows,
    /// `[in_features, out_features]`
    Transposed,
    /// output features ordered `[n_heads, (q, k, v), head_dim]`
    PerHead,
    /// stacked as [`Form::Rows`]; within a head of q and of k, features are ordered `[head_dim / 2, (first half, second)]`
    Interleaved,
}

impl Form {
    /// Of the `nth` tensor that makes up a slot.
    pub fn of_tensor(self, nth: usize) -> Self {
        match self {
            // Nothing rotates v.
            Self::Interleaved if nth == 2 => Self::Rows,
            other => other,
        }
    }
}

/// The tensors that make up a slot of a layer, in the order of its rows.
pub(super) struct LayerName {
    pub slot: LayerSlot,
    pub tensors: &'static [&'static str],
    pub form: Form,
}

pub(super) struct Names {
    /// alternatives for what stands before every name but the head's
    pub prefixes: &'static [&'static str],
    pub embedding: &'static str,
    pub position_embedding: &'static str,
    pub final_norm: &'static str,
    pub final_norm_bias: &'static str,
    /// alternatives, without prefix
    pub lm_head: &'static [&'static str],
    /// a layer's names begin with this, its number and a dot
    pub layers: &'static str,
    pub layer: &'static [LayerName],
}

pub(super) const fn rows(slot: LayerSlot, tensors: &'static [&'static str]) -> LayerName {
    LayerName { slot, tensors, form: Form::Rows }
}

const fn transposed(slot: LayerSlot, tensors: &'static [&'static str]) -> LayerName {
    LayerName { slot, tensors, form: Form::Transposed }
}

const fn per_head(slot: LayerSlot, tensors: &'static [&'static str]) -> LayerName {
    LayerName { slot, tensors, form: Form::PerHead }
}

impl Names {
    pub fn of(family: Family) -> &'static Names {
        match family {
            Family::Gpt2 => &GPT2,
            Family::GptNeox => &GPT_NEOX,
            Family::Llama | Family::Qwen2 | Family::Qwen3 => &LLAMA,
            Family::Gemma3 => &GEMMA3,
        }
    }

    pub fn layer_name(&self, slot: LayerSlot) -> Option<&'static LayerName> {
        self.layer.iter().find(|name| name.slot == slot)
    }
}

const LLAMA: Names = Names {
    prefixes: &["model.", ""],
    embedding: "embed_tokens.weight",
    position_embedding: "",
    final_norm: "norm.weight",
    final_norm_bias: "",
    lm_head: &["lm_head.weight"],
    layers: "layers.",
    layer: &[
        rows(AttnNorm, &["input_layernorm.weight"]),
        rows(Qkv, &["self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"]),
        rows(QkvBias, &["self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"]),
        rows(QNorm, &["self_attn.q_norm.weight"]),
        rows(KNorm, &["self_attn.k_norm.weight"]),
        rows(AttnOut, &["self_attn.o_proj.weight"]),
        rows(AttnOutBias, &["self_attn.o_proj.bias"]),
        rows(MlpNorm, &["post_attention_layernorm.weight"]),
        rows(MlpUp, &["mlp.gate_proj.weight", "mlp.up_proj.weight"]),
        rows(MlpUpBias, &["mlp.gate_proj.bias", "mlp.up_proj.bias"]),
        rows(MlpDown, &["mlp.down_proj.weight"]),
        rows(MlpDownBias, &["mlp.down_proj.bias"]),
    ],
};

const GEMMA3: Names = Names {
    // The image-and-text form: before and since transformers 4.52.
    prefixes: &["model.", "", "language_model.model.", "model.language_model."],
    lm_head: &["lm_head.weight", "language_model.lm_head.weight"],
    layer: &[
        rows(AttnNorm, &["input_layernorm.weight"]),
        rows(Qkv, &["self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"]),
        rows(QkvBias, &["self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"]),
        rows(QNorm, &["self_attn.q_norm.weight"]),
        rows(KNorm, &["self_attn.k_norm.weight"]),
        rows(AttnOut, &["self_attn.o_proj.weight"]),
        rows(AttnOutBias, &["self_attn.o_proj.bias"]),
        rows(PostAttnNorm, &["post_attention_layernorm.weight"]),
        rows(MlpNorm, &["pre_feedforward_layernorm.weight"]),
        rows(MlpUp, &["mlp.gate_proj.weight", "mlp.up_proj.weight"]),
        rows(MlpDown, &["mlp.down_proj.weight"]),
        rows(PostMlpNorm, &["post_feedforward_layernorm.weight"]),
    ],
    ..LLAMA
};

const GPT_NEOX: Names = Names {
    prefixes: &["gpt_neox.", ""],
    embedding: "embed_in.weight",
    position_embedding: "",
    final_norm: "final_layer_norm.weight",
    final_norm_bias: "final_layer_norm.bias",
    lm_head: &["embed_out.weight", "lm_head.weight"],
    layers: "layers.",
    layer: &[
        rows(AttnNorm, &["input_layernorm.weight"]),
        rows(AttnNormBias, &["input_layernorm.bias"]),
        per_head(Qkv, &["attention.query_key_value.weight"]),
        per_head(QkvBias, &["attention.query_key_value.bias"]),
        rows(AttnOut, &["attention.dense.weight"]),
        rows(AttnOutBias, &["attention.dense.bias"]),
        rows(MlpNorm, &["post_attention_layernorm.weight"]),
        rows(MlpNormBias, &["post_attention_layernorm.bias"]),
        rows(MlpUp, &["mlp.dense_h_to_4h.weight"]),
        rows(MlpUpBias, &["mlp.dense_h_to_4h.bias"]),
        rows(MlpDown, &["mlp.dense_4h_to_h.weight"]),
        rows(MlpDownBias, &["mlp.dense_4h_to_h.bias"]),
    ],
};

const GPT2: Names = Names {
    prefixes: &["transformer.", ""],
    embedding: "wte.weight",
    position_embedding: "wpe.weight",
    final_norm: "ln_f.weight",
    final_norm_bias: "ln_f.bias",
    lm_head: &["lm_head.weight"],
    layers: "h.",
    layer: &[
        rows(AttnNorm, &["ln_1.weight"]),
        rows(AttnNormBias, &["ln_1.bias"]),
        transposed(Qkv, &["attn.c_attn.weight"]),
        rows(QkvBias, &["attn.c_attn.bias"]),
        transposed(AttnOut, &["attn.c_proj.weight"]),
        rows(AttnOutBias, &["attn.c_proj.bias"]),
        rows(MlpNorm, &["ln_2.weight"]),
        rows(MlpNormBias, &["ln_2.bias"]),
        transposed(MlpUp, &["mlp.c_fc.weight"]),
        rows(MlpUpBias, &["mlp.c_fc.bias"]),
        transposed(MlpDown, &["mlp.c_proj.weight"]),
        rows(MlpDownBias, &["mlp.c_proj.bias"]),
    ],
};
