//! `attention.wesl`, whole and split with `attention_reduce.wesl`.

use understory_model::config::{LayerKind, NormKind};
use understory_protocol::{KernelSet, KvDtype};
use understory_runtime::gpu::RowClass;
use understory_runtime::kernels::{Attention, attention, split_keys};

use crate::device::{Device, KERNEL_SETS, config, pad};
use crate::random::Random;
use crate::tree::TreePass;
use crate::{assert_close, limit, reference, unpad};

/// Around the edges of tiles (16 keys, and 4 in them) and splits (256).
const CONTEXTS: [usize; 13] = [1, 3, 4, 15, 17, 64, 255, 256, 257, 511, 512, 513, 600];
/// Query heads on a KV head: fewer, as many and more than a workgroup takes of one row.
const GROUPS: [usize; 6] = [1, 2, 3, 4, 8, 12];
const HEAD_DIMS: [usize; 9] = [1, 6, 16, 24, 64, 80, 96, 128, 256];
const WINDOWS: [usize; 6] = [0, 0, 1, 5, 64, 200];

struct Problem {
    n_heads: usize,
    n_kv_heads: usize,
    head_dim: usize,
    window: usize,
    /// slots of the cache; without a tree the keys that the last row sees without a window
    context: usize,
    rows: usize,
    tree: Option<TreePass>,
    /// with the kernel set `gpu`
    kv: KvDtype,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

impl Problem {
    fn new(random: &mut Random, context: usize) -> Self {
        let head_dim = random.pick(&HEAD_DIMS);
        let n_kv_heads = random.pick(&[1, 2, 3]);
        let n_heads = n_kv_heads * random.pick(&GROUPS);
        let rows = random.pick(&[1, 2, 5, 33]).min(context);
        Self::of_rows(random, [n_heads, n_kv_heads, head_dim], context, rows)
    }

    /// Rows of a tree, some of them at positions on both sides of `context`.
    fn on_tree(random: &mut Random, context: usize) -> Self {
        let (base, chain) = (context - random.below(context.min(20)), random.pick(&[1, 1, 17]));
        let rows = chain + random.below(64);
        let tree = TreePass::new(random, base, rows, chain);
        let n_kv_heads = random.pick(&[1, 2, 3]);
        let shape = [n_kv_heads * random.pick(&GROUPS), n_kv_heads, random.pick(&HEAD_DIMS)];
        let mut problem = Self::of_rows(random, shape, base + tree.paths.len(), tree.rows());
        // What is on no row's path may be anything.
        let row = n_kv_heads * problem.head_dim;
        let seen: Vec<usize> = tree.paths[tree.row0..].concat();
        for t in (0..tree.paths.len()).filter(|t| !seen.contains(t)) {
            problem.k[(base + t) * row..][..row].fill(f32::NAN);
            problem.v[(base + t) * row..][..row].fill(f32::NAN);
        }
        Self { tree: Some(tree), ..problem }
    }

    fn of_rows(random: &mut Random, [n_heads, n_kv_heads, head_dim]: [usize; 3], context: usize, rows: usize) -> Self {
        let kv = context * n_kv_heads * head_dim;
        // Queries large enough for scores of around 10: a flat softmax would hide errors in them.
        let q = random.values(rows * n_heads * head_dim).iter().map(|v| 6.0 * v).collect();
        let window = random.pick(&WINDOWS);
        // What halves hold too.
        let rounded = |v: f32| half::f16::from_f32(v).to_f32();
        let [k, v] = [(); 2].map(|()| random.values(kv).into_iter().map(rounded).collect());
        let kv = random.pick(&[KvDtype::F16, KvDtype::F32]);
        Self { n_heads, n_kv_heads, head_dim, window, context, rows, tree: None, q, k, v, kv }
    }

    fn what(&self, kernel_set: KernelSet, splits: u32) -> String {
        let Self { n_heads, n_kv_heads, head_dim, window, context, rows, kv, .. } = self;
        let tree = self.tree.as_ref().map(TreePass::what);
        format!(
            "{kernel_set:?}, {kv:?}, {n_heads}/{n_kv_heads} heads of {head_dim}, window {window}, context {context}, rows {rows}, {tree:?}, splits {splits}"
        )
    }

