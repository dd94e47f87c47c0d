//! Devices as data: what they can compute, move and hold at most, each figure with its source.
//!
//! A figure that no source states is null, or says `estimated` and from what. One that is not from a source that was
//! opened is named in `unverified`. Efficiencies are 1 unless a source or a fit gives them, so a prediction from a
//! vendor's figures is a lower bound of the time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use understory_protocol::{Error, Precision, Result};

use super::{Class, KeyTiles};

const DEVICES: &str = include_str!("devices.json");
/// Keys up to which attention is one dispatch; beyond, its parts are joined by another.
const SPLIT_KEYS: usize = 256;

/// Types whose rate may be taken for `precision`, the fitting one first.
fn computed_in(precision: Precision) -> &'static [Precision] {
    match precision {
        Precision::F32 => &[Precision::F32],
        Precision::F16 | Precision::Int4 => &[Precision::F16, Precision::F32],
        Precision::Bf16 => &[Precision::Bf16, Precision::F16, Precision::F32],
        Precision::Int8 => &[Precision::Int8, Precision::F16, Precision::F32],
    }
}

/// TFLOP/s at most, a multiply-add counting two, without sparsity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tflops {
    pub f32: Option<f64>,
    pub f16: Option<f64>,
    pub bf16: Option<f64>,
    pub int8: Option<f64>,
}

/// Shares of the peaks that operators reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    pub compute: f64,
    pub memory: f64,
}

/// Shares of all operators, and of attention where they differ there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Efficiency {
    pub compute: f64,
    pub memory: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<Share>,
    /// share of the shorter of computing and moving that the longer one hides; a CPU that imitates a GPU waits for what
    /// it loads
    #[serde(default = "all")]
    pub overlap: f64,
}

fn all() -> f64 {
    1.0
}

impl Default for Efficiency {
    fn default() -> Self {
        Self { compute: 1.0, memory: 1.0, attention: None, overlap: 1.0 }
    }
}

impl Efficiency {
    pub fn of(&self, class: Class) -> Share {
        let all = Share { compute: self.compute, memory: self.memory };
        match class {
            Class::Attention => self.attention.unwrap_or(all),
            Class::Product | Class::Other | Class::Link => all,
        }
    }
}

/// How much of the KV cache a decode step is taken to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KvRead {
    /// what is there at each position
    #[default]
    Position,
    /// input plus output at every step: GenZ's convention
    Final,
}

/// A device, or what stands for one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceProfile {
    pub name: String,
    pub label: String,
    pub tflops: Tflops,
    /// 1e9 bytes a second
    pub bandwidth_gb_s: f64,
    pub memory_gb: Option<f64>,
    /// the board's limit
    pub power_w: Option<f64>,
    /// one way, between devices of its kind
    pub link_gb_s: Option<f64>,
    /// of a dispatch, beside its work
    #[serde(default)]
    pub dispatch_us: Option<f64>,
    /// of a pass, beside its dispatches
    #[serde(default)]
    pub pass_us: Option<f64>,
    /// until the host sees the end of a pass; steps of decoding are enqueued ahead and do not wait for it
    #[serde(default)]
    pub sync_us: Option<f64>,
    /// FLOP that the softmax of a score takes the time of; without, it hides behind the products
    #[serde(default)]
    pub score_flops: Option<f64>,
    #[serde(default)]
    pub efficiency: Efficiency,
    #[serde(default)]
    pub kv_read: KvRead,
    /// activations in f32, and computed in it, whatever the weights are stored as (this engine's way)
    #[serde(default)]
    pub f32_activations: bool,
    /// of an element of the KV cache [default: as an activation]
    #[serde(default)]
    pub kv_bytes: Option<f64>,
    /// keys up to which attention is one dispatch [default: 256]
    #[serde(default)]
    pub split_keys: Option<usize>,
    /// how attention of several rows is divided, where that leaves threads partly empty [default: it does not]
    #[serde(default)]
    pub key_tiles: Option<KeyTiles>,
    /// rows of a prompt that go through at once [default: all]
    #[serde(default)]
    pub chunk: Option<usize>,
    /// where each figure is from, by its name (`tflops.f16`; `tflops` for all types); `all` speaks for those without an
    /// entry
    pub sources: BTreeMap<String, String>,
    /// figures that were not found in a source that was opened, by name
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unverified: Vec<String>,
}

