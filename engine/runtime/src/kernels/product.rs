//! `matmul.wesl` and `matmul_prefill.wesl`: every product of the model with its norm on load and its epilogue.

use bytemuck::{Pod, Zeroable};
use understory_model::config::{Activation, ModelConfig, NormKind, Residual};
use understory_protocol::{AdapterReport, KernelSet, KvDtype, Result};

use super::{Builder, norm_feature};
use crate::device_weights::{BOUND_BYTES, Form, Matrix, MatrixPart, Vectors, bound_rows, reads_texels};
use crate::gpu::{Constants, Dispatch, Grid, When};

/// What happens to finished outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epilogue {
    Store,
    Act(Activation),
    Gated(Activation),
    /// add the residual (if one is bound) and leave the norm's partial sums
    Residual,
    /// leave the largest logit of each block
    Logits,
    /// rotate q and k, append k and v to their caches ([`Append`])
    Rope,
}

/// Where the product for q, k and v leaves them, with its rows in the order that
/// [`RowOrder::of_qkv`](crate::device_weights::RowOrder::of_qkv) gives.
#[derive(Clone)]
pub struct Append<'a> {
    pub n_heads: usize,
    pub n_kv_heads: usize,
    pub head_dim: usize,
    /// (cos, sin) by position and pair, with the table's rotary_dim
    pub angles: Option<(&'a wgpu::Buffer, usize)>,
    /// as attention reads them ([`crate::gpu::Words`])
    pub q: wgpu::BindingResource<'a>,
    pub k_cache: wgpu::BindingResource<'a>,
    pub v_cache: wgpu::BindingResource<'a>,
    /// of the two
    pub kv: KvDtype,
}

/// Whether products read their input times the norm's factor, which whoever writes the residual stream leaves beside it
/// (`scaled` in `shaders/kernels/lib/matmul_io.wesl`), so that no norm is dispatched: RMS norm with all matrices in
/// textures, each norm between a writer and a reader of its own.
pub fn scales_ahead(config: &ModelConfig, kernel_set: KernelSet) -> bool {
    let widths = [config.hidden_size, config.q_dim(), config.intermediate_size];
    config.norm.kind == NormKind::Rms
        && config.residual == Residual::Serial
        && config.hidden_size.is_multiple_of(8)
        && widths.iter().all(|width| reads_texels(kernel_set, width.div_ceil(8)))
}

/// One product `y = epilogue(W norm(x) + bias)`.
pub struct Product<'a> {
    pub matrix: &'a Matrix,
    pub vectors: &'a Vectors,
    pub state: &'a wgpu::Buffer,
    pub x: &'a wgpu::Buffer,
    /// the norm on x: its partial sums, the elements in a row, epsilon
    pub norm: Option<(&'a wgpu::Buffer, usize, f32)>,
    pub res: Option<&'a wgpu::Buffer>,
    pub y: &'a wgpu::Buffer,
    pub y_stride: usize,
    /// outputs of a row; a gated product has half as many as its matrix has rows
    pub n_out: usize,
    /// residual: partial sums; logits: block maxima
    pub extra: Option<&'a wgpu::Buffer>,
    pub epilogue: Epilogue,
    /// only the last row of x
    pub last_row: bool,
    /// x is the input times the norm's factor already ([`scales_ahead`])
    pub is_scaled: bool,
    /// Room for the input of products with a norm where matrices lie in textures, `[rows, padded columns]`: a norm before
    /// the product leaves it there, or who writes the residual stream.
    pub normed: &'a wgpu::Buffer,
    /// residual: the next norm's factor where this product is who does ([`scales_ahead`])
    pub next_gamma: Option<&'a wgpu::Buffer>,
    /// of [`Epilogue::Rope`], which leaves y alone
    pub append: Option<Append<'a>>,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    k8: u32,
    blocks: u32,
    grid_x: u32,
    out0: u32,
    n_out: u32,
    y_stride: u32,
    bias4: u32,
    has_bias: u32,
    activation: u32,
    width: u32,
    eps: f32,
    last_row: u32,
    has_res: u32,
    lane_bits: u32,
    high: u32,
    scales: u32,
    row0: u32,
    row_count: u32,
    stats0: u32,
    has_next: u32,
    q_heads: u32,
    kv_heads: u32,
    head_words: u32,
    rotary_words: u32,
    halves: u32,
    pad: [u32; 3],
}

