//! The list of devices: every figure has a source.

use super::*;

/// Where the figure called `name` is from.
fn source<'a>(device: &'a DeviceProfile, name: &str) -> Option<&'a str> {
    let group = name.split('.').next()?;
    [name, group, "all"].into_iter().find_map(|key| device.sources.get(key)).map(String::as_str)
}

/// A figure without a source cannot come in, nor a source or a mark of a figure that is not there.
#[test]
fn every_figure_has_a_source() {
    let devices = devices().unwrap();
    for device in &devices {
        for (name, _) in device.figures() {
            assert!(source(device, name).is_some_and(|s| s.len() > 5), "{}: {name}", device.name);
        }
        let of_one = |key: &str| device.figures().any(|(name, _)| name == key || name.split('.').next() == Some(key));
        let strays: Vec<_> = device.sources.keys().filter(|key| *key != "all" && !of_one(key)).collect();
        assert!(strays.is_empty(), "{}: {strays:?}", device.name);
        let again = serde_json::to_string(device).unwrap();
        assert_eq!(&DeviceProfile::from_json("again", &again).unwrap(), device);
    }
    let mut names: Vec<_> = devices.iter().map(|d| &d.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), devices.len());
}

/// The documentation says how many figures there are, and how many of them were checked against a cited source.
#[test]
fn the_documentation_counts_the_figures() {
    let devices = devices().unwrap();
    let all: usize = devices.iter().map(|device| device.figures().count()).sum();
    let unverified: usize = devices.iter().map(|device| device.unverified.len()).sum();
    let said = format!("{} of {all} figures", all - unverified);
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/predict.md");
    let page = std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{page}: {error}"));
    let words: Vec<_> = page.split_whitespace().collect();
    assert!(words.join(" ").contains(&said), "{said}");
}

#[test]
fn the_rate_is_that_of_the_type_or_of_the_next_wider() {
    let a100 = device("A100-40GB").unwrap().unwrap();
    assert_eq!(a100.flops(Precision::Bf16), Some((312e12, Precision::Bf16)));
    assert_eq!(a100.flops(Precision::Int8), Some((624e12, Precision::Int8)));
    assert_eq!(a100.flops(Precision::Int4), Some((312e12, Precision::F16)));
    let m1 = device("apple-m1").unwrap().unwrap();
    assert_eq!(m1.flops(Precision::Bf16), Some((2.6e12, Precision::F16)));
    let phone = device("snapdragon-8-gen-3").unwrap().unwrap();
    assert_eq!(phone.flops(Precision::F32), None);
    let engine = DeviceProfile { f32_activations: true, ..a100 };
    assert_eq!(engine.flops(Precision::F16), Some((19.5e12, Precision::F32)));
}

#[test]
fn a_file_of_ones_own_is_checked() {
    let good = serde_json::to_string(&devices().unwrap()[1]).unwrap();
    assert_eq!(DeviceProfile::from_json("mine.json", &good).unwrap(), devices().unwrap()[1]);
    let says = |text: &str| DeviceProfile::from_json("mine.json", text).unwrap_err().to_string();
    assert!(says("{}").contains("mine.json"), "{}", says("{}"));
    assert!(says(&good.replace("1555.0", "-1")).contains("bandwidth_gb_s"));
    assert!(says(&good.replace("bandwidth_gb_s", "bandwidth")).contains("bandwidth"));
    let marked = |name: &str| good.replacen('{', &format!("{{\"unverified\": [\"{name}\"],"), 1);
    let profile = DeviceProfile::from_json("mine.json", &marked("tflops.int8")).unwrap();
    assert!(profile.is_unverified("tflops.int8") && !profile.is_unverified("tflops.f16"));
    assert!(profile.origins().last().unwrap().contains("tflops.int8"), "{:?}", profile.origins());
    // A field that there is not, and one that this device has no figure for.
    for name in ["int8", "sync_us"] {
        assert!(says(&marked(name)).contains(name), "{}", says(&marked(name)));
    }
}
