//! Reading from the device without stopping it: a staging buffer that is copied into by one submission and
//! awaited later, while further submissions already run.

use futures_channel::oneshot;
use understory_protocol::Result;

use super::device::Gpu;
use super::memory::Buffer;

/// A mappable buffer and the read that is under way on it, if one is.
pub struct Staging {
    buffer: Buffer,
    pending: Option<Pending>,
}

type Outcome = Result<(), wgpu::BufferAsyncError>;

struct Pending {
    mapped: oneshot::Receiver<Outcome>,
    /// what `mapped` brought, where [`Staging::is_ready`] has taken it
    outcome: Option<Outcome>,
    #[cfg_attr(target_family = "wasm", allow(dead_code, reason = "a browser's callbacks come by themselves"))]
    submission: wgpu::SubmissionIndex,
    bytes: u64,
}

impl Staging {
    pub async fn new(gpu: &Gpu, bytes: u64) -> Result<Self> {
        use wgpu::BufferUsages as U;
        let buffer = gpu.buffer("reading results", bytes, U::MAP_READ | U::COPY_DST).await?;
        Ok(Self { buffer, pending: None })
    }

    /// Records the copy that [`Self::start`] will wait for.
    pub fn copy_from(&self, encoder: &mut wgpu::CommandEncoder, source: &wgpu::Buffer, offset: u64, bytes: u64) {
        encoder.copy_buffer_to_buffer(source, offset, &self.buffer, 0, bytes);
    }

    /// Asks for the mapping, once the submission that holds the copy is on its way.
    pub fn start(&mut self, submission: wgpu::SubmissionIndex, bytes: u64) {
        let (done, mapped) = oneshot::channel();
        self.buffer.slice(..bytes).map_async(wgpu::MapMode::Read, move |result| {
            // the receiver is gone when the generation was dropped: nobody waits
            let _ = done.send(result);
        });
        self.pending = Some(Pending { mapped, outcome: None, submission, bytes });
    }

    /// Submits `encoder` with the copy of the first `bytes` of `source` at its end, and asks for the mapping.
    pub fn submit(&mut self, gpu: &Gpu, mut encoder: wgpu::CommandEncoder, source: &wgpu::Buffer, bytes: u64) {
        self.copy_from(&mut encoder, source, 0, bytes);
        self.start(gpu.queue().submit([encoder.finish()]), bytes);
    }

    /// [`Self::submit`], and waits for what it brings.
    ///
    /// # Errors
    /// [`understory_protocol::Error::DeviceLost`], [`understory_protocol::Error::Device`].
    pub async fn read_floats(
        &mut self,
        gpu: &Gpu,
        doing: &'static str,
        encoder: wgpu::CommandEncoder,
        source: &wgpu::Buffer,
        bytes: u64,
    ) -> Result<Vec<f32>> {
        self.submit(gpu, encoder, source, bytes);
        self.finish(gpu, doing, bytemuck::pod_collect_to_vec::<u8, f32>).await
    }

    /// Waits for the read begun by [`Self::start`] and hands its bytes to `read`.
    ///
    /// # Errors
    /// [`understory_protocol::Error::DeviceLost`], [`understory_protocol::Error::Device`].
    pub async fn finish<T>(&mut self, gpu: &Gpu, doing: &'static str, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let pending = self.pending.take().expect("start() before finish()");
        let outcome = match pending.outcome {
            Some(outcome) => Ok(outcome),
            None => {
                #[cfg(not(target_family = "wasm"))]
                if let Err(e) = gpu
                    .device()
                    .poll(wgpu::PollType::Wait { submission_index: Some(pending.submission), timeout: None })
                {
                    return Err(gpu.failure(doing, e.to_string()).await);
                }
                pending.mapped.await
            }
        };
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return Err(gpu.failure(doing, e.to_string()).await),
            Err(_) => return Err(gpu.failure(doing, "the read was abandoned".into()).await),
        }
        let read = self.buffer.slice(..pending.bytes).get_mapped_range().map(|view| read(&view));
        let out = match read {
            Ok(out) => out,
            Err(e) => return Err(gpu.failure(doing, format!("{e:?}")).await),
        };
        self.buffer.unmap();
        gpu.check(doing)?;
        Ok(out)
    }

    /// Whether [`Self::finish`] would return at once. Does not wait.
    pub fn is_ready(&mut self, gpu: &Gpu) -> bool {
        let Some(pending) = &mut self.pending else { return false };
        if pending.outcome.is_none() {
            // A lost device is found by whoever waits.
            #[cfg(not(target_family = "wasm"))]
            let _ = gpu.device().poll(wgpu::PollType::Poll);
            #[cfg(target_family = "wasm")]
            let _ = gpu;
            pending.outcome = pending.mapped.try_recv().ok().flatten();
        }
        pending.outcome.is_some()
    }

    /// Waits for the reads that are under way on any of `all`, so that they can be used again.
    ///
    /// # Errors
    /// The first of [`Self::finish`].
    pub async fn drain(all: &mut [Self], gpu: &Gpu, doing: &'static str) -> Result<()> {
        let mut outcome = Ok(());
        for staging in all.iter_mut().filter(|staging| staging.pending.is_some()) {
            outcome = outcome.and(staging.finish(gpu, doing, |_| ()).await);
        }
        outcome
    }
}
