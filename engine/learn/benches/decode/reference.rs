//! The burn reference as a decoder: one read-back a token.

use std::time::Instant;

use understory_learn::reference::{Reference, ReferenceCache, burn_device};
use understory_model::config::ModelConfig;
use understory_model::files::ModelFiles;
use understory_model::weights::ModelWeights;
use understory_runtime::gpu::Gpu;

use crate::Outcome;

pub struct Burn {
    model: Reference,
    device_name: String,
}

impl Burn {
    /// On the adapter of `gpu`, with a device of its own: burn wants every feature that the adapter has.
    pub async fn open(gpu: &Gpu, files: &dyn ModelFiles) -> Outcome<Self> {
        let adapter = gpu.adapter();
        let unwanted = wgpu::Features::all_experimental_mask() | wgpu::Features::MAPPABLE_PRIMARY_BUFFERS;
        let descriptor = wgpu::DeviceDescriptor {
            required_features: adapter.features() - unwanted,
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (device, queue) = adapter.request_device(&descriptor).await?;
        let device = burn_device(gpu.instance().clone(), adapter.clone(), device, queue)?;
        let config = ModelConfig::from_files(files)?;
        let weights = ModelWeights::open(files, &config)?;
        let model = Reference::load(&weights, &config, &device)?;
        Ok(Self { model, device_name: gpu.report().name.clone() })
    }

    pub fn device_name(&self) -> String {
        self.device_name.clone()
    }

    /// Greedy tokens, each with its time in milliseconds from the request.
    pub async fn generate(&self, prompt: &[u32], n_out: usize) -> Outcome<(Vec<f64>, Vec<u32>)> {
        let start = Instant::now();
        let mut cache = ReferenceCache::new(self.model.config());
        let (mut emit_ms, mut token_ids) = (Vec::new(), Vec::<u32>::new());
        while token_ids.len() < n_out {
            let input = token_ids.last().map_or(prompt, std::slice::from_ref);
            let hidden = self.model.forward_hidden(&mut cache, input);
            let last = hidden.narrow(0, input.len() - 1, 1);
            let token: i64 = self.model.logits(last).argmax(1).reshape([1]).into_scalar_async().await?;
            token_ids.push(u32::try_from(token)?);
            emit_ms.push(start.elapsed().as_secs_f64() * 1e3);
        }
        Ok((emit_ms, token_ids))
    }
}
