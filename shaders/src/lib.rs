//! The WGSL kernels, each permutation linked to plain WGSL and validated when this crate is built.
//!
//! Nothing here touches a device: a [`Shader`] is text plus what is needed to make a pipeline and its layout
//! from it. Sources are `kernels/*.wesl`, permutations are data in [`permutations`], and the build script
//! refuses what a browser would refuse later (see `build/rules.rs`).

use std::borrow::Cow;

pub mod permutations;
pub mod reference;

include!(concat!(env!("OUT_DIR"), "/shaders.rs"));

/// One permutation of one kernel: a WGSL module with one compute entry point, bindings all in group 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shader {
    pub kernel: &'static str,
    /// The features it was linked with, sorted.
    pub features: &'static [&'static str],
    pub wgsl: &'static str,
    /// What a build for browsers has in its place, in other builds and where it differs.
    pub browser: Option<&'static str>,
    pub entry_point: &'static str,
    pub workgroup_size: [u32; 3],
    /// Sorted by index; every one is used by the entry point.
    pub bindings: &'static [Binding],
}

impl Shader {
    /// The module with other values for constants of type u32, given by their names in the sources. They are replaced in
    /// the text: `override`s would say the same, but naga 30 refuses valid modules when it has put their values in.
    ///
    /// # Panics
    /// If a constant does not occur.
    pub fn with_constants(&self, constants: &[(&str, u32)]) -> Cow<'static, str> {
        constants.iter().fold(Cow::Borrowed(self.wgsl), |wgsl, (name, value)| {
            let declared = format!("{name}: u32 = ");
            let (before, rest) = wgsl.split_once(&declared).unwrap_or_else(|| panic!("{} has no {name}", self.kernel));
            let (_, after) = rest.split_once(';').expect("a declaration ends");
            Cow::Owned(format!("{before}{declared}{value}u;{after}"))
        })
    }
}

/// A binding of group 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// `@binding(index)`.
    pub index: u32,
    /// The variable's name in the kernel.
    pub name: &'static str,
    pub access: Access,
    /// Least bytes a bound buffer must have; for runtime-sized arrays one element. A texture: 0.
    pub min_size: u32,
}

/// How a shader declares what is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    Uniform,
    Read,
    ReadWrite,
    /// a two-dimensional texture of unsigned words, read only
    Texels,
    /// the same of floats
    FloatTexels,
    /// a two-dimensional storage texture of unsigned words, read only
    StoredTexels,
    /// the same of floats
    StoredFloatTexels,
    /// the same, write only
    WriteTexels,
}

/// Every permutation of every kernel, sorted by kernel and features.
pub fn all() -> &'static [Shader] {
    SHADERS
}

/// The permutation of `kernel` with exactly `features` on, in any order. `None` when it was not built.
pub fn find(kernel: &str, features: &[&str]) -> Option<&'static Shader> {
    let mut features = features.to_vec();
    features.sort_unstable();
    let at = SHADERS.binary_search_by(|shader| (shader.kernel, shader.features).cmp(&(kernel, &features))).ok()?;
    Some(&SHADERS[at])
}

/// Hash (FNV-1a, 64 bits, hex) of all linked WGSL with its names and features: changes exactly when some
/// shader does, so it can key caches and name the kernels in reports.
pub fn hash() -> &'static str {
    HASH
}
