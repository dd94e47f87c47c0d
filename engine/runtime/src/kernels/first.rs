//! Which kernels the first token needs: known from the configuration alone, so that they can compile while the weights
//! are still on their way.

use understory_model::config::{Activation, ModelConfig};
use understory_protocol::{Dtype, KernelSet};

use super::product::{Epilogue, features, few_rows_kernel};
use super::{dtype_feature, norm_feature};

/// Kernels of a pass over one row with a greedy choice, each with its features, in the order of the pass.
pub fn first_kernels(
    config: &ModelConfig,
    dtype: Dtype,
    kernel_set: KernelSet,
) -> Vec<(&'static str, Vec<&'static str>)> {
    let norm = config.norm.kind;
    let product = |epilogue| {
        let features = [features(dtype, kernel_set, norm, epilogue).as_slice(), &["cb1"]].concat();
        (few_rows_kernel(kernel_set), features)
    };
    let optional = |feature, there: bool| there.then_some(feature);
    let mut kernels = Vec::new();
    let mut embed = vec![dtype_feature(dtype), kernel_set.name(), norm_feature(norm)];
    embed.extend(optional("positions", config.learned_positions));
    kernels.push(("embed", embed));
    kernels.push(product(Epilogue::Store));
    for layer in &config.layers {
        let features = [optional("rotary", layer.rope.is_some()), optional("qknorm", config.qk_norm)];
        let rope = ("rope", features.into_iter().flatten().collect());
        if !kernels.contains(&rope) {
            kernels.push(rope);
        }
    }
    match kernel_set {
        KernelSet::Gpu => kernels.push(("attention", vec!["gpu"])),
        KernelSet::Cpu => kernels.extend([("attention_row_cpu", vec!["cpu"]), ("attention_reduce", vec![])]),
    }
    kernels.push(product(Epilogue::Residual));
    if config.post_norms {
        kernels.push(("norm_residual", vec![kernel_set.name(), norm_feature(norm)]));
    }
    // Which activation it is, a parameter says.
    let activation = Activation::Silu;
    kernels.push(product(if config.mlp_gated { Epilogue::Gated(activation) } else { Epilogue::Act(activation) }));
    kernels.push(product(Epilogue::Logits));
    kernels.push(("sample", vec![kernel_set.name(), "greedy"]));
    kernels
}
