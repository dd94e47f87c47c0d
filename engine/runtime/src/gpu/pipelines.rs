//! Compute pipelines by kernel and features, each compiled once, with explicit layouts that permutations
//! share: a bind group made for one row count serves all of them.

use std::collections::HashMap;
#[cfg(not(target_family = "wasm"))]
use std::pin::Pin;
#[cfg(not(target_family = "wasm"))]
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use understory_protocol::{Error, Result};
use understory_shaders::{Access, Binding, Shader};

use super::device::Gpu;

/// Whether kernels that the first token can do without are compiled later: in a browser, where nothing of an earlier
/// visit need be left to make it fast.
pub const DEFER_COMPILATION: bool = cfg!(target_family = "wasm");
const DOING: &str = "compiling a kernel";
/// Of a thread that compiles, in bytes: compilers of shaders recurse.
#[cfg(not(target_family = "wasm"))]
const STACK: usize = 16 << 20;
#[cfg(not(target_family = "wasm"))]
type Answer = Pin<Box<dyn Future<Output = Option<wgpu::Error>> + Send>>;

/// The kernel's constants that have other values (`Shader::with_constants`).
pub type Constants = Vec<(&'static str, u32)>;

/// What names a pipeline: a kernel, its features and its constants.
pub type PipelineName = (&'static str, Vec<&'static str>, Constants);

/// A kernel, compiled when it is first used if not before.
pub struct Pipeline {
    raw: OnceLock<wgpu::ComputePipeline>,
    device: wgpu::Device,
    checks: wgpu::ShaderRuntimeChecks,
    /// what the driver made in earlier starts, and where it goes
    cache: Option<wgpu::PipelineCache>,
    /// only rounds of speculation use it
    for_rounds: bool,
    pub layout: wgpu::BindGroupLayout,
    pub shader: &'static Shader,
    pub constants: Constants,
}

/// The pipelines of one device; a clone begins with what was compiled so far.
#[derive(Clone)]
pub struct Pipelines {
    checks: wgpu::ShaderRuntimeChecks,
    /// what is new is for rounds of speculation, and compiled later
    for_rounds: bool,
    /// what is new waits for [`Self::compile_together`]
    together: bool,
    by_shader: HashMap<(*const Shader, Constants), Arc<Pipeline>>,
    /// by the bindings' indices and kinds
    layouts: HashMap<Vec<(u32, Access)>, wgpu::BindGroupLayout>,
}

/// Without checks: see [`Pipeline::raw`].
impl Default for Pipelines {
    fn default() -> Self {
        Self::with(wgpu::ShaderRuntimeChecks::unchecked())
    }
}

impl Pipelines {
    /// Pipelines whose accesses are checked against the bounds and whose loops are bounded, as those of kernels that
    /// nobody vouches for are. What kernels compute may not depend on it: their tests compare both.
    pub fn checked() -> Self {
        Self::with(wgpu::ShaderRuntimeChecks::checked())
    }

    fn with(checks: wgpu::ShaderRuntimeChecks) -> Self {
        Self { checks, for_rounds: false, together: false, by_shader: HashMap::new(), layouts: HashMap::new() }
    }

    /// Whether pipelines that are asked for from now on, and are not there yet, are those of rounds: nobody waits for them
    /// ([`Self::compile_one`], [`Pipeline::compile`]).
    pub fn set_for_rounds(&mut self, for_rounds: bool) {
        self.for_rounds = for_rounds;
    }

    /// Puts off what is asked for from now on, to be compiled on several threads; a browser compiles in its own process.
    #[cfg(not(target_family = "wasm"))]
    pub fn put_off_to_compile_together(&mut self) {
        self.together = true;
    }

    /// Compiles what was put off, but for that of rounds, on as many threads as the machine runs at once, and no longer puts
    /// off anything.
    ///
    /// # Errors
    /// [`Error::Device`] of the first kernel, by name, that the driver rejects.
    #[cfg(not(target_family = "wasm"))]
    pub async fn compile_together(&mut self, gpu: &Gpu) -> Result<()> {
        self.together = false;
        let mut waiting: Vec<_> =
            self.by_shader.values().filter(|pipeline| pipeline.raw.get().is_none() && !pipeline.for_rounds).collect();
        waiting.sort_by_key(|pipeline| (pipeline.shader.kernel, pipeline.shader.features, &pipeline.constants));
        let next = AtomicUsize::new(0);
        let work = || {
            let mut answers = Vec::new();
            while let at = next.fetch_add(1, Ordering::Relaxed)
                && let Some(pipeline) = waiting.get(at)
            {
                answers.push((at, pipeline.compile_scoped(gpu)));
            }
            answers
        };
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get()).min(waiting.len());
        let mut answers = std::thread::scope(|scope| {
            // This thread takes part.
            let spawn = |_| std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).ok();
            let others: Vec<_> = (1..threads).filter_map(spawn).collect();
            let mut answers = work();
            for other in others {
                answers.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            answers
        });
        answers.sort_by_key(|(at, _)| *at);
        for (at, answer) in answers {
            waiting[at].refused(answer.await)?;
        }
        gpu.check(DOING)
    }

    pub fn len(&self) -> usize {
        self.by_shader.len()
    }
    pub fn is_empty(&self) -> bool {
        self.by_shader.is_empty()
    }

    /// The pipeline of `kernel` with `features`, compiled unless it is for rounds.
    ///
    /// # Errors
    /// [`Error::Device`] when the driver rejects the shader.
    ///
    /// # Panics
    /// When no such permutation was built: a programmer's mistake.
    pub async fn get(&mut self, gpu: &Gpu, kernel: &str, features: &[&str]) -> Result<Arc<Pipeline>> {
        self.get_with(gpu, kernel, features, &Constants::new()).await
    }

    /// As [`Self::get`], with other values for constants.
    pub async fn get_with(
        &mut self,
        gpu: &Gpu,
        kernel: &str,
        features: &[&str],
        constants: &Constants,
    ) -> Result<Arc<Pipeline>> {
        let pipeline = self.named(gpu, kernel, features, constants);
        if !self.for_rounds && !self.together {
            pipeline.compile(gpu).await?;
        }
        Ok(pipeline)
    }

    /// As [`Self::get`], but compiled later where that is the rule ([`DEFER_COMPILATION`]).
    pub async fn get_deferred(&mut self, gpu: &Gpu, kernel: &str, features: &[&str]) -> Result<Arc<Pipeline>> {
        self.get_deferred_with(gpu, kernel, features, &Constants::new()).await
    }

    /// As [`Self::get_deferred`], with other values for constants.
    pub async fn get_deferred_with(
        &mut self,
        gpu: &Gpu,
        kernel: &str,
        features: &[&str],
        constants: &Constants,
    ) -> Result<Arc<Pipeline>> {
        match DEFER_COMPILATION {
            true => Ok(self.named(gpu, kernel, features, constants)),
            false => self.get_with(gpu, kernel, features, constants).await,
        }
    }

    /// Asks for pipelines before they are needed, where they compile beside what comes next: in a browser, whose
    /// graphics process does it. What the driver says against them reaches [`Gpu::check`].
    pub fn begin(&mut self, gpu: &Gpu, kernels: &[PipelineName]) {
        if !DEFER_COMPILATION {
            return;
        }
        for (kernel, features, constants) in kernels {
            self.named(gpu, kernel, features, constants).raw();
        }
        // Chromium keeps commands back until something must go.
        gpu.queue().submit([]);
    }

    /// Compiles one of the pipelines that were put off; false: there is none left.
    ///
    /// # Errors
    /// [`Error::Device`] when the driver rejects the shader.
    pub async fn compile_one(&self, gpu: &Gpu) -> Result<bool> {
        match self.put_off() {
            Some(pipeline) => pipeline.compile(gpu).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Whether none is still to be compiled but those of rounds.
    pub fn are_compiled(&self) -> bool {
        self.put_off().is_none_or(|pipeline| pipeline.for_rounds)
    }

    /// Those that plain decoding needs come first.
    fn put_off(&self) -> Option<&Arc<Pipeline>> {
        let not_compiled = self.by_shader.values().filter(|pipeline| pipeline.raw.get().is_none());
        not_compiled.min_by_key(|pipeline| pipeline.for_rounds)
    }

    #[cfg_attr(target_family = "wasm", allow(clippy::arc_with_non_send_sync, reason = "threads are native only"))]
    fn named(&mut self, gpu: &Gpu, kernel: &str, features: &[&str], constants: &Constants) -> Arc<Pipeline> {
        let shader = understory_shaders::find(kernel, features)
            .unwrap_or_else(|| panic!("kernel {kernel} has no permutation {features:?}"));
        let key = (std::ptr::from_ref(shader), constants.clone());
        if let Some(found) = self.by_shader.get(&key) {
            return found.clone();
        }
        let signature: Vec<_> = shader.bindings.iter().map(|b| (b.index, b.access)).collect();
        let layout = self.layouts.entry(signature).or_insert_with(|| bind_group_layout(gpu, shader.bindings)).clone();
        let (raw, device, checks, for_rounds) = (OnceLock::new(), gpu.device().clone(), self.checks, self.for_rounds);
        let constants = constants.clone();
        #[cfg(not(target_family = "wasm"))]
        let cache = gpu.pipeline_cache().cloned();
        #[cfg(target_family = "wasm")]
        let cache = None;
        let pipeline = Arc::new(Pipeline { raw, device, checks, cache, for_rounds, layout, shader, constants });
        self.by_shader.insert(key, pipeline.clone());
        pipeline
    }
}

fn bind_group_layout(gpu: &Gpu, bindings: &[Binding]) -> wgpu::BindGroupLayout {
    let entries: Vec<_> = bindings
        .iter()
        .map(|b| wgpu::BindGroupLayoutEntry {
            binding: b.index,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: binding_type(b.access),
            count: None,
        })
        .collect();
    gpu.device().create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries })
}

