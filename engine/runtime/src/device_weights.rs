//! Weights on the device, in the layout of the kernels: matrices in blocks of 4 rows, columns padded to 8,
//! f16 pairs in u32 or f32, row-major for GPUs and interleaved by block for CPU adapters (see
//! `shaders/kernels/lib/weights.wesl`), split where a binding cannot hold them; vectors of one product in one buffer.
//!
//! Tensors go up one at a time in pieces of a few MiB, so the host never holds more than a piece.

use std::ops::Range;

use understory_model::config::{ModelConfig, NormKind};
use understory_model::halves::narrow;
use understory_model::weights::{LayerSlot, ModelWeights, Slot};
use understory_protocol::{Dtype, Error, KernelSet, Result};

use crate::gpu::{Buffer, Gpu};

/// Bits of f16's infinity, without its sign.
const F16_INFINITY: u16 = 0x7c00;
/// f32 values converted and handed over at once.
const PIECE_VALUES: usize = 1 << 20;
/// Bytes handed to the queue before it is drained: bounds the driver's staging memory.
const IN_FLIGHT_BYTES: u64 = 32 << 20;

/// A matrix `[rows, cols]` as the kernels read it.
pub struct Matrix {
    pub parts: Vec<MatrixPart>,
    /// padded columns / 8
    pub k8: u32,
    /// rows before padding
    pub rows: u32,
}

/// Rows `row0 .. row0 + 4 * blocks` of a matrix.
pub struct MatrixPart {
    pub buffer: Buffer,
    pub row0: u32,
    pub blocks: u32,
}

/// The vectors of one product: gamma, beta, bias, each where it exists.
pub struct Vectors {
    pub buffer: Buffer,
    /// first vec4 of the bias
    pub bias4: u32,
    pub has_bias: bool,
}

pub struct DeviceLayer {
    pub qkv: Matrix,
    pub qkv_vectors: Vectors,
    /// `[2, head_dim]`
    pub qk_gamma: Option<Buffer>,
    pub attn_out: Matrix,
    pub attn_out_vectors: Vectors,
    pub post_attn_gamma: Option<Buffer>,
    pub mlp_up: Matrix,
    pub mlp_up_vectors: Vectors,
    pub mlp_down: Matrix,
    pub mlp_down_vectors: Vectors,
    pub post_mlp_gamma: Option<Buffer>,
}

pub struct DeviceWeights {
    pub embedding: Matrix,
    /// `[positions, padded hidden_size]` f32
    pub positions: Option<Buffer>,
    pub layers: Vec<DeviceLayer>,
    /// `None`: the embedding
    pub lm_head: Option<Matrix>,
    pub head_vectors: Vectors,
    /// bytes of all of these
    pub bytes: u64,
}

/// The order in which a matrix's rows lie on the device.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RowOrder {
    AsStored,
    /// blocks of two gate rows and the two up rows that they gate
    GateUp,
}

struct Upload<'a> {
    gpu: &'a Gpu,
    weights: &'a ModelWeights<'a>,
    config: &'a ModelConfig,
    dtype: Dtype,
    profile: KernelSet,
    /// rows of one tensor as f32
    values: Vec<f32>,
    second: Vec<f32>,
    bytes: Vec<u8>,
    in_flight: u64,
    done_bytes: u64,
    total_bytes: u64,
    on_progress: &'a mut dyn FnMut(u64, u64),
}

const DOING: &str = "uploading weights";

