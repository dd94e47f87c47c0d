//! What ran, and where. Front ends fill it in as far as the system or the browser tells.

use serde::{Deserialize, Serialize};

use understory_protocol::{AdapterLimits, AdapterReport, Browser, Dtype, KernelSet, Power};

/// The program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineBuild {
    pub version: String,
    /// git commit
    pub commit: Option<String>,
    /// There were changes beyond the commit.
    pub dirty: Option<bool>,
    pub build: Build,
    /// versions of the libraries that touch the device
    pub wgpu: Option<String>,
    pub burn: Option<String>,
    /// of all kernels ([`understory_shaders::hash`])
    pub shaders_hash: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Build {
    Debug,
    Release,
}

impl Build {
    /// How this crate was compiled.
    pub const THIS: Build = if cfg!(debug_assertions) { Build::Debug } else { Build::Release };
}

/// What the program ran in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Runtime {
    pub kind: RuntimeKind,
    /// `vulkan`, `metal`, `dx12`, `webgpu`
    pub backend: String,
    pub browser: Option<Browser>,
    /// the page was cross-origin isolated, which makes clocks finer
    pub isolated: Option<bool>,
    /// smallest step of the clock that was seen
    pub timer_resolution_ms: Option<f64>,
    /// The engine ran in a worker.
    pub worker: Option<bool>,
    /// The page was visible all the time.
    pub visible: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuntimeKind {
    Native,
    Browser,
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// as people call it; what the user gave, else made from what is known
    pub label: String,
    pub os: Option<String>,
    pub cpu: Option<String>,
    /// logical
    pub cpu_cores: Option<u32>,
    pub ram_bytes: Option<u64>,
    pub adapter: Adapter,
    pub power: Option<Power>,
    /// what the system says of heat and throttling, in its own words: `nominal`, `serious`, 71 °C
    pub thermal: Option<String>,
    /// processes that wanted to run, averaged over the minute before the start
    pub load: Option<f64>,
    /// `nominal`, `fair`, `serious`, `critical`: compute pressure as the browser states it, the worst seen
    pub pressure: Option<String>,
}

/// An adapter, without the zeros and empty texts by which an API says that it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adapter {
    pub name: Option<String>,
    /// `discrete`, `integrated`, `virtual`, `cpu`, `other`
    pub device_type: Option<String>,
    pub driver: Option<String>,
    pub driver_info: Option<String>,
    /// PCI ids
    pub vendor: Option<u32>,
    pub device: Option<u32>,
    /// emulated on the CPU
    pub software: bool,
    /// least and most
    pub subgroup_sizes: Option<[u32; 2]>,
    pub features: Vec<String>,
    pub limits: AdapterLimits,
    /// the kernels that ran
    pub kernels: KernelSet,
}

impl Adapter {
    /// `kernels`: the profile that ran, which a flag may have chosen.
    pub fn new(report: &AdapterReport, kernels: KernelSet) -> Self {
        let text = |text: &String| (!text.is_empty()).then(|| text.clone());
        let id = |id: u32| (id != 0).then_some(id);
        Self {
            name: text(&report.name),
            device_type: text(&report.device_type),
            driver: text(&report.driver),
            driver_info: text(&report.driver_info),
            vendor: id(report.vendor),
            device: id(report.device),
            software: report.software,
            subgroup_sizes: Some(report.subgroup_sizes).filter(|sizes| sizes[0] != 0),
            features: report.features.clone(),
            limits: report.limits.clone(),
            kernels,
        }
    }
}

/// Which models, and of which bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Models {
    pub target: Model,
    pub draft: Option<Model>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// `tales`, `owner/name@revision`, a folder's name
    pub id: String,
    /// SHA-256 of the weights: of the one file, or of the shards' hashes (hex, one a line) in the order of their names
    pub hash: Option<String>,
    /// SHA-256 of `tokenizer.json`
    pub tokenizer_hash: Option<String>,
    /// as which weights were to be stored that are not in blocks
    pub dtype: Dtype,
    /// types in which matrices lie on the device, each once, such as `Q4_1`; empty where that was not told
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weight_types: Vec<String>,
    /// of the weights on the device
    pub weights_bytes: Option<u64>,
    pub parameters: Option<u64>,
}

impl Model {
    /// How weights are stored on the device: `Q8_0, Q4_1`.
    pub fn storage(&self) -> String {
        match self.weight_types.as_slice() {
            [] => format!("{:?}", self.dtype).to_lowercase(),
            types => types.join(", "),
        }
    }
}
