//! Which kernels the first token needs: known from a model's configuration and from how its files hold its matrices, so
//! that they can compile while the weights are still on their way.

use understory_model::config::{Activation, ModelConfig};
use understory_model::weights::{LayerSlot, ModelWeights, Slot};
use understory_protocol::{AdapterReport, Dtype, KernelSet, KvDtype};

use super::attention::{of_cache, one_row};
use super::norm_feature;
use super::product::{Epilogue, constants, features, few_rows_kernel, scales_ahead};
use super::rope::rope_kernel;
use crate::device_weights::{Form, RowOrder, forms, reads_texels};
use crate::gpu::{Constants, PipelineName};

/// The forms of a slot's matrix, whose rows have so many columns.
pub type Forms<'a> = dyn Fn(Slot, usize) -> Vec<Form> + 'a;

/// Forms where no file has been looked at: what `dtype` asks for, of values that are in no blocks.
pub fn asked_forms(dtype: Dtype) -> impl Fn(Slot, usize) -> Vec<Form> {
    move |_, cols| vec![Form::of(dtype, cols)]
}

/// Forms of a model's matrices.
pub fn stored_forms<'a>(
    config: &'a ModelConfig,
    weights: &'a ModelWeights<'_>,
    dtype: Dtype,
) -> impl Fn(Slot, usize) -> Vec<Form> + 'a {
    move |slot, _| {
        let order = match slot {
            Slot::Layer(_, LayerSlot::MlpUp) => RowOrder::of_mlp(config.mlp_gated),
            // Also of q, k and v, each of which is whole heads: their order leaves parts of two types apart.
            _ => RowOrder::AsStored,
        };
        forms(weights, slot, order, dtype)
    }
}

/// Kernels of a pass over one row with a greedy choice, each once, in the order of the pass.
pub fn first_kernels(
    config: &ModelConfig,
    forms: &Forms<'_>,
    kernel_set: KernelSet,
    kv: KvDtype,
    adapter: &AdapterReport,
) -> Vec<PipelineName> {
    let norm = config.norm.kind;
    let products = |slot, cols: usize, epilogue| {
        forms(slot, cols).into_iter().map(move |form| {
            let texels = reads_texels(kernel_set, cols.div_ceil(8));
            let features = [features(form, texels, kernel_set, norm, epilogue).as_slice(), &["cb1"]].concat();
            (few_rows_kernel(kernel_set), features, constants(form, texels, kernel_set, adapter))
        })
    };
    let optional = |feature, there: bool| there.then_some(feature);
    let mut kernels: Vec<PipelineName> = Vec::new();
    let mut add = |kernel: PipelineName| {
        if !kernels.contains(&kernel) {
            kernels.push(kernel);
        }
    };
    let plain = |kernel, features: &[&'static str]| (kernel, features.to_vec(), Constants::new());
    let texels = reads_texels(kernel_set, config.hidden_size.div_ceil(8));
    for table in forms(Slot::Embedding, config.hidden_size) {
        let mut embed = vec![table.feature(), kernel_set.name(), norm_feature(norm)];
        embed.extend(optional("texel", texels));
        embed.extend(optional("positions", config.learned_positions));
        add(("embed", embed, table.constants()));
    }
    if texels && !scales_ahead(config, kernel_set) {
        add(plain("norm", &[kernel_set.name(), norm_feature(norm)]));
    }
    // Which activation it is, a parameter says.
    let activation = Activation::Silu;
    let up = if config.mlp_gated { Epilogue::Gated(activation) } else { Epilogue::Act(activation) };
    for (i, layer) in config.layers.iter().enumerate() {
        let slot = |slot| Slot::Layer(i, slot);
        let appends = RowOrder::of_qkv(config, layer, kernel_set).is_some();
        let epilogue = if appends { Epilogue::Rope } else { Epilogue::Store };
        products(slot(LayerSlot::Qkv), config.hidden_size, epilogue).for_each(&mut add);
        if !appends {
            let (rope, features) = rope_kernel(kernel_set, kv, layer.rope.is_some(), config.qk_norm);
            add(plain(rope, &features));
        }
        match kernel_set {
            KernelSet::Gpu => {
                let (_, constants) = one_row(config.n_heads / config.n_kv_heads);
                add(("attention", of_cache("gpu", kv), constants));
            }
            KernelSet::Cpu => {
                add(plain("attention_row_cpu", &["cpu"]));
                add(plain("attention_reduce_cpu", &["cpu"]));
            }
        }
        products(slot(LayerSlot::AttnOut), config.q_dim(), Epilogue::Residual).for_each(&mut add);
        if config.post_norms {
            add(plain("norm_residual", &[kernel_set.name(), norm_feature(norm)]));
        }
        products(slot(LayerSlot::MlpUp), config.hidden_size, up).for_each(&mut add);
        products(slot(LayerSlot::MlpDown), config.intermediate_size, Epilogue::Residual).for_each(&mut add);
    }
    let head = if config.tie_word_embeddings { Slot::Embedding } else { Slot::LmHead };
    products(head, config.hidden_size, Epilogue::Logits).for_each(&mut add);
    add(plain("sample", &[kernel_set.name()]));
    kernels
}
