//! Weights on the device, in the layout of the kernels: matrices in blocks of 4 rows, columns padded to 8,
//! f16 pairs in u32 or f32, row-major for GPUs and interleaved by block for CPU adapters (see
//! `shaders/kernels/lib/weights.wesl`), split where a binding cannot hold them; vectors of one product in one buffer.

mod blocks;
mod form;
mod layout;
mod planes;
mod store;
mod upload;

pub use blocks::forms;
pub use form::{Form, Plain};
pub use layout::{RowOrder, interleaved};
pub use planes::{PlaneOffsets, Planes, ScaleTooLarge};
pub use store::{BOUND_BYTES, Store, bound_rows, reads_texels};
pub use upload::upload;

use crate::gpu::Buffer;

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
    pub store: Store,
    pub form: Form,
    pub planes: PlaneOffsets,
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

impl DeviceWeights {
    /// How the matrices are stored: each type once, in the order of their first use.
    pub fn types(&self) -> Vec<&'static str> {
        let of_layer = |layer: &'_ DeviceLayer| {
            [&layer.qkv, &layer.attn_out, &layer.mlp_up, &layer.mlp_down]
                .map(|matrix| types(matrix).collect::<Vec<_>>())
        };
        let layers = self.layers.iter().flat_map(of_layer).flatten();
        let all = types(&self.embedding).chain(layers).chain(self.lm_head.iter().flat_map(types));
        let mut seen = Vec::new();
        for name in all {
            if !seen.contains(&name) {
                seen.push(name);
            }
        }
        seen
    }
}

fn types(matrix: &Matrix) -> impl Iterator<Item = &'static str> {
    matrix.parts.iter().map(|part| part.form.name())
}
