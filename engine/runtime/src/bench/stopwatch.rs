//! Time of work on the device as the host sees it: from the submission to the arrival of four bytes copied after the
//! work. Nothing is subtracted; enough work goes into a submission that the way there and back does not matter.

use understory_protocol::Result;
use web_time::Instant;

use crate::gpu::{Buffer, Gpu, Staging};

const DOING: &str = "measuring";
/// Least time of a sample.
const SAMPLE_MS: f64 = 20.0;
/// Samples taken, unless they take longer than [`BUDGET_MS`] together; then fewer, but at least three.
const SAMPLES: usize = 9;
const LEAST_SAMPLES: usize = 3;
const BUDGET_MS: f64 = 2000.0;
/// Repetitions in one submission: bounds what the driver has to hold.
const MOST_REPEATS: usize = 2048;

/// Encodes one repetition of what is measured.
pub type Work<'a> = dyn FnMut(&mut wgpu::CommandEncoder, usize) + 'a;

pub struct Stopwatch<'a> {
    gpu: &'a Gpu,
    staging: Staging,
    marker: Buffer,
}

impl<'a> Stopwatch<'a> {
    pub async fn new(gpu: &'a Gpu) -> Result<Self> {
        Ok(Self { gpu, staging: Staging::new(gpu, 4).await?, marker: gpu.storage(DOING, 4).await? })
    }

    /// Milliseconds of one submission of `repeats` repetitions; `work(encoder, repeats)` encodes all of them.
    pub async fn submission_ms(&mut self, repeats: usize, work: &mut Work<'_>) -> Result<f64> {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        work(&mut encoder, repeats);
        self.staging.copy_from(&mut encoder, &self.marker, 0, 4);
        let commands = encoder.finish();
        let start = Instant::now();
        let submission = self.gpu.queue().submit([commands]);
        self.staging.start(submission, 4);
        self.staging.finish(self.gpu, DOING, |_| ()).await?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    }

    /// Repetitions for which a submission takes [`SAMPLE_MS`]; warms the work up on the way.
    pub async fn calibrate(&mut self, work: &mut Work<'_>) -> Result<usize> {
        let mut repeats = 1;
        // The first includes what drivers do late; one that long is no warm-up any more.
        if self.submission_ms(repeats, work).await? > 50.0 * SAMPLE_MS {
            return Ok(repeats);
        }
        loop {
            let ms = self.submission_ms(repeats, work).await?;
            if ms >= SAMPLE_MS || repeats == MOST_REPEATS {
                return Ok(repeats);
            }
            // A little more than it takes, and not too far at once: short times are mostly the way there and back.
            let wanted = (repeats as f64 * 1.2 * SAMPLE_MS / ms).ceil() as usize;
            repeats = wanted.clamp(repeats + 1, 8 * repeats).min(MOST_REPEATS);
        }
    }

    /// Samples of the time of one repetition, in milliseconds.
    pub async fn samples_ms(&mut self, work: &mut Work<'_>) -> Result<Vec<f64>> {
        let repeats = self.calibrate(work).await?;
        let mut samples = Vec::with_capacity(SAMPLES);
        let start = Instant::now();
        while samples.len() < SAMPLES {
            samples.push(self.submission_ms(repeats, work).await? / repeats as f64);
            if samples.len() >= LEAST_SAMPLES && start.elapsed().as_secs_f64() * 1e3 > BUDGET_MS {
                break;
            }
        }
        Ok(samples)
    }
}
