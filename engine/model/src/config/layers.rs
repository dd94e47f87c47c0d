//! What differs from layer to layer: sliding windows, the rope table, the attention's scale.

use understory_protocol::Result;
use understory_protocol::foreign::shown;

use super::families::{FamilySpec, Key, Scale, Windows};
use super::fields::{Fields, MAX_LAYERS, MAX_POSITIONS};
use super::rope::ropes;
use super::{LayerKind, Rope};

/// Every layer, and the rope tables that they refer to.
pub(super) fn layers(
    spec: &FamilySpec,
    fields: &Fields,
    head_dim: usize,
    context: usize,
) -> Result<(Vec<LayerKind>, Vec<Rope>)> {
    let Key(count_key, count_default) = spec.n_layers;
    let n_layers = fields.count(count_key, MAX_LAYERS)?.unwrap_or(count_default);
    let mut tables = Vec::new();
    let [mut full, mut sliding] = [None, None];
    if let Some(keys) = &spec.rope {
        let found = ropes(keys, fields, head_dim, context)?;
        let same = found.full == found.sliding;
        (full, sliding) = (Some(0), Some(usize::from(!same)));
        tables.push(found.full);
        if !same {
            tables.push(found.sliding);
        }
    }
    let kind = |(layer, window): (usize, Option<usize>)| {
        let rope = if window.is_some() { sliding } else { full };
        Ok(LayerKind { rope, window, attention_scale: attention_scale(spec, fields, head_dim, layer)? as f32 })
    };
    let kinds = windows(spec, fields, n_layers)?.into_iter().enumerate().map(kind);
    Ok((kinds.collect::<Result<_>>()?, tables))
}

/// The window of each layer; `None` sees everything before it.
fn windows(spec: &FamilySpec, fields: &Fields, n_layers: usize) -> Result<Vec<Option<usize>>> {
    let (default, by_rule): (usize, Vec<bool>) = match spec.windows {
        Windows::Never => return Ok(vec![None; n_layers]),
        Windows::Switched { .. } if !fields.flag("use_sliding_window")?.unwrap_or(false) => {
            return Ok(vec![None; n_layers]);
        }
        Windows::Switched { window, first_layer } => {
            // Zero is meaningful here, unlike in other counts: every layer slides.
            let zero = fields.get("max_window_layers").is_some_and(|value| value.as_u64() == Some(0));
            let stated = if zero { Some(0) } else { fields.count("max_window_layers", MAX_POSITIONS)? };
            let first = stated.unwrap_or(first_layer);
            (window, (0..n_layers).map(|layer| layer >= first).collect())
        }
        Windows::Pattern { window, every } => {
            let stated = fields.count("sliding_window_pattern", MAX_LAYERS)?;
            let every = stated.or(fields.count("_sliding_window_pattern", MAX_LAYERS)?).unwrap_or(every);
            (window, (1..=n_layers).map(|number| !number.is_multiple_of(every)).collect())
        }
    };
    let sliding: Vec<bool> = match fields.texts("layer_types")? {
        Some(types) if types.len() != n_layers => {
            return Err(fields.bad("layer_types", format!("lists {} layers; expected {n_layers}", types.len())));
        }
        Some(types) => types.into_iter().map(|layer_type| slides(fields, layer_type)).collect::<Result<_>>()?,
        None => by_rule,
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

fn slides(fields: &Fields, layer_type: &str) -> Result<bool> {
    match layer_type {
        "full_attention" => Ok(false),
        "sliding_attention" => Ok(true),
        other => {
            Err(fields
                .bad("layer_types", format!("names `{}`; known: full_attention, sliding_attention", shown(other))))
        }
    }
}

/// The factor on `q . k`.
fn attention_scale(spec: &FamilySpec, fields: &Fields, head_dim: usize, layer: usize) -> Result<f64> {
    let by_head = (head_dim as f64).powf(-0.5);
    match spec.scale {
        Scale::HeadDim => Ok(by_head),
        Scale::QueryPreAttn(Key(key, default)) => Ok(fields.positive(key)?.unwrap_or(default).powf(-0.5)),
        Scale::Gpt2 => {
            let scale = if fields.flag("scale_attn_weights")?.unwrap_or(true) { by_head } else { 1.0 };
            let by_layer = fields.flag("scale_attn_by_inverse_layer_idx")?.unwrap_or(false);
            Ok(if by_layer { scale / (layer + 1) as f64 } else { scale })
        }
    }
}
