//! Models with zeros for weights, for measuring: one whose passes are nearly all dispatches, one whose products are wide.
//! What a pass takes does not depend on its numbers. The tokenizer is a bundled model's.

use serde_json::{Map, json};
use understory_model::files::{FileBytes, ModelFiles, StaticFiles};
use understory_protocol::{Error, Result};

use crate::models::BUNDLED;

/// The shape of a Llama.
#[derive(Clone, Copy, Debug)]
pub struct MadeUp {
    pub name: &'static str,
    pub width: usize,
    pub hidden: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
}

/// As many rows as the bundled tokenizer has tokens.
const VOCAB: usize = 4096;

/// Many small dispatches.
pub const THIN: MadeUp = MadeUp { name: "thin", width: 32, hidden: 64, layers: 12, heads: 2, kv_heads: 2 };
/// Few large products.
pub const WIDE: MadeUp = MadeUp { name: "wide", width: 512, hidden: 1408, layers: 2, heads: 8, kv_heads: 8 };

/// The files of a [`MadeUp`] model.
pub struct MadeUpFiles {
    name: &'static str,
    config: Vec<u8>,
    weights: Vec<u8>,
    tokenizer: &'static StaticFiles,
}

impl MadeUp {
    pub fn files(self) -> MadeUpFiles {
        let config = json!({
            "model_type": "llama",
            "vocab_size": VOCAB,
            "hidden_size": self.width,
            "intermediate_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "max_position_embeddings": 1024,
            "tie_word_embeddings": true,
        });
        MadeUpFiles {
            name: self.name,
            config: config.to_string().into_bytes(),
            weights: self.weights(),
            tokenizer: &BUNDLED[0],
        }
    }

    /// A safetensors file: eight bytes of length, the header, zeros.
    fn weights(self) -> Vec<u8> {
        let (d, kv) = (self.width, self.width / self.heads * self.kv_heads);
        let mut tensors = vec![("model.embed_tokens.weight".to_owned(), vec![VOCAB, d])];
        for layer in 0..self.layers {
            let shapes = [
                ("input_layernorm", vec![d]),
                ("post_attention_layernorm", vec![d]),
                ("self_attn.q_proj", vec![d, d]),
                ("self_attn.k_proj", vec![kv, d]),
                ("self_attn.v_proj", vec![kv, d]),
                ("self_attn.o_proj", vec![d, d]),
                ("mlp.gate_proj", vec![self.hidden, d]),
                ("mlp.up_proj", vec![self.hidden, d]),
                ("mlp.down_proj", vec![d, self.hidden]),
            ];
            tensors.extend(shapes.map(|(name, shape)| (format!("model.layers.{layer}.{name}.weight"), shape)));
        }
        tensors.push(("model.norm.weight".to_owned(), vec![d]));
        let mut header = Map::new();
        let mut end = 0;
        for (name, shape) in tensors {
            let begin = end;
            end += 2 * shape.iter().product::<usize>();
            header.insert(name, json!({ "dtype": "F16", "shape": shape, "data_offsets": [begin, end] }));
        }
        let mut header = serde_json::Value::Object(header).to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header);
        file.resize(file.len() + end, 0);
        file
    }
}

impl MadeUpFiles {
    fn own(&self, file: &str) -> Option<&[u8]> {
        match file {
            "config.json" => Some(&self.config),
            "model.safetensors" => Some(&self.weights),
            _ => None,
        }
    }
}

impl ModelFiles for MadeUpFiles {
    fn name(&self) -> String {
        self.name.into()
    }

    fn read(&self, file: &str) -> Result<Option<FileBytes<'_>>> {
        match self.own(file) {
            Some(bytes) => Ok(Some(FileBytes::Borrowed(bytes))),
            None => self.tokenizer.read(file),
        }
    }

    fn len(&self, file: &str) -> Result<Option<u64>> {
        match self.own(file) {
            Some(bytes) => Ok(Some(bytes.len() as u64)),
            None => self.tokenizer.len(file),
        }
    }

    fn range(&self, file: &str, offset: u64, len: u64) -> Result<FileBytes<'_>> {
        let Some(bytes) = self.own(file) else { return self.tokenizer.range(file, offset, len) };
        let end = offset.checked_add(len).filter(|end| *end <= bytes.len() as u64);
        match end {
            // Both are at most the length of a slice.
            Some(end) => Ok(FileBytes::Borrowed(&bytes[offset as usize..end as usize])),
            None => Err(Error::Truncated {
                file: file.into(),
                expected: offset.saturating_add(len),
                actual: bytes.len() as u64,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use understory_model::config::ModelConfig;
    use understory_model::weights::ModelWeights;

    use super::*;

    /// They are what a repository would hold: every tensor is there with the shape that the configuration wants.
    #[test]
    fn they_load_as_models_do() {
        for shape in [THIN, WIDE] {
            let files = shape.files();
            let config = ModelConfig::from_files(&files).unwrap();
            assert_eq!(config.n_layers(), shape.layers);
            assert!(ModelWeights::open(&files, &config).is_ok(), "{}", shape.name);
            assert!(files.range("model.safetensors", u64::MAX, 1).is_err());
        }
    }
}
