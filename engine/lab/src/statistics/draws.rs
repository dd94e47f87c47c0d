//! The draws of the bootstrap. They follow from a resample and a place in it alone, so those that one case needed serve
//! every other case and metric: a draw costs more than all that is done with it.

use understory_shaders::reference::philox;

/// Draws of a stream that are kept, 64 MB of them; what lies beyond is made anew each time.
pub const MOST_KEPT: usize = 4 << 20;

/// The k-th draw of a resample: bits for [`place`], and two independent normal numbers.
pub fn draw(seed: u64, stream: u32, resample: u32, k: usize) -> (u32, [f64; 2]) {
    let [a, b, c, _] = philox([k as u32, resample, stream, 0], [seed as u32, (seed >> 32) as u32]);
    let uniform = |bits: u32| (f64::from(bits) + 0.5) / (f64::from(u32::MAX) + 1.0);
    let radius = (-2.0 * uniform(b).ln()).sqrt();
    let (sine, cosine) = (std::f64::consts::TAU * uniform(c)).sin_cos();
    (a, [radius * cosine, radius * sine])
}

/// An index below `n`.
pub fn place(bits: u32, n: usize) -> usize {
    ((u64::from(bits) * n as u64) >> 32) as usize
}

/// A stream's draws with the first of their normal numbers, as far as they were asked for.
#[derive(Default)]
pub struct Draws {
    /// of each resample
    width: usize,
    /// `[resamples, width]`
    kept: Vec<(u32, f64)>,
}

impl Draws {
    /// Has the first `n` draws of each of `resamples` at hand, or as many of them as may be kept.
    pub fn reach(&mut self, (seed, stream): (u64, u32), resamples: usize, n: usize) {
        let most = MOST_KEPT / resamples.max(1);
        if n.min(most) <= self.width {
            return;
        }
        let (before, width) = (self.width, n.max(2 * self.width).min(most));
        let mut kept = Vec::with_capacity(resamples * width);
        for resample in 0..resamples {
            kept.extend_from_slice(&self.kept[resample * before..(resample + 1) * before]);
            kept.extend((before..width).map(|k| {
                let (bits, [noise, _]) = draw(seed, stream, resample as u32, k);
                (bits, noise)
            }));
        }
        (self.width, self.kept) = (width, kept);
    }

    /// The first `n` draws of `resample`.
    pub fn of(&self, (seed, stream): (u64, u32), resample: usize, n: usize) -> impl Iterator<Item = (u32, f64)> {
        let kept = &self.kept[resample * self.width..][..n.min(self.width)];
        let anew = (kept.len()..n).map(move |k| {
            let (bits, [noise, _]) = draw(seed, stream, resample as u32, k);
            (bits, noise)
        });
        kept.iter().copied().chain(anew)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table that grows must hold what it would have held from the beginning, also where it cannot grow any more.
    #[test]
    fn kept_draws_are_those_that_would_be_made() {
        let (seed, resamples) = (7, MOST_KEPT / 40);
        let mut draws = Draws::default();
        for n in [3, 10, 11, 60] {
            draws.reach((seed, 1), resamples, n);
            for resample in [0, 1, resamples - 1] {
                let made = (0..n).map(|k| draw(seed, 1, resample as u32, k)).map(|(bits, noise)| (bits, noise[0]));
                assert!(draws.of((seed, 1), resample, n).eq(made), "{n} draws of resample {resample}");
            }
        }
        assert_eq!(draws.width, 40);
    }
}
