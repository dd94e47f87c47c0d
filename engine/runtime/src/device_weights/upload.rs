//! The way of weights to the device.
//!
//! Tensors go up one at a time in pieces of a few MiB, so the host never holds more than a piece.

use std::ops::Range;

use understory_model::config::{ModelConfig, NormKind};
use understory_model::weights::{LayerSlot, ModelWeights, Slot};
use understory_protocol::{Dtype, Error, KernelSet, Result};

use super::layout::{MatrixLayout, Overflow, RowOrder, padded};
use super::planes::{PlaneOffsets, Planes};
use super::{DeviceLayer, DeviceWeights, Form, Matrix, MatrixPart, Plain, Store, Vectors};
use crate::gpu::{Buffer, Gpu};

/// f32 values converted and handed over at once.
pub(super) const PIECE_VALUES: usize = 1 << 20;
/// Bytes handed to the queue before it is drained: bounds the driver's staging memory.
const IN_FLIGHT_BYTES: u64 = 32 << 20;

pub(super) struct Upload<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) weights: &'a ModelWeights<'a>,
    config: &'a ModelConfig,
    pub(super) dtype: Dtype,
    kernel_set: KernelSet,
    /// rows of one tensor as f32
    pub(super) values: Vec<f32>,
    second: Vec<f32>,
    bytes: Vec<u8>,
    pub(super) planes: Planes,
    in_flight: u64,
    done_bytes: u64,
    total_bytes: u64,
    on_progress: &'a mut dyn FnMut(u64, u64),
}

pub(super) const DOING: &str = "uploading weights";