/// Reads every tensor of the model and puts it on the device; `on_progress(done, total)` in source values * 4 bytes.
///
/// # Errors
/// What [`ModelWeights::read_rows`] finds, [`Error::F16Overflow`], [`Error::OutOfDeviceMemory`], [`Error::DeviceLost`].
pub async fn upload(
    gpu: &Gpu,
    weights: &ModelWeights<'_>,
    config: &ModelConfig,
    dtype: Dtype,
    profile: KernelSet,
    on_progress: &mut dyn FnMut(u64, u64),
) -> Result<DeviceWeights> {
    let total_bytes = weights.slots().iter().filter_map(|s| weights.shape(*s)).map(|[r, c]| (r * c * 4) as u64).sum();
    let before = gpu.allocated_bytes();
    let mut up = Upload {
        gpu,
        weights,
        config,
        dtype,
        profile,
        values: Vec::new(),
        second: Vec::new(),
        bytes: Vec::new(),
        in_flight: 0,
        done_bytes: 0,
        total_bytes,
        on_progress,
    };
    let embedding = up.matrix(Slot::Embedding, RowOrder::AsStored).await?;
    let positions = match weights.shape(Slot::PositionEmbedding) {
        Some(_) => Some(up.table(Slot::PositionEmbedding).await?),
        None => None,
    };
    let mut layers = Vec::with_capacity(config.n_layers());
    for i in 0..config.n_layers() {
        layers.push(up.layer(i).await?);
    }
    let lm_head = match config.tie_word_embeddings {
        true => None,
        false => Some(up.matrix(Slot::LmHead, RowOrder::AsStored).await?),
    };
    let head_vectors = up.vectors(
        Some((Slot::FinalNorm, Slot::FinalNormBias)),
        Slot::LmHeadBias,
        RowOrder::AsStored,
        config.vocab_size,
    )?;
    // Copied while the kernels are made.
    gpu.queue().submit([]);
    Ok(DeviceWeights { embedding, positions, layers, lm_head, head_vectors, bytes: gpu.allocated_bytes() - before })
}