impl DeviceProfile {
    /// From a file in the format of `devices.json`, one object.
    ///
    /// # Errors
    /// [`Error::BadFile`], also for figures that are not positive and for `unverified` ones that are not stated.
    pub fn from_json(file: &str, text: &str) -> Result<Self> {
        let bad = |reason: String| Error::BadFile { file: file.into(), reason };
        let profile: Self = serde_json::from_str(text).map_err(|e| bad(format!("is not a device profile: {e}")))?;
        if let Some(name) = profile.bad_figure() {
            return Err(bad(format!("`{name}` is not a positive number")));
        }
        match profile.unverified.iter().find(|&name| profile.figure(name).is_none()) {
            Some(name) => Err(bad(format!("`unverified` names `{name}`, which is not one of its figures"))),
            None => Ok(profile),
        }
    }

    /// What can be stated of a device, by the names of `sources` and `unverified`; what is not known is left out.
    pub fn figures(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let t = &self.tflops;
        let figures = [
            ("tflops.f32", t.f32),
            ("tflops.f16", t.f16),
            ("tflops.bf16", t.bf16),
            ("tflops.int8", t.int8),
            ("bandwidth_gb_s", Some(self.bandwidth_gb_s)),
            ("memory_gb", self.memory_gb),
            ("power_w", self.power_w),
            ("link_gb_s", self.link_gb_s),
            ("dispatch_us", self.dispatch_us),
            ("pass_us", self.pass_us),
            ("sync_us", self.sync_us),
        ];
        figures.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    pub fn figure(&self, name: &str) -> Option<f64> {
        self.figures().find(|(stated, _)| *stated == name).map(|(_, value)| value)
    }

    pub fn is_unverified(&self, name: &str) -> bool {
        self.unverified.iter().any(|figure| figure == name)
    }

    /// Its sources as sentences, and what is not from one that was opened.
    pub fn origins(&self) -> Vec<String> {
        let mut said: Vec<_> =
            self.sources.iter().map(|(name, from)| format!("{name} of the device: {from}")).collect();
        if !self.unverified.is_empty() {
            said.push(format!("not found in a source that was opened: {} of the device", self.unverified.join(", ")));
        }
        said
    }

    fn bad_figure(&self) -> Option<&'static str> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let (t, e) = (&self.tflops, &self.efficiency);
        let share = |share: &Share| positive(share.compute) && positive(share.memory);
        let checks = [
            ("tflops", [t.f32, t.f16, t.bf16, t.int8].into_iter().flatten().all(positive)),
            ("bandwidth_gb_s", positive(self.bandwidth_gb_s)),
            ("memory_gb", self.memory_gb.is_none_or(positive)),
            ("power_w", self.power_w.is_none_or(positive)),
            ("link_gb_s", self.link_gb_s.is_none_or(positive)),
            ("dispatch_us", self.dispatch_us.is_none_or(|v| v == 0.0 || positive(v))),
            ("pass_us", self.pass_us.is_none_or(|v| v == 0.0 || positive(v))),
            ("sync_us", self.sync_us.is_none_or(|v| v == 0.0 || positive(v))),
            ("score_flops", self.score_flops.is_none_or(|v| v == 0.0 || positive(v))),
            ("key_tiles", self.key_tiles.is_none_or(|tiles| tiles.keys > 0 && tiles.queries > 0)),
            ("efficiency", positive(e.compute) && positive(e.memory)),
            ("efficiency", e.attention.iter().all(share)),
            ("efficiency.overlap", (0.0..=1.0).contains(&e.overlap)),
            ("chunk", self.chunk != Some(0)),
        ];
        checks.into_iter().find(|(_, fine)| !fine).map(|(name, _)| name)
    }

    /// FLOP/s for `precision`, and the type whose rate that is; `None` where no rate is known.
    pub fn flops(&self, precision: Precision) -> Option<(f64, Precision)> {
        let wanted = if self.f32_activations { Precision::F32 } else { precision };
        computed_in(wanted).iter().find_map(|&of| {
            let rate = match of {
                Precision::F32 => self.tflops.f32,
                Precision::F16 => self.tflops.f16,
                Precision::Bf16 => self.tflops.bf16,
                Precision::Int8 | Precision::Int4 => self.tflops.int8,
            };
            rate.map(|tflops| (tflops * 1e12, of))
        })
    }

    pub fn bandwidth(&self) -> f64 {
        self.bandwidth_gb_s * 1e9
    }

    pub fn split_keys(&self) -> usize {
        self.split_keys.unwrap_or(SPLIT_KEYS)
    }
}

/// The devices that come with the program.
///
/// # Errors
/// None in practice: the file is part of the program, and a test reads it.
pub fn devices() -> Result<Vec<DeviceProfile>> {
    serde_json::from_str(DEVICES)
        .map_err(|error| Error::BadFile { file: "the list of devices".into(), reason: error.to_string() })
}

/// The device called `name`.
///
/// # Errors
/// None in practice, as above.
pub fn device(name: &str) -> Result<Option<DeviceProfile>> {
    Ok(devices()?.into_iter().find(|device| device.name.eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod tests;
