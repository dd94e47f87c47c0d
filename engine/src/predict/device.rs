//! Devices as data: what they can compute, move and hold at most, each figure with its source.
//!
//! A figure that no source states is null, or says `estimated` and from what. Efficiencies are 1 unless a source or a
//! fit gives them, so a prediction from a vendor's figures is a lower bound of the time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Class, KeyTiles};
use crate::error::{Error, Result};

const DEVICES: &str = include_str!("devices.json");
/// Keys up to which attention is one dispatch; beyond, its parts are joined by another.
const SPLIT_KEYS: usize = 256;

/// How weights are stored and what is computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    F32,
    F16,
    Bf16,
    /// weights and activations of the products; the rest in 16 bits
    Int8,
    /// weights alone, in blocks of 32 with a scale of 16 bits; computed in f16
    Int4,
}

impl Precision {
    pub const ALL: [Precision; 5] = [Self::F32, Self::F16, Self::Bf16, Self::Int8, Self::Int4];

    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        }
    }

    /// Bytes of a weight of a matrix, its share of a scale included.
    pub fn weight_bytes(self) -> f64 {
        match self {
            Self::F32 => 4.0,
            Self::F16 | Self::Bf16 => 2.0,
            Self::Int8 => 1.0,
            Self::Int4 => 0.5 + 2.0 / 32.0,
        }
    }

    /// Types whose rate may be taken, the fitting one first.
    fn computed_in(self) -> &'static [Precision] {
        match self {
            Self::F32 => &[Self::F32],
            Self::F16 | Self::Int4 => &[Self::F16, Self::F32],
            Self::Bf16 => &[Self::Bf16, Self::F16, Self::F32],
            Self::Int8 => &[Self::Int8, Self::F16, Self::F32],
        }
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
    /// activations and KV cache in f32, and computed in it, whatever the weights are stored as (this engine's way)
    #[serde(default)]
    pub f32_activations: bool,
    /// keys up to which attention is one dispatch [default: 256]
    #[serde(default)]
    pub split_keys: Option<usize>,
    /// how attention of several rows is divided, where that leaves threads partly empty [default: it does not]
    #[serde(default)]
    pub key_tiles: Option<KeyTiles>,
    /// rows of a prompt that go through at once [default: all]
    #[serde(default)]
    pub chunk: Option<usize>,
    /// where each figure is from, by its name; `all` speaks for those without an entry
    pub sources: BTreeMap<String, String>,
}

impl DeviceProfile {
    /// From a file in the format of `devices.json`, one object.
    ///
    /// # Errors
    /// [`Error::BadFile`], also for figures that are not positive.
    pub fn from_json(file: &str, text: &str) -> Result<Self> {
        let bad = |reason: String| Error::BadFile { file: file.into(), reason };
        let profile: Self = serde_json::from_str(text).map_err(|e| bad(format!("is not a device profile: {e}")))?;
        match profile.bad_figure() {
            Some(name) => Err(bad(format!("`{name}` is not a positive number"))),
            None => Ok(profile),
        }
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
        wanted.computed_in().iter().find_map(|&of| {
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
mod tests {
    use super::*;

    /// A figure without a source cannot come in.
    #[test]
    fn every_figure_has_a_source() {
        let devices = devices().unwrap();
        for device in &devices {
            let t = device.tflops;
            let figures = [
                ("tflops", [t.f32, t.f16, t.bf16, t.int8].iter().any(Option::is_some)),
                ("bandwidth_gb_s", true),
                ("memory_gb", device.memory_gb.is_some()),
                ("power_w", device.power_w.is_some()),
                ("link_gb_s", device.link_gb_s.is_some()),
                ("dispatch_us", device.dispatch_us.is_some()),
                ("pass_us", device.pass_us.is_some()),
                ("sync_us", device.sync_us.is_some()),
            ];
            for (name, _) in figures.into_iter().filter(|(_, stated)| *stated) {
                let source = device.sources.get(name).or(device.sources.get("all"));
                assert!(source.is_some_and(|s| s.len() > 5), "{}: {name}", device.name);
            }
            assert_eq!(device.bad_figure(), None, "{}", device.name);
        }
        let mut names: Vec<_> = devices.iter().map(|d| &d.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), devices.len());
    }

    #[test]
    fn the_rate_is_that_of_the_type_or_of_the_next_wider() {
        let a100 = device("A100-40GB").unwrap().unwrap();
        assert_eq!(a100.flops(Precision::Bf16), Some((312e12, Precision::Bf16)));
        assert_eq!(a100.flops(Precision::Int8), Some((624e12, Precision::Int8)));
        assert_eq!(a100.flops(Precision::Int4), Some((312e12, Precision::F16)));
        let m1 = device("apple-m1").unwrap().unwrap();
        assert_eq!(m1.flops(Precision::Bf16), Some((2.6e12, Precision::F16)));
        let phone = device("snapdragon-8-gen-3").unwrap().unwrap();
        assert_eq!(phone.flops(Precision::F32), None);
        let engine = DeviceProfile { f32_activations: true, ..a100 };
        assert_eq!(engine.flops(Precision::F16), Some((19.5e12, Precision::F32)));
    }

    #[test]
    fn a_file_of_ones_own_is_checked() {
        let good = serde_json::to_string(&devices().unwrap()[1]).unwrap();
        assert_eq!(DeviceProfile::from_json("mine.json", &good).unwrap(), devices().unwrap()[1]);
        let says = |text: &str| DeviceProfile::from_json("mine.json", text).unwrap_err().to_string();
        assert!(says("{}").contains("mine.json"), "{}", says("{}"));
        assert!(says(&good.replace("1555.0", "-1")).contains("bandwidth_gb_s"));
        assert!(says(&good.replace("bandwidth_gb_s", "bandwidth")).contains("bandwidth"));
    }
}
