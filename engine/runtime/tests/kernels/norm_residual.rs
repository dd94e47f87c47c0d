//! `norm_residual.wesl`.

use understory_model::config::NormKind;
use understory_protocol::KernelSet;
use understory_runtime::gpu::RowClass;
use understory_runtime::kernels::norm_residual;

use crate::device::{Device, KERNEL_SETS, config, pad};
use crate::random::Random;
use crate::{assert_close, assert_stats, limit, reference, unpad};

/// Seen to fail here: the norm taken of `x` in place of `t`.
#[test]
fn adds_the_normed_half_block() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(2);
        for case in 0..24 {
            let kernel_set = KERNEL_SETS[case % 2];
            let width: usize = random.pick(&[4, 8, 20, 64, 252, 256, 260, 640]);
            let rows = random.pick(&[1, 2, 3, 64]);
            let what = format!("{kernel_set:?}, width {width}, rows {rows}");
            let k = width.next_multiple_of(8);
            let (t, x, gamma) = (random.values(rows * width), random.values(rows * width), random.gamma(width));
            let eps = 1e-5;
            let op = reference::NormResidual { t: &t, x: &x, gamma: &gamma, eps };
            let (want, want_stats) = reference::norm_residual(&op);

            let t_stats: Vec<[f32; 2]> = t
                .chunks_exact(width)
                .flat_map(|row| {
                    reference::row_blocks(reference::Norm::Rms, &row.iter().map(|&v| v.into()).collect::<Vec<_>>())
                })
                .map(|s| s.map(|v| v as f32))
                .collect();
            let inputs =
                [device.buffer(&pad(&t, width, k)), device.buffer(&t_stats), device.buffer(&pad(&x, width, k))];
            let (y, out_stats) = (device.marked((rows + 1) * k), device.marked(rows * width / 2));
            let (gamma, state) = (device.buffer(&pad(&gamma, width, k)), device.state(rows, 0));
            let next_gamma = random.gamma(width);
            let (next, scaled) = (device.buffer(&pad(&next_gamma, width, k)), device.marked((rows + 1) * k));
            let ahead = kernel_set == KernelSet::Cpu && random.below(2) == 0;
            let next = (ahead.then_some(&*next), &*scaled);
            let mut b = device.builder(kernel_set, NormKind::Rms);
            let buffers = [&*inputs[0], &*inputs[1], &*inputs[2], &*y, &*out_stats];
            let dispatch =
                pollster::block_on(norm_residual(&mut b, &config(1, 1, 4, width, eps), &gamma, &state, buffers, next))
                    .expect("builds");
            device.run([&dispatch], RowClass::Few, rows, 1);
            let got = unpad(&what, &device.read(&y, (rows + 1) * k), k, width, rows);
            assert_close(&what, &got, &want, limit::SUM);
            let scaled = unpad(&what, &device.read(&scaled, (rows + 1) * k), k, width, if ahead { rows } else { 0 });
            let times_gamma = got.iter().enumerate().map(|(i, y)| y * next_gamma[i % width]);
            assert_eq!(scaled, times_gamma.take(scaled.len()).collect::<Vec<_>>(), "{what}: times the next factor");
            assert_stats(&what, &device.read(&out_stats, want_stats.len()), &want_stats);
        }
    }
}
