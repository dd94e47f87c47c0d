//! The products of a layer, and the head, over made-up weights.

use understory_model::config::ModelConfig;
use understory_model::weights::{LayerSlot, Slot};
use understory_protocol::Result;

use super::kernels::Cost;
use super::operands::Operands;
use crate::device_weights::{BOUND_BYTES, Form, Matrix, Plain, Vectors};
use crate::gpu::Dispatch;
use crate::kernels::{self, Builder, Epilogue, Product};

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
    has_bias: bool,
    epilogue: Epilogue,
    /// only the last row of the activations
    last_row: bool,
}

impl Spec {
    /// The four of a layer, in their order.
    pub fn of_layer(config: &ModelConfig) -> [Spec; 4] {
        let (d, inner) = (config.hidden_size, config.intermediate_size);
        let plain = |label, slot, k, n_out, has_bias| Spec {
            slot: Slot::Layer(0, slot),
            form: Form::Plain(Plain::F16),
            label,
            k,
            matrix_rows: n_out,
            n_out,
            norm: false,
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
            Spec { norm: true, epilogue: Epilogue::Store, ..qkv },
            plain("attn out", LayerSlot::AttnOut, config.q_dim(), d, config.attn_out_bias),
            Spec { norm: true, ..up },
            plain("down", LayerSlot::MlpDown, inner, d, config.mlp_bias),
        ]
    }

    /// The last one, of the last row alone.
    pub fn head(config: &ModelConfig) -> Spec {
        Spec {
            slot: Slot::LmHead,
            form: Form::Plain(Plain::F16),
            label: "lm_head",
            k: config.hidden_size,
            matrix_rows: config.vocab_size,
            n_out: config.vocab_size,
            norm: true,
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
    extra: wgpu::Buffer,
}

impl Activations {
    pub async fn new(operands: &mut Operands<'_>, spec: &Spec, rows: usize) -> Result<Self> {
        let out = spec.n_out.next_multiple_of(8);
        Ok(Self {
            x: operands.floats(rows * spec.k.next_multiple_of(8) + BOUND_BYTES / 4).await?,
            normed: operands.floats(rows * spec.k.next_multiple_of(8) + BOUND_BYTES / 4).await?,
            stats: operands.floats(rows * 2 * spec.k.div_ceil(4)).await?,
            res: operands.floats(rows * out).await?,
            y: operands.floats(rows * out).await?,
            extra: operands.floats(rows * 2 * spec.n_out.div_ceil(4)).await?,
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
    let product = Product {
        matrix: &matrix,
        vectors: &vectors,
        state,
        x: &a.x,
        norm: spec.norm.then_some((&a.stats, spec.k, config.norm.eps)),
        res: (spec.epilogue == Epilogue::Residual).then_some(&a.res),
        y: &a.y,
        y_stride: spec.n_out.next_multiple_of(8),
        n_out: spec.n_out,
        extra: Some(&a.extra),
        epilogue: spec.epilogue,
        last_row: spec.last_row,
        normed: &a.normed,
    };
    let dispatches = kernels::product(b, product).await?;
    Ok(Made { dispatches, _weights: (matrix, vectors) })
}

#[cfg(test)]
mod tests {
    use super::Spec;
    use understory_model::MeasuredShape;

    /// The count that EleutherAI publishes for Pythia 2.8B, embeddings apart. A gated MLP, or three heads' worth of
    /// q, k and v counted once, fails this.
    #[test]
    fn a_shape_has_the_parameters_of_its_model() {
        let config = MeasuredShape::Pythia.config().expect("is understood");
        let norms = 2 * config.hidden_size;
        let products: usize = Spec::of_layer(&config).iter().map(|spec| (spec.k + 1) * spec.matrix_rows).sum();
        assert_eq!(config.n_layers() * (products + 2 * norms) + norms, 2_517_652_480);
    }
}
