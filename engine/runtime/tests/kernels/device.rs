//! A device with its pipelines, and the way of one operation over it: buffers in, dispatches, values out.
//!
//! Kernels are compiled without bounds checks, so each test runs twice, without and with them ([`Device::both_modes`]),
//! and what it reads has to be the same to the last bit: a kernel that relies on a check, or that a check changes, fails.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use understory_model::config::{Activation, Family, LayerKind, ModelConfig, Norm, NormKind, Residual};
use understory_protocol::{Dtype, KernelSet};
use understory_runtime::device_weights::{Matrix, MatrixPart, interleaved};
use understory_runtime::gpu::{Buffer, Dispatch, Gpu, Pipelines, RowClass, Staging, record};
use understory_runtime::kernels::Builder;

use crate::MARK;

pub const KERNEL_SETS: [KernelSet; 2] = [KernelSet::Cpu, KernelSet::Gpu];
pub const DTYPES: [Dtype; 2] = [Dtype::F32, Dtype::F16];

pub struct Device {
    pub gpu: Gpu,
    pipelines: Pipelines,
    reads: Rc<RefCell<Reads>>,
}

/// Hashes of all that a test has read, in order.
type Reads = Vec<u64>;

/// The devices of [`Device::both_modes`].
pub struct BothModes {
    unchecked: Rc<RefCell<Reads>>,
    checked: Rc<RefCell<Reads>>,
    turn: usize,
}

impl Iterator for BothModes {
    type Item = Device;

    fn next(&mut self) -> Option<Device> {
        self.turn += 1;
        match self.turn {
            1 => Some(Device::open(Pipelines::default(), &self.unchecked)),
            2 => Some(Device::open(Pipelines::checked(), &self.checked)),
            _ => {
                let (unchecked, checked) = (self.unchecked.borrow(), self.checked.borrow());
                assert!(!unchecked.is_empty(), "a test of a kernel reads what it left");
                assert_eq!(unchecked.len(), checked.len(), "reads without and with bounds checks");
                let first = (0..unchecked.len()).find(|&i| unchecked[i] != checked[i]);
                assert_eq!(first, None, "a read that differs with bounds checks, of {}", unchecked.len());
                None
            }
        }
    }
}

/// Rows as the kernels want them: padded to `stride` with zeros.
pub fn pad(values: &[f32], width: usize, stride: usize) -> Vec<f32> {
    values
        .chunks_exact(width)
        .flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(0.0, stride - width)))
        .collect()
}

/// What a weight of this type holds.
pub fn rounded(dtype: Dtype, values: &[f32]) -> Vec<f32> {
    match dtype {
        Dtype::F32 => values.to_vec(),
        Dtype::F16 => values.iter().map(|&v| half::f16::from_f32(v).to_f32()).collect(),
    }
}

impl Device {
    /// A device whose kernels have no bounds checks, then one whose kernels have them. When both have been used, panics
    /// where they read other bits.
    pub fn both_modes() -> BothModes {
        BothModes { unchecked: Rc::default(), checked: Rc::default(), turn: 0 }
    }

    /// For tests of what is no kernel.
    pub fn without_checks() -> Device {
        Device::open(Pipelines::default(), &Rc::default())
    }

    fn open(pipelines: Pipelines, reads: &Rc<RefCell<Reads>>) -> Self {
        let gpu = pollster::block_on(Gpu::open(None)).expect("an adapter: `cargo xtask setup` installs one");
        Self { gpu, pipelines, reads: reads.clone() }
    }

