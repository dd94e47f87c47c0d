//! A device with its pipelines, and the way of one operation over it: buffers in, dispatches, values out.
//!
//! Kernels are compiled without bounds checks, so each test runs twice, without and with them ([`Device::both_modes`]),
//! and what it reads has to be the same to the last bit: a kernel that relies on a check, or that a check changes, fails.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use understory_model::config::{Activation, Family, LayerKind, ModelConfig, Norm, NormKind, Residual};
use understory_model::quantised::BlockType;
use understory_protocol::{KernelSet, KvDtype};
use understory_runtime::device_weights::{Form, Matrix, MatrixPart, Plain, PlaneOffsets, Planes, Store, interleaved};
use understory_runtime::gpu::{Buffer, Dispatch, Gpu, Pipelines, RowClass, Staging, Words, record};
use understory_runtime::kernels::Builder;
use understory_runtime::kernels::state::STATE_WORDS;

use crate::MARK;
use crate::random::Random;
use crate::weights::Weights;

pub const KERNEL_SETS: [KernelSet; 2] = [KernelSet::Cpu, KernelSet::Gpu];
/// Kernel sets, and how they store K and V.
pub const CACHES: [(KernelSet, KvDtype); 3] =
    [(KernelSet::Cpu, KvDtype::F32), (KernelSet::Gpu, KvDtype::F32), (KernelSet::Gpu, KvDtype::F16)];
pub const BLOCKS: [Form; 8] = [
    Form::Blocks(BlockType::Q4_0),
    Form::Blocks(BlockType::Q4_1),
    Form::Blocks(BlockType::Q5_0),
    Form::Blocks(BlockType::Q5_1),
    Form::Blocks(BlockType::Q8_0),
    Form::Blocks(BlockType::Q4K),
    Form::Blocks(BlockType::Q5K),
    Form::Blocks(BlockType::Q6K),
];

/// Values alone and a type of blocks: each is a kernel of its own, which takes a while to compile.
pub fn forms(random: &mut Random) -> [Form; 2] {
    [Form::Plain(random.pick(&[Plain::F32, Plain::F16])), random.pick(&BLOCKS)]
}

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

    pub fn builder(&mut self, kernel_set: KernelSet, norm: NormKind) -> Builder<'_> {
        Builder { gpu: &self.gpu, pipelines: &mut self.pipelines, kernel_set, norm }
    }

    pub fn buffer<T: bytemuck::NoUninit>(&self, values: &[T]) -> Buffer {
        pollster::block_on(self.gpu.storage_from("testing", bytemuck::cast_slice(values))).expect("a buffer")
    }

    /// What kernels write and attention reads.
    pub fn words(&self, kernel_set: KernelSet, values: &[f32]) -> Words {
        let words = Words::new(&self.gpu, "testing", 4 * values.len() as u64, kernel_set).expect("room");
        let mut contents = values.to_vec();
        contents.resize(words.size() as usize / 4, 0.0);
        let contents = self.buffer(&contents);
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        words.fill(&mut encoder, &contents);
        self.gpu.queue().submit([encoder.finish()]);
        words
    }

    /// K or V of a layer, as the cache has it.
    pub fn cache(&self, kernel_set: KernelSet, dtype: KvDtype, values: &[f32]) -> Words {
        match dtype {
            KvDtype::F32 => self.words(kernel_set, values),
            KvDtype::F16 => {
                let bits = |v: f32| u32::from(half::f16::from_f32(v).to_bits());
                let pair = |pair: &[f32]| f32::from_bits(bits(pair[0]) | bits(pair[1]) << 16);
                self.words(kernel_set, &values.chunks_exact(2).map(pair).collect::<Vec<_>>())
            }
        }
    }

    /// The first `n` values of K or V of a layer.
    pub fn read_cache(&self, words: &Words, dtype: KvDtype, n: usize) -> Vec<f32> {
        let values = self.read_words(words, n * dtype.bytes() / 4);
        let halves = |word: f32| [word.to_bits() as u16, (word.to_bits() >> 16) as u16];
        match dtype {
            KvDtype::F32 => values,
            KvDtype::F16 => {
                values.into_iter().flat_map(halves).map(|bits| half::f16::from_bits(bits).to_f32()).collect()
            }
        }
    }

    /// The first `n` values of `words`.
    pub fn read_words(&self, words: &Words, n: usize) -> Vec<f32> {
        self.read(&pollster::block_on(words.snapshot(&self.gpu, "testing")).expect("a buffer"), n)
    }

    /// `n` f32 that no kernel wrote yet.
    pub fn marked(&self, n: usize) -> Buffer {
        self.buffer(&vec![MARK; n])
    }

    /// The state of a pass over `rows` rows from position `base` on; what it has no business to read is out of any
    /// buffer's range.
    pub fn state(&self, rows: usize, base: usize) -> Buffer {
        let mut state = [0xffff_ff00; STATE_WORDS];
        state[..4].copy_from_slice(&[rows as u32, base as u32, 0, 0]);
        self.buffer(&state)
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

    /// A matrix on the device, in parts of at most `blocks_per_part` blocks of 4 rows.
    pub fn matrix(&self, weights: &Weights, kernel_set: KernelSet, texels: bool, blocks_per_part: usize) -> Matrix {
        let cols = weights.cols;
        let n_blocks = weights.rows().div_ceil(4);
        let part = |block0: usize| {
            let blocks = blocks_per_part.min(n_blocks - block0);
            let rows = 4 * block0..(4 * (block0 + blocks)).min(weights.rows());
            let (buffer, planes) = match weights.form {
                Form::Plain(plain) => (
                    self.plain(plain, kernel_set, &weights.values[rows.start * cols..rows.end * cols], cols),
                    PlaneOffsets::default(),
                ),
                Form::Blocks(block_type) => {
                    let row_bytes = weights.bytes.len() / weights.rows();
                    let mut rows = weights.bytes[rows.start * row_bytes..rows.end * row_bytes].chunks_exact(row_bytes);
                    let mut planes = Planes::default();
                    for _ in 0..blocks {
                        let four = [rows.next(), rows.next(), rows.next(), rows.next()];
                        planes.push(block_type, cols, four).expect("small scales");
                    }
                    let high = planes.codes.len() as u32;
                    let offsets = PlaneOffsets { high, scales: high + planes.high.len() as u32 };
                    (self.buffer(&[planes.codes, planes.high, planes.scales].concat()), offsets)
                }
            };
            let store = match texels {
                true => Store::Texels(self.gpu.texels_from("testing", &buffer).expect("a texture")),
                false => Store::Buffer(buffer),
            };
            MatrixPart { store, form: weights.form, planes, row0: 4 * block0 as u32, blocks: blocks as u32 }
        };
        let parts = (0..n_blocks).step_by(blocks_per_part).map(part).collect();
        Matrix { parts, k8: cols.div_ceil(8) as u32, rows: weights.rows() as u32 }
    }

    fn plain(&self, plain: Plain, kernel_set: KernelSet, values: &[f32], cols: usize) -> Buffer {
        let k = cols.next_multiple_of(8);
        let mut padded = pad(values, cols, k);
        padded.resize(padded.len().next_multiple_of(4 * k), 0.0);
        if kernel_set == KernelSet::Cpu {
            padded = interleaved(&padded, k);
        }
        match plain {
            Plain::F32 => self.buffer(&padded),
            Plain::F16 => self.buffer(&padded.iter().map(|&v| half::f16::from_f32(v)).collect::<Vec<_>>()),
        }
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
