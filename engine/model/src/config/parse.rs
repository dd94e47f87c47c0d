//! `config.json` and `generation_config.json` to [`ModelConfig`], by the tables of `families`.

use serde_json::{Map, Value};
use understory_protocol::foreign::shown;
use understory_protocol::{Error, Result};

use super::families::{Bias, FAMILIES, FamilySpec, GEMMA3_MULTIMODAL, HeadDim, Key, spec};
use super::fields::{Fields, MAX_HEADS, MAX_POSITIONS, MAX_WIDTH};
use super::layers::layers;
use super::{Activation, Family, ModelConfig, Norm, Residual};

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";

pub(super) fn parse(config: &str, generation_config: Option<&str>) -> Result<ModelConfig> {
    let config = object(CONFIG, config)?;
    let generation = generation_config.map(|text| object(GENERATION_CONFIG, text)).transpose()?;
    let outer = Fields { file: CONFIG, map: &config };
    if let Some(method) = outer.object("quantization_config")? {
        let method = method.text("quant_method")?.unwrap_or("unnamed");
        return Err(
            outer.bad("quantization_config", format!("({}) is not known; expected plain weights", shown(method)))
        );
    }
    let (spec, multimodal) = family(&outer)?;
    let text_model;
    let fields = if multimodal {
        text_model = text_config(&outer)?;
        Fields { file: CONFIG, map: &text_model }
    } else {
        outer
    };
    let generation = generation.as_ref().map(|map| Fields { file: GENERATION_CONFIG, map });
    build(spec, &fields, generation)
}

fn object(file: &str, text: &str) -> Result<Map<String, Value>> {
    serde_json::from_str(text)
        .map_err(|error| Error::BadFile { file: file.into(), reason: format!("not a JSON object: {error}") })
}

/// The family, and whether it is wrapped in a model that also sees images.
fn family(config: &Fields) -> Result<(&'static FamilySpec, bool)> {
    let model_type = config.text("model_type")?;
    let architectures = config.texts("architectures")?.unwrap_or_default();
    let is = |of_type: &str, architecture: &str| match model_type {
        Some(model_type) => model_type == of_type,
        None => architectures.contains(&architecture),
    };
    if let Some(spec) = FAMILIES.iter().find(|spec| is(spec.model_type, spec.architecture)) {
        return Ok((spec, false));
    }
    if is(GEMMA3_MULTIMODAL.0, GEMMA3_MULTIMODAL.1) {
        return Ok((spec(Family::Gemma3), true));
    }
    match model_type.or(architectures.first().copied()) {
        Some(given) => {
            let mut known: Vec<_> = FAMILIES.iter().map(|spec| spec.model_type).collect();
            known.push(GEMMA3_MULTIMODAL.0);
            Err(Error::UnknownArchitecture { given: given.into(), known: known.join(", ") })
        }
        None => Err(config.bad("model_type", "is missing")),
    }
}

/// `text_config`, with what the outer object says of it.
fn text_config(outer: &Fields) -> Result<Map<String, Value>> {
    let text = outer.object("text_config")?.ok_or_else(|| outer.bad("text_config", "is missing"))?;
    let mut merged = text.map.clone();
    for key in ["eos_token_id", "bos_token_id", "tie_word_embeddings"] {
        if let Some(value) = outer.get(key) {
            merged.insert(key.into(), value.clone());
        }
    }
    Ok(merged)
}

