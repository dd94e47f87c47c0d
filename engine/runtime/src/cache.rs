//! The KV cache: rows of K and V by position for each layer, sized to the request and grown in steps, and the
//! tokens that those rows belong to, so that a next request with the same beginning need not compute it again.

use understory_model::config::ModelConfig;
use understory_protocol::Result;

use crate::gpu::{Buffer, Gpu};

/// Positions by which the cache grows.
const STEP: usize = 256;
const DOING: &str = "growing the KV cache";

/// K and V of one layer, `[capacity, n_kv_heads, head_stride]` f32.
pub struct LayerCache {
    pub k: Buffer,
    pub v: Buffer,
}

pub struct KvCache {
    pub layers: Vec<LayerCache>,
    capacity: usize,
    /// f32 in a row of K, and of V
    row: usize,
    /// the tokens whose rows are valid, from position 0 on
    tokens: Vec<u32>,
}

impl KvCache {
    /// An empty cache; buffers come with the first [`Self::reserve`].
    pub fn new(config: &ModelConfig) -> Self {
        let row = config.n_kv_heads * config.head_dim.next_multiple_of(4);
        Self { layers: Vec::new(), capacity: 0, row, tokens: Vec::new() }
    }

    /// Positions that fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    pub fn bytes(&self) -> u64 {
        self.layers.iter().map(|l| l.k.size() + l.v.size()).sum()
    }

    /// f32 in a row of K, and of V.
    pub fn row(&self) -> usize {
        self.row
    }

    /// Positions that there is room for once `positions` are reserved.
    pub fn capacity_for(positions: usize) -> usize {
        positions.next_multiple_of(STEP)
    }

    /// Makes room for `positions`, keeping the rows there are. Buffers may change:
    /// bind groups over them must be made again.
    ///
    /// # Errors
    /// [`understory_protocol::Error::OutOfDeviceMemory`]; the cache is not to be used any more.
    pub async fn reserve(&mut self, gpu: &Gpu, config: &ModelConfig, positions: usize) -> Result<()> {
        if positions <= self.capacity {
            return Ok(());
        }
        let capacity = Self::capacity_for(positions);
        let bytes = (capacity * self.row * 4) as u64;
        for i in 0..config.n_layers() {
            match self.layers.get_mut(i) {
                None => {
                    let (k, v) = (gpu.storage_deferred(DOING, bytes)?, gpu.storage_deferred(DOING, bytes)?);
                    self.layers.push(LayerCache { k, v });
                }
                Some(old) => {
                    // One layer at a time: the old and the new cache never both exist in full.
                    let grown = LayerCache { k: gpu.storage(DOING, bytes).await?, v: gpu.storage(DOING, bytes).await? };
                    let mut encoder = gpu.device().create_command_encoder(&Default::default());
                    encoder.copy_buffer_to_buffer(&old.k, 0, &grown.k, 0, old.k.size());
                    encoder.copy_buffer_to_buffer(&old.v, 0, &grown.v, 0, old.v.size());
                    gpu.queue().submit([encoder.finish()]);
                    *old = grown;
                }
            }
        }
        self.capacity = capacity;
        gpu.check_allocations(DOING).await
    }

    /// The tokens whose rows are valid, from position 0 on.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// States that the rows from position 0 on are those of `tokens`, and that no row behind them is valid.
    pub fn commit(&mut self, tokens: impl IntoIterator<Item = u32>) {
        self.tokens.clear();
        self.tokens.extend(tokens);
    }

    /// States that at most the first `rows` rows are valid.
    pub fn truncate(&mut self, rows: usize) {
        self.tokens.truncate(rows);
    }

    /// States that no row is valid. The buffers stay.
    pub fn invalidate(&mut self) {
        self.tokens.clear();
    }

    /// How many leading tokens of `prompt` need not be computed: the longest common prefix, but never the whole
    /// prompt, whose last token's logits are wanted.
    pub fn reusable(&self, prompt: &[u32]) -> usize {
        let common = self.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        common.min(prompt.len().saturating_sub(1))
    }
}
