//! The metadata of a GGUF file to [`ModelConfig`]: its keys become those that a `config.json` of the family has, so that
//! each value is checked in one place. After `llama-arch.cpp`, `llama-model.cpp` and `convert_hf_to_gguf.py` of llama.cpp.
//!
//! A GGUF file says less than a `config.json`: what it leaves out follows from the architecture and from which tensors
//! there are.

use std::collections::HashMap;

use serde_json::{Map, Value as Json, json};
use understory_protocol::foreign::shown;
use understory_protocol::{Error, Result};

use super::families::{Bias, FamilySpec, HeadDim, Key, Windows, spec};
use super::fields::{Fields, MAX_LAYERS};
use super::{Family, ModelConfig, NormKind, parse};
use crate::gguf::{ARCHITECTURE, Gguf, Value};
use crate::stored::TensorEntry;
use crate::weights::convert;

/// The architectures that are read, as GGUF calls them.
const ARCHITECTURES: [(&str, Family); 6] = [
    ("llama", Family::Llama),
    ("qwen2", Family::Qwen2),
    ("qwen3", Family::Qwen3),
    ("gemma3", Family::Gemma3),
    ("gpt2", Family::Gpt2),
    ("gptneox", Family::GptNeox),
];

/// Keys that would change the arithmetic in a way that no block implements, and the value with which they do not.
const UNSUPPORTED: [(&str, f64); 10] = [
    ("expert_count", 0.0),
    ("attention.clamp_kqv", 0.0),
    ("attention.max_alibi_bias", 0.0),
    ("attention.scale", 0.0),
    ("attn_logit_softcapping", 0.0),
    ("final_logit_softcapping", 0.0),
    ("embedding_scale", 0.0),
    ("residual_scale", 0.0),
    ("logit_scale", 0.0),
    ("rope.scaling.attn_factor", 1.0),
];

/// Frequencies divided by these, one a pair of dimensions: the scaling of Llama 3.
const FREQUENCY_FACTORS: &str = "rope_freqs.weight";
const EMBEDDING: &str = "token_embd.weight";
/// Gemma 3 of 27B has so many layers, and an attention scale of its own (`llama-model.cpp`).
const GEMMA3_27B_LAYERS: u64 = 62;
/// More frequency factors than a head has dimensions.
const MAX_FACTORS_BYTES: u64 = 1 << 20;

type Tensors = HashMap<String, (String, TensorEntry)>;

impl ModelConfig {
    pub(super) fn from_gguf(gguf: &Gguf) -> Result<Self> {
        let architecture = gguf.text(ARCHITECTURE)?.ok_or_else(|| gguf.bad(ARCHITECTURE, "is missing"))?;
        let Some((architecture, family)) = ARCHITECTURES.into_iter().find(|(name, _)| *name == architecture) else {
            let known = ARCHITECTURES.map(|(name, _)| name).join(", ");
            return Err(Error::UnknownArchitecture { given: architecture.into(), known });
        };
        let tensors = gguf.tensors()?;
        let mut keys = Keys { gguf, architecture, map: Map::new(), names: Vec::new() };
        keys.check_unsupported()?;
        keys.sizes(spec(family), &tensors)?;
        keys.rope(spec(family))?;
        keys.windows(spec(family))?;
        keys.tokens()?;
        let parsed = parse::build(spec(family), &Fields { file: &gguf.file, map: &keys.map }, None);
        let mut config = parsed.map_err(|error| keys.renamed(error))?;
        config.stated_by_tensors(spec(family), &tensors);
        config.divide_frequencies(gguf, &tensors)?;
        Ok(config)
    }

