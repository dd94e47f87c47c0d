//! The products of a layer, and the head, over made-up weights.

use understory_model::config::ModelConfig;
use understory_model::weights::{LayerSlot, Slot};
use understory_protocol::{KernelSet, KvDtype, Result};

use super::kernels::Cost;
use super::operands::Operands;
use crate::device_weights::{BOUND_BYTES, Form, Matrix, Plain, RowOrder, Vectors};
use crate::gpu::{Dispatch, Words};
use crate::kernels::{self, Append, Builder, Epilogue, Product};

/// One product of the model.
#[derive(Clone)]
pub struct Spec {
    /// of the first layer, or the head
    slot: Slot,
    form: Form,
    label: &'static str,
    /// inputs, and outputs of the matrix (twice those of the product where it is gated)
    k: usize,
    matrix_rows: usize,
    n_out: usize,
    norm: bool,
    /// the input comes times the norm's factor, and a residual product leaves it so
    scales_ahead: bool,
    has_bias: bool,
    epilogue: Epilogue,
    /// only the last row of the activations
    last_row: bool,
}

impl Spec {
    /// The four of a layer, in their order.
    pub fn of_layer(config: &ModelConfig, kernel_set: KernelSet) -> [Spec; 4] {
        let (d, inner) = (config.hidden_size, config.intermediate_size);
        let scales_ahead = kernels::scales_ahead(config, kernel_set);
        let appends = RowOrder::of_qkv(config, &config.layers[0], kernel_set).is_some();
        let plain = |label, slot, k, n_out, has_bias| Spec {
            slot: Slot::Layer(0, slot),
            form: Form::Plain(Plain::F16),
            label,
            k,
            matrix_rows: n_out,
            n_out,
            norm: false,
            scales_ahead: scales_ahead && !config.post_norms,
            has_bias,
            epilogue: Epilogue::Residual,
            last_row: false,
        };
        let qkv = plain("qkv", LayerSlot::Qkv, d, config.q_dim() + 2 * config.kv_dim(), config.qkv_bias);
        let up = plain("up", LayerSlot::MlpUp, d, inner, config.mlp_bias);
        let up = match config.mlp_gated {
            true => {
                Spec { label: "gate up", matrix_rows: 2 * inner, epilogue: Epilogue::Gated(config.activation), ..up }
            }
            false => Spec { epilogue: Epilogue::Act(config.activation), ..up },
        };
        [
            Spec { norm: true, scales_ahead, epilogue: if appends { Epilogue::Rope } else { Epilogue::Store }, ..qkv },
            plain("attn out", LayerSlot::AttnOut, config.q_dim(), d, config.attn_out_bias),
            Spec { norm: true, scales_ahead, ..up },
            plain("down", LayerSlot::MlpDown, inner, d, config.mlp_bias),
        ]
    }

    /// The last one, of the last row alone.
    pub fn head(config: &ModelConfig, kernel_set: KernelSet) -> Spec {
        Spec {
            slot: Slot::LmHead,
            form: Form::Plain(Plain::F16),
            label: "lm_head",
            k: config.hidden_size,
            matrix_rows: config.vocab_size,
            n_out: config.vocab_size,
            norm: true,
            scales_ahead: kernels::scales_ahead(config, kernel_set),
            has_bias: config.lm_head_bias,
            epilogue: Epilogue::Logits,
            last_row: true,
        }
    }

    /// `qkv 2560 -> 7680`
    pub fn shape(&self) -> String {
        format!("{} {} -> {}", self.label, self.k, self.matrix_rows)
    }

    /// Of every row, or of the last one alone.
    pub fn with_last_row(self, last_row: bool) -> Spec {
        Spec { last_row, ..self }
    }

    /// With the form that `form` gives for its slot and columns.
    pub fn stored(self, form: impl FnOnce(Slot, usize) -> Form) -> Spec {
        Spec { form: form(self.slot, self.k), ..self }
    }

    pub fn weight_bytes(&self) -> u64 {
        self.form.row_bytes(self.k) * self.matrix_rows as u64
    }

    /// Of a product with so many rows of activations: weights, inputs, outputs and the residual, each once.
    pub fn cost(&self, rows: usize) -> Cost {
        let outputs = if self.epilogue == Epilogue::Residual { 2 * self.n_out } else { self.n_out };
        let activations = (rows * (self.k + outputs) * 4) as u64;
        let flops = 2 * (rows * self.k * self.matrix_rows) as u64;
        Cost { bytes: self.weight_bytes() + activations, flops: Some(flops) }
    }
}

/// A product with weights.
pub struct Made {
    pub dispatches: Vec<Dispatch>,
    _weights: (Matrix, Vectors),
}