/// Threads of a workgroup of the CPU kernel set, as many as vectors have lanes: 4 of SwiftShader's, which browsers bring,
/// 8 of llvmpipe's.
const CPU_THREADS: u32 = if cfg!(target_family = "wasm") { 4 } else { 8 };
/// Blocks that each of them computes.
const CPU_BLOCKS: u32 = 4;
/// Threads of a workgroup of the GPU kernel set.
const GPU_THREADS: u32 = 64;
/// Blocks that one prefill tile covers.
const TILE_BLOCKS: u32 = 16;

/// Threads of the GPU kernel set that share a block of W, a power of two from 8 to 64: about 4 words of 8 columns for each
/// before it joins its sums with the others'. A property of the matrix, so that the bits of a row depend on nothing else.
fn lanes(k8: u32) -> u32 {
    k8.div_ceil(4).next_power_of_two().clamp(8, GPU_THREADS)
}

fn activation_code(a: Activation) -> u32 {
    match a {
        Activation::Silu => 0,
        Activation::Gelu => 1,
        Activation::GeluTanh => 2,
        Activation::Relu => 3,
    }
}

/// The kernel of up to 64 rows, and on CPU adapters of any number.
pub(super) fn few_rows_kernel(kernel_set: KernelSet) -> &'static str {
    match kernel_set {
        KernelSet::Gpu => "matmul",
        KernelSet::Cpu => "matmul_cpu",
    }
}

/// Its constants; the prefill kernel of GPUs has the same.
pub(super) fn constants(form: Form, texels: bool, kernel_set: KernelSet, adapter: &AdapterReport) -> Constants {
    let mut constants = form.constants();
    if kernel_set == KernelSet::Cpu {
        constants.push(("THREADS", CPU_THREADS));
        // Threads that hand words to one another, which browsers' do not.
        if texels && !cfg!(target_family = "wasm") && adapter.subgroup_sizes[0] < CPU_THREADS {
            constants.push(("LANES", 4));
        }
    }
    constants
}

/// Its features but for the rows at once. Every product but a residual one has a norm: on load, or before it where weights
/// lie in a texture. Layer norm and RMS norm differ in what a residual product leaves for the next one.
pub(super) fn features(
    form: Form,
    texels: bool,
    kernel_set: KernelSet,
    norm: NormKind,
    epilogue: Epilogue,
) -> Vec<&'static str> {
    let mut features = vec![form.feature(), kernel_set.name()];
    features.push(match epilogue {
        Epilogue::Store => "store",
        Epilogue::Act(_) => "act",
        Epilogue::Gated(_) => "gated",
        Epilogue::Residual => "residual",
        Epilogue::Logits => "logits",
        Epilogue::Rope => "rope",
    });
    match (texels, epilogue == Epilogue::Residual) {
        (true, true) => features.extend(["texel", norm_feature(norm)]),
        (true, false) => features.extend(["texel", "rms"]),
        (false, true) => features.push(norm_feature(norm)),
        (false, false) => features.extend(["norm", norm_feature(norm)]),
    }
    features
}

/// One dispatch for each part of the matrix. Where it lies in a texture: before them the norm, unless x is scaled already,
/// and each part as often as the rows of x take bindings.
pub async fn product(b: &mut Builder<'_>, op: Product<'_>) -> Result<Vec<Dispatch>> {
    let mut dispatches = Vec::new();
    let mut x = op.x;
    if op.matrix.parts.iter().any(|part| part.store.is_texels()) && op.norm.is_some() && !op.is_scaled {
        dispatches.push(norm(b, &op).await?);
        x = op.normed;
    }
    for part in &op.matrix.parts {
        for bound in bindings(&op, part, x) {
            dispatches.push(part_product(b, &op, part, &bound).await?);
        }
    }
    Ok(dispatches)
}

/// Rows of x that a dispatch has bound, and their partial sums.
struct Bound<'a> {
    x: wgpu::BindingResource<'a>,
    stats: Option<wgpu::BindingResource<'a>>,
    /// vec4 of the sums' binding before those of the first row
    stats0: u32,
    first: u32,
    count: u32,
}

