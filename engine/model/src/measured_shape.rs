//! The models at whose sizes kernels are measured.

use serde::{Deserialize, Serialize};
use understory_protocol::{AdapterReport, Result};

use crate::config::ModelConfig;

/// Sizes of a model; its weights are made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MeasuredShape {
    /// the bundled model: small enough for adapters emulated on a CPU
    Tales,
    /// Pythia 2.8B: larger than any cache
    #[serde(rename = "pythia-2.8b")]
    Pythia,
}

const TALES: &str = include_str!("../../../models/tales/config.json");
const PYTHIA: &str = r#"{
    "model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"], "vocab_size": 50304, "hidden_size": 2560,
    "intermediate_size": 10240, "num_hidden_layers": 32, "num_attention_heads": 32, "rotary_pct": 0.25,
    "rotary_emb_base": 10000, "hidden_act": "gelu", "layer_norm_eps": 1e-05, "max_position_embeddings": 2048,
    "use_parallel_residual": true, "tie_word_embeddings": false, "bos_token_id": 0, "eos_token_id": 0
}"#;

impl MeasuredShape {
    /// The one to use where none is asked for.
    pub fn for_adapter(adapter: &AdapterReport) -> Self {
        if adapter.software { Self::Tales } else { Self::Pythia }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Tales => "tales",
            Self::Pythia => "pythia-2.8b",
        }
    }

    /// `config.json` as the model's repository has it.
    pub fn config_json(self) -> &'static str {
        match self {
            Self::Tales => TALES,
            Self::Pythia => PYTHIA,
        }
    }

    /// # Errors
    /// None in practice: the texts are part of the program.
    pub fn config(self) -> Result<ModelConfig> {
        ModelConfig::from_json(self.config_json(), None)
    }
}
