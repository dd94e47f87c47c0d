//! Which kernels exist and in which permutations: data, read by the build script (which links each one)
//! and by the library. A kernel `NAME` is the file `kernels/NAME.wesl`; adding one is one line in [`KERNELS`].

/// One kernel and the features it is built with.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// File name without `.wesl`; the name under which [`find`](crate::find) looks it up.
    pub name: &'static str,
    /// Each axis is a list of alternatives of which every permutation takes one. An alternative is the features
    /// it turns on, separated by spaces; the empty string turns on none.
    pub axes: &'static [&'static [&'static str]],
}

/// How weights are stored: pairs of f16 in a u32, f32, or codes with scales in planes.
const WEIGHTS: &[&str] = &["f16", "f32", "blocks"];
/// The workgroup shape: tuned for GPUs, or barrier-free for CPU adapters.
const PROFILE: &[&str] = &["gpu", "cpu"];
/// [`PROFILE`], with weights in a texture for CPU adapters that read those faster.
const WEIGHTS_PROFILE: &[&str] = &["gpu", "cpu", "cpu texel"];
/// Rows at consecutive positions, or those of a tree (`kernels/lib/state.wesl`).
const TREE: &[&str] = &["", "tree"];
/// How K and V are stored: f32, or pairs of f16 in a u32.
const KV: &[&str] = &["", "kv16"];
/// What a product does with its outputs, and the model's norm. Residual products read what is normed already
/// and only leave the next norm's sums; all others apply the norm on load.
const PRODUCT: &[&str] = &[
    "norm rms store",
    "norm rms act",
    "norm rms gated",
    "norm rms logits",
    "norm rms rope",
    "rms residual",
    "norm layer store",
    "norm layer act",
    "norm layer gated",
    "norm layer logits",
    "norm layer rope",
    "layer residual",
];

const fn kernel(name: &'static str, axes: &'static [&'static [&'static str]]) -> Kernel {
    Kernel { name, axes }
}

/// [`PRODUCT`] where what it reads is normed already, or multiplied by RMS norm's factor.
const NORMED_PRODUCT: &[&str] =
    &["rms store", "rms act", "rms gated", "rms logits", "rms rope", "rms residual", "layer residual"];

/// All kernels.
pub const KERNELS: &[Kernel] = &[
    kernel("accept", &[PROFILE]),
    kernel("attention", &[&["gpu"], &["", "split"], KV, TREE]),
    kernel("attention_cpu", &[&["cpu"], TREE]),
    kernel("attention_reduce", &[&["gpu"], TREE]),
    kernel("attention_reduce_cpu", &[&["cpu"], TREE]),
    kernel("attention_row_cpu", &[&["cpu"]]),
    kernel("candidates", &[PROFILE]),
    kernel("candidates_join", &[PROFILE]),
    kernel("catch_up", &[PROFILE]),
    kernel("commit", &[&["layers1", "layers2", "layers3"], &["", "draft"]]),
    kernel("commit_gather", &[&["cpu"], &["layers1", "layers2"], &["", "draft"]]),
    kernel("commit_scatter", &[&["cpu"], &["layers1", "layers2"], &["", "draft"]]),
    kernel("embed", &[WEIGHTS, WEIGHTS_PROFILE, &["rms", "layer"], &["", "positions", "tree"]]),
    kernel("grow", &[]),
    kernel("matmul", &[WEIGHTS, &["gpu"], PRODUCT, &["cb1", "cb16"]]),
    kernel("matmul_cpu", &[WEIGHTS, &["cpu"], PRODUCT, &["cb1", "cb8"]]),
    kernel("matmul_cpu", &[WEIGHTS, &["cpu texel"], NORMED_PRODUCT, &["cb1", "cb8"]]),
    kernel("matmul_prefill", &[WEIGHTS, PRODUCT, &["gpu"]]),
    kernel("norm", &[&["cpu"], &["rms", "layer"]]),
    kernel("norm_residual", &[PROFILE, &["rms"]]),
    kernel("peak", &[]),
    kernel("penalise", &[]),
    kernel("rope", &[&["", "rotary"], &["", "qknorm"], KV, TREE]),
    kernel("rope_cpu", &[&["cpu"], &["", "rotary"], &["", "qknorm"], TREE]),
    kernel("sample", &[PROFILE, &["", "rows"]]),
    kernel("sample_peak", &[PROFILE]),
    kernel("sample_score", &[PROFILE]),
    kernel("sample_sum", &[&["cpu"]]),
    kernel("sample_threshold", &[PROFILE]),
];

impl Kernel {
    /// The features that occur in any permutation.
    pub fn features(&self) -> impl Iterator<Item = &'static str> {
        self.axes.iter().copied().flatten().flat_map(|alternative| alternative.split_whitespace())
    }

    /// The feature sets this kernel is built with, each sorted.
    pub fn permutations(&self) -> Vec<Vec<&'static str>> {
        let mut sets: Vec<Vec<&'static str>> = vec![Vec::new()];
        for axis in self.axes {
            let extend = |set: &Vec<_>, alternative: &'static str| {
                set.iter().copied().chain(alternative.split_whitespace()).collect()
            };
            sets = sets.iter().flat_map(|set| axis.iter().map(move |alternative| extend(set, alternative))).collect();
        }
        for set in &mut sets {
            set.sort_unstable();
        }
        sets
    }
}
