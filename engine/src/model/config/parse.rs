//! `config.json` and `generation_config.json` to [`ModelConfig`], by the tables of `families`.

use serde_json::{Map, Value};

use super::families::{Bias, FAMILIES, FamilySpec, GEMMA3_MULTIMODAL, HeadDim, Key, Scale, Windows, spec};
use super::fields::{Fields, MAX_HEADS, MAX_LAYERS, MAX_POSITIONS, MAX_WIDTH};
use super::rope::ropes;
use super::{Activation, Family, LayerKind, ModelConfig, Norm, Residual};
use crate::error::{Error, Result};

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";

pub(super) fn parse(config: &str, generation_config: Option<&str>) -> Result<ModelConfig> {
    let config = object(CONFIG, config)?;
    let generation = generation_config.map(|text| object(GENERATION_CONFIG, text)).transpose()?;
    let outer = Fields { file: CONFIG, map: &config };
    if let Some(method) = outer.object("quantization_config")? {
        let method = method.text("quant_method")?.unwrap_or("unnamed");
        return Err(outer.bad("quantization_config", format!("({method}) is not known; expected plain weights")));
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
    serde_json::from_str(text).map_err(|error| Error::BadFile { file: file.into(), reason: format!("is not a JSON object: {error}") })
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

fn build(spec: &FamilySpec, fields: &Fields, generation: Option<Fields>) -> Result<ModelConfig> {
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
        _ => Err(fields.bad(heads_key, format!("is {n_heads}: heads of {head_dim} make more than {MAX_WIDTH} columns"))),
    }
}

fn activation(fields: &Fields, Key(key, default): Key<&'static str>) -> Result<Activation> {
    match fields.text(key)?.unwrap_or(default) {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu" | "gelu_python" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_fast" | "gelu_accurate" | "gelu_pytorch_tanh" | "gelu_python_tanh" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        other => Err(fields.bad(key, format!("is `{other}`; known: silu, gelu, gelu_new, gelu_pytorch_tanh, relu"))),
    }
}

/// The window of each layer; `None` sees everything before it.
fn windows(spec: &FamilySpec, fields: &Fields, n_layers: usize) -> Result<Vec<Option<usize>>> {
    let (default, slides): (usize, Box<dyn Fn(usize) -> bool>) = match spec.windows {
        Windows::Never => return Ok(vec![None; n_layers]),
        Windows::Switched { .. } if !fields.flag("use_sliding_window")?.unwrap_or(false) => {
            return Ok(vec![None; n_layers]);
        }
        Windows::Switched { window, first_layer } => {
            // 0 is meaningful here, unlike in other counts: every layer slides.
            let zero = fields.get("max_window_layers").is_some_and(|value| value.as_u64() == Some(0));
            let first =
                if zero { 0 } else { fields.count("max_window_layers", MAX_POSITIONS)?.unwrap_or(first_layer) };
            (window, Box::new(move |layer| layer >= first))
        }
        Windows::Pattern { window, every } => {
            let stated = fields.count("sliding_window_pattern", MAX_LAYERS)?;
            let every = stated.map_or_else(|| fields.count("_sliding_window_pattern", MAX_LAYERS), |n| Ok(Some(n)))?.unwrap_or(every);
            (window, Box::new(move |layer| !(layer + 1).is_multiple_of(every)))
        }
    };
    let sliding: Vec<bool> = match fields.texts("layer_types")? {
        Some(types) if types.len() != n_layers => {
            return Err(fields.bad("layer_types", format!("lists {} layers; expected {n_layers}", types.len())));
        }
        Some(types) => types.into_iter().map(|layer_type| layer_slides(fields, layer_type)).collect::<Result<_>>()?,
        None => (0..n_layers).map(slides).collect(),
    };
    let window = match fields.count("sliding_window", MAX_POSITIONS)? {
        Some(window) => window,
        None if fields.has("sliding_window") && sliding.contains(&true) => {
            return Err(fields.bad("sliding_window", "is null, though layers with a sliding window are listed"));
        }
        None => default,
    };
    Ok(sliding.into_iter().map(|slides| slides.then_some(window)).collect())
}

fn layer_slides(fields: &Fields, layer_type: &str) -> Result<bool> {
    match layer_type {
        "full_attention" => Ok(false),
        "sliding_attention" => Ok(true),
        other => Err(fields.bad("layer_types", format!("names `{other}`; known: full_attention, sliding_attention"))),
    }
}

fn layers(spec: &FamilySpec, fields: &Fields, head_dim: usize, context: usize) -> Result<(Vec<LayerKind>, Vec<super::Rope>)> {
    let n_layers = fields.count(spec.n_layers.0, MAX_LAYERS)?.unwrap_or(spec.n_layers.1);
    let windows = windows(spec, fields, n_layers)?;
    let mut tables = Vec::new();
    let mut rope_of = [None, None];
    if let Some(keys) = &spec.rope {
        let found = ropes(keys, fields, head_dim, context)?;
        let same = found.full == found.sliding;
        tables.push(found.full);
        rope_of = [Some(0), Some(0)];
        if !same {
            tables.push(found.sliding);
            rope_of[1] = Some(1);
        }
    }
    let scale = attention_scale(spec, fields, head_dim)?;
    let kind = |(layer, window): (usize, Option<usize>)| LayerKind {
        rope: rope_of[usize::from(window.is_some())],
        window,
        attention_scale: scale(layer) as f32,
    };
    Ok((windows.into_iter().enumerate().map(kind).collect(), tables))
}

/// The factor on `q . k` by layer.
fn attention_scale(spec: &FamilySpec, fields: &Fields, head_dim: usize) -> Result<Box<dyn Fn(usize) -> f64>> {
    let by_head = (head_dim as f64).powf(-0.5);
    Ok(match spec.scale {
        Scale::HeadDim => Box::new(move |_| by_head),
        Scale::QueryPreAttn(Key(key, default)) => {
            let scale = fields.positive(key)?.unwrap_or(default).powf(-0.5);
            Box::new(move |_| scale)
        }
        Scale::Gpt2 => {
            let scale = if fields.flag("scale_attn_weights")?.unwrap_or(true) { by_head } else { 1.0 };
            let by_layer = fields.flag("scale_attn_by_inverse_layer_idx")?.unwrap_or(false);
            Box::new(move |layer| if by_layer { scale / (layer + 1) as f64 } else { scale })
        }
    })
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
