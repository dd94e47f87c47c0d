//! The table of linked shaders, as the engine sees it.

use understory_shaders::{Access, Binding, all, find, hash, permutations::KERNELS};

#[test]
fn every_permutation_is_found_and_nothing_else() {
    let permutations: usize = KERNELS.iter().map(|kernel| kernel.permutations().len()).sum();
    assert_eq!(all().len(), permutations);
    for shader in all() {
        let reversed: Vec<_> = shader.features.iter().rev().copied().collect();
        assert!(std::ptr::eq(find(shader.kernel, &reversed).expect("is in the table"), shader));
        assert_eq!(find(shader.kernel, &[shader.features, &["unheard_of"]].concat()), None);
    }
    assert_eq!(find("unheard_of", &[]), None);
}

#[test]
fn alternatives_exclude_each_other() {
    for kernel in KERNELS {
        for features in kernel.permutations() {
            for axis in kernel.axes {
                let sets = axis.iter().map(|alternative| alternative.split_whitespace().collect::<Vec<_>>());
                let on: Vec<_> =
                    sets.filter(|set| !set.is_empty() && set.iter().all(|name| features.contains(name))).collect();
                // One that another one extends is not taken.
                let extended = |set: &Vec<_>| {
                    on.iter().any(|other| other.len() > set.len() && set.iter().all(|name| other.contains(name)))
                };
                assert!(on.iter().filter(|set| !extended(set)).count() <= 1, "{} {features:?}", kernel.name);
            }
        }
    }
}

#[test]
fn cpu_shaders_have_no_barrier() {
    for shader in all().iter().filter(|shader| shader.features.contains(&"cpu")) {
        assert!(!shader.wgsl.contains("Barrier("), "{} {:?}", shader.kernel, shader.features);
    }
}

#[test]
fn linked_text_is_plain_wgsl() {
    for shader in all() {
        for wesl in ["import ", "@if", "@else", "@elif", "::"] {
            assert!(!shader.wgsl.contains(wesl), "{} {:?} contains {wesl}", shader.kernel, shader.features);
        }
        assert!(shader.wgsl.contains(&format!("fn {}(", shader.entry_point)), "{}", shader.kernel);
        assert!(shader.bindings.is_sorted_by(|a, b| a.index < b.index), "{}", shader.kernel);
        let writes = |binding: &Binding| matches!(binding.access, Access::ReadWrite | Access::WriteTexels);
        assert!(shader.bindings.iter().any(writes), "{}", shader.kernel);
    }
}

#[test]
fn hash_is_hex() {
    assert!(hash().len() == 16 && hash().bytes().all(|byte| byte.is_ascii_hexdigit()));
}