fn binding_type(access: Access) -> wgpu::BindingType {
    let buffer = |ty| wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
    let texture = |sample_type| wgpu::BindingType::Texture {
        sample_type,
        view_dimension: wgpu::TextureViewDimension::D2,
        multisampled: false,
    };
    let stored = |access, format| wgpu::BindingType::StorageTexture {
        access,
        format,
        view_dimension: wgpu::TextureViewDimension::D2,
    };
    match access {
        Access::Uniform => buffer(wgpu::BufferBindingType::Uniform),
        Access::Read => buffer(wgpu::BufferBindingType::Storage { read_only: true }),
        Access::ReadWrite => buffer(wgpu::BufferBindingType::Storage { read_only: false }),
        Access::Texels => texture(wgpu::TextureSampleType::Uint),
        Access::FloatTexels => texture(wgpu::TextureSampleType::Float { filterable: false }),
        Access::StoredTexels => stored(wgpu::StorageTextureAccess::ReadOnly, wgpu::TextureFormat::Rgba32Uint),
        Access::StoredFloatTexels => stored(wgpu::StorageTextureAccess::ReadOnly, wgpu::TextureFormat::Rgba32Float),
        Access::WriteTexels => stored(wgpu::StorageTextureAccess::WriteOnly, wgpu::TextureFormat::Rgba32Float),
    }
}

