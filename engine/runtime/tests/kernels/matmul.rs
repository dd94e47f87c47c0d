//! `matmul.wesl` and `matmul_prefill.wesl` with every norm and epilogue.

use understory_model::config::{Activation, NormKind};
use understory_protocol::KernelSet;
use understory_runtime::device_weights::{BOUND_BYTES, Form, Plain, Vectors};
use understory_runtime::gpu::{Buffer, Dispatch, RowClass};
use understory_runtime::kernels::{Epilogue, NO_TOKEN, Product, product};

use crate::device::{BLOCKS, Device, KERNEL_SETS, forms, pad};
use crate::random::Random;
use crate::weights::Weights;
use crate::{MARK, assert_close, assert_stats, limit, reference, unpad};

/// What a product is, before its shape.
pub const KINDS: [(NormKind, Epilogue); 16] = {
    use Activation::{Gelu, GeluTanh, Relu, Silu};
    use Epilogue::{Act, Gated, Logits, Residual, Store};
    use NormKind::{Layer, Rms};
    [
        (Rms, Store),
        (Rms, Act(Silu)),
        (Rms, Act(Gelu)),
        (Rms, Gated(Silu)),
        (Rms, Gated(GeluTanh)),
        (Rms, Residual),
        (Rms, Residual),
        (Rms, Logits),
        (Layer, Store),
        (Layer, Act(GeluTanh)),
        (Layer, Act(Relu)),
        (Layer, Gated(Relu)),
        (Layer, Gated(Gelu)),
        (Layer, Residual),
        (Layer, Residual),
        (Layer, Logits),
    ]
};

/// A product of random values.
pub struct Problem {
    pub kernel_set: KernelSet,
    pub kind: NormKind,
    pub epilogue: Epilogue,
    pub k: usize,
    /// rows of W
    pub n: usize,
    pub rows: usize,
    pub blocks_per_part: usize,
    pub last_row: bool,
    /// weights in a texture, on CPU adapters
    pub texels: bool,
    /// with them and RMS norm: x comes times the norm's factor, and a residual product leaves its outputs so, too
    pub ahead: bool,
    pub w: Weights,
    pub x: Vec<f32>,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
    pub bias: Option<Vec<f32>>,
    pub res: Option<Vec<f32>>,
}

/// What a product leaves.
pub struct Outputs {
    /// `[rows + 1, y_stride]`, the last row untouched
    pub y: Vec<f32>,
    pub y_stride: usize,
    /// residual: partial sums; logits: block maxima
    pub extra: Vec<[u32; 2]>,
    /// `[rows, y_stride]`: of a residual product y times a factor, where it leaves that
    pub scaled: Option<Vec<f32>>,
}

/// A product before it runs.
pub struct Launch {
    pub dispatches: Vec<Dispatch>,
    y: Buffer,
    y_stride: usize,
    extra: Buffer,
    /// where a residual product leaves y times a factor
    scaled: Option<Buffer>,
}

const EPS: f32 = 1e-5;

impl Problem {
    pub fn new(random: &mut Random, (kind, epilogue): (NormKind, Epilogue), form: Form, rows: usize) -> Self {
        let k = random.pick(Weights::widths(form));
        let n_out = random.pick(&[1, 2, 3, 5, 8, 31, 33, 64, 70]);
        let n = if matches!(epilogue, Epilogue::Gated(_)) { 2 * n_out } else { n_out };
        Self {
            kernel_set: random.pick(&KERNEL_SETS),
            kind,
            epilogue,
            k,
            n,
            rows,
            blocks_per_part: random.pick(&[1, 2, 5, 100]),
            last_row: epilogue == Epilogue::Logits && random.below(2) == 0,
            texels: random.below(3) > 0,
            ahead: random.below(2) == 0,
            w: Weights::random(random, form, n, k),
            x: random.values(rows * k).iter().map(|v| v + 0.5).collect(),
            gamma: random.gamma(k),
            beta: random.values(k),
            bias: (random.below(2) == 0).then(|| random.values(n)),
            res: (epilogue == Epilogue::Residual && random.below(4) > 0).then(|| random.values(rows * n)),
        }
    }

