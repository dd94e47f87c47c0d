//! Textures that stand for arrays of words of 16 bytes, for the kernels of CPU adapters (`lib/texels.wesl`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use understory_protocol::{Error, KernelSet, Result};

use super::device::Gpu;
use super::memory::Buffer;

/// Words in a row of a texture: `lib/texels.wesl` has the same.
const ROW: u32 = 4096;
/// Rows that every device has.
const ROWS: u32 = 8192;
const ROW_BYTES: u32 = 16 * ROW;

/// Words of 16 bytes in a texture, row after row; on the device's account as a [`Buffer`].
pub struct Texels {
    pub view: wgpu::TextureView,
    words: u32,
    bytes: u64,
    account: Arc<AtomicU64>,
}

impl Texels {
    /// The most that one texture holds.
    pub const MAX_BYTES: u64 = ROW_BYTES as u64 * ROWS as u64;

    /// The whole rows and the one that is not, of those that hold the words: where each begins, and its size.
    fn areas(&self) -> impl Iterator<Item = (wgpu::Origin3d, wgpu::Extent3d)> {
        let (full, rest) = (self.words / ROW, self.words % ROW);
        [(0, ROW, full), (full, rest, 1)].into_iter().filter(|&(_, width, height)| width > 0 && height > 0).map(
            |(y, width, height)| {
                (wgpu::Origin3d { x: 0, y, z: 0 }, wgpu::Extent3d { width, height, depth_or_array_layers: 1 })
            },
        )
    }

    /// Records that they become what `buffer`, which is as large, begins with.
    fn copy_from(&self, encoder: &mut wgpu::CommandEncoder, buffer: &wgpu::Buffer) {
        for (origin, size) in self.areas() {
            encoder.copy_buffer_to_texture(in_buffer(buffer, origin), self.at(origin), size);
        }
    }

    fn at(&self, origin: wgpu::Origin3d) -> wgpu::TexelCopyTextureInfo<'_> {
        wgpu::TexelCopyTextureInfo { origin, ..self.view.texture().as_image_copy() }
    }
}

impl Drop for Texels {
    fn drop(&mut self) {
        self.account.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The place in `buffer` of what begins at `origin`.
fn in_buffer(buffer: &wgpu::Buffer, origin: wgpu::Origin3d) -> wgpu::TexelCopyBufferInfo<'_> {
    let offset = u64::from(origin.y) * u64::from(ROW_BYTES);
    let layout = wgpu::TexelCopyBufferLayout { offset, bytes_per_row: Some(ROW_BYTES), rows_per_image: None };
    wgpu::TexelCopyBufferInfo { buffer, layout }
}

impl Gpu {
    /// A texture of `bytes`, which kernels can write where the format is one of floats; read as `lib/texels.wesl` says; in
    /// the way of
    /// [`Self::create_buffer_deferred`].
    fn texels(&self, doing: &'static str, bytes: u64, format: wgpu::TextureFormat) -> Result<Texels> {
        use wgpu::TextureUsages as U;
        if bytes > Texels::MAX_BYTES {
            let what = format!("a texture for {doing}");
            return Err(Error::DeviceLimit { what, needed: bytes, offered: Texels::MAX_BYTES });
        }
        let words = bytes.div_ceil(16).max(1) as u32;
        let size = wgpu::Extent3d { width: ROW, height: words.div_ceil(ROW), depth_or_array_layers: 1 };
        let bytes = u64::from(ROW_BYTES) * u64::from(size.height);
        let usage = match format == wgpu::TextureFormat::Rgba32Float {
            true => U::TEXTURE_BINDING | U::STORAGE_BINDING | U::COPY_SRC,
            false if cfg!(target_family = "wasm") => U::TEXTURE_BINDING,
            false => U::STORAGE_BINDING,
        };
        let texture = self.allocate(doing, bytes, |device| {
            device.create_texture(&wgpu::TextureDescriptor {
                label: Some(doing),
                size,
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format,
                usage: U::COPY_DST | usage,
                view_formats: &[],
            })
        })?;
        let view = texture.create_view(&Default::default());
        Ok(Texels { view, words, bytes, account: self.memory.allocated_bytes.clone() })
    }