/// The activations that products of one spec share, for up to so many rows.
pub struct Activations {
    x: wgpu::Buffer,
    normed: wgpu::Buffer,
    stats: wgpu::Buffer,
    res: wgpu::Buffer,
    y: wgpu::Buffer,
    gamma: wgpu::Buffer,
    extra: wgpu::Buffer,
    /// of q, K and V: rotation angles, and where they go
    angles: wgpu::Buffer,
    qkv: [Words; 3],
}

impl Activations {
    pub async fn new(
        operands: &mut Operands<'_>,
        (config, kernel_set): (&ModelConfig, KernelSet),
        spec: &Spec,
        rows: usize,
    ) -> Result<Self> {
        let out = spec.n_out.next_multiple_of(8);
        let heads_of = |heads: usize| if spec.epilogue == Epilogue::Rope { rows * heads * config.head_dim } else { 4 };
        let rotary_dim = config.ropes.first().map_or(0, |rope| rope.rotary_dim);
        Ok(Self {
            x: operands.floats(rows * spec.k.next_multiple_of(8) + BOUND_BYTES / 4).await?,
            normed: operands.floats(rows * spec.k.next_multiple_of(8) + BOUND_BYTES / 4).await?,
            stats: operands.floats(rows * 2 * spec.k.div_ceil(4) + BOUND_BYTES / 4).await?,
            res: operands.floats(rows * out).await?,
            y: operands.floats(rows * out).await?,
            gamma: operands.floats(out).await?,
            extra: operands.floats(rows * 2 * spec.n_out.div_ceil(4)).await?,
            angles: operands.floats(rows * rotary_dim.max(4)).await?,
            qkv: [
                operands.rows(kernel_set, heads_of(config.n_heads)).await?,
                operands.cache(kernel_set, heads_of(config.n_kv_heads)).await?,
                operands.cache(kernel_set, heads_of(config.n_kv_heads)).await?,
            ],
        })
    }
}

/// Makes one product with weights of its own.
pub async fn make(
    b: &mut Builder<'_>,
    operands: &mut Operands<'_>,
    config: &ModelConfig,
    spec: &Spec,
    (activations, state): (&Activations, &wgpu::Buffer),
) -> Result<Made> {
    let blocks = match spec.epilogue {
        Epilogue::Gated(_) => spec.n_out.div_ceil(2),
        _ => spec.n_out.div_ceil(4),
    };
    let matrix = operands.matrix(b.kernel_set, spec.form, blocks, spec.k).await?;
    let vectors = operands.vectors(spec.k, spec.matrix_rows, spec.has_bias).await?;
    let a = activations;
    let append = Append {
        n_heads: config.n_heads,
        n_kv_heads: config.n_kv_heads,
        head_dim: config.head_dim,
        angles: config.ropes.first().map(|rope| (&a.angles, rope.rotary_dim)),
        q: a.qkv[0].binding(),
        k_cache: a.qkv[1].binding(),
        v_cache: a.qkv[2].binding(),
        kv: KvDtype::of(b.kernel_set),
    };
    let is_residual = spec.epilogue == Epilogue::Residual;
    let product = Product {
        matrix: &matrix,
        vectors: &vectors,
        state,
        x: &a.x,
        norm: spec.norm.then_some((&a.stats, spec.k, config.norm.eps)),
        res: is_residual.then_some(&a.res),
        y: &a.y,
        y_stride: spec.n_out.next_multiple_of(8),
        n_out: spec.n_out,
        extra: Some(&a.extra),
        epilogue: spec.epilogue,
        last_row: spec.last_row,
        is_scaled: spec.norm && spec.scales_ahead,
        normed: &a.normed,
        next_gamma: (is_residual && spec.scales_ahead).then_some(&a.gamma),
        append: (spec.epilogue == Epilogue::Rope).then_some(append),
    };
    let dispatches = kernels::product(b, product).await?;
    Ok(Made { dispatches, _weights: (matrix, vectors) })
}

#[cfg(test)]
mod tests {
    use super::Spec;
    use understory_model::MeasuredShape;
    use understory_protocol::KernelSet;

    /// The count that EleutherAI publishes for Pythia 2.8B, embeddings apart. A gated MLP, or three heads' worth of
    /// q, k and v counted once, fails this.
    #[test]
    fn a_shape_has_the_parameters_of_its_model() {
        let config = MeasuredShape::Pythia.config().expect("is understood");
        let norms = 2 * config.hidden_size;
        let products: usize =
            Spec::of_layer(&config, KernelSet::Gpu).iter().map(|spec| (spec.k + 1) * spec.matrix_rows).sum();
        assert_eq!(config.n_layers() * (products + 2 * norms) + norms, 2_517_652_480);
    }
}
