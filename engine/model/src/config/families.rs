//! The known families as data: what their keys are called, what a missing key means, and which of the shared
//! blocks they use. After `configuration_*.py` and `modeling_*.py` of transformers 5.

use super::{Family, NormKind};

/// A key of `config.json` and the value that its absence means.
#[derive(Clone, Copy)]
pub(super) struct Key<T>(pub &'static str, pub T);

/// Whether a block has a bias.
#[derive(Clone, Copy)]
pub(super) enum Bias {
    Always,
    Never,
    Configured(Key<bool>),
}

#[derive(Clone, Copy)]
pub(super) enum HeadDim {
    /// `hidden_size / n_heads`, no key
    Split,
    /// the key `head_dim`, else `hidden_size / n_heads`
    KeyOrSplit,
    KeyOr(usize),
}

#[derive(Clone, Copy)]
pub(super) enum Scale {
    /// `head_dim ^ -0.5`
    HeadDim,
    /// the same, switched by `scale_attn_weights` and divided by the layer's number where
    /// `scale_attn_by_inverse_layer_idx` says so
    Gpt2,
    /// `query_pre_attn_scalar ^ -0.5`
    QueryPreAttn(Key<f64>),
}

/// Which layers see a sliding window only.
#[derive(Clone, Copy)]
pub(super) enum Windows {
    Never,
    /// if `use_sliding_window`: by `layer_types`, else the layers from `max_window_layers` on
    Switched {
        window: usize,
        first_layer: usize,
    },
    /// by `layer_types`, else all but each `sliding_window_pattern`-th layer
    Pattern {
        window: usize,
        every: usize,
    },
}

/// Where the rotary frequencies are described, apart from `rope_parameters` and `rope_scaling`.
#[derive(Clone, Copy)]
pub(super) struct RopeKeys {
    pub theta: Key<f64>,
    /// sliding layers, where they have a base of their own
    pub local_theta: Option<Key<f64>>,
    /// share of a head that rotates
    pub partial: Key<f64>,
    /// whether a share below 1 is something this family implements
    pub may_be_partial: bool,
}

#[derive(Clone, Copy)]
pub(super) struct FamilySpec {
    pub family: Family,
    pub model_type: &'static str,
    /// entry of `architectures`, for files without `model_type`
    pub architecture: &'static str,
    pub vocab_size: Key<usize>,
    pub hidden_size: Key<usize>,
    pub n_layers: Key<usize>,
    pub n_heads: Key<usize>,
    /// `None`: as many as query heads, no key; a default of 0: as many as query heads
    pub n_kv_heads: Option<Key<usize>>,
    pub head_dim: HeadDim,
    /// a default of 0: four times `hidden_size`
    pub intermediate_size: Key<usize>,
    pub context: Key<usize>,
    pub activation: Key<&'static str>,
    pub mlp_gated: bool,
    pub norm: NormKind,
    pub norm_eps: Key<f64>,
    pub norm_unit_offset: bool,
    pub post_norms: bool,
    pub qk_norm: bool,
    pub parallel_residual: Option<Key<bool>>,
    /// `None`: learned positions
    pub rope: Option<RopeKeys>,
    pub windows: Windows,
    pub scale: Scale,
    pub embedding_scaled: bool,
    pub qkv_bias: Bias,
    pub attn_out_bias: Bias,
    pub mlp_bias: Bias,
    pub tie_word_embeddings: bool,
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    /// keys that would change the arithmetic in a way that no block implements, unless null or false
    pub unsupported: &'static [&'static str],
}

const ROPE: RopeKeys = RopeKeys {
    theta: Key("rope_theta", 10_000.0),
    local_theta: None,
    partial: Key("partial_rotary_factor", 1.0),
    may_be_partial: false,
};

const LLAMA: FamilySpec = FamilySpec {
    family: Family::Llama,
    model_type: "llama",
    architecture: "LlamaForCausalLM",
    vocab_size: Key("vocab_size", 32_000),
    hidden_size: Key("hidden_size", 4096),
    n_layers: Key("num_hidden_layers", 32),
    n_heads: Key("num_attention_heads", 32),
    n_kv_heads: Some(Key("num_key_value_heads", 0)),
    head_dim: HeadDim::KeyOrSplit,
    intermediate_size: Key("intermediate_size", 11_008),
    context: Key("max_position_embeddings", 2048),
    activation: Key("hidden_act", "silu"),
    mlp_gated: true,
    norm: NormKind::Rms,
    norm_eps: Key("rms_norm_eps", 1e-6),
    norm_unit_offset: false,
    post_norms: false,
    qk_norm: false,
    parallel_residual: None,
    rope: Some(ROPE),
    windows: Windows::Never,
    scale: Scale::HeadDim,
    embedding_scaled: false,
    qkv_bias: Bias::Configured(Key("attention_bias", false)),
    attn_out_bias: Bias::Configured(Key("attention_bias", false)),
    mlp_bias: Bias::Configured(Key("mlp_bias", false)),
    tie_word_embeddings: false,
    bos: Some(1),
    eos: Some(2),
    unsupported: &[],
};