impl Upload<'_> {
    async fn layer(&mut self, i: usize) -> Result<DeviceLayer> {
        use LayerSlot as L;
        let slot = |s| Slot::Layer(i, s);
        let order = if self.config.mlp_gated { RowOrder::GateUp } else { RowOrder::AsStored };
        let up_rows = self.config.intermediate_size * if self.config.mlp_gated { 2 } else { 1 };
        let d = self.config.hidden_size;
        let qkv_rows = self.config.q_dim() + 2 * self.config.kv_dim();
        let attn_norm = Some((slot(L::AttnNorm), slot(L::AttnNormBias)));
        let mlp_norm = Some((slot(L::MlpNorm), slot(L::MlpNormBias)));
        Ok(DeviceLayer {
            qkv: self.matrix(slot(L::Qkv), RowOrder::AsStored).await?,
            qkv_vectors: self.vectors(attn_norm, slot(L::QkvBias), RowOrder::AsStored, qkv_rows)?,
            qk_gamma: match self.config.qk_norm {
                true => {
                    let mut both = self.gamma(slot(L::QNorm))?;
                    both.extend(self.gamma(slot(L::KNorm))?);
                    Some(self.put(&both)?)
                }
                false => None,
            },
            attn_out: self.matrix(slot(L::AttnOut), RowOrder::AsStored).await?,
            attn_out_vectors: self.vectors(None, slot(L::AttnOutBias), RowOrder::AsStored, d)?,
            post_attn_gamma: self.post_gamma(slot(L::PostAttnNorm))?,
            mlp_up: self.matrix(slot(L::MlpUp), order).await?,
            mlp_up_vectors: self.vectors(mlp_norm, slot(L::MlpUpBias), order, up_rows)?,
            mlp_down: self.matrix(slot(L::MlpDown), RowOrder::AsStored).await?,
            mlp_down_vectors: self.vectors(None, slot(L::MlpDownBias), RowOrder::AsStored, d)?,
            post_mlp_gamma: self.post_gamma(slot(L::PostMlpNorm))?,
        })
    }

    /// A vector of the model, `None` where it has none.
    fn vector(&mut self, slot: Slot) -> Result<Option<Vec<f32>>> {
        let Some([rows, cols]) = self.weights.shape(slot) else { return Ok(None) };
        let mut out = Vec::new();
        self.weights.read_rows(slot, 0..rows, &mut out)?;
        self.progress(rows * cols);
        Ok(Some(out))
    }

    /// A norm's factor as the kernels multiply by it.
    fn gamma(&mut self, slot: Slot) -> Result<Vec<f32>> {
        let mut gamma = self.vector(slot)?.expect("every norm has a weight: checked when the files were opened");
        if self.config.norm.unit_offset {
            gamma.iter_mut().for_each(|g| *g += 1.0);
        }
        Ok(gamma)
    }

    fn post_gamma(&mut self, slot: Slot) -> Result<Option<Buffer>> {
        if !self.config.post_norms {
            return Ok(None);
        }
        let mut gamma = self.gamma(slot)?;
        gamma.resize(gamma.len().next_multiple_of(8), 0.0);
        Ok(Some(self.put(&gamma)?))
    }

    /// `[gamma, beta]` of the norm on the input (each padded to the input's columns), then the bias of `rows` outputs.
    fn vectors(&mut self, norm: Option<(Slot, Slot)>, bias: Slot, order: RowOrder, rows: usize) -> Result<Vectors> {
        let mut all = Vec::new();
        if let Some((gamma, beta)) = norm {
            all = self.gamma(gamma)?;
            let padded = all.len().next_multiple_of(8);
            all.resize(padded, 0.0);
            if self.config.norm.kind == NormKind::Layer {
                all.extend(self.vector(beta)?.unwrap_or_default());
                all.resize(2 * padded, 0.0);
            }
        }
        let bias4 = all.len() as u32 / 4;
        let bias = self.vector(bias)?;
        if let Some(bias) = &bias {
            match order {
                RowOrder::AsStored => all.extend(bias),
                RowOrder::GateUp => {
                    let (gate, up) = bias.split_at(rows / 2);
                    all.extend(
                        gate_up_rows(rows / 2).map(|r| r.map_or(0.0, |(is_up, i)| if is_up { up[i] } else { gate[i] })),
                    );
                }
            }
            all.resize(all.len().next_multiple_of(4), 0.0);
        }
        let buffer = self.put(&all)?;
        Ok(Vectors { buffer, bias4, has_bias: bias.is_some() })
    }

    /// A row-major table of f32 rows, padded to 8 columns.
    async fn table(&mut self, slot: Slot) -> Result<Buffer> {
        let keep = (self.dtype, self.profile);
        (self.dtype, self.profile) = (Dtype::F32, KernelSet::Gpu);
        let table = self.matrix(slot, RowOrder::AsStored).await;
        (self.dtype, self.profile) = keep;
        let mut table = table?;
        if table.parts.len() != 1 {
            let needed = table.parts.iter().map(|p| p.buffer.size()).sum();
            let offered = self.gpu.report().limits.max_storage_buffer_binding_size;
            return Err(Error::DeviceLimit { what: "the position table".into(), needed, offered });
        }
        Ok(table.parts.remove(0).buffer)
    }

    async fn matrix(&mut self, slot: Slot, order: RowOrder) -> Result<Matrix> {
        let [rows, cols] = self.weights.shape(slot).expect("only slots that the model has are uploaded");
        let k = cols.next_multiple_of(8);
        let row_bytes = k as u64 * if self.dtype == Dtype::F16 { 2 } else { 4 };
        let n_blocks = match order {
            RowOrder::AsStored => rows.div_ceil(4),
            RowOrder::GateUp => (rows / 2).div_ceil(2),
        };
        let limits = &self.gpu.report().limits;
        let binding = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let blocks_per_part = (binding / (4 * row_bytes)) as usize;
        if blocks_per_part == 0 {
            return Err(Error::DeviceLimit {
                what: "four rows of a weight".into(),
                needed: 4 * row_bytes,
                offered: binding,
            });
        }
        let mut parts = Vec::new();
        let blocks_per_piece = (PIECE_VALUES / (4 * k)).max(1);
        for block0 in (0..n_blocks).step_by(blocks_per_part) {
            let blocks = blocks_per_part.min(n_blocks - block0);
            let buffer = self.gpu.storage_ahead(DOING, blocks as u64 * 4 * row_bytes)?;
            for piece in (block0..block0 + blocks).step_by(blocks_per_piece) {
                let piece_end = (piece + blocks_per_piece).min(block0 + blocks);
                self.read_blocks(slot, order, [rows, cols], piece..piece_end)?;
                let offset = (piece - block0) as u64 * 4 * row_bytes;
                self.gpu.queue().write_buffer(&buffer, offset, &self.bytes);
                self.in_flight += self.bytes.len() as u64;
                if self.in_flight > IN_FLIGHT_BYTES {
                    self.drain().await?;
                }
            }
            parts.push(MatrixPart { buffer, row0: 4 * block0 as u32, blocks: blocks as u32 });
        }
        Ok(Matrix { parts, k8: k as u32 / 8, rows: rows as u32 })
    }

    fn put(&self, values: &[f32]) -> Result<Buffer> {
        let bytes = bytemuck::cast_slice(values);
        let buffer = self.gpu.storage_ahead(DOING, bytes.len() as u64)?;
        self.gpu.queue().write_buffer(&buffer, 0, bytes);
        Ok(buffer)
    }

    /// Fills `self.bytes` with blocks of 4 rows, converted and padded.
    fn read_blocks(
        &mut self,
        slot: Slot,
        order: RowOrder,
        [rows, cols]: [usize; 2],
        blocks: Range<usize>,
    ) -> Result<()> {
        let k = cols.next_multiple_of(8);
        let mut padded = vec![0.0f32; blocks.len() * 4 * k];
        match order {
            RowOrder::AsStored => {
                let range = 4 * blocks.start..(4 * blocks.end).min(rows);
                self.weights.read_rows(slot, range, &mut self.values)?;
                for (to, from) in padded.chunks_exact_mut(k).zip(self.values.chunks_exact(cols)) {
                    to[..cols].copy_from_slice(from);
                }
            }
            RowOrder::GateUp => {
                let half = rows / 2;
                let range = 2 * blocks.start..(2 * blocks.end).min(half);
                self.weights.read_rows(slot, range.clone(), &mut self.values)?;
                self.weights.read_rows(slot, half + range.start..half + range.end, &mut self.second)?;
                for (to, source) in padded.chunks_exact_mut(k).zip(gate_up_rows(range.len())) {
                    if let Some((is_up, i)) = source {
                        let from = if is_up { &self.second } else { &self.values };
                        to[..cols].copy_from_slice(&from[i * cols..(i + 1) * cols]);
                    }
                }
            }
        }
        if self.profile == KernelSet::Cpu {
            padded = interleaved(&padded, k);
        }
        self.bytes.clear();
        match self.dtype {
            Dtype::F32 => self.bytes.extend_from_slice(bytemuck::cast_slice(&padded)),
            Dtype::F16 => {
                let mut halves = vec![0; padded.len()];
                narrow(&padded, &mut halves);
                // All at once first: nearly always there is nothing to look for.
                let largest = halves.iter().fold(0, |largest, half| (half & 0x7fff).max(largest));
                let overflown = |&i: &usize| halves[i] & 0x7fff == F16_INFINITY && padded[i].is_finite();
                if let Some(index) = (0..padded.len()).filter(|_| largest >= F16_INFINITY).find(overflown) {
                    return Err(Error::F16Overflow { name: format!("{slot:?}"), value: padded[index], index });
                }
                self.bytes.extend_from_slice(bytemuck::cast_slice(&halves));
            }
        }
        self.progress(blocks.len() * 4 * cols);
        Ok(())
    }

    fn progress(&mut self, values: usize) {
        self.done_bytes = (self.done_bytes + 4 * values as u64).min(self.total_bytes);
        (self.on_progress)(self.done_bytes, self.total_bytes);
    }

    /// Hands everything written so far to the device and waits for it.
    async fn drain(&mut self) -> Result<()> {
        self.gpu.queue().submit([]);
        self.in_flight = 0;
        self.gpu.wait(DOING).await
    }
}

/// Blocks of 4 rows of `k` values with their rows interleaved every 8 columns.
pub fn interleaved(rows: &[f32], k: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(rows.len());
    for block in rows.chunks_exact(4 * k) {
        for column in (0..k).step_by(8) {
            for row in block.chunks_exact(k) {
                out.extend_from_slice(&row[column..column + 8]);
            }
        }
    }
    out
}

/// For `n` gate rows and `n` up rows: which row lies where, as (is up, index); `None` is padding.
fn gate_up_rows(n: usize) -> impl Iterator<Item = Option<(bool, usize)>> {
    (0..n.div_ceil(2)).flat_map(move |b| {
        [(false, 2 * b), (false, 2 * b + 1), (true, 2 * b), (true, 2 * b + 1)].map(|(up, i)| (i < n).then_some((up, i)))
    })
}
