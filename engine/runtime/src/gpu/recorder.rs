//! One pass as a list of dispatches with prebuilt bind groups, recorded again each step.

use std::sync::Arc;

use super::device::Gpu;
use super::memory::Buffer;
use super::pipelines::Pipeline;

/// The rows of a pass; decides which permutation of a kernel runs, never the bits of a row, except between
/// [`RowClass::Many`] and the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowClass {
    /// decode
    One,
    /// up to 64: verification, short prompts
    Few,
    /// prefill of long prompts on GPUs
    Many,
    /// up to 64 rows of a tree
    Tree,
}

/// Workgroups of a dispatch, as a function of the pass.
#[derive(Clone, Copy, Debug)]
pub enum Grid {
    Fixed([u32; 3]),
    /// x fixed, y = rows
    RowsY(u32),
    /// x = ceil(rows * per_row / group)
    RowsFlat {
        per_row: u32,
        group: u32,
    },
    /// x = ceil(rows * splits * per_split / group)
    RowsSplitsFlat {
        per_split: u32,
        group: u32,
    },
    /// attention: parts of the work for each split of the keys and a few queries that share a KV head, of which
    /// `together` are a workgroup
    KeySplits {
        kv_heads: u32,
        /// query heads on a KV head, and queries of a part
        group: u32,
        queries: u32,
        /// splits that only some rows of a tree see, so that they have parts for each row; 0 without a tree
        last: u32,
        together: u32,
    },
    /// prefill tiles: x, ceil(rows / 64), z
    Tiles {
        x: u32,
        z: u32,
    },
}

impl Grid {
    /// In x, y and z.
    pub fn size(self, rows: u32, splits: u32) -> [u32; 3] {
        match self {
            Grid::Fixed(size) => size,
            Grid::RowsY(x) => [x, rows, 1],
            Grid::RowsFlat { per_row, group } => [(rows * per_row).div_ceil(group), 1, 1],
            Grid::RowsSplitsFlat { per_split, group } => [(rows * splits * per_split).div_ceil(group), 1, 1],
            Grid::KeySplits { kv_heads, group, queries, last, together } => {
                let of_rows = splits.min(last) * rows * group.div_ceil(queries);
                let parts = kv_heads * (splits * (rows * group).div_ceil(queries) + of_rows);
                [parts.div_ceil(together), 1, 1]
            }
            Grid::Tiles { x, z } => [x, rows.div_ceil(64), z],
        }
    }
}

/// Whether a dispatch belongs to passes whose attention is split over the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Always,
    OneSplit,
    ManySplits,
}

/// One dispatch of a plan.
pub struct Dispatch {
    /// by [`RowClass`]; `None`: not part of passes of that class
    pub variants: [Option<(Arc<Pipeline>, Grid)>; 4],
    pub when: When,
    /// Passes of no more rows leave it out.
    pub first_row: u32,
    pub bind_group: wgpu::BindGroup,
    /// The kernel's parameters, on the device's account for as long as the dispatch lives.
    pub params: Buffer,
}

impl Dispatch {
    /// The same pipeline and grid for every row class.
    pub fn uniform(pipeline: Arc<Pipeline>, grid: Grid, bind_group: wgpu::BindGroup, params: Buffer) -> Self {
        Self {
            variants: [0; 4].map(|_| Some((pipeline.clone(), grid))),
            when: When::Always,
            first_row: 0,
            bind_group,
            params,
        }
    }

    /// With another pipeline for tree passes; it takes the same bindings.
    pub fn with_tree(mut self, pipeline: Arc<Pipeline>) -> Self {
        if let Some((tree, _)) = &mut self.variants[RowClass::Tree as usize] {
            *tree = pipeline;
        }
        self
    }

    fn runs(&self, rows: u32, splits: u32) -> bool {
        // A pass over no rows, which warms up, runs the first.
        (self.first_row == 0 || rows > self.first_row)
            && match self.when {
                When::Always => true,
                When::OneSplit => splits == 1,
                When::ManySplits => splits > 1,
            }
    }
}

impl Gpu {
    /// An encoder that holds one compute pass, and what `record`, which fills the pass, returned.
    pub fn encode_pass<T>(&self, record: impl FnOnce(&mut wgpu::ComputePass<'_>) -> T) -> (wgpu::CommandEncoder, T) {
        let mut encoder = self.device().create_command_encoder(&Default::default());
        let recorded = record(&mut encoder.begin_compute_pass(&Default::default()));
        (encoder, recorded)
    }

    /// Submits one compute pass.
    pub fn submit_pass<T>(&self, record: impl FnOnce(&mut wgpu::ComputePass<'_>) -> T) -> T {
        let (encoder, result) = self.encode_pass(record);
        self.queue().submit([encoder.finish()]);
        result
    }
}

/// Records `dispatches` for `rows` rows; returns how many were recorded.
pub fn record<'a>(
    pass: &mut wgpu::ComputePass<'_>,
    dispatches: impl IntoIterator<Item = &'a Dispatch>,
    class: RowClass,
    rows: u32,
    splits: u32,
) -> usize {
    let mut count = 0;
    for dispatch in dispatches.into_iter().filter(|d| d.runs(rows, splits)) {
        if let Some((pipeline, grid)) = &dispatch.variants[class as usize] {
            let [x, y, z] = grid.size(rows, splits);
            pass.set_pipeline(pipeline.raw());
            pass.set_bind_group(0, &dispatch.bind_group, &[]);
            pass.dispatch_workgroups(x, y, z);
            count += 1;
        }
    }
    count
}