const QWEN2: FamilySpec = FamilySpec {
    family: Family::Qwen2,
    model_type: "qwen2",
    architecture: "Qwen2ForCausalLM",
    vocab_size: Key("vocab_size", 151_936),
    n_kv_heads: Some(Key("num_key_value_heads", 32)),
    intermediate_size: Key("intermediate_size", 22_016),
    context: Key("max_position_embeddings", 32_768),
    windows: Windows::Switched { window: 4096, first_layer: 28 },
    qkv_bias: Bias::Always,
    attn_out_bias: Bias::Never,
    mlp_bias: Bias::Never,
    bos: None,
    eos: None,
    ..LLAMA
};

const QWEN3: FamilySpec = FamilySpec {
    family: Family::Qwen3,
    model_type: "qwen3",
    architecture: "Qwen3ForCausalLM",
    head_dim: HeadDim::KeyOr(128),
    qk_norm: true,
    qkv_bias: LLAMA.qkv_bias,
    attn_out_bias: LLAMA.attn_out_bias,
    ..QWEN2
};

const GEMMA3: FamilySpec = FamilySpec {
    family: Family::Gemma3,
    model_type: "gemma3_text",
    architecture: "Gemma3ForCausalLM",
    vocab_size: Key("vocab_size", 262_208),
    hidden_size: Key("hidden_size", 2304),
    n_layers: Key("num_hidden_layers", 26),
    n_heads: Key("num_attention_heads", 8),
    n_kv_heads: Some(Key("num_key_value_heads", 4)),
    head_dim: HeadDim::KeyOr(256),
    intermediate_size: Key("intermediate_size", 9216),
    context: Key("max_position_embeddings", 131_072),
    activation: Key("hidden_activation", "gelu_pytorch_tanh"),
    norm_unit_offset: true,
    post_norms: true,
    qk_norm: true,
    rope: Some(RopeKeys {
        theta: Key("rope_theta", 1_000_000.0),
        local_theta: Some(Key("rope_local_base_freq", 10_000.0)),
        ..ROPE
    }),
    windows: Windows::Pattern { window: 4096, every: 6 },
    scale: Scale::QueryPreAttn(Key("query_pre_attn_scalar", 256.0)),
    embedding_scaled: true,
    mlp_bias: Bias::Never,
    tie_word_embeddings: true,
    bos: Some(2),
    eos: Some(1),
    unsupported: &["attn_logit_softcapping", "final_logit_softcapping", "use_bidirectional_attention"],
    ..LLAMA
};

const GPT_NEOX: FamilySpec = FamilySpec {
    family: Family::GptNeox,
    model_type: "gpt_neox",
    architecture: "GPTNeoXForCausalLM",
    vocab_size: Key("vocab_size", 50_432),
    hidden_size: Key("hidden_size", 6144),
    n_layers: Key("num_hidden_layers", 44),
    n_heads: Key("num_attention_heads", 64),
    n_kv_heads: None,
    head_dim: HeadDim::Split,
    intermediate_size: Key("intermediate_size", 24_576),
    activation: Key("hidden_act", "gelu"),
    mlp_gated: false,
    norm: NormKind::Layer,
    norm_eps: Key("layer_norm_eps", 1e-5),
    parallel_residual: Some(Key("use_parallel_residual", true)),
    rope: Some(RopeKeys {
        theta: Key("rotary_emb_base", 10_000.0),
        local_theta: None,
        partial: Key("rotary_pct", 0.25),
        may_be_partial: true,
    }),
    qkv_bias: Bias::Configured(Key("attention_bias", true)),
    attn_out_bias: Bias::Configured(Key("attention_bias", true)),
    mlp_bias: Bias::Always,
    bos: Some(0),
    ..LLAMA
};

const GPT2: FamilySpec = FamilySpec {
    family: Family::Gpt2,
    model_type: "gpt2",
    architecture: "GPT2LMHeadModel",
    vocab_size: Key("vocab_size", 50_257),
    hidden_size: Key("n_embd", 768),
    n_layers: Key("n_layer", 12),
    n_heads: Key("n_head", 12),
    n_kv_heads: None,
    head_dim: HeadDim::Split,
    intermediate_size: Key("n_inner", 0),
    context: Key("n_positions", 1024),
    activation: Key("activation_function", "gelu_new"),
    mlp_gated: false,
    norm: NormKind::Layer,
    norm_eps: Key("layer_norm_epsilon", 1e-5),
    rope: None,
    scale: Scale::Gpt2,
    qkv_bias: Bias::Always,
    attn_out_bias: Bias::Always,
    mlp_bias: Bias::Always,
    tie_word_embeddings: true,
    bos: Some(50_256),
    eos: Some(50_256),
    ..LLAMA
};

/// In the order of [`Family`].
pub(super) static FAMILIES: [FamilySpec; 6] = [GPT2, GPT_NEOX, LLAMA, QWEN2, QWEN3, GEMMA3];

pub(super) fn spec(family: Family) -> &'static FamilySpec {
    &FAMILIES[family as usize]
}

/// The image-and-text form of Gemma 3: its text model lies under `text_config`.
pub(super) const GEMMA3_MULTIMODAL: (&str, &str) = ("gemma3", "Gemma3ForConditionalGeneration");
