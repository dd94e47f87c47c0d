//! The promise that speculative decoding rests on: the bits of an output row do not depend on how many rows go
//! through a product together.

use understory_protocol::KernelSet;
use understory_runtime::gpu::RowClass;
use understory_runtime::kernels::Epilogue;

use crate::device::{BLOCKS, Device, KERNEL_SETS, forms};
use crate::matmul::{KINDS, Outputs, Problem};
use crate::random::Random;

impl Outputs {
    /// Bits of row `m`: outputs, and what goes with them.
    fn row(&self, problem: &Problem, m: usize) -> (Vec<u32>, Vec<[u32; 2]>) {
        let blocks = problem.n_out().div_ceil(4);
        let y = &self.y[m * self.y_stride..][..problem.n_out()];
        let extra = match problem.epilogue {
            Epilogue::Residual | Epilogue::Logits => self.extra[m * blocks..][..blocks].to_vec(),
            _ => Vec::new(),
        };
        let scaled = self.scaled.iter().flat_map(|scaled| &scaled[m * self.y_stride..][..problem.n_out()]);
        (y.iter().chain(scaled).map(|v| v.to_bits()).collect(), extra)
    }
}

/// Seen to fail here: the prefill kernel, which sums in another order.
#[test]
fn one_row_has_the_bits_it_has_among_many() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(7);
        for kind in KINDS {
            for form in forms(&mut random) {
                for kernel_set in KERNEL_SETS {
                    for rows in [2, 5, 17, 33, 64] {
                        let problem =
                            Problem { kernel_set, last_row: false, ..Problem::new(&mut random, kind, form, rows) };
                        let together = problem.run(&mut device, [0, rows - 1], RowClass::Few);
                        for m in [0, random.below(rows), rows - 1] {
                            let alone = problem.run(&mut device, [m, m], RowClass::One);
                            let what = problem.what(RowClass::Few);
                            assert_eq!(together.row(&problem, m), alone.row(&problem, 0), "{what}: row {m}");
                        }
                    }
                }
            }
        }
    }
}

/// The same for the parts of a matrix: where it is cut changes nothing.
#[test]
fn parts_have_the_bits_of_the_whole() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(8);
        for kind in KINDS {
            for class in [RowClass::Few, RowClass::Many] {
                let form = random.pick(&BLOCKS);
                let cut = Problem {
                    blocks_per_part: 1,
                    kernel_set: KernelSet::Gpu,
                    ..Problem::new(&mut random, kind, form, 5)
                };
                let in_parts = cut.run(&mut device, [0, 4], class);
                let whole = Problem { blocks_per_part: 100, ..cut };
                let out = whole.run(&mut device, [0, 4], class);
                assert_eq!(in_parts.row(&whole, 0), out.row(&whole, 0), "{}", whole.what(class));
            }
        }
    }
}