    /// What a file says by the tensors that it has.
    fn stated_by_tensors(&mut self, spec: &FamilySpec, tensors: &Tensors) {
        let has = |names: &[&str]| names.iter().any(|name| tensors.contains_key(*name));
        let by_tensors = |bias: &mut bool, configured: Bias, names: &[&str]| {
            if let Bias::Configured(_) = configured {
                *bias = has(names);
            }
        };
        by_tensors(&mut self.qkv_bias, spec.qkv_bias, &["blk.0.attn_q.bias", "blk.0.attn_qkv.bias"]);
        by_tensors(&mut self.attn_out_bias, spec.attn_out_bias, &["blk.0.attn_output.bias"]);
        by_tensors(&mut self.mlp_bias, spec.mlp_bias, &["blk.0.ffn_down.bias"]);
        self.tie_word_embeddings = !has(&["output.weight"]);
        // Gemma's norms hold the whole factor here.
        self.norm.unit_offset = false;
    }

    fn divide_frequencies(&mut self, gguf: &Gguf, tensors: &Tensors) -> Result<()> {
        let Some((file, entry)) = tensors.get(FREQUENCY_FACTORS) else { return Ok(()) };
        let stored = entry.stored(FREQUENCY_FACTORS, crate::gguf::KNOWN_TYPES)?;
        let wrong = |reason: String| gguf.bad(FREQUENCY_FACTORS, reason);
        if entry.len > MAX_FACTORS_BYTES {
            return Err(wrong(format!("has {} bytes", entry.len)));
        }
        let mut factors = Vec::new();
        convert::append(&gguf.files().range(file, entry.offset, entry.len)?, stored, &mut factors);
        if !factors.iter().all(|factor| factor.is_finite() && *factor > 0.0) {
            return Err(wrong("has a factor that is no positive number".into()));
        }
        for rope in &mut self.ropes {
            if factors.len() != rope.inv_freq.len() {
                return Err(wrong(format!("has {} factors; expected {}", factors.len(), rope.inv_freq.len())));
            }
            rope.inv_freq.iter_mut().zip(&factors).for_each(|(frequency, factor)| *frequency /= factor);
        }
        Ok(())
    }
}

/// The keys of a `config.json`, as they are made.
struct Keys<'a> {
    gguf: &'a Gguf<'a>,
    architecture: &'static str,
    map: Map<String, Json>,
    /// the key in `map`, and what it was called
    names: Vec<(&'static str, String)>,
}

