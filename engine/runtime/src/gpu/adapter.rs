//! The adapters of this machine: which there are, what they offer, and which one is preferred.

#[cfg(target_family = "wasm")]
use super::browser;
use understory_protocol::{AdapterLimits, AdapterReport, KernelSet};

/// Backends that run WebGPU's compute natively, and the browser's.
const BACKENDS: wgpu::Backends = wgpu::Backends::VULKAN
    .union(wgpu::Backends::METAL)
    .union(wgpu::Backends::DX12)
    .union(wgpu::Backends::BROWSER_WEBGPU);

pub(super) fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = BACKENDS;
    wgpu::Instance::new(descriptor)
}

#[cfg(not(target_family = "wasm"))]
pub(super) async fn adapters(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    instance.enumerate_adapters(BACKENDS).await
}

/// A browser hands out one adapter.
#[cfg(target_family = "wasm")]
pub(super) async fn adapters(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    let options =
        wgpu::RequestAdapterOptions { power_preference: wgpu::PowerPreference::HighPerformance, ..Default::default() };
    instance.request_adapter(&options).await.into_iter().collect()
}

fn preference(device_type: wgpu::DeviceType) -> (u8, &'static str, &'static str) {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => (0, "discrete", "a discrete GPU"),
        wgpu::DeviceType::IntegratedGpu => (1, "integrated", "an integrated GPU"),
        wgpu::DeviceType::VirtualGpu => (2, "virtual", "a virtual GPU"),
        wgpu::DeviceType::Other => (3, "other", "an adapter of unknown type"),
        wgpu::DeviceType::Cpu => (4, "cpu", "a CPU emulation of a GPU"),
    }
}

fn report(index: usize, adapter: &wgpu::Adapter) -> AdapterReport {
    let info = adapter.get_info();
    let limits = adapter.limits();
    let (_, device_type, why) = preference(info.device_type);
    let software = info.device_type == wgpu::DeviceType::Cpu;
    let optional = [
        (wgpu::Features::SHADER_F16, "shader-f16"),
        (wgpu::Features::SUBGROUP, "subgroups"),
        (wgpu::Features::TIMESTAMP_QUERY, "timestamp-query"),
    ];
    // The kernels of CPU adapters have threads of a vector hand words to one another, but for browsers (`matmul_cpu`).
    let hands_over = cfg!(target_family = "wasm")
        || adapter.features().contains(wgpu::Features::SUBGROUP) && info.subgroup_min_size >= 4;
    let features = optional.iter().filter(|(f, _)| adapter.features().contains(*f)).map(|(_, n)| n.to_string());
    AdapterReport {
        index,
        name: info.name,
        backend: info.backend.to_str().to_string(),
        device_type: device_type.to_string(),
        driver: info.driver,
        driver_info: info.driver_info,
        vendor: info.vendor,
        device: info.device,
        software,
        subgroup_sizes: [info.subgroup_min_size, info.subgroup_max_size],
        features: features.collect(),
        limits: AdapterLimits {
            max_buffer_size: limits.max_buffer_size,
            max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size,
            max_storage_buffers_per_shader_stage: limits.max_storage_buffers_per_shader_stage,
            max_compute_workgroup_storage_size: limits.max_compute_workgroup_storage_size,
            max_compute_invocations_per_workgroup: limits.max_compute_invocations_per_workgroup,
            max_compute_workgroups_per_dimension: limits.max_compute_workgroups_per_dimension,
        },
        profile: if software && hands_over { KernelSet::Cpu } else { KernelSet::Gpu },
        preferred: false,
        why: why.to_string(),
    }
}

/// Reports of `adapters`, with the preferred one marked: the best type, the first of its type.
pub(super) async fn reports(adapters: &[wgpu::Adapter]) -> Vec<AdapterReport> {
    let mut all: Vec<_> = adapters.iter().enumerate().map(|(i, a)| report(i, a)).collect();
    let best = (0..all.len()).min_by_key(|&i| (preference(adapters[i].get_info().device_type).0, i));
    for (i, r) in all.iter_mut().enumerate() {
        r.preferred = Some(i) == best;
        r.why = if r.preferred { format!("{}, the best of what is here", r.why) } else { r.why.clone() };
    }
    #[cfg(target_family = "wasm")]
    for report in &mut all {
        browser::AdapterNames::ask().await.complete(report);
    }
    all
}

/// Every adapter on this machine, in the order of their indices.
pub async fn list_adapters() -> Vec<AdapterReport> {
    reports(&adapters(&instance()).await).await
}
