//! A GPT-NeoX model of any size whose files exist only while they are read: weights are a hash of their place.

use serde::Serialize;
use serde_json::{Map, Value, json};
use understory_model::files::{FileBytes, ModelFiles};
use understory_protocol::{Error, Result};

const WEIGHTS: &str = "model.safetensors";
/// Bytes of one f16.
const ELEMENT: u64 = 2;

#[derive(Clone, Copy, Serialize)]
pub struct Sizes {
    pub layers: usize,
    pub hidden: usize,
    pub heads: usize,
    pub vocab: usize,
}

impl Default for Sizes {
    /// Pythia 2.8B
    fn default() -> Self {
        Self { layers: 32, hidden: 2560, heads: 32, vocab: 50304 }
    }
}

pub struct Synthetic {
    sizes: Sizes,
    config: String,
    tokenizer: String,
    /// length and JSON
    header: Vec<u8>,
    /// of the weights file
    bytes: u64,
}

impl Synthetic {
    pub fn new(sizes: Sizes) -> Self {
        let Sizes { layers, hidden: d, heads, vocab } = sizes;
        let inner = 4 * d;
        let config = json!({
            "model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"], "vocab_size": vocab, "hidden_size": d,
            "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads, "rotary_pct": 0.25,
            "rotary_emb_base": 10000, "hidden_act": "gelu", "layer_norm_eps": 1e-5, "max_position_embeddings": 2048,
            "use_parallel_residual": true, "tie_word_embeddings": false, "bos_token_id": 0, "eos_token_id": 0,
        });
        // One word: prompts are given as ids, and nobody reads the text.
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": null, "post_processor": null, "decoder": null,
            "model": { "type": "WordLevel", "vocab": { "word": 0 }, "unk_token": "word" },
        });

        let mut tensors: Vec<(String, Vec<usize>)> = vec![("gpt_neox.embed_in.weight".into(), vec![vocab, d])];
        for layer in 0..layers {
            let mut linear = |name: &str, n: usize, k: Option<usize>| {
                let full = format!("gpt_neox.layers.{layer}.{name}");
                tensors.push((format!("{full}.weight"), [n].into_iter().chain(k).collect()));
                tensors.push((format!("{full}.bias"), vec![n]));
            };
            linear("input_layernorm", d, None);
            linear("post_attention_layernorm", d, None);
            linear("attention.query_key_value", 3 * d, Some(d));
            linear("attention.dense", d, Some(d));
            linear("mlp.dense_h_to_4h", inner, Some(d));
            linear("mlp.dense_4h_to_h", d, Some(inner));
        }
        tensors.push(("gpt_neox.final_layer_norm.weight".into(), vec![d]));
        tensors.push(("gpt_neox.final_layer_norm.bias".into(), vec![d]));
        tensors.push(("embed_out.weight".into(), vec![vocab, d]));

        let mut entries = Map::new();
        let mut end = 0;
        for (name, shape) in tensors {
            let start = end;
            end += ELEMENT * shape.iter().product::<usize>() as u64;
            entries.insert(name, json!({ "dtype": "F16", "shape": shape, "data_offsets": [start, end] }));
        }
        let json = Value::Object(entries).to_string();
        let mut header = (json.len() as u64).to_le_bytes().to_vec();
        header.extend(json.into_bytes());
        let bytes = header.len() as u64 + end;
        Self { sizes, config: config.to_string(), tokenizer: tokenizer.to_string(), header, bytes }
    }

    /// What one decoding step reads: the weights but for the embedding, of which it reads a row, and the keys and
    /// values (f32) of `context` positions.
    pub fn bytes_per_token(&self, weights_bytes: u64, context: usize) -> u64 {
        let Sizes { layers, hidden, vocab, .. } = self.sizes;
        weights_bytes - (vocab - 1) as u64 * hidden as u64 * ELEMENT + (2 * layers * context * hidden * 4) as u64
    }

    fn text(&self, file: &str) -> Option<&[u8]> {
        match file {
            "config.json" => Some(self.config.as_bytes()),
            "tokenizer.json" => Some(self.tokenizer.as_bytes()),
            _ => None,
        }
    }
}

impl ModelFiles for Synthetic {
    fn name(&self) -> String {
        "synthetic".into()
    }

    fn read(&self, file: &str) -> Result<Option<FileBytes<'_>>> {
        Ok(self.text(file).map(FileBytes::Borrowed))
    }

    fn len(&self, file: &str) -> Result<Option<u64>> {
        let text = self.text(file).map(|text| text.len() as u64);
        Ok(if file == WEIGHTS { Some(self.bytes) } else { text })
    }

    fn range(&self, file: &str, offset: u64, len: u64) -> Result<FileBytes<'_>> {
        if file != WEIGHTS || offset + len > self.bytes {
            return Err(Error::Truncated { file: file.into(), expected: offset + len, actual: self.bytes });
        }
        let (start, end) = (offset as usize, (offset + len) as usize);
        let data = self.header.len();
        let mut out = Vec::with_capacity(len as usize);
        out.extend_from_slice(self.header.get(start..end.min(data)).unwrap_or_default());
        if end > data {
            append_weights(start.max(data) - data..end - data, &mut out);
        }
        Ok(FileBytes::Owned(out))
    }
}

/// Appends bytes `range` of an endless row of f16: either sign, 2^-6 to 2^-4 in magnitude, any mantissa.
fn append_weights(range: std::ops::Range<usize>, out: &mut Vec<u8>) {
    for word in range.start / 8..range.end.div_ceil(8) {
        // The finaliser of SplitMix64.
        let z = (word as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let four = (z & 0x87ff_87ff_87ff_87ff) + 0x2400_2400_2400_2400;
        let first = range.start.saturating_sub(8 * word);
        let last = (range.end - 8 * word).min(8);
        out.extend_from_slice(&four.to_le_bytes()[first..last]);
    }
}