    pub fn builder(&mut self, kernel_set: KernelSet, dtype: Dtype, norm: NormKind) -> Builder<'_> {
        Builder { gpu: &self.gpu, pipelines: &mut self.pipelines, kernel_set, dtype, norm }
    }

    pub fn buffer<T: bytemuck::NoUninit>(&self, values: &[T]) -> Buffer {
        pollster::block_on(self.gpu.storage_from("testing", bytemuck::cast_slice(values))).expect("a buffer")
    }

    /// `n` f32 that no kernel wrote yet.
    pub fn marked(&self, n: usize) -> Buffer {
        self.buffer(&vec![MARK; n])
    }

    /// The state of a pass over `rows` rows from position `base` on.
    pub fn state(&self, rows: usize, base: usize) -> Buffer {
        self.buffer(&[rows as u32, base as u32, 0, 0])
    }

    pub fn run<'a>(
        &self,
        dispatches: impl IntoIterator<Item = &'a Dispatch>,
        class: RowClass,
        rows: usize,
        splits: u32,
    ) {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        record(&mut pass, dispatches, class, rows as u32, splits);
        drop(pass);
        self.gpu.queue().submit([encoder.finish()]);
    }

    /// The first `n` values of `buffer`, which may be larger than it was asked to be.
    pub fn read<T: bytemuck::AnyBitPattern>(&self, buffer: &Buffer, n: usize) -> Vec<T> {
        let bytes = (n * size_of::<T>()) as u64;
        pollster::block_on(async {
            let mut staging = Staging::new(&self.gpu, bytes).await.expect("a staging buffer");
            let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
            staging.copy_from(&mut encoder, buffer, 0, bytes);
            staging.start(self.gpu.queue().submit([encoder.finish()]), bytes);
            let read = |b: &[u8]| {
                let mut hash = DefaultHasher::new();
                b.hash(&mut hash);
                self.reads.borrow_mut().push(hash.finish());
                b.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect()
            };
            staging.finish(&self.gpu, "testing", read).await.expect("a read")
        })
    }

    /// A matrix `[rows, cols]` on the device, in parts of at most `blocks_per_part` blocks of 4 rows.
    pub fn matrix(
        &self,
        dtype: Dtype,
        kernel_set: KernelSet,
        w: &[f32],
        cols: usize,
        blocks_per_part: usize,
    ) -> Matrix {
        let k = cols.next_multiple_of(8);
        let mut padded = pad(w, cols, k);
        padded.resize(padded.len().next_multiple_of(4 * k), 0.0);
        if kernel_set == KernelSet::Cpu {
            padded = interleaved(&padded, k);
        }
        let part = |(i, values): (usize, &[f32])| {
            let halves: Vec<half::f16> = values.iter().map(|&v| half::f16::from_f32(v)).collect();
            let buffer = match dtype {
                Dtype::F32 => self.buffer(values),
                Dtype::F16 => self.buffer(&halves),
            };
            MatrixPart { buffer, row0: (4 * i * blocks_per_part) as u32, blocks: (values.len() / (4 * k)) as u32 }
        };
        let parts = padded.chunks(blocks_per_part * 4 * k).enumerate().map(part).collect();
        Matrix { parts, k8: k as u32 / 8, rows: (w.len() / cols) as u32 }
    }
}

/// A model of which kernels only see these.
pub fn config(n_heads: usize, n_kv_heads: usize, head_dim: usize, hidden_size: usize, eps: f32) -> ModelConfig {
    ModelConfig {
        family: Family::Llama,
        vocab_size: 0,
        hidden_size,
        intermediate_size: 0,
        n_heads,
        n_kv_heads,
        head_dim,
        layers: vec![LayerKind { rope: None, window: None, attention_scale: 1.0 }],
        ropes: Vec::new(),
        norm: Norm { kind: NormKind::Rms, eps, unit_offset: false },
        residual: Residual::Serial,
        post_norms: false,
        qk_norm: false,
        learned_positions: false,
        embedding_scale: 1.0,
        mlp_gated: false,
        activation: Activation::Silu,
        qkv_bias: false,
        attn_out_bias: false,
        mlp_bias: false,
        lm_head_bias: false,
        tie_word_embeddings: false,
        max_position_embeddings: 0,
        eos_token_ids: Vec::new(),
        bos_token_id: None,
    }
}
