//! Made-up buffers for the kernels to work on. Their values are small, positive and normal: nothing overflows,
//! nothing becomes denormal, and a variance taken from them is one.

use understory_protocol::{KernelSet, KvDtype, Result};

use crate::device_weights::{Form, Matrix, MatrixPart, Plain, PlaneOffsets, Planes, Store, Vectors};
use crate::gpu::{Buffer, Gpu, Words};

const DOING: &str = "allocating what is measured";
/// Bytes written at once; the same ones all over, but never the host's page of zeros.
const PIECE_BYTES: usize = 1 << 20;

/// Makes buffers and keeps them for as long as it lives.
pub struct Operands<'a> {
    gpu: &'a Gpu,
    buffers: Vec<Buffer>,
    f32s: Vec<u8>,
    f16s: Vec<u8>,
}

impl<'a> Operands<'a> {
    pub fn new(gpu: &'a Gpu) -> Self {
        let f32s = hashes().take(PIECE_BYTES / 4).flat_map(|h| ((h >> 8) as f32 / 1e9 + 0.01).to_le_bytes()).collect();
        // Exponents 2^-6 and 2^-5, any mantissa.
        let f16s = hashes().take(PIECE_BYTES / 2).flat_map(|h| ((h as u16 & 0x07ff) + 0x2400).to_le_bytes()).collect();
        Self { gpu, buffers: Vec::new(), f32s, f16s }
    }

    /// `values` f32 as kernels write them and attention reads them.
    pub async fn rows(&mut self, kernel_set: KernelSet, values: usize) -> Result<Words> {
        let words = Words::new(self.gpu, DOING, values as u64 * 4, kernel_set)?;
        self.fill(words, &self.f32s).await
    }

    async fn fill(&self, words: Words, pattern: &[u8]) -> Result<Words> {
        let contents = filled(self.gpu, words.size(), pattern).await?;
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        words.fill(&mut encoder, &contents);
        self.gpu.queue().submit([encoder.finish()]);
        Ok(words)
    }

    /// `values` of K or V as the cache of a kernel set has them.
    pub async fn cache(&mut self, kernel_set: KernelSet, values: usize) -> Result<Words> {
        let dtype = KvDtype::of(kernel_set);
        let words = Words::new(self.gpu, DOING, (values * dtype.bytes()) as u64, kernel_set)?;
        let pattern = if dtype == KvDtype::F16 { &self.f16s } else { &self.f32s };
        self.fill(words, pattern).await
    }

    /// `values` f32.
    pub async fn floats(&mut self, values: usize) -> Result<wgpu::Buffer> {
        let buffer = filled(self.gpu, values as u64 * 4, &self.f32s).await?;
        Ok(self.keep(buffer))
    }

    pub async fn words(&mut self, words: &[u32]) -> Result<wgpu::Buffer> {
        let buffer = self.gpu.storage_from(DOING, bytemuck::cast_slice(words)).await?;
        Ok(self.keep(buffer))
    }

    /// A matrix of `blocks` blocks of four rows and `cols` columns, split as weights are.
    pub async fn matrix(&mut self, kernel_set: KernelSet, form: Form, blocks: usize, cols: usize) -> Result<Matrix> {
        let k = cols.next_multiple_of(8);
        // Codes may be anything; scales are halves, and pairs of these small numbers in f32, too.
        let (pattern, [codes, high, scales]) = match form {
            Form::Plain(Plain::F16) => (&self.f16s, [k / 2, 0, 0]),
            Form::Plain(Plain::F32) => (&self.f32s, [k, 0, 0]),
            Form::Blocks(block_type) => (&self.f16s, Planes::words(block_type, cols)),
        };
        let block_bytes = 16 * (codes + high + scales) as u64;
        // Even, as the order of q, k and v wants it.
        let per_part = (Store::max_bytes(self.gpu) / block_bytes / 2).max(1) * 2;
        let mut parts = Vec::new();
        for block0 in (0..blocks).step_by(per_part as usize) {
            let blocks = (per_part as usize).min(blocks - block0);
            let buffer = filled(self.gpu, blocks as u64 * block_bytes, pattern).await?;
            let planes = PlaneOffsets { high: (blocks * codes) as u32, scales: (blocks * (codes + high)) as u32 };
            let store = Store::new(self.gpu, DOING, buffer, kernel_set, k / 8)?;
            parts.push(MatrixPart { store, form, planes, row0: 4 * block0 as u32, blocks: blocks as u32 });
        }
        Ok(Matrix { parts, k8: k as u32 / 8, rows: 4 * blocks as u32 })
    }

    /// Gamma and beta of `cols` columns, and room for a bias of `rows`.
    pub async fn vectors(&mut self, cols: usize, rows: usize, has_bias: bool) -> Result<Vectors> {
        let before_bias = 2 * cols.next_multiple_of(8);
        let bytes = (before_bias + rows.next_multiple_of(4)) as u64 * 4;
        let buffer = filled(self.gpu, bytes, &self.f32s).await?;
        Ok(Vectors { buffer, bias4: before_bias as u32 / 4, has_bias })
    }

    fn keep(&mut self, buffer: Buffer) -> wgpu::Buffer {
        let raw = (*buffer).clone();
        self.buffers.push(buffer);
        raw
    }
}

/// A buffer that repeats `pattern`.
pub async fn filled(gpu: &Gpu, bytes: u64, pattern: &[u8]) -> Result<Buffer> {
    let buffer = gpu.storage(DOING, bytes).await?;
    for (i, offset) in (0..buffer.size()).step_by(pattern.len()).enumerate() {
        let len = (buffer.size() - offset).min(pattern.len() as u64) as usize;
        gpu.queue().write_buffer(&buffer, offset, &pattern[..len]);
        // Written in few pieces at a time: the queue stages each of them.
        if i % 32 == 31 {
            gpu.queue().submit([]);
            gpu.wait(DOING).await?;
        }
    }
    gpu.queue().submit([]);
    gpu.wait(DOING).await?;
    Ok(buffer)
}

/// An endless series of well mixed numbers.
pub fn hashes() -> impl Iterator<Item = u32> {
    (0u32..).map(|i| {
        let h = (i ^ (i >> 16)).wrapping_mul(0x7feb_352d);
        let h = (h ^ (h >> 15)).wrapping_mul(0x846c_a68b);
        h ^ (h >> 16)
    })
}