    pub fn what(&self, class: RowClass) -> String {
        let Self { w: Weights { form, .. }, kernel_set, kind, epilogue, k, n, rows, blocks_per_part, last_row, .. } =
            self;
        let (bias, res) = (self.bias.is_some(), self.res.is_some());
        format!(
            "{form:?} {kernel_set:?} {kind:?} {epilogue:?} {class:?}, W {n} x {k} by {blocks_per_part} blocks, rows {rows}, \
             bias {bias}, residual {res}, last row only {last_row}, texels {}, ahead {}",
            self.in_texels(),
            self.is_ahead()
        )
    }

    /// Residual products read what is normed already.
    fn norms(&self) -> bool {
        self.epilogue != Epilogue::Residual
    }

    fn in_texels(&self) -> bool {
        self.texels && self.kernel_set == KernelSet::Cpu
    }

    /// Of the width that is normed.
    fn is_ahead(&self) -> bool {
        let width = if self.norms() { self.k } else { self.n };
        self.ahead && self.in_texels() && self.kind == NormKind::Rms && width.is_multiple_of(8)
    }

    /// The factor that a residual product applies to its outputs.
    fn next_gamma(&self) -> Vec<f32> {
        (0..self.n).map(|i| 1.0 + i as f32 / 64.0).collect()
    }

    pub fn n_out(&self) -> usize {
        if matches!(self.epilogue, Epilogue::Gated(_)) { self.n / 2 } else { self.n }
    }

    pub fn norm(&self) -> reference::Norm {
        match self.kind {
            NormKind::Rms => reference::Norm::Rms,
            NormKind::Layer => reference::Norm::Layer,
        }
    }

    pub fn expected(&self) -> (Vec<f64>, Vec<[f64; 2]>) {
        let x = if self.last_row { &self.x[(self.rows - 1) * self.k..] } else { &self.x };
        let on_load = reference::NormOnLoad { gamma: &self.gamma, beta: &self.beta, eps: EPS };
        reference::matmul(&reference::Matmul {
            w: &self.w.values,
            x,
            k: self.k,
            norm: self.norm(),
            on_load: self.norms().then_some(on_load),
            bias: self.bias.as_deref(),
            res: self.res.as_deref(),
            epilogue: epilogue(self.epilogue),
        })
    }

    /// The kernels' order of rows: two gate rows, then the two up rows they gate.
    fn order(&self) -> Vec<Option<usize>> {
        let half = self.n / 2;
        match self.epilogue {
            Epilogue::Gated(_) => (0..half)
                .step_by(2)
                .flat_map(|i| [(i, true), (i + 1, i + 1 < half), (half + i, true), (half + i + 1, i + 1 < half)])
                .map(|(row, exists)| exists.then_some(row))
                .collect(),
            _ => (0..self.n).map(Some).collect(),
        }
    }

    fn vectors(&self, device: &Device) -> Vectors {
        let k = self.k.next_multiple_of(8);
        let mut all = Vec::new();
        if self.norms() {
            all.extend(pad(&self.gamma, self.k, k));
            if self.kind == NormKind::Layer {
                all.extend(pad(&self.beta, self.k, k));
            }
        }
        let bias4 = all.len() as u32 / 4;
        if let Some(bias) = &self.bias {
            all.extend(self.order().iter().map(|row| row.map_or(0.0, |row| bias[row])));
        }
        all.resize(all.len().next_multiple_of(4).max(4), 0.0);
        Vectors { buffer: device.buffer(&all), bias4, has_bias: self.bias.is_some() }
    }

