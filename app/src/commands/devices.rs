//! `understory devices`: what there is to run on.

use anyhow::Result;
use understory_protocol::AdapterReport;
use understory_protocol::figures::binary_bytes;
use understory_runtime::gpu::{Gpu, list_adapters};

use crate::cli::ListArgs;
use crate::output::{self, Console};

pub fn run(args: &ListArgs, _console: &Console) -> Result<()> {
    let adapters = pollster::block_on(list_adapters());
    if args.json {
        output::json(&adapters)?;
    } else {
        let paragraphs: Vec<String> = adapters.iter().map(describe).collect();
        output::text(&paragraphs.join("\n"))?;
    }
    if adapters.is_empty() {
        // Opening says why there is none and what to install.
        pollster::block_on(Gpu::open(None))?;
    }
    Ok(())
}

fn describe(adapter: &AdapterReport) -> String {
    let used = if adapter.preferred { "used by default" } else { "not used by default" };
    let kind = if adapter.software { "emulated on the CPU" } else { adapter.device_type.as_str() };
    let limits = &adapter.limits;
    let features = if adapter.features.is_empty() { "none".into() } else { adapter.features.join(", ") };
    let [smallest, largest] = adapter.subgroup_sizes;
    let rows = [
        ("use", format!("{used}: {}", adapter.why)),
        ("kernels", adapter.profile.name().to_owned()),
        ("driver", format!("{} {}", adapter.driver, adapter.driver_info).trim().to_owned()),
        ("ids", format!("vendor {:#06x}, device {:#06x}", adapter.vendor, adapter.device)),
        ("features", format!("{features}; subgroups of {smallest} to {largest}")),
        (
            "memory",
            format!(
                "buffers up to {}, bindings up to {}, {} storage buffers a stage",
                binary_bytes(limits.max_buffer_size),
                binary_bytes(limits.max_storage_buffer_binding_size),
                limits.max_storage_buffers_per_shader_stage
            ),
        ),
        (
            "workgroup",
            format!(
                "up to {} invocations, {} shared, {} workgroups a dimension",
                limits.max_compute_invocations_per_workgroup,
                binary_bytes(limits.max_compute_workgroup_storage_size.into()),
                limits.max_compute_workgroups_per_dimension
            ),
        ),
    ];
    let mut text = format!("{}: {} ({}, {kind})\n", adapter.index, adapter.name, adapter.backend);
    for (name, value) in rows.into_iter().chain(arithmetic(adapter).map(|value| ("floats", value.to_owned()))) {
        text.push_str(&format!("   {name:<9} {value}\n"));
    }
    text
}

/// What is particular about a backend's arithmetic.
fn arithmetic(adapter: &AdapterReport) -> Option<&'static str> {
    // wgpu leaves the default of Metal's compiler on.
    (adapter.backend == "metal").then_some(
        "fast math, which may regroup sums: the lossless self-test decides whether guesses are used; `understory \
         verify-lossless` shows its verdict",
    )
}
