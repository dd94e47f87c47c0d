//! Buffers under one budget, and whether there is memory for them. A device may answer that later than a buffer is
//! made: such a [`PendingAllocation`] is asked for its answer by [`Gpu::check_allocations`].

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use understory_protocol::{Error, Result};

use super::device::{Gpu, lock};

#[cfg(not(target_family = "wasm"))]
type Answer = Pin<Box<dyn Future<Output = Option<wgpu::Error>> + Send>>;
#[cfg(target_family = "wasm")]
type Answer = Pin<Box<dyn Future<Output = Option<wgpu::Error>>>>;

/// A buffer that was made before the device said whether there is memory for it.
struct PendingAllocation {
    answer: Answer,
    /// what is reported if there is none
    refusal: Error,
}

/// The account of a device's buffers.
pub(super) struct Memory {
    pending: Mutex<Vec<PendingAllocation>>,
    pub(super) allocated_bytes: Arc<AtomicU64>,
    peak_bytes: AtomicU64,
    limit_bytes: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Memory {
            pending: Mutex::default(),
            allocated_bytes: Arc::default(),
            peak_bytes: AtomicU64::new(0),
            limit_bytes: u64::MAX,
        }
    }
}

/// A storage or staging buffer that is on the device's account for as long as it lives.
pub struct Buffer {
    raw: wgpu::Buffer,
    account: Arc<AtomicU64>,
}

impl std::ops::Deref for Buffer {
    type Target = wgpu::Buffer;
    fn deref(&self) -> &wgpu::Buffer {
        &self.raw
    }
}

/// Uniform, too: where kernels read activations so (`lib/matmul_io.wesl`).
const STORAGE: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE
    .union(wgpu::BufferUsages::UNIFORM)
    .union(wgpu::BufferUsages::COPY_DST)
    .union(wgpu::BufferUsages::COPY_SRC);

impl Drop for Buffer {
    fn drop(&mut self) {
        self.account.fetch_sub(self.raw.size(), Ordering::Relaxed);
    }
}

impl Gpu {
    /// Refuses buffers beyond `bytes` in total, as a device of that size would.
    pub fn with_memory_limit(mut self, bytes: u64) -> Gpu {
        self.memory.limit_bytes = bytes;
        self
    }

    /// Bytes of all buffers alive.
    pub fn allocated_bytes(&self) -> u64 {
        self.memory.allocated_bytes.load(Ordering::Relaxed)
    }
    /// Bytes that are left below the limit.
    pub fn free_bytes(&self) -> u64 {
        self.memory.limit_bytes.saturating_sub(self.allocated_bytes())
    }
    /// The most that [`Self::allocated_bytes`] ever was.
    pub fn peak_bytes(&self) -> u64 {
        self.memory.peak_bytes.load(Ordering::Relaxed)
    }

    /// A zeroed buffer of at least `bytes` (rounded up to 16).
    ///
    /// # Errors
    /// [`Error::DeviceLimit`] beyond the largest buffer, [`Error::OutOfDeviceMemory`].
    pub async fn buffer(&self, doing: &'static str, bytes: u64, usage: wgpu::BufferUsages) -> Result<Buffer> {
        let buffer = self.create_buffer_deferred(doing, bytes, usage)?;
        self.check_allocations(doing).await?;
        Ok(buffer)
    }

    /// As [`Self::buffer`], without waiting for the device's answer (in a browser it comes after everything that was
    /// asked of the device before, kernels to compile among it): [`Self::check_allocations`] and [`Self::wait`] say if it is no.
    ///
    /// # Errors
    /// [`Error::DeviceLimit`]; [`Error::OutOfDeviceMemory`] where that is known at once.
    pub fn create_buffer_deferred(&self, doing: &'static str, bytes: u64, usage: wgpu::BufferUsages) -> Result<Buffer> {
        let size = bytes.max(16).next_multiple_of(16);
        let limit = self.report().limits.max_buffer_size;
        if size > limit {
            return Err(Error::DeviceLimit { what: format!("a buffer for {doing}"), needed: size, offered: limit });
        }
        let raw = self.allocate(doing, size, |device| {
            let label = Some(doing);
            device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false })
        })?;
        Ok(Buffer { raw, account: self.memory.allocated_bytes.clone() })
    }

    /// Makes what takes `size` bytes, and puts them on the account.
    pub(super) fn allocate<T>(
        &self,
        doing: &'static str,
        size: u64,
        make: impl FnOnce(&wgpu::Device) -> T,
    ) -> Result<T> {
        let allocated_bytes = self.allocated_bytes();
        let refusal = Error::OutOfDeviceMemory { doing, asked_bytes: size, allocated_bytes };
        if allocated_bytes + size > self.memory.limit_bytes {
            return Err(refusal);
        }
        let scope = self.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let made = make(self.device());
        lock(&self.memory.pending).push(PendingAllocation { answer: Box::pin(scope.pop()), refusal });
        let now = self.memory.allocated_bytes.fetch_add(size, Ordering::Relaxed) + size;
        self.memory.peak_bytes.fetch_max(now, Ordering::Relaxed);
        Ok(made)
    }

    /// Waits for the answers that [`Self::create_buffer_deferred`] did not wait for.
    ///
    /// # Errors
    /// [`Error::OutOfDeviceMemory`] of the first buffer there is no memory for, [`Error::DeviceLost`].
    pub async fn check_allocations(&self, doing: &'static str) -> Result<()> {
        let pending = std::mem::take(&mut *lock(&self.memory.pending));
        let mut refused = None;
        for PendingAllocation { answer, refusal } in pending {
            if answer.await.is_some() {
                refused.get_or_insert(refusal);
            }
        }
        refused.map_or_else(|| self.check(doing), Err)
    }

    /// A storage buffer that can be written to and copied.
    pub async fn storage(&self, doing: &'static str, bytes: u64) -> Result<Buffer> {
        self.buffer(doing, bytes, STORAGE).await
    }

    /// As [`Self::storage`], in the way of [`Self::create_buffer_deferred`].
    pub fn storage_deferred(&self, doing: &'static str, bytes: u64) -> Result<Buffer> {
        self.create_buffer_deferred(doing, bytes, STORAGE)
    }

    /// A storage buffer with contents.
    pub async fn storage_from(&self, doing: &'static str, contents: &[u8]) -> Result<Buffer> {
        let buffer = self.storage(doing, contents.len() as u64).await?;
        self.queue().write_buffer(&buffer, 0, contents);
        Ok(buffer)
    }

    /// A uniform buffer with contents, in the way of [`Self::create_buffer_deferred`].
    pub fn uniform<T: bytemuck::NoUninit>(&self, doing: &'static str, contents: &T) -> Result<Buffer> {
        use wgpu::BufferUsages as U;
        let bytes = bytemuck::bytes_of(contents);
        let buffer = self.create_buffer_deferred(doing, bytes.len() as u64, U::UNIFORM | U::COPY_DST)?;
        self.queue().write_buffer(&buffer, 0, bytes);
        Ok(buffer)
    }
}