    /// The product of rows `first ..= last` as one pass of `class`.
    pub fn run(&self, device: &mut Device, [first, last]: [usize; 2], class: RowClass) -> Outputs {
        let rows = last - first + 1;
        let Launch { dispatches, y, y_stride, extra, scaled } = self.launch(device, [first, last]);
        device.run(&dispatches, class, rows, 1);
        let y = device.read(&y, (rows + 1) * y_stride);
        let scaled = scaled.map(|scaled| device.read(&scaled, rows * y_stride));
        Outputs { y, y_stride, extra: device.read(&extra, rows * self.n_out().div_ceil(4)), scaled }
    }

    /// The dispatches of a product of rows `first ..= last`, and where its results go.
    pub fn launch(&self, device: &mut Device, [first, last]: [usize; 2]) -> Launch {
        let rows = last - first + 1;
        let k = self.k.next_multiple_of(8);
        let x = &self.x[first * self.k..(last + 1) * self.k];
        let stats: Vec<[f32; 2]> = x
            .chunks_exact(self.k)
            .flat_map(|row| reference::row_blocks(self.norm(), &row.iter().map(|&v| v.into()).collect::<Vec<_>>()))
            .map(|s| s.map(|v| v as f32))
            .collect();
        let matrix =
            device.matrix(&self.w.rearranged(&self.order()), self.kernel_set, self.in_texels(), self.blocks_per_part);
        let vectors = self.vectors(device);
        // Room for a uniform binding beyond the rows.
        let bound = |mut x: Vec<f32>| {
            x.resize(x.len() + BOUND_BYTES / 4, MARK);
            device.buffer(&x)
        };
        let n_out = self.n_out();
        let y_stride = n_out.next_multiple_of(8);
        let is_scaled = self.is_ahead() && self.norms();
        let x = match is_scaled {
            true => x.iter().zip(self.gamma.iter().cycle()).map(|(x, gamma)| x * gamma).collect(),
            false => x.to_vec(),
        };
        let (x, normed) = (bound(pad(&x, self.k, k)), bound(vec![MARK; rows * k.max(y_stride)]));
        let stats = bound(stats.into_iter().flatten().collect());
        let state = device.state(rows, 0);
        let next_gamma = device.buffer(&self.next_gamma());
        let leaves_scaled = self.is_ahead() && !self.norms();
        let res: Option<Buffer> =
            self.res.as_ref().map(|r| device.buffer(&pad(&r[first * n_out..(last + 1) * n_out], n_out, y_stride)));
        let y = device.marked((rows + 1) * y_stride);
        let extra = device.marked(rows * n_out.div_ceil(4) * 2);
        let op = Product {
            matrix: &matrix,
            vectors: &vectors,
            state: &state,
            x: &x,
            norm: self.norms().then_some((&*stats, self.k, EPS)),
            res: res.as_deref(),
            y: &y,
            y_stride,
            n_out,
            extra: matches!(self.epilogue, Epilogue::Residual | Epilogue::Logits).then_some(&*extra),
            epilogue: self.epilogue,
            last_row: self.last_row,
            is_scaled,
            normed: &normed,
            next_gamma: leaves_scaled.then_some(&*next_gamma),
            append: None,
        };
        let mut b = device.builder(self.kernel_set, self.kind);
        let dispatches = pollster::block_on(product(&mut b, op)).expect("builds");
        Launch { dispatches, y, y_stride, extra, scaled: leaves_scaled.then_some(normed) }
    }

