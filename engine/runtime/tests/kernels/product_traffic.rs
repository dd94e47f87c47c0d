//! How often products read W: their kernels, each load of a word counted, on the grids of their launches.

use std::collections::HashMap;
use std::sync::Arc;

use understory_model::config::NormKind;
use understory_model::quantised::BlockType;
use understory_protocol::KernelSet;
use understory_runtime::device_weights::{Form, Plain};
use understory_runtime::gpu::{Dispatch, Pipeline, RowClass};
use understory_runtime::kernels::Epilogue;

use crate::device::Device;
use crate::matmul::Problem;
use crate::random::Random;
use crate::weights::Weights;

/// Outputs of whole workgroups of every kernel: none of them repeats the last block.
const N: usize = 256;
/// Columns that give each lane of `matmul.wesl` several words, and fill the super-groups of blocks.
const K: usize = 512;
const BLOCKS: usize = N / 4;
const WORDS: usize = K / 8;

fn problem(kernel_set: KernelSet, form: Form, rows: usize) -> Problem {
    let mut random = Random::new(13);
    let problem = Problem::new(&mut random, (NormKind::Rms, Epilogue::Store), form, rows);
    Problem {
        kernel_set,
        k: K,
        n: N,
        blocks_per_part: BLOCKS,
        texels: false,
        w: Weights::random(&mut random, form, N, K),
        x: random.values(rows * K),
        gamma: random.gamma(K),
        bias: None,
        ..problem
    }
}

/// A device, and the kernels that count by those that do not.
struct Counting {
    device: Device,
    kernels: HashMap<*const Pipeline, (wgpu::ComputePipeline, wgpu::BindGroupLayout)>,
}

impl Counting {
    fn new() -> Self {
        Self { device: Device::without_checks(), kernels: HashMap::new() }
    }

    /// Words of W that a pass of `rows` rows loads.
    fn loads(&mut self, kernel_set: KernelSet, form: Form, class: RowClass, rows: usize) -> usize {
        let launch = problem(kernel_set, form, rows).launch(&mut self.device, [0, rows - 1]);
        launch.dispatches.iter().map(|dispatch| self.counted(dispatch, class, rows)).sum()
    }

    /// Runs the dispatch with a kernel that counts, and everything else as it is.
    fn counted(&mut self, dispatch: &Dispatch, class: RowClass, rows: usize) -> usize {
        let (pipeline, grid) = dispatch.variants[class as usize].as_ref().expect("a kernel for the class");
        // The device's pipelines live as long as it does.
        let made = self.kernels.entry(Arc::as_ptr(pipeline));
        let (kernel, counter) = made.or_insert_with(|| counting(&self.device, pipeline));
        let count = self.device.buffer(&[0u32; 4]);
        let binding = wgpu::BindGroupEntry { binding: 0, resource: count.as_entire_binding() };
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout: counter, entries: &[binding] };
        let counter = self.device.gpu.device().create_bind_group(&descriptor);
        let [x, y, z] = grid.size(rows as u32, 1);
        self.device.gpu.submit_pass(|pass| {
            pass.set_pipeline(kernel);
            pass.set_bind_group(0, &dispatch.bind_group, &[]);
            pass.set_bind_group(1, &counter, &[]);
            pass.dispatch_workgroups(x, y, z);
        });
        self.device.read::<u32>(&count, 1)[0] as usize
    }
}

/// The kernel with a counter of the words that it loads as group 1.
fn counting(device: &Device, pipeline: &Pipeline) -> (wgpu::ComputePipeline, wgpu::BindGroupLayout) {
    let wgsl = pipeline.shader.with_constants(&pipeline.constants);
    let (before, load) = wgsl.split_once("fn lib_weights__load_word(").expect("the function all words come through");
    let (head, body) = load.split_once('{').expect("a function has a body");
    let wgsl = format!(
        "@group(1) @binding(0) var<storage, read_write> loads: atomic<u32>;\n\
         {before}fn lib_weights__load_word({head}{{ atomicAdd(&loads, 1u);{body}"
    );
    let gpu = device.gpu.device();
    let module = gpu.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(wgsl.into()),
    });
    let entry = wgpu::BindGroupLayoutEntry {
        binding: 0,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Storage { read_only: false },
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    };
    let counter = gpu.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &[entry] });
    let layout = gpu.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        bind_group_layouts: &[Some(&pipeline.layout), Some(&counter)],
        ..Default::default()
    });
    let kernel = gpu.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: Some(&layout),
        module: &module,
        entry_point: Some(pipeline.shader.entry_point),
        compilation_options: Default::default(),
        cache: None,
    });
    (kernel, counter)
}

/// A plain form, and one of blocks; words of W and loads of scales for one pass over them.
fn forms(kernel_set: KernelSet) -> [(Form, usize); 2] {
    // Each load of 8 columns of a block finds its group's scales; a thread that takes all columns has them once.
    let scales = if kernel_set == KernelSet::Gpu { WORDS } else { WORDS / 4 };
    [(Form::Plain(Plain::F16), 4 * BLOCKS * WORDS), (Form::Blocks(BlockType::Q4_0), BLOCKS * (WORDS + scales))]
}

/// Seen to fail here: the loop over rows around that over columns, 4 at a time.
#[test]
fn weights_leave_memory_once_for_sixteen_rows() {
    let mut counting = Counting::new();
    for (form, once) in forms(KernelSet::Gpu) {
        for (class, rows) in [(RowClass::One, 1), (RowClass::Few, 2), (RowClass::Few, 5), (RowClass::Few, 16)] {
            assert_eq!(counting.loads(KernelSet::Gpu, form, class, rows), once, "{form:?}, {rows} rows");
        }
        for rows in [17, 33, 64] {
            let loads = counting.loads(KernelSet::Gpu, form, RowClass::Few, rows);
            // A thread keeps its first word for the rows after the first 16.
            assert_eq!(
                loads.div_ceil(once),
                rows.div_ceil(16),
                "{form:?}, {rows} rows: {loads} loads, {once} for a pass"
            );
        }
    }
}

/// Seen to fail here: 4 rows at a time.
#[test]
fn cpu_adapters_read_weights_once_for_eight_rows() {
    let mut counting = Counting::new();
    for (form, once) in forms(KernelSet::Cpu) {
        for (class, rows) in [(RowClass::One, 1), (RowClass::Few, 8), (RowClass::Few, 9), (RowClass::Few, 64)] {
            let loads = counting.loads(KernelSet::Cpu, form, class, rows);
            assert_eq!(loads, rows.div_ceil(8) * once, "{form:?}, {rows} rows");
        }
    }
}

/// A word of a plain form holds columns of one row, which one thread of a tile loads. Seen to fail here: a step further.
#[test]
fn prompts_read_weights_once_for_a_tile_of_rows() {
    let mut counting = Counting::new();
    let (form, once) = forms(KernelSet::Gpu)[0];
    for rows in [1, 64, 65, 200] {
        let loads = counting.loads(KernelSet::Gpu, form, RowClass::Many, rows);
        assert_eq!(loads, rows.div_ceil(64) * once, "{rows} rows");
    }
}