/// The configuration of a family from its keys.
pub(super) fn build(spec: &FamilySpec, fields: &Fields, generation: Option<Fields>) -> Result<ModelConfig> {
    let count = |Key(key, default): Key<usize>, max| Ok::<_, Error>(fields.count(key, max)?.unwrap_or(default));
    let flag = |Key(key, default): Key<bool>| Ok::<_, Error>(fields.flag(key)?.unwrap_or(default));
    let bias = |bias| match bias {
        Bias::Always => Ok(true),
        Bias::Never => Ok(false),
        Bias::Configured(key) => flag(key),
    };
    for key in spec.unsupported {
        if fields.get(key).is_some_and(|value| *value != Value::Bool(false)) {
            return Err(fields.bad(key, "is set; models that need it are not supported"));
        }
    }
    let hidden_size = count(spec.hidden_size, MAX_WIDTH)?;
    let n_heads = count(spec.n_heads, MAX_HEADS)?;
    let n_kv_heads = kv_heads(spec, fields, n_heads)?;
    let head_dim = head_dim(spec, fields, hidden_size, n_heads)?;
    let intermediate_size = match count(spec.intermediate_size, MAX_WIDTH)? {
        0 => 4 * hidden_size,
        size => size,
    };
    let max_position_embeddings = count(spec.context, MAX_POSITIONS)?;
    let (layers, ropes) = layers(spec, fields, head_dim, max_position_embeddings)?;
    let Key(eps_key, eps_default) = spec.norm_eps;
    let eps = fields.positive(eps_key)?.unwrap_or(eps_default) as f32;
    let parallel = spec.parallel_residual.map(flag).transpose()?.unwrap_or(false);
    // transformers multiplies in the dtype that the model runs in: exact here, since we compute in f32.
    let embedding_scale = if spec.embedding_scaled { (hidden_size as f64).sqrt() as f32 } else { 1.0 };
    Ok(ModelConfig {
        family: spec.family,
        vocab_size: count(spec.vocab_size, MAX_WIDTH)?,
        hidden_size,
        intermediate_size,
        n_heads,
        n_kv_heads,
        head_dim,
        layers,
        ropes,
        norm: Norm { kind: spec.norm, eps, unit_offset: spec.norm_unit_offset },
        residual: if parallel { Residual::Parallel } else { Residual::Serial },
        post_norms: spec.post_norms,
        qk_norm: spec.qk_norm,
        learned_positions: spec.rope.is_none(),
        embedding_scale,
        mlp_gated: spec.mlp_gated,
        activation: activation(fields, spec.activation)?,
        qkv_bias: bias(spec.qkv_bias)?,
        attn_out_bias: bias(spec.attn_out_bias)?,
        mlp_bias: bias(spec.mlp_bias)?,
        lm_head_bias: false,
        tie_word_embeddings: fields.flag("tie_word_embeddings")?.unwrap_or(spec.tie_word_embeddings),
        max_position_embeddings,
        eos_token_ids: tokens("eos_token_id", generation, fields, spec.eos)?,
        bos_token_id: tokens("bos_token_id", generation, fields, spec.bos)?.first().copied(),
    })
}

fn kv_heads(spec: &FamilySpec, fields: &Fields, n_heads: usize) -> Result<usize> {
    let Some(Key(key, default)) = spec.n_kv_heads else { return Ok(n_heads) };
    let n_kv_heads = match fields.count(key, MAX_HEADS)? {
        Some(count) => count,
        None if default == 0 || fields.has(key) => n_heads,
        None => default,
    };
    if !n_heads.is_multiple_of(n_kv_heads) {
        let reason = format!("is {n_kv_heads}; expected a divisor of {} = {n_heads}", spec.n_heads.0);
        return Err(fields.bad(key, reason));
    }
    Ok(n_kv_heads)
}

fn head_dim(spec: &FamilySpec, fields: &Fields, hidden_size: usize, n_heads: usize) -> Result<usize> {
    let stated = match spec.head_dim {
        HeadDim::Split => None,
        HeadDim::KeyOrSplit => fields.count("head_dim", MAX_WIDTH)?,
        HeadDim::KeyOr(default) => Some(fields.count("head_dim", MAX_WIDTH)?.unwrap_or(default)),
    };
    let Key(heads_key, _) = spec.n_heads;
    let head_dim = match stated {
        Some(head_dim) => head_dim,
        None if hidden_size.is_multiple_of(n_heads) => hidden_size / n_heads,
        None => {
            let reason = format!("is {n_heads}; expected a divisor of {} = {hidden_size}", spec.hidden_size.0);
            return Err(fields.bad(heads_key, reason));
        }
    };
    match head_dim.checked_mul(n_heads) {
        Some(width) if width <= MAX_WIDTH => Ok(head_dim),
        _ => {
            Err(fields.bad(heads_key, format!("is {n_heads}: heads of {head_dim} make more than {MAX_WIDTH} columns")))
        }
    }
}

fn activation(fields: &Fields, Key(key, default): Key<&'static str>) -> Result<Activation> {
    match fields.text(key)?.unwrap_or(default) {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu" | "gelu_python" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_fast" | "gelu_accurate" | "gelu_pytorch_tanh" | "gelu_python_tanh" => {
            Ok(Activation::GeluTanh)
        }
        "relu" => Ok(Activation::Relu),
        other => {
            Err(fields.bad(key, format!("is `{}`; known: silu, gelu, gelu_new, gelu_pytorch_tanh, relu", shown(other))))
        }
    }
}

/// The generation configuration's tokens, else the configuration's, else the family's; an explicit null is none.
fn tokens(key: &str, generation: Option<Fields>, config: &Fields, default: Option<u32>) -> Result<Vec<u32>> {
    if let Some(tokens) = generation.map(|fields| fields.tokens(key)).transpose()?.flatten() {
        return Ok(tokens);
    }
    match config.tokens(key)? {
        Some(tokens) => Ok(tokens),
        None if config.has(key) => Ok(Vec::new()),
        None => Ok(Vec::from_iter(default)),
    }
}
