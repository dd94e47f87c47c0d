//! Rotary frequencies from a configuration: `rope_parameters` (flat or by layer type), or the older `rope_theta`,
//! `rope_scaling` and their family-specific names. After `modeling_rope_utils.py` of transformers 5.

use understory_protocol::Result;
use understory_protocol::foreign::shown;

use super::Rope;
use super::families::{Key, RopeKeys};
use super::fields::Fields;

const FULL: &str = "full_attention";
const SLIDING: &str = "sliding_attention";

/// The frequencies of layers with full attention and of those with a sliding window.
pub(super) struct Ropes {
    pub full: Rope,
    pub sliding: Rope,
}

/// # Errors
/// `BadConfig` for a rope type other than `default`, `linear` and `llama3`, or numbers that make no sense.
pub(super) fn ropes(keys: &RopeKeys, config: &Fields, head_dim: usize, context: usize) -> Result<Ropes> {
    let rope = |layer_type, theta| Parameters::find(keys, config, layer_type)?.rope(keys, theta, head_dim, context);
    let full = rope(FULL, keys.theta)?;
    let sliding = rope(SLIDING, keys.local_theta.unwrap_or(keys.theta))?;
    Ok(Ropes { full, sliding })
}

/// The objects that describe one layer type, the one that wins first.
struct Parameters<'a> {
    config: Fields<'a>,
    objects: Vec<Fields<'a>>,
    /// One object describes all layers.
    flat: bool,
}

impl<'a> Parameters<'a> {
    fn find(keys: &RopeKeys, config: &Fields<'a>, layer_type: &str) -> Result<Self> {
        let scaling = config.object("rope_scaling")?.filter(|object| !object.map.is_empty());
        let parameters = config.object("rope_parameters")?;
        let two_bases = keys.local_theta.is_some();
        let mut objects = Vec::new();
        // With one base, a `rope_scaling` replaces `rope_parameters` and may itself be split by layer type.
        // With two, it is an older file's and means the layers with full attention.
        let described = if two_bases {
            objects.extend(scaling.filter(|_| layer_type == FULL));
            parameters
        } else {
            scaling.or(parameters)
        };
        let flat_applies = !two_bases || layer_type == FULL;
        let flat = !described.is_some_and(|object| is_split(&object));
        if let Some(object) = described {
            objects.extend(of_layer_type(object, layer_type, flat_applies)?);
        }
        Ok(Self { config: *config, objects, flat })
    }