    /// Runs the whole problem and compares.
    fn check(&self, device: &mut Device, class: RowClass) {
        let what = self.what(class);
        let (want, want_stats) = self.expected();
        let out = self.run(device, [0, self.rows - 1], class);
        let out_rows = if self.last_row { 1 } else { self.rows };
        let y = unpad(&what, &out.y, out.y_stride, self.n_out(), out_rows);
        let limit = match self.epilogue {
            Epilogue::Act(_) | Epilogue::Gated(_) => limit::ACTIVATED,
            _ => limit::SUM,
        };
        // The values of a block have one sign, so what is added up is larger than what comes out; their bits have a test.
        let limit = if matches!(self.w.form, Form::Blocks(_)) { 4.0 * limit } else { limit };
        assert_close(&what, &y, &want, limit);
        if let Some(scaled) = out.scaled {
            let gamma = self.next_gamma();
            let times_gamma: Vec<f32> = y.iter().enumerate().map(|(i, y)| y * gamma[i % self.n]).collect();
            assert_eq!(scaled, times_gamma, "{what}: scaled outputs");
        }
        match self.epilogue {
            Epilogue::Residual if !matches!(self.w.form, Form::Blocks(_)) => {
                let stats: Vec<_> = out.extra.iter().map(|s| s.map(f32::from_bits)).collect();
                assert_stats(&what, &stats, &want_stats);
            }
            Epilogue::Logits => {
                for (i, block) in y.chunks(self.n_out()).flat_map(|row| row.chunks(4).enumerate()).enumerate() {
                    let (b, values) = block;
                    let best = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    let token = 4 * b + values.iter().position(|&v| v == best).expect("the largest is one of them");
                    assert_eq!(out.extra[i], [best.to_bits(), token as u32], "{what}, maximum of block {i}");
                }
            }
            _ => {}
        }
    }
}

fn epilogue(e: Epilogue) -> reference::Epilogue {
    let activation = |a| match a {
        Activation::Silu => reference::Activation::Silu,
        Activation::Gelu => reference::Activation::Gelu,
        Activation::GeluTanh => reference::Activation::GeluTanh,
        Activation::Relu => reference::Activation::Relu,
    };
    match e {
        Epilogue::Store => reference::Epilogue::Store,
        Epilogue::Act(a) => reference::Epilogue::Act(activation(a)),
        Epilogue::Gated(a) => reference::Epilogue::Gated(activation(a)),
        Epilogue::Residual => reference::Epilogue::Residual,
        Epilogue::Logits => reference::Epilogue::Logits,
        Epilogue::Rope => unreachable!("`append.rs` has its own"),
    }
}

/// Seen to fail here: gate and up exchanged, the bias left out, layer norm's mean left out, and the next norm's factor taken
/// from a neighbouring word.
#[test]
fn products_of_every_kind_and_class() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(4);
        for kind in KINDS {
            for form in forms(&mut random) {
                for kernel_set in KERNEL_SETS {
                    for (class, rows) in [
                        (RowClass::One, 1),
                        (RowClass::Few, random.pick(&[2, 3, 5])),
                        (RowClass::Few, random.pick(&[1, 17, 33, 64])),
                        (RowClass::Many, random.pick(&[1, 33, 64, 65])),
                    ] {
                        let problem = Problem { kernel_set, ..Problem::new(&mut random, kind, form, rows) };
                        problem.check(&mut device, class);
                    }
                }
            }
        }
    }
}

/// Tiles of the prefill kernel that are partly filled: rows, outputs and columns beyond a multiple of a tile's.
///
/// Seen to fail here: a row's deviation taken from the row before.
#[test]
fn prompts_of_any_length() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(12);
        let kinds =
            [(NormKind::Rms, Epilogue::Store), (NormKind::Layer, Epilogue::Store), (NormKind::Rms, Epilogue::Residual)];
        for kind in kinds {
            let form = random.pick(&BLOCKS);
            for (form, widths) in [
                (Form::Plain(Plain::F16), [7, 24, 331].as_slice()),
                (Form::Plain(Plain::F32), &[40, 129]),
                (form, &Weights::widths(form)[..2]),
            ] {
                for rows in [65, 100, 511] {
                    let (k, n) = (random.pick(widths), random.pick(&[5, 66, 130]));
                    let problem = Problem::new(&mut random, kind, form, rows);
                    let problem = Problem {
                        kernel_set: KernelSet::Gpu,
                        k,
                        n,
                        w: Weights::random(&mut random, form, n, k),
                        x: random.values(rows * k).iter().map(|v| v + 0.5).collect(),
                        gamma: random.gamma(k),
                        beta: random.values(k),
                        bias: None,
                        res: None,
                        ..problem
                    };
                    problem.check(&mut device, RowClass::Many);
                }
            }
        }
    }
}