/// Where uniform bindings begin: every device's limit is this, or divides it.
const UNIFORM_ALIGNMENT: usize = 256;

fn bindings<'a>(op: &Product<'a>, part: &MatrixPart, x: &'a wgpu::Buffer) -> Vec<Bound<'a>> {
    let k8 = op.matrix.k8 as usize;
    let stats = op.norm.map(|(stats, ..)| stats);
    let Some(count) = bound_rows(k8).filter(|_| part.store.is_texels()) else {
        let stats = stats.map(|stats| stats.as_entire_binding());
        return vec![Bound { x: x.as_entire_binding(), stats, stats0: 0, first: 0, count: u32::MAX }];
    };
    let row_bytes = 32 * k8;
    debug_assert!((count * row_bytes).is_multiple_of(UNIFORM_ALIGNMENT), "{count} rows of {row_bytes} bytes");
    let part_of = |buffer, offset: usize| {
        let size = wgpu::BufferSize::new(BOUND_BYTES as u64);
        wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: offset as u64, size })
    };
    // As many as the buffer has rows.
    let rows = (x.size() as usize).saturating_sub(BOUND_BYTES).div_ceil(row_bytes).max(1);
    let bound = |first: usize| {
        let x = part_of(x, first * row_bytes);
        // A row's sums take half as many bytes, so they may begin within what is aligned.
        let stats_at = first * row_bytes / 2;
        let (stats, stats0) = match stats.filter(|_| op.is_scaled) {
            Some(stats) => {
                (part_of(stats, stats_at / UNIFORM_ALIGNMENT * UNIFORM_ALIGNMENT), stats_at % UNIFORM_ALIGNMENT)
            }
            // Unread.
            None => (x.clone(), 0),
        };
        Bound { x, stats: Some(stats), stats0: stats0 as u32 / 16, first: first as u32, count: count as u32 }
    };
    (0..rows).step_by(count).map(bound).collect()
}

