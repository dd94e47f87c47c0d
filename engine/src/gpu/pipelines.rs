//! Compute pipelines by kernel and features, each compiled once, with explicit layouts that permutations
//! share: a bind group made for one row count serves all of them.

use std::collections::HashMap;
use std::sync::Arc;

use understory_shaders::{Access, Binding, Shader};

use super::device::Gpu;
use crate::error::{Error, Result};

/// A compiled kernel.
#[derive(Clone)]
pub struct Pipeline {
    pub raw: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
    pub shader: &'static Shader,
}

/// The pipelines of one device; a clone begins with what was compiled so far.
#[derive(Clone, Default)]
pub struct Pipelines {
    by_shader: HashMap<*const Shader, Arc<Pipeline>>,
    /// by the bindings' indices and kinds
    layouts: HashMap<Vec<(u32, Access)>, wgpu::BindGroupLayout>,
}

impl Pipelines {
    pub fn len(&self) -> usize {
        self.by_shader.len()
    }
    pub fn is_empty(&self) -> bool {
        self.by_shader.is_empty()
    }

    /// The pipeline of `kernel` with `features`; compiles it when first asked for.
    ///
    /// # Errors
    /// [`Error::Device`] when the driver rejects the shader.
    ///
    /// # Panics
    /// When no such permutation was built: a programmer's mistake.
    pub async fn get(&mut self, gpu: &Gpu, kernel: &str, features: &[&str]) -> Result<Arc<Pipeline>> {
        let shader = understory_shaders::find(kernel, features)
            .unwrap_or_else(|| panic!("kernel {kernel} has no permutation {features:?}"));
        let key: *const Shader = shader;
        if let Some(found) = self.by_shader.get(&key) {
            return Ok(found.clone());
        }
        let signature: Vec<_> = shader.bindings.iter().map(|b| (b.index, b.access)).collect();
        let layout = self.layouts.entry(signature).or_insert_with(|| bind_group_layout(gpu, shader.bindings)).clone();
        let doing = "compiling a kernel";
        let scope = gpu.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let descriptor =
            wgpu::ShaderModuleDescriptor { label: Some(kernel), source: wgpu::ShaderSource::Wgsl(shader.wgsl.into()) };
        // SAFETY: the kernels are this project's own and constant; every access is guarded by the sizes in its
        // parameters, which are those of the buffers bound (see each kernel's preconditions), and their loops end.
        let module =
            unsafe { gpu.device().create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) };
        let pipeline_layout = gpu.device().create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(kernel),
            bind_group_layouts: &[Some(&layout)],
            ..Default::default()
        });
        let raw = gpu.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(kernel),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(shader.entry_point),
            compilation_options: wgpu::PipelineCompilationOptions {
                // kernels write workgroup memory before they read it
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        if let Some(error) = scope.pop().await {
            return Err(Error::Device { doing, reason: format!("kernel {kernel} {features:?}: {error}") });
        }
        gpu.check(doing)?;
        let pipeline = Arc::new(Pipeline { raw, layout, shader });
        self.by_shader.insert(key, pipeline.clone());
        Ok(pipeline)
    }
}

fn bind_group_layout(gpu: &Gpu, bindings: &[Binding]) -> wgpu::BindGroupLayout {
    let entries: Vec<_> = bindings
        .iter()
        .map(|b| wgpu::BindGroupLayoutEntry {
            binding: b.index,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: match b.access {
                    Access::Uniform => wgpu::BufferBindingType::Uniform,
                    Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
                    Access::ReadWrite => wgpu::BufferBindingType::Storage { read_only: false },
                },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        })
        .collect();
    gpu.device().create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries })
}

impl Pipeline {
    /// Binds `buffers` by the names that the kernel gives them; names it does not use are left out.
    ///
    /// # Panics
    /// When a buffer of the kernel is missing: a programmer's mistake.
    pub fn bind(&self, gpu: &Gpu, buffers: &[(&str, &wgpu::Buffer)]) -> wgpu::BindGroup {
        let entries: Vec<_> = self
            .shader
            .bindings
            .iter()
            .map(|b| {
                let (_, buffer) = buffers
                    .iter()
                    .find(|(name, _)| *name == b.name)
                    .unwrap_or_else(|| panic!("kernel {}: no buffer `{}`", self.shader.kernel, b.name));
                wgpu::BindGroupEntry { binding: b.index, resource: buffer.as_entire_binding() }
            })
            .collect();
        gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(self.shader.kernel),
            layout: &self.layout,
            entries: &entries,
        })
    }
}