/// A uniform binding holds 24 rows of 600 columns, whose sums end in the middle of what bindings begin at.
///
/// Seen to fail here: sums counted from where their binding begins.
#[test]
fn rows_of_several_bindings_have_their_own_sums() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(10);
        let (f16, k, n, rows) = (Form::Plain(Plain::F16), 600, 33, 64);
        let problem = Problem::new(&mut random, (NormKind::Rms, Epilogue::Store), f16, rows);
        // Rows of other sizes have other deviations.
        let x = random.values(rows * k).iter().enumerate().map(|(i, v)| v * (1 + i / k) as f32).collect();
        let problem = Problem {
            kernel_set: KernelSet::Cpu,
            texels: true,
            ahead: true,
            k,
            n,
            w: Weights::random(&mut random, f16, n, k),
            x,
            gamma: random.gamma(k),
            bias: None,
            ..problem
        };
        problem.check(&mut device, RowClass::Few);
    }
}

/// The bits of a product of blocks are those of the product of their values in f32.
///
/// Seen to fail here: a group's scale taken from its neighbour, and a subnormal scale that is read as zero.
#[test]
fn blocks_have_the_bits_of_their_values() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(9);
        for form in BLOCKS {
            for kernel_set in KERNEL_SETS {
                let kind = random.pick(&KINDS);
                for (class, rows) in [(RowClass::One, 1), (RowClass::Few, 3), (RowClass::Few, 9), (RowClass::Many, 33)]
                {
                    let problem = Problem { kernel_set, ..Problem::new(&mut random, kind, form, rows) };
                    let of_blocks = problem.run(&mut device, [0, rows - 1], class);
                    let what = problem.what(class);
                    let of_values = Problem { w: problem.w.in_f32(), ..problem }.run(&mut device, [0, rows - 1], class);
                    let bits = |outputs: &Outputs| outputs.y.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&of_blocks), bits(&of_values), "{what}");
                    assert_eq!(of_blocks.extra, of_values.extra, "{what}");
                }
            }
        }
    }
}

/// More blocks than one dimension of a dispatch holds.
#[test]
fn products_wider_than_a_grid() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(5);
        let (f16, n) = (Form::Plain(Plain::F16), 4 * 65_535 + 6);
        for (class, rows) in [(RowClass::One, 1), (RowClass::Many, 33)] {
            let problem = Problem::new(&mut random, (NormKind::Rms, Epilogue::Store), f16, rows);
            let w = Weights::random(&mut random, f16, n, 3);
            let x = random.values(3 * rows);
            let problem = Problem {
                kernel_set: KernelSet::Gpu,
                k: 3,
                n,
                w,
                x,
                bias: None,
                blocks_per_part: usize::MAX / 64,
                ..problem
            };
            problem.check(&mut device, class);
        }
    }
}

/// Shaders may be compiled as if NaN did not exist; the logits' epilogue must still see one.
#[test]
fn a_nan_among_logits_is_no_token() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(6);
        for kernel_set in KERNEL_SETS {
            for plain in [Plain::F16, Plain::F32] {
                for class in [RowClass::One, RowClass::Few, RowClass::Many] {
                    let problem = Problem::new(&mut random, (NormKind::Rms, Epilogue::Logits), Form::Plain(plain), 1);
                    let (k, n) = (20, 31);
                    let mut problem = Problem {
                        kernel_set,
                        k,
                        n,
                        w: Weights::plain(plain, k, &random.values(n * k)),
                        x: random.values(k),
                        gamma: random.gamma(k),
                        bias: None,
                        ..problem
                    };
                    let bad = random.below(n);
                    problem.w.values[bad * k + random.below(k)] = f32::NAN;
                    let out = problem.run(&mut device, [0, 0], class);
                    for (block, [_, token]) in out.extra.iter().enumerate() {
                        assert_eq!(*token == NO_TOKEN, block == bad / 4, "{}: block {block}", problem.what(class));
                    }
                }
            }
        }
    }
}
