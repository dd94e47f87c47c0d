//! What a model is, as data: every family is a value of [`ModelConfig`] over the same blocks.
//!
//! Parsed from Hugging Face's `config.json` (older rope keys and `rope_parameters`), following the
//! `configuration_*.py` and `modeling_*.py` files of `transformers`; or from the metadata of a GGUF file.

mod families;
mod fields;
mod gguf;
mod layers;
mod parse;
mod rope;

use understory_protocol::{Error, KernelSet, Result};

use super::files::{ModelFiles, read_text};
use super::gguf::Gguf;

/// The families whose names and defaults we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Gpt2,
    GptNeox,
    Llama,
    Qwen2,
    Qwen3,
    Gemma3,
}

impl Family {
    /// The name in `config.json`.
    pub fn model_type(self) -> &'static str {
        families::spec(self).model_type
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NormKind {
    /// `x / rms(x) * w`
    Rms,
    /// `(x - mean) / std * w + b`
    Layer,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    pub kind: NormKind,
    pub eps: f32,
    /// Gemma: the stored weight is an offset from one, the factor is `1 + w`.
    pub unit_offset: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    Silu,
    /// exact, with erf
    Gelu,
    /// the tanh approximation (`gelu_new`, `gelu_pytorch_tanh`, `gelu_fast`)
    GeluTanh,
    Relu,
}

/// How a block's two halves join the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residual {
    /// `x += attn(norm1(x)); x += mlp(norm2(x))`
    Serial,
    /// `x += attn(norm1(x)) + mlp(norm2(x))` (GPT-NeoX)
    Parallel,
}

/// One table of rotary frequencies; Gemma 3 has two (local and global layers).
/// Half-split rotation (`rotate_half`): dimension `i` pairs with `i + rotary_dim / 2`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// leading dimensions of a head that rotate; the rest pass through
    pub rotary_dim: usize,
    /// `[rotary_dim / 2]` radians per position, scaling (linear, llama3) already applied
    pub inv_freq: Vec<f32>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerKind {
    /// index into [`ModelConfig::ropes`]; `None` where positions are learned
    pub rope: Option<usize>,
    /// sliding window: a query at position p sees keys `p - window + 1 ..= p`
    pub window: Option<usize>,
    /// factor on `q . k`
    pub attention_scale: f32,
}

/// A decoder-only transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    pub family: Family,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub n_heads: usize,
    pub n_kv_heads: usize,
    pub head_dim: usize,
    /// one entry a layer
    pub layers: Vec<LayerKind>,
    pub ropes: Vec<Rope>,
    pub norm: Norm,
    pub residual: Residual,
    /// Gemma 3: the outputs of attention and MLP are normed too before they join the residual.
    pub post_norms: bool,
    /// Qwen3, Gemma 3: RMS norm over each head of q and k before the rotation.
    pub qk_norm: bool,
    pub learned_positions: bool,
    /// factor on the embedding (Gemma: sqrt(hidden_size) in f32, as transformers has it for a model that runs in f32)
    pub embedding_scale: f32,
    pub mlp_gated: bool,
    pub activation: Activation,
    pub qkv_bias: bool,
    pub attn_out_bias: bool,
    pub mlp_bias: bool,
    pub lm_head_bias: bool,
    pub tie_word_embeddings: bool,
    pub max_position_embeddings: usize,
    /// tokens that end a generation: generation_config.json's, else config.json's
    pub eos_token_ids: Vec<u32>,
    pub bos_token_id: Option<u32>,
}

impl ModelConfig {
    /// From `config.json` and, where there is one, `generation_config.json`; or from a GGUF file.
    ///
    /// # Errors
    /// [`Error::NotAModel`] without `config.json`, else as [`ModelConfig::from_json`]; those of reading a GGUF file's
    /// header.
    pub fn from_files(files: &dyn ModelFiles) -> Result<Self> {
        if let Some(gguf) = Gguf::open(files)? {
            return Self::from_gguf(&gguf);
        }
        let missing = || Error::NotAModel { path: files.name().into(), missing: "config.json".into() };
        let config = read_text(files, "config.json")?.ok_or_else(missing)?;
        Self::from_json(&config, read_text(files, "generation_config.json")?.as_deref())
    }

    /// A missing key means what it means to transformers for that family.
    ///
    /// # Errors
    /// [`Error::UnknownArchitecture`]; [`Error::BadConfig`] names a key whose value is impossible or whose meaning we
    /// do not implement; [`Error::BadFile`] for text that is not a JSON object.
    pub fn from_json(config: &str, generation_config: Option<&str>) -> Result<Self> {
        parse::parse(config, generation_config)
    }

    pub fn n_layers(&self) -> usize {
        self.layers.len()
    }
    /// columns of q: `n_heads * head_dim`
    pub fn q_dim(&self) -> usize {
        self.n_heads * self.head_dim
    }
    /// columns of k, and of v: `n_kv_heads * head_dim`
    pub fn kv_dim(&self) -> usize {
        self.n_kv_heads * self.head_dim
    }

    /// Whether the product for q, k and v of a layer rotates them and appends to the KV cache by itself: where pairs come
    /// in whole blocks of rows, and heads have no norm of their own, for which they have to be complete.
    pub fn appends_in_product(&self, layer: &LayerKind, kernel_set: KernelSet) -> bool {
        // Elements of a block of pairs; the cpu kernels write 4 neighbours at once, so they take two.
        let whole = match kernel_set {
            KernelSet::Gpu => 4,
            KernelSet::Cpu => 8,
        };
        let rotary = layer.rope.map(|rope| self.ropes[rope].rotary_dim);
        let fits = rotary.is_none_or(|rotary| rotary.is_multiple_of(whole) && self.head_dim.is_multiple_of(whole));
        !self.qk_norm && self.head_dim.is_multiple_of(4) && fits
    }
}
