//! What an adapter is, and which kernels run on it.

use serde::{Deserialize, Serialize};

/// Which set of kernels runs: tuned for GPUs, or free of barriers for CPU adapters (lavapipe, SwiftShader).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KernelSet {
    Gpu,
    Cpu,
}

impl KernelSet {
    pub fn name(self) -> &'static str {
        match self {
            KernelSet::Gpu => "gpu",
            KernelSet::Cpu => "cpu",
        }
    }
}

/// The limits that the engine plans with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterLimits {
    pub max_buffer_size: u64,
    pub max_storage_buffer_binding_size: u64,
    pub max_storage_buffers_per_shader_stage: u32,
    pub max_compute_workgroup_storage_size: u32,
    pub max_compute_invocations_per_workgroup: u32,
    pub max_compute_workgroups_per_dimension: u32,
}

/// What an adapter is and what the engine would do with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterReport {
    pub index: usize,
    pub name: String,
    /// `vulkan`, `metal`, `dx12`, `webgpu`
    pub backend: String,
    /// `discrete`, `integrated`, `virtual`, `cpu`, `other`
    pub device_type: String,
    pub driver: String,
    pub driver_info: String,
    pub vendor: u32,
    pub device: u32,
    /// emulated on the CPU
    pub software: bool,
    pub subgroup_sizes: [u32; 2],
    /// names of the optional features that matter here (`shader-f16`, `subgroups`, `timestamp-query`)
    pub features: Vec<String>,
    pub limits: AdapterLimits,
    /// the kernels that will be used
    pub profile: KernelSet,
    /// the one used when none is asked for
    pub preferred: bool,
    /// why it is preferred or not, in a few words
    pub why: String,
}

/// How the engine divides a pass on a device, for who predicts what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassTiling {
    pub kernels: KernelSet,
    /// keys beyond which attention takes a second dispatch
    pub split_keys: usize,
    /// keys and queries of a tile of attention; `None`: not divided so
    pub key_tile: Option<[usize; 2]>,
    /// rows of a prompt that go through together at most
    pub chunk: usize,
}