    fn splits(&self, kernel_set: KernelSet) -> u32 {
        self.context.div_ceil(split_keys(kernel_set)) as u32
    }

    fn scale(&self) -> f32 {
        (self.head_dim as f32).powf(-0.5)
    }

    fn positions(&self) -> reference::Positions<'_> {
        let plain = reference::Positions::plain(self.context - self.rows);
        self.tree.as_ref().map_or(plain, TreePass::positions)
    }

    /// Row `m` as a pass of its own, over a cache that holds nothing but what it may see, in order.
    fn alone(&self, m: usize) -> Self {
        let context = self.positions().position(m) + 1;
        let row = self.n_kv_heads * self.head_dim;
        let slot = |position| self.positions().slot(m, position) * row;
        let cache =
            |values: &[f32]| (0..context).flat_map(|position| values[slot(position)..][..row].to_vec()).collect();
        let q = self.q[m * self.n_heads * self.head_dim..][..self.n_heads * self.head_dim].to_vec();
        Self { rows: 1, context, tree: None, q, k: cache(&self.k), v: cache(&self.v), ..*self }
    }

    fn expected(&self) -> Vec<f64> {
        let op = reference::Attention {
            n_heads: self.n_heads,
            n_kv_heads: self.n_kv_heads,
            head_dim: self.head_dim,
            window: self.window,
            scale: self.scale(),
            positions: self.positions(),
            k_cache: &self.k,
            v_cache: &self.v,
        };
        reference::attention(&op, &self.q)
    }

    /// `[rows, n_heads * head_dim]`; `splits` > 1: the split form, which is the only one with the kernel set `cpu`.
    fn run(&self, device: &mut Device, kernel_set: KernelSet, splits: u32) -> Vec<f32> {
        let splits = match kernel_set {
            KernelSet::Cpu => self.splits(kernel_set),
            KernelSet::Gpu => splits,
        };
        let kv = if kernel_set == KernelSet::Cpu { KvDtype::F32 } else { self.kv };
        let stride = self.head_dim.next_multiple_of(4);
        // Beyond the context lies what no row may see.
        let cache = |values: &[f32]| {
            let mut padded = pad(values, self.head_dim, stride);
            padded.extend(vec![f32::NAN; 70 * self.n_kv_heads * stride]);
            device.cache(kernel_set, kv, &padded)
        };
        let (k_cache, v_cache) = (cache(&self.k), cache(&self.v));
        let q = device.words(kernel_set, &pad(&self.q, self.head_dim, stride));
        let (class, state) = match &self.tree {
            Some(tree) => (RowClass::Tree, device.tree_state(tree)),
            None if self.rows == 1 => (RowClass::One, device.state(self.rows, self.context - self.rows)),
            None => (RowClass::Few, device.state(self.rows, self.context - self.rows)),
        };
        let width = self.n_heads * self.head_dim;
        let out_stride = width.next_multiple_of(8);
        let out = device.marked((self.rows + 1) * out_stride);
        // What no split has written is not to be read.
        let parts =
            device.words(kernel_set, &vec![f32::NAN; self.rows * self.n_heads * splits as usize * (stride + 4)]);
        let config = config(self.n_heads, self.n_kv_heads, self.head_dim, 0, 0.0);
        let window = (self.window > 0).then_some(self.window);
        let layer = LayerKind { rope: None, window, attention_scale: self.scale() };
        let op = Attention {
            q: q.binding(),
            k_cache: k_cache.binding(),
            v_cache: v_cache.binding(),
            kv,
            state: &state,
            out: &out,
            out_stride,
            parts: (splits > 1 || kernel_set == KernelSet::Cpu).then(|| (parts.binding(), splits)),
        };
        let mut b = device.builder(kernel_set, NormKind::Rms);
        let dispatches = pollster::block_on(attention(&mut b, &config, &layer, op)).expect("builds");
        device.run(&dispatches, class, self.rows, splits);
        unpad(
            &self.what(kernel_set, splits),
            &device.read(&out, (self.rows + 1) * out_stride),
            out_stride,
            width,
            self.rows,
        )
    }
}

