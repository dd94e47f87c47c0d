//! The open device. Errors of wgpu become values of [`Error`]: a lost device, memory that ran out and a rejected
//! command are told apart, and none of them panics.

use std::sync::{Arc, Mutex};

use super::adapter;
#[cfg(target_family = "wasm")]
use super::browser;
use super::memory::Memory;
use understory_protocol::{AdapterReport, Error, Result};

/// What went wrong asynchronously, kept until somebody asks.
#[derive(Default)]
struct Faults {
    lost: Option<String>,
    error: Option<String>,
}

/// An open device: queue, report, and an account of its memory.
pub struct Gpu {
    instance: wgpu::Instance,
    adapter: wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
    report: AdapterReport,
    faults: Arc<Mutex<Faults>>,
    pub(super) memory: Memory,
    #[cfg(not(target_family = "wasm"))]
    pub(super) kept: Option<super::kept::KeptPipelines>,
}

impl Gpu {
    /// Opens adapter `index` of [`super::list_adapters`], or the preferred one.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], [`Error::NoSuchAdapter`], [`Error::DeviceRefused`].
    pub async fn open(index: Option<usize>) -> Result<Gpu> {
        let instance = adapter::instance();
        let adapters = adapter::adapters(&instance).await;
        let reports = adapter::reports(&adapters).await;
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
        // Threads of CPU adapters hand words to one another (`matmul_cpu`).
        let wanted = wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::SUBGROUP | wgpu::Features::PIPELINE_CACHE;
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
            memory: Memory::default(),
            #[cfg(not(target_family = "wasm"))]
            kept: None,
        })
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

    /// What went wrong since the device was opened, if anything did.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Device`].
    pub fn check(&self, doing: &'static str) -> Result<()> {
        if lock(&self.faults).error.is_some() {
            // A command that was rejected because the device is lost is often heard of before the loss.
            #[cfg(not(target_family = "wasm"))]
            let _ = self.device.poll(wgpu::PollType::Poll);
        }
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
        browser::wait_briefly(|| self.check(doing).is_err()).await;
        // A loss is heard of with a poll that goes well.
        #[cfg(not(target_family = "wasm"))]
        let _ = self.device.poll(wgpu::PollType::Poll);
        self.check(doing).err().unwrap_or(Error::Device { doing, reason })
    }

    /// Waits until everything submitted has run.
    ///
    /// # Errors
    /// Those of [`Self::check_allocations`], [`Error::Device`].
    pub async fn wait(&self, doing: &'static str) -> Result<()> {
        #[cfg(not(target_family = "wasm"))]
        if let Err(e) = self.device.poll(wgpu::PollType::wait_indefinitely()) {
            return Err(self.failure(doing, e.to_string()).await);
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
        self.check_allocations(doing).await
    }
}

pub(super) fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
