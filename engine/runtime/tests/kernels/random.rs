//! Reproducible random shapes and values.

use understory_shaders::reference;

/// Random numbers from Philox, counted up from a seed.
pub struct Random {
    seed: u32,
    count: u32,
}

impl Random {
    pub fn new(seed: u32) -> Self {
        Self { seed, count: 0 }
    }

    pub fn bits(&mut self) -> u32 {
        self.count += 1;
        reference::philox([self.count, 0, 0, 0], [self.seed, 0x7e57])[0]
    }

    /// `0 .. n`
    pub fn below(&mut self, n: usize) -> usize {
        self.bits() as usize % n
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Uniform on (-1, 1).
    pub fn value(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn values(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.value()).collect()
    }

    /// Around 1, like the factors of a norm.
    pub fn gamma(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| 1.0 + 0.5 * self.value()).collect()
    }
}
