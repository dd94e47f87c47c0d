//! A second KV cache of a model, in which it is measured: what a text has in the first one stays, and no text changes what
//! is compared.

use std::mem;

use understory_protocol::Result;

use super::Forward;
use super::plan::Plan;
use crate::cache::KvCache;
use crate::gpu::Gpu;

/// A KV cache and the dispatches over it, which take the place of a model's own by [`Forward::swap_cache`].
pub struct SpareCache {
    cache: KvCache,
    plan: Option<Plan>,
}

impl Forward {
    /// Makes a cache of `positions`.
    ///
    /// # Errors
    /// [`understory_protocol::Error::OutOfDeviceMemory`]: nothing has changed then.
    pub async fn spare_cache(&mut self, gpu: &Gpu, positions: usize) -> Result<SpareCache> {
        let mut spare =
            SpareCache { cache: KvCache::new(&self.config, self.kernel_set, self.cache.dtype()), plan: None };
        self.swap_cache(&mut spare);
        let made = self.reserve(gpu, positions).await;
        self.swap_cache(&mut spare);
        made.map(|()| spare)
    }

    /// Passes go through the cache of `spare` from now on, and those after the next call through the model's own again.
    pub fn swap_cache(&mut self, spare: &mut SpareCache) {
        mem::swap(&mut self.cache, &mut spare.cache);
        mem::swap(&mut self.plan, &mut spare.plan);
    }
}