/// The product of one part with the rows that are bound.
async fn part_product(b: &mut Builder<'_>, op: &Product<'_>, part: &MatrixPart, bound: &Bound<'_>) -> Result<Dispatch> {
    let activation = match op.epilogue {
        Epilogue::Act(a) | Epilogue::Gated(a) => activation_code(a),
        Epilogue::Store | Epilogue::Residual | Epilogue::Logits | Epilogue::Rope => 0,
    };
    let constants = constants(part.form, part.store.is_texels(), b.kernel_set, b.gpu.report());
    let features = features(part.form, part.store.is_texels(), b.kernel_set, b.norm, op.epilogue);
    let with = |extra: &[&'static str]| [features.as_slice(), extra].concat();
    let (kernel, block) = (few_rows_kernel(b.kernel_set), if b.kernel_set == KernelSet::Gpu { "cb16" } else { "cb8" });
    let one = b.pipelines.get_with(b.gpu, kernel, &with(&["cb1"]), &constants).await?;
    let few = b.pipelines.get_deferred_with(b.gpu, kernel, &with(&[block]), &constants).await?;
    let many = match b.kernel_set {
        KernelSet::Gpu => Some(b.pipelines.get_deferred_with(b.gpu, "matmul_prefill", &features, &constants).await?),
        KernelSet::Cpu => None,
    };
    let tree = match op.append {
        Some(_) => {
            let of_trees = [constants.as_slice(), &[("TREE", 1)]].concat();
            b.pipelines.get_deferred_with(b.gpu, kernel, &with(&[block]), &of_trees).await?
        }
        None => few.clone(),
    };
    let lanes = lanes(op.matrix.k8);
    let groups = match b.kernel_set {
        KernelSet::Gpu => part.blocks.div_ceil(GPU_THREADS / lanes),
        KernelSet::Cpu => part.blocks.div_ceil(CPU_BLOCKS * CPU_THREADS),
    };
    // The prefill kernel reads the same `grid_x`, in tiles: the grid is made so that both agree.
    let (grid_x, grid_y) = b.spread(groups);
    let tiles = part.blocks.div_ceil(TILE_BLOCKS);
    let params = Params {
        k8: op.matrix.k8,
        blocks: part.blocks,
        grid_x,
        out0: part.row0,
        n_out: op.n_out as u32,
        y_stride: op.y_stride as u32,
        bias4: op.vectors.bias4,
        has_bias: op.vectors.has_bias as u32,
        activation,
        // Of what was normed before there is no factor left.
        width: op.norm.filter(|_| op.is_scaled || !part.store.is_texels()).map_or(0, |(_, width, _)| width as u32),
        eps: op.norm.map_or(0.0, |(_, _, eps)| eps),
        last_row: op.last_row as u32,
        has_res: op.res.is_some() as u32,
        lane_bits: lanes.ilog2(),
        high: part.planes.high,
        scales: part.planes.scales,
        row0: bound.first,
        row_count: bound.count,
        stats0: bound.stats0,
        has_next: op.next_gamma.is_some() as u32,
        q_heads: op.append.as_ref().map_or(0, |to| to.n_heads as u32),
        kv_heads: op.append.as_ref().map_or(0, |to| to.n_kv_heads as u32),
        head_words: op.append.as_ref().map_or(0, |to| to.head_dim as u32 / 4),
        rotary_words: op.append.as_ref().and_then(|to| to.angles).map_or(0, |(_, dim)| dim as u32 / 4),
        halves: op.append.as_ref().map_or(0, |to| u32::from(to.kv == KvDtype::F16)),
        pad: [0; 3],
    };
    let uniform = b.gpu.uniform("kernel parameters", &params)?;
    let mut resources = vec![("w", part.store.binding()), ("x", bound.x.clone()), ("p", uniform.as_entire_binding())];
    resources.push(("state", op.state.as_entire_binding()));
    resources.push(("vecs", op.vectors.buffer.as_entire_binding()));
    resources.push(("y", op.y.as_entire_binding()));
    resources.extend(bound.stats.clone().map(|stats| ("stats", stats)));
    // Without what follows theirs, bindings still need buffers; flags keep them alone.
    resources.push(("scaled", op.normed.as_entire_binding()));
    resources.push(("next_gamma", op.next_gamma.unwrap_or(&op.vectors.buffer).as_entire_binding()));
    if let Some(to) = &op.append {
        resources.extend([("q", to.q.clone()), ("k_cache", to.k_cache.clone()), ("v_cache", to.v_cache.clone())]);
        let angles = to.angles.map_or(&*op.vectors.buffer, |(angles, _)| angles);
        resources.push(("angles", angles.as_entire_binding()));
    }
    // Without a residual its binding still needs a buffer; the flag keeps it unread.
    resources.push(("res", op.res.unwrap_or(op.x).as_entire_binding()));
    if let Some(extra) = op.extra {
        resources.extend([("out_stats", extra.as_entire_binding()), ("out_max", extra.as_entire_binding())]);
    }
    let bind_group = one.bind_resources(b.gpu, &resources);
    let rows = Grid::Fixed([grid_x, grid_y, 1]);
    let tile_x = tiles.min(grid_x);
    let prefill = many.map(|p| (p, Grid::Tiles { x: tile_x, z: tiles.div_ceil(grid_x) }));
    // A single row never needs tiles.
    let many = if op.last_row || prefill.is_none() { Some((few.clone(), rows)) } else { prefill };
    let dispatch = Dispatch {
        variants: [Some((one, rows)), Some((few.clone(), rows)), many, Some((few, rows))],
        when: When::Always,
        first_row: bound.first,
        bind_group,
        params: uniform,
    };
    Ok(dispatch.with_tree(tree))
}

/// `norm.wesl`: the rows of x, normed, into `normed`.
async fn norm(b: &mut Builder<'_>, op: &Product<'_>) -> Result<Dispatch> {
    let (stats, width, eps) = op.norm.expect("a product with a norm");
    let params = NormParams { k8: op.matrix.k8, width: width as u32, eps, pad: 0 };
    let buffers = [("x", op.x), ("state", op.state), ("stats", stats), ("vecs", &op.vectors.buffer), ("y", op.normed)];
    let features = [b.kernel_set.name(), b.norm_feature()];
    b.one("norm", &features, Grid::RowsFlat { per_row: 1, group: 1 }, &params, &buffers).await
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct NormParams {
    k8: u32,
    width: u32,
    eps: f32,
    pad: u32,
}
