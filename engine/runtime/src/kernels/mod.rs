//! Launch glue: one file a kernel, named as in `shaders/kernels`. Each makes the dispatches of one operation
//! with their parameters and bind groups; nothing is recorded here.

mod accept;
mod attention;
mod candidates;
mod catch_up;
mod commit;
mod embed;
mod first;
mod grow;
mod norm_residual;
mod product;
mod rope;
mod sample;
pub mod state;

pub use accept::{AcceptParams, accept};
pub use attention::{Attention, QUERIES, attention};
pub use candidates::{CANDIDATES, Candidates, CandidatesParams, candidates};
pub use catch_up::{CatchUpParams, catch_up};
pub use commit::{Commit, commit};
pub use embed::embed;
pub use first::{Forms, asked_forms, first_kernels, stored_forms};
pub use grow::{GrowParams, grow};
pub use norm_residual::norm_residual;
pub use product::{Append, Epilogue, Product, product, scales_ahead};
pub use rope::{Rope, rope};
pub use sample::{SampleParams, Sampler, row_sampler, sampler};
pub use state::{NO_TOKEN, RING, SPLIT};

use std::sync::Arc;

use understory_model::config::NormKind;
use understory_protocol::{KernelSet, PassTiling, Result};

use crate::gpu::{Buffer, Dispatch, Gpu, Grid, Pipeline, Pipelines, When};

/// Milliseconds of a pass by its rows, 0 to 64; padded to whole `vec4`.
pub type CostTable = [f32; 68];

/// Workgroups, on CPU adapters threads, that share a row of logits: `PARTS` in `lib/sampling.wesl`.
const WORKERS: u32 = 32;

/// Keys of one split of attention: `SPLIT` in `shaders/kernels/lib/state.wesl`, `TILE` in `lib/key_tile.wesl`.
pub fn split_keys(kernel_set: KernelSet) -> usize {
    match kernel_set {
        KernelSet::Gpu => SPLIT as usize,
        KernelSet::Cpu => 16,
    }
}

/// How a pass is divided on devices of this kind, for who predicts what it takes.
pub fn tiling(kernels: KernelSet) -> PassTiling {
    let (key_tile, chunk) = match kernels {
        KernelSet::Gpu => (None, crate::forward::MAX_PREFILL_ROWS),
        KernelSet::Cpu => (Some([split_keys(kernels), QUERIES]), crate::forward::MAX_INVARIANT_ROWS),
    };
    PassTiling { kernels, split_keys: split_keys(kernels), key_tile, chunk }
}

/// The text of every kernel in every variant: a name of kernel and features, and a WGSL module as devices are given it;
/// where browsers are given another, that as well, under `NAME.browser`.
pub fn modules() -> impl Iterator<Item = (String, &'static str)> {
    understory_shaders::all().iter().flat_map(|shader| {
        let name = [&[shader.kernel], shader.features].concat().join("-");
        let browser = shader.browser.map(|wgsl| (format!("{name}.browser"), wgsl));
        [(name, shader.wgsl)].into_iter().chain(browser)
    })
}

fn norm_feature(norm: NormKind) -> &'static str {
    match norm {
        NormKind::Rms => "rms",
        NormKind::Layer => "layer",
    }
}

/// What is bound under a name of the kernel.
type Resource<'a> = (&'a str, wgpu::BindingResource<'a>);

/// Whole buffers by name.
fn whole<'a>(buffers: &[(&'a str, &'a wgpu::Buffer)]) -> Vec<Resource<'a>> {
    buffers.iter().map(|&(name, buffer)| (name, buffer.as_entire_binding())).collect()
}

/// What every operation needs to be built.
pub struct Builder<'a> {
    pub gpu: &'a Gpu,
    pub pipelines: &'a mut Pipelines,
    pub kernel_set: KernelSet,
    pub norm: NormKind,
}

impl Builder<'_> {
    fn norm_feature(&self) -> &'static str {
        norm_feature(self.norm)
    }

    /// One dispatch that is the same for every row class.
    async fn one<P: bytemuck::NoUninit>(
        &mut self,
        kernel: &'static str,
        features: &[&str],
        grid: Grid,
        params: &P,
        buffers: &[(&str, &wgpu::Buffer)],
    ) -> Result<Dispatch> {
        self.one_with(kernel, features, grid, params, &whole(buffers)).await
    }

    /// As [`Self::one`], with textures among what is bound.
    async fn one_with<P: bytemuck::NoUninit>(
        &mut self,
        kernel: &'static str,
        features: &[&str],
        grid: Grid,
        params: &P,
        resources: &[Resource<'_>],
    ) -> Result<Dispatch> {
        let pipeline = self.pipelines.get(self.gpu, kernel, features).await?;
        let (bind_group, params) = self.bind_with(&pipeline, params, resources)?;
        Ok(Dispatch::uniform(pipeline, grid, bind_group, params))
    }

    /// One dispatch of `pipeline` that is the same for every row class.
    fn uniform<P: bytemuck::NoUninit>(
        &self,
        pipeline: Arc<Pipeline>,
        grid: Grid,
        params: &P,
        buffers: &[(&str, &wgpu::Buffer)],
    ) -> Result<Dispatch> {
        let (bind_group, params) = self.bind(&pipeline, params, buffers)?;
        Ok(Dispatch::uniform(pipeline, grid, bind_group, params))
    }

    /// One dispatch that is the same for every row class but has a variant for trees, with `tree_features`.
    async fn one_and_tree_with<P: bytemuck::NoUninit>(
        &mut self,
        kernel: &'static str,
        [features, tree_features]: [&[&str]; 2],
        grid: Grid,
        params: &P,
        resources: &[Resource<'_>],
    ) -> Result<Dispatch> {
        let tree = self.pipelines.get_deferred(self.gpu, kernel, tree_features).await?;
        Ok(self.one_with(kernel, features, grid, params, resources).await?.with_tree(tree))
    }

    fn bind<P: bytemuck::NoUninit>(
        &self,
        pipeline: &Pipeline,
        params: &P,
        buffers: &[(&str, &wgpu::Buffer)],
    ) -> Result<(wgpu::BindGroup, Buffer)> {
        self.bind_with(pipeline, params, &whole(buffers))
    }

    fn bind_with<P: bytemuck::NoUninit>(
        &self,
        pipeline: &Pipeline,
        params: &P,
        resources: &[Resource<'_>],
    ) -> Result<(wgpu::BindGroup, Buffer)> {
        let uniform = self.gpu.uniform("kernel parameters", params)?;
        let mut all = resources.to_vec();
        all.push(("p", uniform.as_entire_binding()));
        Ok((pipeline.bind_resources(self.gpu, &all), uniform))
    }

    /// Splits `groups` over x and y, as one dimension holds only so many: (x, y).
    fn spread(&self, groups: u32) -> (u32, u32) {
        let limit = self.gpu.report().limits.max_compute_workgroups_per_dimension.min(65_535);
        let y = groups.div_ceil(limit).max(1);
        (groups.div_ceil(y), y)
    }
}

/// Dispatches that only passes with, or without, split attention run.
fn when(mut dispatch: Dispatch, when: When) -> Dispatch {
    dispatch.when = when;
    dispatch
}
