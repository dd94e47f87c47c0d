//! `embed.wesl`.

use understory_model::config::NormKind;
use understory_protocol::KernelSet;
use understory_runtime::gpu::RowClass;
use understory_runtime::kernels::embed;

use crate::device::{Device, KERNEL_SETS, forms, pad};
use crate::random::Random;
use crate::tree::TreePass;
use crate::weights::Weights;
use crate::{MARK, assert_close, assert_stats, limit, reference, unpad};

/// In the second half of the cases on a tree, whose rows are at the positions of their depth.
///
/// Seen to fail here: positions counted from 0 in place of `base`, a part's first row left out of the index,
/// rows of a tree at consecutive positions, and scaled words in their neighbours' places.
#[test]
fn gathers_rows_of_tables_in_parts() {
    for mut device in Device::both_modes() {
        let mut random = Random::new(1);
        for case in 0..64 {
            let (form, kernel_set) = (forms(&mut random)[case % 2], KERNEL_SETS[case / 2 % 2]);
            let (kind, norm) =
                [(NormKind::Rms, reference::Norm::Rms), (NormKind::Layer, reference::Norm::Layer)][case / 4 % 2];
            let with_positions = case / 8 % 2 == 1;
            let width = random.pick(Weights::widths(form));
            let vocab = 1 + random.below(40);
            let rows = random.pick(&[1, 2, 5, 33]);
            let base = random.below(20);
            let tree = (case >= 32).then(|| TreePass::new(&mut random, base, rows, 1));
            let positions = tree.as_ref().map_or(reference::Positions::plain(base), TreePass::positions);
            let rows = tree.as_ref().map_or(rows, TreePass::rows);
            let texels = kernel_set == KernelSet::Cpu && random.below(2) == 0;
            let blocks_per_part = 1 + random.below(10);
            let what = format!("{form:?} {kind:?}, vocab {vocab}, width {width}, rows {rows}, base {base}, {tree:?}");
            let k = width.next_multiple_of(8);

            let table = Weights::random(&mut random, form, vocab, width);
            let last = (0..rows).map(|m| positions.position(m)).max().expect("a row");
            let of_positions = with_positions.then(|| random.values((last + 1) * width));
            let tokens: Vec<u32> = (0..rows).map(|_| random.below(vocab) as u32).collect();
            let scale = random.pick(&[1.0, 12.25]);
            let with_table = of_positions.as_deref().map(|table| (table, positions));
            let op = reference::Embed { table: &table.values, positions: with_table, width, scale, norm };
            let (want, want_stats) = reference::embed(&op, &tokens);

            let matrix = device.matrix(&table, kernel_set, texels, blocks_per_part);
            let table_of_positions = of_positions.map(|p| device.buffer(&pad(&p, width, k)));
            // One row more than the pass has, to see that it stays as it is.
            let (x, stats) = (device.marked((rows + 1) * k), device.marked((rows + 1) * width.div_ceil(4) * 2));
            let (class, state) = match &tree {
                Some(tree) => (RowClass::Tree, device.tree_state(tree)),
                None => (RowClass::Few, device.state(rows, base)),
            };
            let token_buffer = device.buffer(&tokens);
            let next_gamma = random.gamma(k);
            let (gamma, scaled) = (device.buffer(&next_gamma), device.marked((rows + 1) * k));
            let ahead = texels && random.below(2) == 0;
            let next = (ahead.then_some(&*gamma), &*scaled);
            let mut b = device.builder(kernel_set, kind);
            let buffers = [&*token_buffer, &*state, &*x, &*stats];
            let dispatches = pollster::block_on(embed(
                &mut b,
                &matrix,
                table_of_positions.as_deref(),
                [width as f32, scale],
                buffers,
                next,
            ))
            .expect("builds");
            device.run(&dispatches, class, rows, 1);

            let words = width.next_multiple_of(4);
            let got = unpad(&what, &device.read(&x, (rows + 1) * k), k, words, rows);
            let scaled = unpad(&what, &device.read(&scaled, (rows + 1) * k), k, words, if ahead { rows } else { 0 });
            let times_gamma = got.iter().enumerate().map(|(i, x)| x * next_gamma[i % words]);
            assert_eq!(scaled, times_gamma.take(scaled.len()).collect::<Vec<_>>(), "{what}: times the next factor");
            assert_close(&what, &got, &widened(&want, width, words), limit::ELEMENT);
            let got_stats = device.read::<[f32; 2]>(&stats, want_stats.len() + 1);
            let (marked, got_stats) = got_stats.split_last().expect("one more than expected");
            assert_eq!(*marked, [MARK; 2], "{what}: sums of a row that is not there");
            assert_stats(&what, got_stats, &want_stats);
        }
    }
}

/// Rows of `width` with zeros up to `to`: what a kernel that writes whole words leaves.
fn widened(rows: &[f64], width: usize, to: usize) -> Vec<f64> {
    rows.chunks_exact(width).flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(0.0, to - width))).collect()
}