impl Keys<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.gguf.get(&self.key(key))
    }

    fn bad(&self, key: &str, reason: impl Into<String>) -> Error {
        self.gguf.bad(&self.key(key), reason)
    }

    /// An error that names a key, with that of the file.
    fn renamed(&self, error: Error) -> Error {
        match error {
            Error::BadConfig { file, key, reason } => {
                let name = self.names.iter().find(|(to, _)| *to == key).map(|(_, from)| from.clone());
                Error::BadConfig { file, key: name.unwrap_or(key), reason }
            }
            other => other,
        }
    }

    fn put(&mut self, to: &'static str, from: &str, value: Json) {
        self.names.push((to, self.key(from)));
        self.map.insert(to.into(), value);
    }

    /// A number that is the same for every layer, whether it stands once or once a layer.
    fn number(&self, key: &str) -> Result<Option<Json>> {
        let one = match self.get(key) {
            None => return Ok(None),
            Some(Value::List(_)) => {
                let list = self.gguf.scalars(&self.key(key), MAX_LAYERS, |value| value)?.unwrap_or_default();
                match list.split_first() {
                    Some((first, rest)) if rest.iter().all(|other| other == first) => first.clone(),
                    _ => return Err(self.bad(key, "differs from layer to layer; such models are not supported")),
                }
            }
            Some(value) => value.clone(),
        };
        Ok(Some(match one {
            Value::Unsigned(number) => number.into(),
            Value::Signed(number) => number.into(),
            // What is no number in JSON stays an error.
            Value::Float(number) if number.is_finite() => number.into(),
            Value::Bool(flag) => flag.into(),
            other => format!("{other:?}").into(),
        }))
    }

    fn optional(&mut self, to: &'static str, from: &str) -> Result<bool> {
        let number = self.number(from)?;
        Ok(number.map(|number| self.put(to, from, number)).is_some())
    }

    fn required(&mut self, to: &'static str, from: &str) -> Result<()> {
        if self.optional(to, from)? { Ok(()) } else { Err(self.bad(from, "is missing")) }
    }

    /// A whole number that was put.
    fn count(&self, key: &str) -> Option<u64> {
        self.map.get(key).and_then(Json::as_u64).filter(|count| *count > 0)
    }

    fn check_unsupported(&self) -> Result<()> {
        for (key, harmless) in UNSUPPORTED {
            if self.get(key).is_some_and(|value| value.number() != Some(harmless)) {
                return Err(self.bad(key, "is set; models that need it are not supported"));
            }
        }
        match self.get("attention.causal") {
            None | Some(Value::Bool(true)) => Ok(()),
            Some(_) => Err(self.bad("attention.causal", "is not true; such models are not supported")),
        }
    }

    fn sizes(&mut self, spec: &FamilySpec, tensors: &Tensors) -> Result<()> {
        self.required(spec.hidden_size.0, "embedding_length")?;
        self.required(spec.n_layers.0, "block_count")?;
        self.required(spec.n_heads.0, "attention.head_count")?;
        self.required(spec.intermediate_size.0, "feed_forward_length")?;
        self.required(spec.context.0, "context_length")?;
        let eps = match spec.norm {
            NormKind::Rms => "attention.layer_norm_rms_epsilon",
            NormKind::Layer => "attention.layer_norm_epsilon",
        };
        self.required(spec.norm_eps.0, eps)?;
        if let Some(Key(key, _)) = spec.n_kv_heads
            && !self.optional(key, "attention.head_count_kv")?
        {
            let n_heads = self.map[spec.n_heads.0].clone();
            self.put(key, "attention.head_count_kv", n_heads);
        }
        if let Some(Key(key, _)) = spec.parallel_residual {
            self.optional(key, "use_parallel_residual")?;
        }
        let has_key = !matches!(spec.head_dim, HeadDim::Split);
        let head_dim = self.number("attention.key_length")?.filter(|_| has_key).or_else(|| {
            let (hidden, heads) = (self.count(spec.hidden_size.0)?, self.count(spec.n_heads.0)?);
            hidden.is_multiple_of(heads).then(|| (hidden / heads).into())
        });
        if self
            .get("attention.value_length")
            .is_some_and(|value| value.count() != head_dim.as_ref().and_then(Json::as_u64))
        {
            return Err(
                self.bad("attention.value_length", "differs from attention.key_length; such models are not supported")
            );
        }
        if let Some(head_dim) = head_dim {
            self.put("head_dim", "attention.key_length", head_dim);
        }
        let embedding = tensors.get(EMBEDDING).map(|(_, entry)| entry.shape.as_slice());
        let rows = match embedding {
            Some([rows, _]) => *rows,
            Some(other) => {
                return Err(self.gguf.bad(EMBEDDING, format!("has {} dimensions; expected 2", other.len())));
            }
            None => {
                return Err(Error::MissingTensor { name: EMBEDDING.into(), architecture: self.architecture.into() });
            }
        };
        self.put(spec.vocab_size.0, "vocab_size", rows.into());
        Ok(())
    }

    fn rope(&mut self, spec: &FamilySpec) -> Result<()> {
        let Some(rope) = spec.rope else { return Ok(()) };
        self.optional(rope.theta.0, "rope.freq_base")?;
        if let Some(Key(key, _)) = rope.local_theta {
            self.optional(key, "rope.freq_base_swa")?;
        }
        let head_dim = self.count("head_dim");
        let share = match (self.get("rope.dimension_count").map(|value| (value, value.count())), head_dim) {
            (None, _) | (_, None) => 1.0,
            (Some((_, Some(rotary))), Some(head_dim)) if (1..=head_dim).contains(&rotary) => share(rotary, head_dim),
            (_, Some(head_dim)) => {
                return Err(self.bad("rope.dimension_count", format!("is none of the {head_dim} dimensions of a head")));
            }
        };
        self.put(rope.partial.0, "rope.dimension_count", share.into());
        let kind = self.gguf.text(&self.key("rope.scaling.type"))?.unwrap_or_default();
        // Files from before there were types state a linear scale alone.
        let old = self.get("rope.scale_linear").filter(|_| kind.is_empty());
        let factor = self.get("rope.scaling.factor").or(old).and_then(Value::number).filter(|factor| *factor != 0.0);
        match (kind, factor) {
            ("none" | "", _) if old.is_none() => {}
            ("linear", None) => {}
            ("linear" | "", factor) => {
                self.put("rope_scaling", "rope.scaling.factor", json!({ "rope_type": "linear", "factor": factor }));
                self.names.push(("factor", self.key("rope.scaling.factor")));
            }
            (other, _) => {
                return Err(self.bad("rope.scaling.type", format!("is `{}`; known: none, linear", shown(other))));
            }
        }
        match ["rope_factors_long.weight", "rope_factors_short.weight"].iter().find(|name| self.has_tensor(name)) {
            Some(name) => Err(self.gguf.bad(name, "is there; models that need it are not supported")),
            None => Ok(()),
        }
    }

    fn has_tensor(&self, name: &str) -> bool {
        self.gguf.has_own_tensor(name)
    }

    /// Gemma 3: the window of most layers, and which ones.
    fn windows(&mut self, spec: &FamilySpec) -> Result<()> {
        let Windows::Pattern { .. } = spec.windows else { return Ok(()) };
        const WINDOW: &str = "attention.sliding_window";
        const PATTERN: &str = "attention.sliding_window_pattern";
        let n_layers = self.count(spec.n_layers.0).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let types = |slides: &mut dyn Iterator<Item = bool>| -> Json {
            slides.map(|slides| if slides { "sliding_attention" } else { "full_attention" }).collect()
        };
        if self.get(WINDOW).is_none_or(|window| window.count() == Some(0)) {
            if n_layers <= MAX_LAYERS {
                self.put("layer_types", WINDOW, types(&mut std::iter::repeat_n(false, n_layers)));
            }
        } else {
            self.required("sliding_window", WINDOW)?;
            if let Some(Value::List(_)) = self.get(PATTERN) {
                let list = self.gguf.scalars(&self.key(PATTERN), MAX_LAYERS, |value| value)?.unwrap_or_default();
                let slides = list.iter().map(|value| match value {
                    Value::Bool(slides) => Some(*slides),
                    other => other.count().map(|count| count != 0),
                });
                let slides: Option<Vec<bool>> = slides.collect();
                let slides = slides.ok_or_else(|| self.bad(PATTERN, "is no list of truth values"))?;
                self.put("layer_types", PATTERN, types(&mut slides.into_iter()));
            } else {
                self.optional("sliding_window_pattern", PATTERN)?;
            }
        }
        // The scale of attention is not in the file.
        let by_width = self.count(spec.n_layers.0) == Some(GEMMA3_27B_LAYERS);
        let widths = (self.count(spec.hidden_size.0), self.count(spec.n_heads.0));
        let scalar = match widths {
            (Some(hidden), Some(heads)) if by_width => Some(hidden as f64 / heads as f64),
            _ => self.count("head_dim").map(|head_dim| head_dim as f64),
        };
        if let Some(scalar) = scalar {
            self.put("query_pre_attn_scalar", "attention.key_length", scalar.into());
        }
        Ok(())
    }

    /// The tokens that begin a text and that end it.
    fn tokens(&mut self) -> Result<()> {
        let begin = self.gguf.token("tokenizer.ggml.bos_token_id")?;
        self.map.insert("bos_token_id".into(), json!(begin));
        let ends = crate::tokenizer::gguf::ends(self.gguf)?;
        self.map.insert("eos_token_id".into(), json!(ends));
        Ok(())
    }
}

/// A share of a head that gives `rotary` of `head_dim` dimensions, however it is rounded.
fn share(rotary: u64, head_dim: u64) -> f64 {
    let share = rotary as f64 / head_dim as f64;
    if (head_dim as f64 * share) as u64 == rotary { share } else { (rotary as f64 + 0.25) / head_dim as f64 }
}
