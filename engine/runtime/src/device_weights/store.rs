//! What holds the words of a part of a matrix.

use understory_protocol::{KernelSet, Result};

use crate::gpu::{Buffer, Gpu, Texels};

/// `vec4` of activations that a uniform binding holds: `x` in `lib/matmul_io.wesl`.
const BOUND_WORDS: usize = 4096;
/// Bytes of that binding, which buffers of activations have beyond their rows: it has one size, wherever it begins.
pub const BOUND_BYTES: usize = 16 * BOUND_WORDS;

/// What holds the words of a part of a matrix.
pub enum Store {
    Buffer(Buffer),
    /// for CPU adapters that read textures faster (`lib/weights.wesl`)
    Texels(Texels),
}

impl Store {
    /// Of words that were written to `buffer`, as the kernel set reads matrices with rows of `k8` times 8 columns.
    ///
    /// # Errors
    /// [`understory_protocol::Error::OutOfDeviceMemory`] where that is known at once.
    pub fn new(gpu: &Gpu, doing: &'static str, buffer: Buffer, kernel_set: KernelSet, k8: usize) -> Result<Self> {
        match reads_texels(kernel_set, k8) {
            true => Ok(Self::Texels(gpu.texels_from(doing, &buffer)?)),
            false => Ok(Self::Buffer(buffer)),
        }
    }

    /// Bytes of a part at most, whatever holds it.
    pub fn max_bytes(gpu: &Gpu) -> u64 {
        let limits = &gpu.report().limits;
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size).min(Texels::MAX_BYTES)
    }

    pub fn is_texels(&self) -> bool {
        matches!(self, Self::Texels(_))
    }

    pub fn binding(&self) -> wgpu::BindingResource<'_> {
        match self {
            Self::Buffer(buffer) => buffer.as_entire_binding(),
            Self::Texels(texels) => wgpu::BindingResource::TextureView(&texels.view),
        }
    }

    /// What kernels that read it are built with beside the kernel set.
    pub fn feature(&self) -> Option<&'static str> {
        self.is_texels().then_some("texel")
    }
}

/// Whether matrices lie in textures: for the kernels of CPU adapters, where rows of activations fit a uniform binding.
pub fn reads_texels(kernel_set: KernelSet, k8: usize) -> bool {
    kernel_set == KernelSet::Cpu && bound_rows(k8).is_some()
}

/// Rows of `k8` times 8 activations that a uniform binding holds: as many as products take at once, or fewer that end
/// where another binding may begin. `None`: not a single one.
pub fn bound_rows(k8: usize) -> Option<usize> {
    match BOUND_WORDS / (2 * k8.max(1)) {
        0 => None,
        rows @ 1..8 => k8.is_multiple_of(8).then_some(rows),
        rows => Some(rows / 8 * 8),
    }
}
