//! How a model is loaded, and how far that is.

use serde::{Deserialize, Serialize};

use crate::KernelSet;

/// How weights are stored on the device. Activations and accumulation are always f32. Weights that the files hold in
/// blocks stay in their blocks, except with [`Dtype::F32`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    F16,
    F32,
    /// blocks of 32 values of 8 bits with a scale in f16, rounded when the model is loaded
    Q8,
    /// as [`Dtype::Q8`], with 4 bits
    Q4,
}

impl Dtype {
    pub const fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        }
    }
}

/// How the KV cache is stored on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KvDtype {
    /// rounded when a row is appended, and clamped to what halves hold
    F16,
    F32,
}

impl KvDtype {
    pub const fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
        }
    }

    /// Of an element.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
        }
    }

    /// What the kernels of a set keep when nothing else is asked for: halves on GPUs, where reading them is most of a long
    /// context's time; those of CPU adapters know f32 alone.
    pub const fn of(kernel_set: KernelSet) -> Self {
        match kernel_set {
            KernelSet::Gpu => Self::F16,
            KernelSet::Cpu => Self::F32,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    pub dtype: Dtype,
    /// `None`: [`KvDtype::of`] the kernel set
    pub kv_dtype: Option<KvDtype>,
    /// `None`: by the adapter's type
    pub profile: Option<KernelSet>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Progress {
    /// files of a model on their way to this device
    Fetch {
        done_bytes: u64,
        total_bytes: u64,
    },
    Upload {
        done_bytes: u64,
        total_bytes: u64,
    },
    Pipelines {
        done: usize,
        total: usize,
    },
    /// prompt tokens through the model (prefill, evaluation)
    Tokens {
        done: usize,
        total: usize,
    },
}
