//! Each rule of the build refuses a module that breaks it, and only that one: every snippet is valid to naga and
//! differs in one place from [`CLEAN`], which passes.

#[path = "../build/inspect.rs"]
mod inspect;
#[path = "../build/literals.rs"]
mod literals;
#[path = "../build/rules.rs"]
mod rules;

use inspect::{Binding, inspect};
use literals::respell_long_floats;

const CLEAN: &str = "
struct Params { rows: u32, scale: f32 }
@group(0) @binding(2) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
var<workgroup> tile: array<f32, 64>;
override factor: f32 = 1.0;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    tile[local] = params.scale * factor;
    workgroupBarrier();
    y[id.x] = x[id.x] * tile[63u - local] + 3.0e38;
}
";

/// What [`CLEAN`] is refused for once `from` is replaced by `to`.
#[track_caller]
fn refusal(from: &str, to: &str) -> String {
    assert!(CLEAN.contains(from), "the snippet has no {from:?}");
    match inspect(&CLEAN.replacen(from, to, 1), "snippet.wgsl", true) {
        Ok(interface) => panic!("accepted: {interface:?}"),
        Err(refusal) => refusal.message,
    }
}

#[track_caller]
fn assert_refused(from: &str, to: &str, because: &str) {
    let message = refusal(from, to);
    assert!(message.contains(because), "refused, but not because of {because:?}:\n{message}");
    assert_eq!(message.matches("error").count(), 1, "more than one thing wrong:\n{message}");
}

#[test]
fn clean_module_and_its_interface() {
    let interface = inspect(CLEAN, "snippet.wgsl", true).expect("breaks no rule");
    assert_eq!((interface.entry_point.as_str(), interface.workgroup_size), ("main", [64, 1, 1]));
    let binding = |index, name: &str, access, min_size| Binding { index, name: name.into(), access, min_size };
    let expected = [binding(0, "x", "Read", 16), binding(1, "y", "ReadWrite", 16), binding(2, "params", "Uniform", 8)];
    assert_eq!(interface.bindings, expected);
}

#[test]
fn refusals_show_the_place() {
    let text = CLEAN.replace("3.0e38", "3.4028234e38");
    let refusal = inspect(&text, "snippet.wgsl", true).expect_err("is f32::MAX");
    assert_eq!(refusal.offset, text.find("3.4028234e38"));
    assert!(refusal.message.contains("--> snippet.wgsl:12:45"), "{}", refusal.message);
    assert!(refusal.message.contains("y[id.x] = x[id.x] * tile"), "{}", refusal.message);
}

#[test]
fn enable_directives() {
    assert_refused("\nstruct", "\nenable f16;\nstruct", "`enable f16;`");
}

#[test]
fn variables_that_begin_with_nothing() {
    assert_refused("    workgroupBarrier();", "    var sum: f32;\n    workgroupBarrier();", "`var sum: f32;` begins");
}

#[test]
fn long_float_literals() {
    assert_refused("3.0e38", "1000000000000000000000.0", "longer than 20 characters");
    assert_refused("3.0e38", "0.0000000000000000001f", "longer than 20 characters");
}

#[test]
fn largest_float_literals() {
    for literal in ["3.4028235e38", "3.4028234e38", "3.40282347e+38f", "3.4028234663852886e38"] {
        let message = refusal("3.0e38", literal);
        // Out of range to naga already, for the first.
        assert!(message.contains("f32::MAX") || message.contains("cannot be represented"), "{literal}: {message}");
    }
    assert!(inspect(&CLEAN.replace("3.0e38", "3.402e38"), "snippet.wgsl", true).is_ok());
}

#[test]
fn unused_bindings() {
    let unused = "@group(0) @binding(3) var<storage, read> idle: array<u32>;\nvar<workgroup>";
    assert_refused("var<workgroup>", unused, "`idle` is declared but not used");
}

#[test]
fn other_groups_and_resources() {
    assert_refused("@group(0) @binding(1)", "@group(1) @binding(1)", "`y` is in group 1");
    let texture = "@group(0) @binding(3) var image: texture_3d<f32>;\nvar<workgroup>";
    let message = refusal("var<workgroup>", texture);
    assert!(message.contains("`image` is neither a uniform nor a storage buffer"), "{message}");
}

#[test]
fn storage_buffers() {
    let with_buffers = |count: u32| {
        let declare = |n| format!("@group(0) @binding({n}) var<storage, read> b{n}: array<f32>;\n");
        let declarations: String = (3..3 + count).map(declare).collect();
        let uses: String = (3..3 + count).map(|n| format!("+ b{n}[id.x]")).collect();
        CLEAN.replace("var<workgroup>", &(declarations + "var<workgroup>")).replace("+ 3.0e38", &uses)
    };
    assert!(inspect(&with_buffers(6), "snippet.wgsl", true).is_ok(), "eight are fine");
    let message = inspect(&with_buffers(7), "snippet.wgsl", true).expect_err("nine are not").message;
    assert!(message.contains("9 storage buffers"), "{message}");
}

#[test]
fn workgroup_memory() {
    assert!(inspect(&CLEAN.replace("array<f32, 64>", "array<f32, 4096>"), "snippet.wgsl", true).is_ok());
    assert_refused("array<f32, 64>", "array<f32, 4097>", "16400 bytes of workgroup memory");
    let by_override = "array<f32, length>;\noverride length: u32 = 64u";
    assert_refused("array<f32, 64>", by_override, "depends on an `override`");
}

#[test]
fn workgroup_size() {
    assert!(inspect(&CLEAN.replace("size(64)", "size(16, 16)"), "snippet.wgsl", true).is_ok());
    assert_refused("size(64)", "size(257)", "beyond 256 invocations");
    assert_refused("size(64)", "size(16, 17)", "beyond 256 invocations");
    assert_refused("size(64)", "size(1, 1, 65)", "beyond 256 invocations");
    let by_override = "override width: u32 = 64u;\n@compute @workgroup_size(width)";
    assert_refused("@compute @workgroup_size(64)", by_override, "depends on an `override`");
}

#[test]
fn reserved_identifiers() {
    // naga refuses these in declarations, but not as members.
    let message = refusal("rows: u32", "__rows: u32");
    assert!(message.contains("__rows"), "{message}");
}

#[test]
fn optional_capabilities() {
    let message = refusal("+ 3.0e38", "+ subgroupAdd(1.0)");
    assert!(message.contains("ubgroup"), "{message}");
}

#[test]
fn entry_points() {
    assert_refused("@compute", "@compute @workgroup_size(1) fn other() {}\n@compute", "needs one entry point");
}

#[test]
fn long_floats_are_respelt_with_the_same_value() {
    let long = "a = 300000000000000000000000000000f + 0.0000000000000000000125 - x1000000000000000000000;";
    assert_eq!(respell_long_floats(long), "a = 3e29f + 1.25e-20 - x1000000000000000000000;");
    let short = "1.0 + 0x1.8p+127f /* 1000000000000000000000000.0 */ - 3u // 1000000000000000000000000.0";
    assert_eq!(respell_long_floats(short), short);
}

/// wgpu has no name for the feature that browsers want for it.
#[test]
fn broadcasts_are_for_programs_alone() {
    let text = CLEAN.replace("= x[id.x] *", "= subgroupBroadcast(x[id.x], 1u) *");
    assert_ne!(text, CLEAN);
    assert!(inspect(&text, "snippet.wgsl", false).is_ok());
    let message = inspect(&text, "snippet.wgsl", true).expect_err("browsers refuse it").message;
    assert!(message.to_lowercase().contains("subgroup"), "{message}");
}
