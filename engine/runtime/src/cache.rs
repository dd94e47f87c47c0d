//! The KV cache: rows of K and V by position for each layer, sized to the request and grown in steps, and the
//! tokens that those rows belong to, so that a next request with the same beginning need not compute it again.

use understory_model::config::ModelConfig;
use understory_protocol::{KernelSet, Result};

use crate::gpu::{Gpu, Words};

/// Positions by which the cache grows.
const STEP: usize = 256;
const DOING: &str = "growing the KV cache";

/// K and V of one layer, `[capacity, n_kv_heads, head_stride]` f32.
pub struct LayerCache {
    pub k: Words,
    pub v: Words,
}

impl LayerCache {
    /// Of `bytes` each; [`Gpu::check_allocations`] says whether there is memory for them.
    fn new(gpu: &Gpu, bytes: u64, kernel_set: KernelSet) -> Result<Self> {
        let words = || Words::new(gpu, DOING, bytes, kernel_set);
        Ok(Self { k: words()?, v: words()? })
    }
}

pub struct KvCache {
    pub layers: Vec<LayerCache>,
    kernel_set: KernelSet,
    capacity: usize,
    /// f32 in a row of K, and of V
    row: usize,
    /// the tokens whose rows are valid, from position 0 on
    tokens: Vec<u32>,
}

impl KvCache {
    /// An empty cache; buffers come with the first [`Self::reserve`].
    pub fn new(config: &ModelConfig, kernel_set: KernelSet) -> Self {
        let row = config.n_kv_heads * config.head_dim.next_multiple_of(4);
        Self { layers: Vec::new(), kernel_set, capacity: 0, row, tokens: Vec::new() }
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
                None => self.layers.push(LayerCache::new(gpu, bytes, self.kernel_set)?),
                Some(old) => {
                    // One layer at a time: the old and the new cache never both exist in full.
                    let grown = LayerCache::new(gpu, bytes, self.kernel_set)?;
                    gpu.check_allocations(DOING).await?;
                    let mut encoder = gpu.device().create_command_encoder(&Default::default());
                    old.k.copy_to(&mut encoder, &grown.k);
                    old.v.copy_to(&mut encoder, &grown.v);
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
