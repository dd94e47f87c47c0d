//! The reference forward: the same model data through burn's tensor operations, in f32.
//!
//! It is the oracle of the kernels, on burn's CPU backend and on any wgpu device. Every family runs through
//! the same blocks; what differs is data in [`ModelConfig`]. It follows `modeling_*.py` of `transformers`
//! and puts clearness before speed: no fused operations, no reuse of buffers.

mod blocks;
mod cache;
mod device;
mod generate;
mod load;
mod positions;

use burn::tensor::{Device, Int, Tensor, TensorData};

use blocks::{Layer, Linear, NormWeights};
use positions::Positions;
use understory_model::config::{ModelConfig, Residual};
use understory_protocol::{Error, Result};

pub use cache::ReferenceCache;
pub use device::{burn_device, cpu_device};
pub use generate::generate_greedy;

/// A model's weights as f32 tensors on one device.
pub struct Reference {
    config: ModelConfig,
    device: Device,
    /// `[vocab_size, hidden_size]`
    embedding: Tensor<2>,
    /// `[max_position_embeddings, hidden_size]`
    position_embedding: Option<Tensor<2>>,
    layers: Vec<Layer>,
    final_norm: NormWeights,
    lm_head: Linear,
}

impl Reference {
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Runs `tokens` at the positions that follow those in `cache`, appends their keys and values to it, and
    /// returns their logits, `[n_tokens, vocab_size]`.
    ///
    /// # Panics
    /// As [`Reference::forward_hidden`].
    pub fn forward(&self, cache: &mut ReferenceCache, tokens: &[u32]) -> Tensor<2> {
        self.logits(self.forward_hidden(cache, tokens))
    }

    /// Like [`Reference::forward`], but stops after the last norm: `[n_tokens, hidden_size]`.
    ///
    /// # Panics
    /// The caller has checked its request: `tokens` is not empty, every id is below `vocab_size`, they fit
    /// into `max_position_embeddings`, and `cache` was made for this model.
    pub fn forward_hidden(&self, cache: &mut ReferenceCache, tokens: &[u32]) -> Tensor<2> {
        let config = &self.config;
        let start = cache.len();
        assert!(!tokens.is_empty(), "a forward over no tokens");
        assert!(tokens.iter().all(|&id| (id as usize) < config.vocab_size), "a token beyond the vocabulary");
        assert!(start + tokens.len() <= config.max_position_embeddings, "a position beyond the context");
        assert_eq!(cache.n_layers(), config.n_layers(), "a cache of another model");

        let ids: Vec<i32> = tokens.iter().map(|&id| id as i32).collect();
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [tokens.len()]), &self.device);
        let mut x = self.embedding.clone().select(0, ids);
        if config.embedding_scale != 1.0 {
            x = x * config.embedding_scale;
        }
        if let Some(table) = &self.position_embedding {
            x = x + table.clone().narrow(0, start, tokens.len());
        }

        let positions = Positions::new(config, start, tokens.len(), &self.device);
        for (layer_idx, layer) in self.layers.iter().enumerate() {
            let kv = cache.layer(layer_idx);
            x = match config.residual {
                Residual::Serial => {
                    let x = x.clone() + layer.attention(config, layer_idx, x, &positions, kv);
                    x.clone() + layer.mlp(config, x)
                }
                Residual::Parallel => {
                    x.clone() + layer.attention(config, layer_idx, x.clone(), &positions, kv) + layer.mlp(config, x)
                }
            };
        }
        cache.advance(tokens.len());
        self.final_norm.apply(x)
    }

    /// `[rows, hidden_size]` through the head: `[rows, vocab_size]`.
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.lm_head.apply(hidden)
    }
}

/// Brings a tensor's values to the host in row-major order. Async because a browser cannot wait for its GPU.
///
/// # Errors
/// [`Error::Device`] where the device failed since the last read.
pub async fn logits_to_vec(logits: Tensor<2>) -> Result<Vec<f32>> {
    let doing = "reading the reference's logits";
    let data = logits.into_data_async().await.map_err(|e| Error::Device { doing, reason: e.to_string() })?;
    data.try_into_vec::<f32>().map_err(|e| Error::Device { doing, reason: e.to_string() })
}