/// Seen to fail here: a window one key too long, and query heads that share keys by `head % n_kv_heads`.
#[test]
fn whole_and_split_attention() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(9);
        for context in CONTEXTS {
            for _ in 0..6 {
                let problem = Problem::new(&mut random, context);
                let want = problem.expected();
                for kernel_set in KERNEL_SETS {
                    let got = problem.run(&mut device, kernel_set, 1);
                    assert_close(&problem.what(kernel_set, 1), &got, &want, limit::SOFTMAX);
                }
                // One more than the context fills: an empty split changes nothing.
                let splits = problem.splits(KernelSet::Gpu) + 1;
                let got = problem.run(&mut device, KernelSet::Gpu, splits);
                assert_close(&problem.what(KernelSet::Gpu, splits), &got, &want, limit::SOFTMAX);
            }
        }
    }
}

/// A pass that crosses the first split's end must not change the rows before it.
#[test]
fn split_attention_has_the_bits_of_whole_attention_within_one_split() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(10);
        for context in [1, 4, 64, 65, 255, 256] {
            for _ in 0..4 {
                let problem = Problem::new(&mut random, context);
                let [whole, split] = [1, 2].map(|splits| bits(&problem.run(&mut device, KernelSet::Gpu, splits)));
                assert_eq!(whole, split, "{}", problem.what(KernelSet::Gpu, 2));
            }
        }
    }
}

/// Bits of a row of heads.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// The same position has the same bits whatever rows are beside it.
#[test]
fn one_row_has_the_bits_it_has_among_many() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(11);
        for (context, kernel_set) in [64, 65, 256, 300, 513].into_iter().flat_map(|c| KERNEL_SETS.map(|p| (c, p))) {
            let problem = Problem { window: 50, ..Problem::new(&mut random, context) };
            let width = problem.n_heads * problem.head_dim;
            let together = problem.run(&mut device, kernel_set, 1);
            for m in [0, problem.rows - 1] {
                let alone = problem.alone(m).run(&mut device, kernel_set, 1);
                assert_eq!(
                    bits(&together[m * width..][..width]),
                    bits(&alone),
                    "row {m}, {}",
                    problem.what(kernel_set, 1)
                );
            }
        }
    }
}

/// Positions and slots differ on a tree.
///
/// Seen to fail here: ancestors of row m in place of t, and the join of splits that counts positions by rows.
#[test]
fn attention_on_trees() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(12);
        for context in CONTEXTS {
            for _ in 0..4 {
                let problem = Problem::on_tree(&mut random, context);
                let want = problem.expected();
                let splits = problem.splits(KernelSet::Gpu) + 1;
                for (kernel_set, splits) in [(KernelSet::Cpu, 1), (KernelSet::Gpu, 1), (KernelSet::Gpu, splits)] {
                    let got = problem.run(&mut device, kernel_set, splits);
                    assert_close(&problem.what(kernel_set, splits), &got, &want, limit::SOFTMAX);
                }
            }
        }
    }
}

/// What tree speculation rests on: a row of a tree has the bits of plain decoding along its path.
///
/// Seen to fail here: what the test above fails on.
#[test]
fn rows_of_a_tree_have_the_bits_of_their_paths() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(13);
        for context in CONTEXTS {
            let problem = Problem::on_tree(&mut random, context);
            let width = problem.n_heads * problem.head_dim;
            let splits = problem.splits(KernelSet::Gpu).max(2);
            for (kernel_set, splits) in [(KernelSet::Cpu, 1), (KernelSet::Gpu, 1), (KernelSet::Gpu, splits)] {
                let together = problem.run(&mut device, kernel_set, splits);
                for m in [0, random.below(problem.rows), problem.rows - 1] {
                    let alone = problem.alone(m).run(&mut device, kernel_set, splits);
                    let what = problem.what(kernel_set, splits);
                    assert_eq!(bits(&together[m * width..][..width]), bits(&alone), "row {m}, {what}");
                }
            }
        }
    }
}