impl Pipeline {
    /// Compiled now if it was not before; what the driver says against it reaches [`Gpu::check`].
    pub fn raw(&self) -> &wgpu::ComputePipeline {
        self.raw.get_or_init(|| {
            let (device, label) = (&self.device, Some(self.shader.kernel));
            let source = wgpu::ShaderSource::Wgsl(self.shader.with_constants(&self.constants));
            let descriptor = wgpu::ShaderModuleDescriptor { label, source };
            // SAFETY: the kernels are this project's own and constant; every access is guarded by the sizes in its
            // parameters, which are those of the buffers bound (see each kernel's preconditions), and their loops end.
            // Their tests run with and without checks, and compare.
            let module = unsafe { device.create_shader_module_trusted(descriptor, self.checks) };
            let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label,
                bind_group_layouts: &[Some(&self.layout)],
                ..Default::default()
            });
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label,
                layout: Some(&layout),
                module: &module,
                entry_point: Some(self.shader.entry_point),
                compilation_options: wgpu::PipelineCompilationOptions {
                    // kernels write workgroup memory before they read it
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                },
                cache: self.cache.as_ref(),
            })
        })
    }

    /// Compiles it, if it was not before.
    ///
    /// # Errors
    /// [`Error::Device`] when the driver rejects the shader.
    pub async fn compile(&self, gpu: &Gpu) -> Result<()> {
        if self.raw.get().is_some() {
            return Ok(());
        }
        let scope = gpu.device().push_error_scope(wgpu::ErrorFilter::Validation);
        self.raw();
        self.refused(scope.pop().await)?;
        gpu.check(DOING)
    }

    /// Compiles it; what comes says what the driver has against it. Scopes of errors are those of a thread.
    #[cfg(not(target_family = "wasm"))]
    fn compile_scoped(&self, gpu: &Gpu) -> Answer {
        let scope = gpu.device().push_error_scope(wgpu::ErrorFilter::Validation);
        self.raw();
        Box::pin(scope.pop())
    }

    fn refused(&self, error: Option<wgpu::Error>) -> Result<()> {
        let Shader { kernel, features, .. } = self.shader;
        error.map_or(Ok(()), |error| {
            Err(Error::Device { doing: DOING, reason: format!("kernel {kernel} {features:?}: {error}") })
        })
    }

    /// Binds whole `buffers` by the names that the kernel gives them; names it does not use are left out.
    ///
    /// # Panics
    /// When a buffer of the kernel is missing: a programmer's mistake.
    pub fn bind(&self, gpu: &Gpu, buffers: &[(&str, &wgpu::Buffer)]) -> wgpu::BindGroup {
        let resources: Vec<_> = buffers.iter().map(|&(name, buffer)| (name, buffer.as_entire_binding())).collect();
        self.bind_resources(gpu, &resources)
    }

    /// As [`Self::bind`], with parts of buffers and with textures.
    ///
    /// # Panics
    /// When a resource of the kernel is missing.
    pub fn bind_resources(&self, gpu: &Gpu, resources: &[(&str, wgpu::BindingResource<'_>)]) -> wgpu::BindGroup {
        let entries: Vec<_> = self
            .shader
            .bindings
            .iter()
            .map(|b| {
                let (_, resource) = resources
                    .iter()
                    .find(|(name, _)| *name == b.name)
                    .unwrap_or_else(|| panic!("kernel {}: nothing for `{}`", self.shader.kernel, b.name));
                wgpu::BindGroupEntry { binding: b.index, resource: resource.clone() }
            })
            .collect();
        gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(self.shader.kernel),
            layout: &self.layout,
            entries: &entries,
        })
    }
}
