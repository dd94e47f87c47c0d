//! How often attention of the kernel set `gpu` reads the cache, by the launches' arithmetic.
//!
//! A workgroup of `attention.wesl` loads each word of K and V of its splits once. That the workgroups of a launch suffice is
//! what the tests of values say; here, that there are no more of them than the shape asks for.

use understory_model::config::{LayerKind, NormKind};
use understory_protocol::{KernelSet, KvDtype};
use understory_runtime::gpu::{Dispatch, RowClass, When};
use understory_runtime::kernels::{Attention, QUERIES, attention, split_keys};

use crate::device::{Device, config};

const HEAD_DIM: usize = 64;
const WORDS: usize = HEAD_DIM / 4;

/// A launch of rows over a context.
struct Launch {
    n_heads: usize,
    n_kv_heads: usize,
    class: RowClass,
    rows: usize,
    context: usize,
}

impl Launch {
    fn group(&self) -> usize {
        self.n_heads / self.n_kv_heads
    }

    fn splits(&self) -> usize {
        self.context.div_ceil(split_keys(KernelSet::Gpu))
    }

    fn dispatches(&self, device: &mut Device) -> Vec<Dispatch> {
        let words = [(); 3].map(|()| device.words(KernelSet::Gpu, &[0.0; 4]));
        let [q, k_cache, v_cache] = words.each_ref().map(|words| words.binding());
        let (state, out, parts) = (device.state(0, 0), device.marked(4), device.marked(4));
        let op = Attention {
            q,
            k_cache,
            v_cache,
            kv: KvDtype::of(KernelSet::Gpu),
            state: &state,
            out: &out,
            out_stride: self.n_heads * HEAD_DIM,
            parts: Some((parts.as_entire_binding(), self.splits().max(2) as u32)),
        };
        let config = config(self.n_heads, self.n_kv_heads, HEAD_DIM, 0, 0.0);
        let layer = LayerKind { rope: None, window: None, attention_scale: 1.0 };
        let mut b = device.builder(KernelSet::Gpu, NormKind::Rms);
        pollster::block_on(attention(&mut b, &config, &layer, op)).expect("builds")
    }

    /// Words of K that it reads at most; as many of V.
    fn reads(&self, device: &mut Device) -> usize {
        // A workgroup of a prompt's rows takes all splits, one after the other.
        let splits = if self.class == RowClass::Many { 1 } else { self.splits() };
        let keys = self.splits() / splits * split_keys(KernelSet::Gpu);
        let wanted = if splits > 1 { When::ManySplits } else { When::OneSplit };
        let mut reads = 0;
        for dispatch in self.dispatches(device).iter().filter(|d| d.when == wanted) {
            let Some((pipeline, grid)) = &dispatch.variants[self.class as usize] else { continue };
            if pipeline.shader.kernel == "attention" {
                let workgroups: u32 = grid.size(self.rows as u32, splits as u32).iter().product();
                reads += workgroups as usize * keys * WORDS;
            }
        }
        reads
    }

    /// Words of K in the splits that hold the context.
    fn cache(&self) -> usize {
        self.splits() * split_keys(KernelSet::Gpu) * self.n_kv_heads * WORDS
    }
}

/// Seen to fail here: a workgroup for each query.
#[test]
fn keys_and_values_are_read_once_for_eight_queries_that_share_them() {
    let mut device = Device::without_checks();
    for [n_heads, n_kv_heads] in [[3, 3], [9, 3], [8, 2], [16, 2], [24, 2]] {
        for (class, rows) in [(RowClass::One, 1), (RowClass::Few, 2), (RowClass::Few, 33), (RowClass::Many, 300)] {
            for context in [1, 255, 256, 257, 511, 512, 513, 4096] {
                let launch = Launch { n_heads, n_kv_heads, class, rows, context };
                let times = (rows * launch.group()).div_ceil(QUERIES);
                let what = format!("{n_heads}/{n_kv_heads} heads, {class:?} {rows}, context {context}");
                assert_eq!(launch.reads(&mut device), times * launch.cache(), "{what}");
            }
        }
    }
}

/// Only the two splits that rows of a tree can lie in are read for each row; seen to fail here: six.
#[test]
fn rows_of_a_tree_share_the_keys_before_it() {
    let mut device = Device::without_checks();
    for [n_heads, n_kv_heads] in [[3, 3], [9, 3], [16, 2], [24, 2]] {
        for context in [257, 513, 4096] {
            let launch = Launch { n_heads, n_kv_heads, class: RowClass::Tree, rows: 33, context };
            let last = 2 * launch.cache() / launch.splits();
            let (shared, own) = ((33 * launch.group()).div_ceil(QUERIES), 33 * launch.group().div_ceil(QUERIES));
            let want = shared * launch.cache() + own * last;
            assert_eq!(launch.reads(&mut device), want, "{n_heads}/{n_kv_heads} heads, context {context}");
        }
    }
}
