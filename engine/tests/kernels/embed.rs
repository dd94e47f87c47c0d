//! `embed.wesl`.

use understory_engine::gpu::RowClass;
use understory_engine::kernels::embed;
use understory_engine::model::config::NormKind;

use crate::device::{DTYPES, Device, PROFILES, pad, rounded};
use crate::random::Random;
use crate::{MARK, assert_close, assert_stats, limit, reference, unpad};

/// Seen to fail here: positions counted from 0 in place of `base`, and a part's first row left out of the index.
#[test]
fn gathers_rows_of_tables_in_parts() {
    let mut device = Device::open();
    let mut random = Random::new(1);
    for case in 0..48 {
        let (dtype, profile) = (DTYPES[case % 2], PROFILES[case / 2 % 2]);
        let (kind, norm) =
            [(NormKind::Rms, reference::Norm::Rms), (NormKind::Layer, reference::Norm::Layer)][case / 4 % 2];
        let with_positions = case / 8 % 2 == 1;
        let width: usize = random.pick(&[1, 3, 4, 7, 8, 60, 257, 300]);
        let vocab = 1 + random.below(40);
        let rows = random.pick(&[1, 2, 5, 33]);
        let base = random.below(20);
        let blocks_per_part = 1 + random.below(10);
        let what = format!("{dtype:?} {kind:?}, vocab {vocab}, width {width}, rows {rows}, base {base}");
        let k = width.next_multiple_of(8);

        let table = rounded(dtype, &random.values(vocab * width));
        let positions = with_positions.then(|| random.values((base + rows) * width));
        let tokens: Vec<u32> = (0..rows).map(|_| random.below(vocab) as u32).collect();
        let scale = random.pick(&[1.0, 12.25]);
        let op = reference::Embed { table: &table, positions: positions.as_deref(), width, scale, base, norm };
        let (want, want_stats) = reference::embed(&op, &tokens);

        let matrix = device.matrix(dtype, profile, &table, width, blocks_per_part);
        let table_of_positions = positions.map(|p| device.buffer(&pad(&p, width, k)));
        // One row more than the pass has, to see that it stays as it is.
        let (x, stats) = (device.marked((rows + 1) * k), device.marked((rows + 1) * width.div_ceil(4) * 2));
        let (token_buffer, state) = (device.buffer(&tokens), device.state(rows, base));
        let mut b = device.builder(profile, dtype, kind);
        let buffers = [&*token_buffer, &*state, &*x, &*stats];
        let dispatches =
            pollster::block_on(embed(&mut b, &matrix, table_of_positions.as_deref(), [width as f32, scale], buffers))
                .expect("builds");
        device.run(&dispatches, RowClass::Few, rows, 1);

        let words = width.next_multiple_of(4);
        let got = unpad(&what, &device.read(&x, (rows + 1) * k), k, words, rows);
        assert_close(&what, &got, &widened(&want, width, words), limit::ELEMENT);
        let got_stats = device.read::<[f32; 2]>(&stats, want_stats.len() + 1);
        let (marked, got_stats) = got_stats.split_last().expect("one more than expected");
        assert_eq!(*marked, [MARK; 2], "{what}: sums of a row that is not there");
        assert_stats(&what, got_stats, &want_stats);
    }
}

/// Rows of `width` with zeros up to `to`: what a kernel that writes whole words leaves.
fn widened(rows: &[f64], width: usize, to: usize) -> Vec<f64> {
    rows.chunks_exact(width).flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(0.0, to - width))).collect()
}
