//! Which kernels the first token needs: known from the configuration alone, so that they can compile while the weights
//! are still on their way.

use understory_model::config::{Activation, ModelConfig};
use understory_protocol::{Dtype, KernelSet};

use super::norm_feature;
use super::product::{Epilogue, features, few_rows_kernel};
use super::rope::rope_features;
use crate::device_weights::{Form, reads_texels};
use crate::gpu::{Constants, PipelineName};

/// Kernels of a pass over one row with a greedy choice, each once, in the order of the pass. `dtype` is that of all
/// weights: what a model's files hold in blocks is known later.
pub fn first_kernels(config: &ModelConfig, dtype: Dtype, kernel_set: KernelSet) -> Vec<PipelineName> {
    let norm = config.norm.kind;
    let product = |cols: usize, epilogue| {
        let form = Form::of(dtype, cols);
        let texels = reads_texels(kernel_set, cols.div_ceil(8));
        let features = [features(form, texels, kernel_set, norm, epilogue).as_slice(), &["cb1"]].concat();
        (few_rows_kernel(kernel_set), features, form.constants())
    };
    let optional = |feature, there: bool| there.then_some(feature);
    let mut kernels: Vec<PipelineName> = Vec::new();
    let mut add = |kernel: PipelineName| {
        if !kernels.contains(&kernel) {
            kernels.push(kernel);
        }
    };
    let plain = |kernel, features: &[&'static str]| (kernel, features.to_vec(), Constants::new());
    let table = Form::of(dtype, config.hidden_size);
    let texels = reads_texels(kernel_set, config.hidden_size.div_ceil(8));
    let mut embed = vec![table.feature(), kernel_set.name(), norm_feature(norm)];
    embed.extend(optional("texel", texels));
    embed.extend(optional("positions", config.learned_positions));
    add(("embed", embed, table.constants()));
    if texels {
        add(plain("norm", &[kernel_set.name(), norm_feature(norm)]));
    }
    add(product(config.hidden_size, Epilogue::Store));
    for layer in &config.layers {
        let kernel = if kernel_set == KernelSet::Cpu { "rope_cpu" } else { "rope" };
        add(plain(kernel, &rope_features(kernel_set, layer.rope.is_some(), config.qk_norm)));
    }
    match kernel_set {
        KernelSet::Gpu => add(plain("attention", &["gpu"])),
        KernelSet::Cpu => {
            add(plain("attention_row_cpu", &["cpu"]));
            add(plain("attention_reduce", &[]));
        }
    }
    add(product(config.q_dim(), Epilogue::Residual));
    if config.post_norms {
        add(plain("norm_residual", &[kernel_set.name(), norm_feature(norm)]));
    }
    // Which activation it is, a parameter says.
    let activation = Activation::Silu;
    let up = if config.mlp_gated { Epilogue::Gated(activation) } else { Epilogue::Act(activation) };
    add(product(config.hidden_size, up));
    add(product(config.intermediate_size, Epilogue::Residual));
    add(product(config.hidden_size, Epilogue::Logits));
    add(plain("sample", &[kernel_set.name(), "greedy"]));
    kernels
}