    /// A texture of the words in `buffer`, in the way of [`Self::create_buffer_deferred`].
    ///
    /// # Errors
    /// [`Error::DeviceLimit`] beyond [`Texels::MAX_BYTES`]; [`Error::OutOfDeviceMemory`] where that is known at once.
    pub fn texels_from(&self, doing: &'static str, buffer: &Buffer) -> Result<Texels> {
        let texels = self.texels(doing, buffer.size(), wgpu::TextureFormat::Rgba32Uint)?;
        let mut encoder = self.device().create_command_encoder(&Default::default());
        texels.copy_from(&mut encoder, buffer);
        self.queue().submit([encoder.finish()]);
        Ok(texels)
    }
}

/// Words of 16 bytes that kernels write and others read: queries, keys and values.
pub enum Words {
    Buffer(Buffer),
    /// for the kernels of CPU adapters
    Texels(Texels),
}

impl Words {
    /// At least `bytes` of zeros, as the kernel set has them; in the way of [`Gpu::create_buffer_deferred`].
    ///
    /// # Errors
    /// [`Error::DeviceLimit`]; [`Error::OutOfDeviceMemory`] where that is known at once.
    pub fn new(gpu: &Gpu, doing: &'static str, bytes: u64, kernel_set: KernelSet) -> Result<Self> {
        match kernel_set {
            KernelSet::Gpu => gpu.storage_deferred(doing, bytes).map(Self::Buffer),
            KernelSet::Cpu => gpu.texels(doing, bytes, wgpu::TextureFormat::Rgba32Float).map(Self::Texels),
        }
    }

    /// Bytes on the device.
    pub fn size(&self) -> u64 {
        match self {
            Self::Buffer(buffer) => buffer.size(),
            Self::Texels(texels) => texels.bytes,
        }
    }

    pub fn binding(&self) -> wgpu::BindingResource<'_> {
        match self {
            Self::Buffer(buffer) => buffer.as_entire_binding(),
            Self::Texels(texels) => wgpu::BindingResource::TextureView(&texels.view),
        }
    }

    /// Records that `self` becomes the beginning of `to`, which is as large or larger and of the same kernel set.
    pub fn copy_to(&self, encoder: &mut wgpu::CommandEncoder, to: &Self) {
        match (self, to) {
            (Self::Buffer(from), Self::Buffer(to)) => encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size()),
            (Self::Texels(from), Self::Texels(to)) => {
                for (origin, size) in from.areas() {
                    encoder.copy_texture_to_texture(from.at(origin), to.at(origin), size);
                }
            }
            _ => unreachable!("words of two kernel sets"),
        }
    }

    /// Records that they are filled from `buffer`, which is as large.
    pub fn fill(&self, encoder: &mut wgpu::CommandEncoder, buffer: &wgpu::Buffer) {
        match self {
            Self::Buffer(to) => encoder.copy_buffer_to_buffer(buffer, 0, to, 0, to.size()),
            Self::Texels(to) => to.copy_from(encoder, buffer),
        }
    }

    /// A buffer with what they hold when it is made.
    ///
    /// # Errors
    /// [`Error::DeviceLimit`], [`Error::OutOfDeviceMemory`].
    pub async fn snapshot(&self, gpu: &Gpu, doing: &'static str) -> Result<Buffer> {
        let buffer = gpu.storage(doing, self.size()).await?;
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        match self {
            Self::Buffer(from) => encoder.copy_buffer_to_buffer(from, 0, &buffer, 0, from.size()),
            Self::Texels(from) => {
                for (origin, size) in from.areas() {
                    encoder.copy_texture_to_buffer(from.at(origin), in_buffer(&buffer, origin), size);
                }
            }
        }
        gpu.queue().submit([encoder.finish()]);
        Ok(buffer)
    }
}
