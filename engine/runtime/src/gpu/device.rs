//! Adapters and the device. Errors of wgpu become values of [`Error`]: a lost device, memory that ran out and
//! a rejected command are told apart, and none of them panics.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

#[cfg(target_family = "wasm")]
use super::browser;
use understory_protocol::{AdapterLimits, AdapterReport, Error, KernelSet, Result};

/// Backends that run WebGPU's compute natively, and the browser's.
const BACKENDS: wgpu::Backends = wgpu::Backends::VULKAN
    .union(wgpu::Backends::METAL)
    .union(wgpu::Backends::DX12)
    .union(wgpu::Backends::BROWSER_WEBGPU);

fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = BACKENDS;
    wgpu::Instance::new(descriptor)
}

#[cfg(not(target_family = "wasm"))]
async fn adapters(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    instance.enumerate_adapters(BACKENDS).await
}

/// A browser hands out one adapter.
#[cfg(target_family = "wasm")]
async fn adapters(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
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
        profile: if software { KernelSet::Cpu } else { KernelSet::Gpu },
        preferred: false,
        why: why.to_string(),
    }
}

/// Reports of `adapters`, with the preferred one marked: the best type, the first of its type.
async fn reports(adapters: &[wgpu::Adapter]) -> Vec<AdapterReport> {
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

/// What went wrong asynchronously, kept until somebody asks.
#[derive(Default)]
struct Faults {
    lost: Option<String>,
    error: Option<String>,
}

#[cfg(not(target_family = "wasm"))]
type Awaited = Pin<Box<dyn Future<Output = Option<wgpu::Error>> + Send>>;
#[cfg(target_family = "wasm")]
type Awaited = Pin<Box<dyn Future<Output = Option<wgpu::Error>>>>;

/// A buffer that was asked for, and the answer whether there is memory for it.
struct Asked {
    answer: Awaited,
    /// what is reported if there is none
    refusal: Error,
}

/// An open device: queue, report, and an account of its memory.
pub struct Gpu {
    instance: wgpu::Instance,
    adapter: wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
    report: AdapterReport,
    faults: Arc<Mutex<Faults>>,
    asked: Mutex<Vec<Asked>>,
    allocated_bytes: Arc<AtomicU64>,
    peak_bytes: AtomicU64,
    limit_bytes: u64,
}

/// A storage or staging buffer that is on the device's account for as long as it lives.
pub struct Buffer {
    raw: wgpu::Buffer,
    account: Arc<AtomicU64>,
}

impl std::ops::Deref for Buffer {
    type Target = wgpu::Buffer;
    fn deref(&self) -> &wgpu::Buffer {
        &self.raw
    }
}

const STORAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_DST).union(wgpu::BufferUsages::COPY_SRC);

impl Drop for Buffer {
    fn drop(&mut self) {
        self.account.fetch_sub(self.raw.size(), Ordering::Relaxed);
    }
}

