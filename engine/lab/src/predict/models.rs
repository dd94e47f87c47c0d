//! Shapes of published models: the keys of their `config.json` that decide what a pass costs, a line a model.
//!
//! Each names the repository whose configuration it follows. Mistral 7B v0.3 has no sliding window, so it stands there
//! with Llama's arithmetic.

use serde::Deserialize;
use serde_json::Value;

use understory_model::config::ModelConfig;
use understory_protocol::{Error, Result};

/// A model's shape, and where it is from.
#[derive(Clone, Debug)]
pub struct ModelShape {
    /// as the user named it
    pub label: String,
    /// repository, file, or what else has it
    pub source: String,
    pub config: ModelConfig,
}

const MODELS: &str = include_str!("models.json");

/// A model known by name.
#[derive(Clone, Debug, Deserialize)]
pub struct NamedModel {
    pub name: String,
    /// repository on the Hugging Face hub
    pub source: String,
    config: Value,
}

impl NamedModel {
    /// # Errors
    /// None in practice: the file is part of the program, and a test reads every line of it.
    pub fn config(&self) -> Result<ModelConfig> {
        ModelConfig::from_json(&self.config.to_string(), None)
    }

    /// # Errors
    /// As [`NamedModel::config`].
    pub fn shape(self) -> Result<ModelShape> {
        Ok(ModelShape { config: self.config()?, label: self.name, source: self.source })
    }
}

/// All of them, in the order of the file.
///
/// # Errors
/// None in practice, as above.
pub fn models() -> Result<Vec<NamedModel>> {
    serde_json::from_str(MODELS)
        .map_err(|error| Error::BadFile { file: "the list of models".into(), reason: error.to_string() })
}

/// The model called `name`, or whose repository is `name`; upper and lower case are the same.
///
/// # Errors
/// None in practice, as above.
pub fn model(name: &str) -> Result<Option<NamedModel>> {
    Ok(models()?.into_iter().find(|m| m.name.eq_ignore_ascii_case(name) || m.source.eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod tests {
    use super::super::parameters;
    use super::*;

    /// Counts that the repositories state for their safetensors files. It would catch a tied lm_head counted, q's
    /// and k's norms left out, a bias where a family has none.
    #[test]
    fn shapes_have_the_published_parameters() {
        let published = [
            ("llama-2-7b", 6_738_415_616u64),
            ("llama-2-13b", 13_015_864_320),
            ("llama-2-70b", 68_976_648_192),
            ("llama-3.1-8b", 8_030_261_248),
            ("llama-3.1-70b", 70_553_706_496),
            ("llama-3.2-1b", 1_235_814_400),
            ("llama-3.2-3b", 3_212_749_824),
            ("tinyllama-1.1b", 1_100_048_384),
            ("smollm2-135m", 134_515_008),
            ("smollm2-360m", 361_821_120),
            ("smollm2-1.7b", 1_711_376_384),
            ("mistral-7b", 7_248_023_552),
            ("qwen2-0.5b", 494_032_768),
            ("qwen2.5-1.5b", 1_543_714_304),
            ("qwen2.5-3b", 3_085_938_688),
            ("qwen2.5-7b", 7_615_616_512),
            ("qwen2.5-14b", 14_770_033_664),
            ("qwen2.5-32b", 32_763_876_352),
            ("qwen2.5-72b", 72_706_203_648),
            ("qwen3-0.6b", 596_049_920),
            ("qwen3-1.7b", 1_720_574_976),
            ("qwen3-4b", 4_022_468_096),
            ("qwen3-8b", 8_190_735_360),
            ("qwen3-14b", 14_768_307_200),
            ("qwen3-32b", 32_762_123_264),
            ("gemma-3-270m", 268_098_176),
            ("gemma-3-1b", 999_885_952),
            ("distilgpt2", 81_912_576),
            ("gpt2", 124_439_808),
            ("gpt2-medium", 354_823_168),
            ("gpt2-large", 774_030_080),
            ("gpt2-xl", 1_557_611_200),
            ("pythia-70m", 70_426_624),
            ("pythia-160m", 162_322_944),
            ("pythia-410m", 405_334_016),
            ("pythia-1b", 1_011_781_632),
            ("pythia-1.4b", 1_414_647_808),
            ("pythia-2.8b", 2_775_208_960),
            ("pythia-6.9b", 6_857_302_016),
            ("pythia-12b", 11_846_072_320),
        ];
        for (name, count) in published {
            let config = model(name).unwrap().expect(name).config().unwrap();
            assert_eq!(parameters(&config), count, "{name}");
        }
    }

    #[test]
    fn every_line_is_a_model_with_a_name_of_its_own() {
        let models = models().unwrap();
        let mut names: Vec<_> = models.iter().map(|m| m.name.clone()).collect();
        for model in &models {
            assert!(model.config().is_ok(), "{}", model.name);
            assert_eq!(model.source.split('/').count(), 2, "{}", model.source);
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), models.len());
        assert!(model("Meta-Llama/llama-2-7B-hf").unwrap().is_some_and(|m| m.name == "llama-2-7b"));
        assert!(model("llama").unwrap().is_none());
    }
}