    fn positive(&self, key: &str) -> Result<Option<f64>> {
        for object in &self.objects {
            if let Some(value) = object.positive(key)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn required(&self, key: &str, rope_type: &str) -> Result<f64> {
        let missing = || self.config.bad(key, format!("is missing (a rope of type `{rope_type}` needs it)"));
        self.positive(key)?.ok_or_else(missing)
    }

    fn rope_type(&self) -> Result<&'a str> {
        for object in &self.objects {
            for key in ["rope_type", "type"] {
                if let Some(rope_type) = object.text(key)? {
                    return Ok(rope_type);
                }
            }
        }
        Ok("default")
    }

    fn rope(&self, keys: &RopeKeys, theta: Key<f64>, head_dim: usize, context: usize) -> Result<Rope> {
        let config = &self.config;
        let Key(theta_key, theta_default) = theta;
        let theta = match self.positive("rope_theta")? {
            Some(theta) => theta,
            None => config.positive(theta_key)?.unwrap_or(theta_default),
        };
        let Key(partial_key, partial_default) = keys.partial;
        let partial = match self.positive("partial_rotary_factor")? {
            Some(partial) => partial,
            None => config.positive(partial_key)?.unwrap_or(partial_default),
        };
        if partial > 1.0 {
            return Err(config.bad(partial_key, format!("is {partial}; expected a share of a head, up to 1")));
        }
        if partial < 1.0 && !keys.may_be_partial {
            return Err(config.bad(partial_key, format!("is {partial}; models of this type rotate whole heads")));
        }
        // An odd share is rounded up to whole pairs; its exponents stay fractions of the share itself.
        let dim = (head_dim as f64 * partial) as usize;
        let n_pairs = dim.div_ceil(2);
        if n_pairs == 0 || 2 * n_pairs > head_dim {
            let key = if partial < 1.0 { partial_key } else { "head_dim" };
            let reason =
                format!("gives {dim} rotary dimensions of a head of {head_dim}; expected pairs that fit in it");
            return Err(config.bad(key, reason));
        }
        let mut inv_freq = frequencies(theta, dim, n_pairs);
        match self.rope_type()? {
            "default" => {}
            "linear" => {
                let factor = self.required("factor", "linear")? as f32;
                inv_freq.iter_mut().for_each(|freq| *freq /= factor);
            }
            "llama3" => self.llama3(&mut inv_freq, context)?,
            other => {
                let reason = format!("is `{}`; known: default, linear, llama3", shown(other));
                return Err(config.bad("rope_type", reason));
            }
        }
        Ok(Rope { rotary_dim: 2 * n_pairs, inv_freq })
    }

    /// Long wavelengths are divided by `factor`, short ones kept, those between interpolated. In f32 and in the order
    /// of transformers, so that the rounding agrees.
    fn llama3(&self, inv_freq: &mut [f32], context: usize) -> Result<()> {
        let required = |key| Ok(self.required(key, "llama3")? as f32);
        let factor = required("factor")?;
        let low = required("low_freq_factor")?;
        let high = required("high_freq_factor")?;
        // Beside a flat description, the configuration's own key wins.
        let original = "original_max_position_embeddings";
        let outer = if self.flat { self.config.positive(original)? } else { None };
        let trained = match outer {
            Some(trained) => trained,
            None => self.positive(original)?.unwrap_or(context as f64),
        } as f32;
        if low >= high {
            let reason = format!("is {low}; expected less than high_freq_factor = {high}");
            return Err(self.config.bad("low_freq_factor", reason));
        }
        for freq in inv_freq {
            let wavelength = 2.0 * std::f32::consts::PI / *freq;
            if wavelength > trained / low {
                *freq /= factor;
            } else if wavelength >= trained / high {
                let smooth = (trained / wavelength - low) / (high - low);
                *freq = (1.0 - smooth) * *freq / factor + smooth * *freq;
            }
        }
        Ok(())
    }
}

/// Whether an object describes each layer type by itself.
fn is_split(object: &Fields) -> bool {
    object.has(FULL) || object.has(SLIDING)
}

/// The part of `object` that describes `layer_type`: an entry of that name, or the whole where it is flat and
/// `flat_applies`.
fn of_layer_type<'a>(object: Fields<'a>, layer_type: &str, flat_applies: bool) -> Result<Option<Fields<'a>>> {
    if is_split(&object) {
        return object.object(layer_type);
    }
    Ok(flat_applies.then_some(object))
}

/// `theta ^ (-2 i / dim)` for each pair `i`, rounded to f32 where transformers rounds.
fn frequencies(theta: f64, dim: usize, n_pairs: usize) -> Vec<f32> {
    let exponent = |pair: usize| (2 * pair) as f32 / dim as f32;
    (0..n_pairs).map(|pair| 1.0 / theta.powf(f64::from(exponent(pair))) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_are_powers_of_the_base() {
        let check = |given: Vec<f32>, expected: &[f32]| {
            assert_eq!(given.len(), expected.len());
            assert!(given.iter().zip(expected).all(|(g, e)| (g - e).abs() <= 2e-7 * e), "{given:?}, not {expected:?}");
        };
        check(frequencies(10_000.0, 8, 4), &[1.0, 0.1, 0.01, 0.001]);
        // An odd share: exponents 0, 2/5 and 4/5.
        check(frequencies(100_000.0, 5, 3), &[1.0, 0.01, 1e-4]);
    }
}