impl Gpu {
    /// Opens adapter `index` of [`list_adapters`], or the preferred one.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], [`Error::NoSuchAdapter`], [`Error::DeviceRefused`].
    pub async fn open(index: Option<usize>) -> Result<Gpu> {
        let instance = instance();
        let adapters = adapters(&instance).await;
        let reports = reports(&adapters).await;
        if reports.is_empty() {
            return Err(Error::NoAdapter { backends: "Vulkan, Metal, DX12, WebGPU".into() });
        }
        let chosen = match index {
            Some(asked) if asked >= reports.len() => {
                return Err(Error::NoSuchAdapter { asked, available: reports.len() });
            }
            Some(asked) => asked,
            None => reports.iter().position(|r| r.preferred).unwrap_or(0),
        };
        let (adapter, report) = (adapters[chosen].clone(), reports[chosen].clone());
        let wanted = wgpu::Features::TIMESTAMP_QUERY;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("understory"),
            required_features: adapter.features() & wanted,
            required_limits: adapter.limits(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let (device, queue) = adapter
            .request_device(&descriptor)
            .await
            .map_err(|e| Error::DeviceRefused { adapter: report.name.clone(), reason: e.to_string() })?;
        let faults = Arc::new(Mutex::new(Faults::default()));
        let on_lost = faults.clone();
        device.set_device_lost_callback(move |_, message| {
            lock(&on_lost).lost.get_or_insert(if message.is_empty() { "no reason given".into() } else { message });
        });
        let on_error = faults.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            tracing::error!("{error}");
            lock(&on_error).error.get_or_insert(error.to_string());
        }));
        tracing::debug!(adapter = report.name, backend = report.backend, "device open");
        Ok(Gpu {
            instance,
            adapter,
            device,
            queue,
            report,
            faults,
            asked: Mutex::default(),
            allocated_bytes: Arc::default(),
            peak_bytes: AtomicU64::new(0),
            limit_bytes: u64::MAX,
        })
    }

    /// Refuses buffers beyond `bytes` in total, as a device of that size would.
    pub fn with_memory_limit(mut self, bytes: u64) -> Gpu {
        self.limit_bytes = bytes;
        self
    }

    /// Plans for bindings of at most `bytes`, as on a device whose limit that is.
    pub fn with_binding_limit(mut self, bytes: u64) -> Gpu {
        let limit = &mut self.report.limits.max_storage_buffer_binding_size;
        *limit = bytes.min(*limit);
        self
    }

    pub fn report(&self) -> &AdapterReport {
        &self.report
    }
    pub fn instance(&self) -> &wgpu::Instance {
        &self.instance
    }
    pub fn adapter(&self) -> &wgpu::Adapter {
        &self.adapter
    }
    pub fn device(&self) -> &wgpu::Device {
        &self.device
    }
    pub fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }
    /// Bytes of all buffers alive.
    pub fn allocated_bytes(&self) -> u64 {
        self.allocated_bytes.load(Ordering::Relaxed)
    }
    /// The most that [`Self::allocated_bytes`] ever was.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Ordering::Relaxed)
    }

    /// A zeroed buffer of at least `bytes` (rounded up to 16).
    ///
    /// # Errors
    /// [`Error::DeviceLimit`] beyond the largest buffer, [`Error::OutOfDeviceMemory`].
    pub async fn buffer(&self, doing: &'static str, bytes: u64, usage: wgpu::BufferUsages) -> Result<Buffer> {
        let buffer = self.create_buffer_deferred(doing, bytes, usage)?;
        self.settle(doing).await?;
        Ok(buffer)
    }

    /// As [`Self::buffer`], without waiting for the device's answer (in a browser it comes after everything that was
    /// asked of the device before, kernels to compile among it): [`Self::settle`] and [`Self::wait`] say if it is no.
    ///
    /// # Errors
    /// [`Error::DeviceLimit`]; [`Error::OutOfDeviceMemory`] where that is known at once.
    pub fn create_buffer_deferred(&self, doing: &'static str, bytes: u64, usage: wgpu::BufferUsages) -> Result<Buffer> {
        let size = bytes.max(16).next_multiple_of(16);
        let limit = self.report.limits.max_buffer_size;
        if size > limit {
            return Err(Error::DeviceLimit { what: format!("a buffer for {doing}"), needed: size, offered: limit });
        }
        let allocated_bytes = self.allocated_bytes();
        let refusal = Error::OutOfDeviceMemory { doing, asked_bytes: size, allocated_bytes };
        if allocated_bytes + size > self.limit_bytes {
            return Err(refusal);
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let raw = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(doing),
            size,
            usage,
            mapped_at_creation: false,
        });
        lock(&self.asked).push(Asked { answer: Box::pin(scope.pop()), refusal });
        let now = self.allocated_bytes.fetch_add(size, Ordering::Relaxed) + size;
        self.peak_bytes.fetch_max(now, Ordering::Relaxed);
        Ok(Buffer { raw, account: self.allocated_bytes.clone() })
    }

    /// Waits for the answers that [`Self::create_buffer_deferred`] did not wait for.
    ///
    /// # Errors
    /// [`Error::OutOfDeviceMemory`] of the first buffer there is no memory for, [`Error::DeviceLost`].
    pub async fn settle(&self, doing: &'static str) -> Result<()> {
        let asked = std::mem::take(&mut *lock(&self.asked));
        let mut refused = None;
        for Asked { answer, refusal } in asked {
            if answer.await.is_some() {
                refused.get_or_insert(refusal);
            }
        }
        refused.map_or_else(|| self.check(doing), Err)
    }

    /// A storage buffer that can be written to and copied.
    pub async fn storage(&self, doing: &'static str, bytes: u64) -> Result<Buffer> {
        self.buffer(doing, bytes, STORAGE).await
    }

    /// As [`Self::storage`], in the way of [`Self::create_buffer_deferred`].
    pub fn storage_ahead(&self, doing: &'static str, bytes: u64) -> Result<Buffer> {
        self.create_buffer_deferred(doing, bytes, STORAGE)
    }

    /// A storage buffer with contents.
    pub async fn storage_from(&self, doing: &'static str, contents: &[u8]) -> Result<Buffer> {
        let buffer = self.storage(doing, contents.len() as u64).await?;
        self.queue.write_buffer(&buffer, 0, contents);
        Ok(buffer)
    }

    /// A uniform buffer with contents, in the way of [`Self::create_buffer_deferred`].
    pub fn uniform<T: bytemuck::NoUninit>(&self, doing: &'static str, contents: &T) -> Result<Buffer> {
        use wgpu::BufferUsages as U;
        let bytes = bytemuck::bytes_of(contents);
        let buffer = self.create_buffer_deferred(doing, bytes.len() as u64, U::UNIFORM | U::COPY_DST)?;
        self.queue.write_buffer(&buffer, 0, bytes);
        Ok(buffer)
    }

    /// What went wrong since the device was opened, if anything did.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Device`].
    pub fn check(&self, doing: &'static str) -> Result<()> {
        let faults = lock(&self.faults);
        if let Some(reason) = &faults.lost {
            return Err(Error::DeviceLost { doing, reason: reason.clone() });
        }
        match &faults.error {
            Some(reason) => Err(Error::Device { doing, reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// The error of something that the device did not do for `reason`: that it is lost, where that is why.
    pub async fn failure(&self, doing: &'static str, reason: String) -> Error {
        #[cfg(target_family = "wasm")]
        browser::settle(|| self.check(doing).is_err()).await;
        self.check(doing).err().unwrap_or(Error::Device { doing, reason })
    }

    /// Waits until everything submitted has run.
    ///
    /// # Errors
    /// Those of [`Self::settle`], [`Error::Device`].
    pub async fn wait(&self, doing: &'static str) -> Result<()> {
        #[cfg(not(target_family = "wasm"))]
        if let Err(e) = self.device.poll(wgpu::PollType::wait_indefinitely()) {
            self.check(doing)?;
            return Err(Error::Device { doing, reason: e.to_string() });
        }
        #[cfg(target_family = "wasm")]
        {
            let (done, finished) = futures_channel::oneshot::channel();
            self.queue.on_submitted_work_done(move || {
                let _ = done.send(());
            });
            // A callback that is dropped is that of a lost device, which the check reports.
            let _ = finished.await;
        }
        self.settle(doing).await
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