/// Reads every tensor of the model and puts it on the device; `on_progress(done, total)` in source values * 4 bytes.
///
/// # Errors
/// What [`ModelWeights::read_rows`] finds, [`Error::F16Overflow`], [`Error::OutOfDeviceMemory`], [`Error::DeviceLost`].
pub async fn upload(
    gpu: &Gpu,
    weights: &ModelWeights<'_>,
    config: &ModelConfig,
    dtype: Dtype,
    kernel_set: KernelSet,
    on_progress: &mut dyn FnMut(u64, u64),
) -> Result<DeviceWeights> {
    let total_bytes = weights.slots().iter().filter_map(|s| weights.shape(*s)).map(|[r, c]| (r * c * 4) as u64).sum();
    let before = gpu.allocated_bytes();
    let mut up = Upload {
        gpu,
        weights,
        config,
        dtype,
        kernel_set,
        values: Vec::new(),
        second: Vec::new(),
        bytes: Vec::new(),
        planes: Planes::default(),
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
    let lm_head = match weights.is_tied() {
        true => None,
        false => Some(up.matrix(Slot::LmHead, RowOrder::AsStored).await?),
    };
    let final_norm = Some((Slot::FinalNorm, Slot::FinalNormBias));
    let head_vectors = up.vectors(final_norm, Slot::LmHeadBias, RowOrder::AsStored)?;
    // Copied while the kernels are made.
    gpu.queue().submit([]);
    Ok(DeviceWeights { embedding, positions, layers, lm_head, head_vectors, bytes: gpu.allocated_bytes() - before })
}

impl Upload<'_> {
    async fn layer(&mut self, i: usize) -> Result<DeviceLayer> {
        use LayerSlot as L;
        let slot = |s| Slot::Layer(i, s);
        let order = RowOrder::of_mlp(self.config.mlp_gated);
        let qkv_order = RowOrder::of_qkv(self.config, &self.config.layers[i], self.kernel_set);
        let qkv_order = qkv_order.unwrap_or(RowOrder::AsStored);
        let attn_norm = Some((slot(L::AttnNorm), slot(L::AttnNormBias)));
        let mlp_norm = Some((slot(L::MlpNorm), slot(L::MlpNormBias)));
        Ok(DeviceLayer {
            qkv: self.matrix(slot(L::Qkv), qkv_order).await?,
            qkv_vectors: self.vectors(attn_norm, slot(L::QkvBias), qkv_order)?,
            qk_gamma: match self.config.qk_norm {
                true => {
                    let mut both = self.gamma(slot(L::QNorm))?;
                    both.extend(self.gamma(slot(L::KNorm))?);
                    Some(self.put(&both)?)
                }
                false => None,
            },
            attn_out: self.matrix(slot(L::AttnOut), RowOrder::AsStored).await?,
            attn_out_vectors: self.vectors(None, slot(L::AttnOutBias), RowOrder::AsStored)?,
            post_attn_gamma: self.post_gamma(slot(L::PostAttnNorm))?,
            mlp_up: self.matrix(slot(L::MlpUp), order).await?,
            mlp_up_vectors: self.vectors(mlp_norm, slot(L::MlpUpBias), order)?,
            mlp_down: self.matrix(slot(L::MlpDown), RowOrder::AsStored).await?,
            mlp_down_vectors: self.vectors(None, slot(L::MlpDownBias), RowOrder::AsStored)?,
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
        gamma.resize(padded(gamma.len()), 0.0);
        Ok(Some(self.put(&gamma)?))
    }

    /// `[gamma, beta]` of the norm on the input (each padded to the input's columns), then the bias of the outputs.
    fn vectors(&mut self, norm: Option<(Slot, Slot)>, bias: Slot, order: RowOrder) -> Result<Vectors> {
        let mut all = Vec::new();
        if let Some((gamma, beta)) = norm {
            all = self.gamma(gamma)?;
            let width = padded(all.len());
            all.resize(width, 0.0);
            if self.config.norm.kind == NormKind::Layer {
                all.extend(self.vector(beta)?.unwrap_or_default());
                all.resize(2 * width, 0.0);
            }
        }
        let bias4 = all.len() as u32 / 4;
        let bias = self.vector(bias)?;
        if let Some(bias) = &bias {
            all.extend(order.arranged(bias));
        }
        let buffer = self.put(&all)?;
        Ok(Vectors { buffer, bias4, has_bias: bias.is_some() })
    }

    /// A row-major table of f32 rows, padded to 8 columns.
    async fn table(&mut self, slot: Slot) -> Result<Buffer> {
        let layout = MatrixLayout { plain: Plain::F32, kernel_set: KernelSet::Gpu, ..self.layout(slot) };
        let mut table = self.matrix_in(layout, slot).await?;
        match (table.parts.pop(), table.parts.len()) {
            (Some(MatrixPart { store: Store::Buffer(table), .. }), 0) => Ok(table),
            _ => {
                let needed = layout.n_blocks() as u64 * layout.block_bytes();
                let offered = self.gpu.report().limits.max_storage_buffer_binding_size;
                Err(Error::DeviceLimit { what: "the position table".into(), needed, offered })
            }
        }
    }

    /// The layout of a slot's matrix among this model's, its rows as they are stored.
    pub(super) fn layout(&self, slot: Slot) -> MatrixLayout {
        let [rows, cols] = self.weights.shape(slot).expect("only slots that the model has are uploaded");
        MatrixLayout {
            rows,
            cols,
            order: RowOrder::AsStored,
            plain: Plain::of(self.dtype),
            kernel_set: self.kernel_set,
        }
    }

    pub(super) async fn matrix_in(&mut self, layout: MatrixLayout, slot: Slot) -> Result<Matrix> {
        let (n_blocks, block_bytes) = (layout.n_blocks(), layout.block_bytes());
        let blocks_per_part = self.blocks_per_part(block_bytes, layout.order)?;
        let mut parts = Vec::new();
        let blocks_per_piece = (PIECE_VALUES / (4 * layout.padded_cols())).max(1);
        for block0 in (0..n_blocks).step_by(blocks_per_part) {
            let blocks = blocks_per_part.min(n_blocks - block0);
            let buffer = self.gpu.storage_deferred(DOING, blocks as u64 * block_bytes)?;
            for piece in (block0..block0 + blocks).step_by(blocks_per_piece) {
                let piece_end = (piece + blocks_per_piece).min(block0 + blocks);
                self.read_blocks(layout, slot, piece..piece_end)?;
                self.gpu.queue().write_buffer(&buffer, (piece - block0) as u64 * block_bytes, &self.bytes);
                self.written(self.bytes.len()).await?;
            }
            let store = Store::new(self.gpu, DOING, buffer, layout.kernel_set, layout.padded_cols() / 8)?;
            let (form, planes) = (Form::Plain(layout.plain), PlaneOffsets::default());
            parts.push(MatrixPart { store, form, planes, row0: 4 * block0 as u32, blocks: blocks as u32 });
        }
        Ok(Matrix { parts, k8: layout.padded_cols() as u32 / 8, rows: layout.rows as u32 })
    }

    /// Blocks of four rows that one binding holds.
    pub(super) fn blocks_per_part(&self, block_bytes: u64, order: RowOrder) -> Result<usize> {
        let binding = Store::max_bytes(self.gpu);
        let together = order.blocks_together();
        let needed = together as u64 * block_bytes;
        match (binding / needed) as usize {
            0 => Err(Error::DeviceLimit { what: "a few rows of a weight".into(), needed, offered: binding }),
            parts => Ok(parts * together),
        }
    }

    fn put(&self, values: &[f32]) -> Result<Buffer> {
        let bytes = bytemuck::cast_slice(values);
        let buffer = self.gpu.storage_deferred(DOING, bytes.len() as u64)?;
        self.gpu.queue().write_buffer(&buffer, 0, bytes);
        Ok(buffer)
    }

    /// Fills `self.bytes` with blocks of 4 rows as the device holds them.
    fn read_blocks(&mut self, layout: MatrixLayout, slot: Slot, blocks: Range<usize>) -> Result<()> {
        let [first, second] = layout.sources(blocks.clone());
        self.weights.read_rows(slot, first, &mut self.values)?;
        self.weights.read_rows(slot, second, &mut self.second)?;
        let values = layout.arrange(blocks.clone(), [&self.values, &self.second]);
        let overflow = |Overflow { value, index }| Error::F16Overflow { name: format!("{slot:?}"), value, index };
        layout.encode(&values, &mut self.bytes).map_err(overflow)?;
        self.progress(blocks.len() * 4 * layout.cols);
        Ok(())
    }

    /// Counts what the queue was given, and drains it from time to time.
    pub(super) async fn written(&mut self, bytes: usize) -> Result<()> {
        self.in_flight += bytes as u64;
        if self.in_flight > IN_FLIGHT_BYTES { self.drain().await } else { Ok(()) }
    }

    pub(super) fn progress(&mut self, values: usize) {
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
