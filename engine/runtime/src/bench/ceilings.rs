//! What the device can do at most: the rate of a copy between buffers, and of multiply-adds in registers
//! (`peak.wesl`).

use understory_protocol::Result;
use understory_protocol::formulas::median;

use super::operands::{Operands, filled, hashes};
use super::report::Ceiling;
use super::stopwatch::Stopwatch;
use crate::gpu::{Gpu, Pipelines};

/// Bytes copied at once: beyond the caches of any GPU, and of most CPUs that emulate one.
const COPY_BYTES: u64 = 256 << 20;
const COPY_BYTES_SOFTWARE: u64 = 64 << 20;
/// Workgroups of the arithmetic, and multiply-adds of a workgroup (64 threads, see the kernel).
const PEAK_GROUPS: u32 = 16384;
const PEAK_GROUPS_SOFTWARE: u32 = 256;
const GROUP_FMAS: u64 = 64 * 8 * 4 * 512;

/// GB/s of a copy from buffer to buffer, counting each byte twice: once read, once written.
///
/// # Errors
/// [`understory_protocol::Error::OutOfDeviceMemory`], [`understory_protocol::Error::DeviceLost`].
pub async fn copy_bandwidth(gpu: &Gpu) -> Result<Ceiling> {
    let bytes = if gpu.report().software { COPY_BYTES_SOFTWARE } else { COPY_BYTES };
    let bytes = bytes.min(gpu.report().limits.max_buffer_size / 16 * 16);
    let pattern: Vec<u8> = hashes().take(1 << 18).flat_map(u32::to_le_bytes).collect();
    let from = filled(gpu, bytes, &pattern).await?;
    let to = filled(gpu, bytes, &pattern).await?;
    let mut stopwatch = Stopwatch::new(gpu).await?;
    let samples = stopwatch
        .samples_ms(&mut |encoder, repeats| {
            for _ in 0..repeats {
                encoder.copy_buffer_to_buffer(&from, 0, &to, 0, bytes);
            }
        })
        .await?;
    Ok(ceiling(2.0 * bytes as f64, &samples))
}

/// GFLOP/s of fused multiply-adds in f32, each counting two.
///
/// # Errors
/// [`understory_protocol::Error::OutOfDeviceMemory`], [`understory_protocol::Error::DeviceLost`].
pub async fn peak_arithmetic(gpu: &Gpu) -> Result<Ceiling> {
    let groups = if gpu.report().software { PEAK_GROUPS_SOFTWARE } else { PEAK_GROUPS };
    let mut operands = Operands::new(gpu);
    let out = operands.floats(groups as usize * 64 * 4).await?;
    let pipeline = Pipelines::default().get(gpu, "peak", &[]).await?;
    let bind_group = pipeline.bind(gpu, &[("out", &out)]);
    let mut stopwatch = Stopwatch::new(gpu).await?;
    let samples = stopwatch
        .samples_ms(&mut |encoder, repeats| {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(pipeline.raw());
            pass.set_bind_group(0, &bind_group, &[]);
            for _ in 0..repeats {
                pass.dispatch_workgroups(groups, 1, 1);
            }
        })
        .await?;
    Ok(ceiling(2.0 * (u64::from(groups) * GROUP_FMAS) as f64, &samples))
}

/// Giga-units a second.
fn ceiling(units: f64, samples_ms: &[f64]) -> Ceiling {
    let samples: Vec<f64> = samples_ms.iter().map(|ms| units / ms / 1e6).collect();
    Ceiling { value: median(&samples), samples }
}
