//! What the tensors of the shared blocks are called in GGUF and how they are stored there. After `gguf/constants.py` and
//! `convert_hf_to_gguf.py` of llama.cpp, which turns GPT-2's matrices, sorts GPT-NeoX's heads into q, k and v, and
//! interleaves the pairs of Llama's q and k.

use super::LayerSlot::{self, *};
use super::names::{Form, LayerName, Names, rows};
use crate::config::Family;

impl Names {
    pub fn in_gguf(family: Family) -> &'static Names {
        match family {
            Family::Gpt2 | Family::GptNeox => &FUSED,
            Family::Llama => &LLAMA,
            Family::Qwen2 | Family::Qwen3 => &QWEN,
            Family::Gemma3 => &GEMMA3,
        }
    }
}

const fn interleaved(slot: LayerSlot, tensors: &'static [&'static str]) -> LayerName {
    LayerName { slot, tensors, form: Form::Interleaved }
}

const QWEN: Names = Names {
    prefixes: &[""],
    embedding: "token_embd.weight",
    position_embedding: "position_embd.weight",
    final_norm: "output_norm.weight",
    final_norm_bias: "output_norm.bias",
    lm_head: &["output.weight"],
    layers: "blk.",
    layer: &[
        rows(AttnNorm, &["attn_norm.weight"]),
        rows(Qkv, &["attn_q.weight", "attn_k.weight", "attn_v.weight"]),
        rows(QkvBias, &["attn_q.bias", "attn_k.bias", "attn_v.bias"]),
        rows(QNorm, &["attn_q_norm.weight"]),
        rows(KNorm, &["attn_k_norm.weight"]),
        rows(AttnOut, &["attn_output.weight"]),
        rows(AttnOutBias, &["attn_output.bias"]),
        rows(MlpNorm, &["ffn_norm.weight"]),
        rows(MlpUp, &["ffn_gate.weight", "ffn_up.weight"]),
        rows(MlpUpBias, &["ffn_gate.bias", "ffn_up.bias"]),
        rows(MlpDown, &["ffn_down.weight"]),
        rows(MlpDownBias, &["ffn_down.bias"]),
    ],
};

const LLAMA: Names = Names {
    layer: &[
        rows(AttnNorm, &["attn_norm.weight"]),
        interleaved(Qkv, &["attn_q.weight", "attn_k.weight", "attn_v.weight"]),
        interleaved(QkvBias, &["attn_q.bias", "attn_k.bias", "attn_v.bias"]),
        rows(AttnOut, &["attn_output.weight"]),
        rows(AttnOutBias, &["attn_output.bias"]),
        rows(MlpNorm, &["ffn_norm.weight"]),
        rows(MlpUp, &["ffn_gate.weight", "ffn_up.weight"]),
        rows(MlpUpBias, &["ffn_gate.bias", "ffn_up.bias"]),
        rows(MlpDown, &["ffn_down.weight"]),
        rows(MlpDownBias, &["ffn_down.bias"]),
    ],
    ..QWEN
};

const GEMMA3: Names = Names {
    layer: &[
        rows(AttnNorm, &["attn_norm.weight"]),
        rows(Qkv, &["attn_q.weight", "attn_k.weight", "attn_v.weight"]),
        rows(QkvBias, &["attn_q.bias", "attn_k.bias", "attn_v.bias"]),
        rows(QNorm, &["attn_q_norm.weight"]),
        rows(KNorm, &["attn_k_norm.weight"]),
        rows(AttnOut, &["attn_output.weight"]),
        rows(AttnOutBias, &["attn_output.bias"]),
        rows(PostAttnNorm, &["post_attention_norm.weight"]),
        rows(MlpNorm, &["ffn_norm.weight"]),
        rows(MlpUp, &["ffn_gate.weight", "ffn_up.weight"]),
        rows(MlpDown, &["ffn_down.weight"]),
        rows(PostMlpNorm, &["post_ffw_norm.weight"]),
    ],
    ..QWEN
};

/// GPT-2 and GPT-NeoX: q, k and v in one tensor.
const FUSED: Names = Names {
    layer: &[
        rows(AttnNorm, &["attn_norm.weight"]),
        rows(AttnNormBias, &["attn_norm.bias"]),
        rows(Qkv, &["attn_qkv.weight"]),
        rows(QkvBias, &["attn_qkv.bias"]),
        rows(AttnOut, &["attn_output.weight"]),
        rows(AttnOutBias, &["attn_output.bias"]),
        rows(MlpNorm, &["ffn_norm.weight"]),
        rows(MlpNormBias, &["ffn_norm.bias"]),
        rows(MlpUp, &["ffn_up.weight"]),
        rows(MlpUpBias, &["ffn_up.bias"]),
        rows(MlpDown, &["ffn_down.weight"]),
        rows(MlpDownBias, &["ffn_down.bias"]),
    ],
    ..QWEN
};
