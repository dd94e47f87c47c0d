//! The devices that the reference runs on: burn's CPU backend, or a wgpu device that somebody opened.

use burn::tensor::Device;
use burn::tensor::wgpu::{MemoryConfiguration, WgpuSetup};

use understory_protocol::{Error, Result};

/// burn's portable CPU backend.
pub fn cpu_device() -> Device {
    Device::flex()
}

/// Makes burn run on a wgpu device that is already open. Register a device once and clone the result: burn
/// does not notice a second registration and would keep a second set of memory pools.
///
/// burn reads what it may use from the *adapter*, not from the device: open the device with
/// `adapter.limits()` and with the adapter's features. Every allocation gets a buffer of its own, so that
/// one dispatch can bind tensors read-only beside others that it writes.
///
/// # Errors
/// [`Error::DeviceRefused`] where burn cannot use the device, e.g. because it offers no compute.
pub fn burn_device(
    instance: wgpu::Instance,
    adapter: wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
) -> Result<Device> {
    let info = adapter.get_info();
    let setup = WgpuSetup { instance, adapter, device, queue, backend: info.backend };
    Device::wgpu_options()
        .memory_config(MemoryConfiguration::ExclusivePages)
        .setup(setup)
        .init()
        .map_err(|e| Error::DeviceRefused { adapter: info.name, reason: e.to_string() })
}
