//! What browsers refuse although naga accepts it. The build checks every linked module, because a shader error
//! in a browser reaches only the console, on a machine we never see.

use naga::{AddressSpace, ArraySize, Module, StorageAccess, TypeInner, valid::ModuleInfo};

use crate::literals::{MAX_FLOAT_LITERAL, Token, decimal_value, tokens};

/// `enable` extensions that kernels may use. None: `f16` and `subgroups` are not there on all devices, and naga
/// and Chrome disagree about the latter's line.
pub const ENABLES: &[&str] = &[];
/// Storage buffers a stage: WebGPU guarantees 8, Firefox never gives more than 9.
pub const MAX_STORAGE_BUFFERS: usize = 8;
const MAX_STORAGE_TEXTURES: usize = 4;
/// Bytes of `var<workgroup>` that WebGPU guarantees.
pub const MAX_WORKGROUP_BYTES: u32 = 16384;
/// Invocations of a workgroup that WebGPU guarantees, all together and along each axis.
pub const MAX_INVOCATIONS: u32 = 256;
const MAX_WORKGROUP_SIZE: [u32; 3] = [256, 256, 64];

/// A broken rule, and where in the linked text when that is known (byte offset).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub message: String,
    pub offset: Option<usize>,
}

/// Checks all rules on a valid module and the text it was parsed from. `entry` indexes its entry points.
pub fn check(wgsl: &str, module: &Module, info: &ModuleInfo, entry: usize) -> Vec<Violation> {
    let mut found = check_text(wgsl);
    found.extend(check_resources(module, info, entry));
    found.extend(check_workgroup(module, info, entry));
    found
}

/// Rules on spelling.
fn check_text(wgsl: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for (token, range) in tokens(wgsl) {
        let text = &wgsl[range.clone()];
        let mut report = |message| found.push(Violation { message, offset: Some(range.start) });
        match token {
            Token::Identifier if text == "enable" => {
                let names = wgsl[range.end..].split(';').next().unwrap_or_default();
                for name in names.split(',').map(str::trim).filter(|name| !ENABLES.contains(name)) {
                    report(format!("`enable {name};` is not available on every device"));
                }
            }
            Token::Identifier if text == "var" && !wgsl[range.end..].starts_with('<') => {
                let declaration = wgsl[range.end..].split(';').next().unwrap_or_default().trim();
                if !declaration.contains('=') && !declaration.contains(": texture_") {
                    report(format!(
                        "`var {declaration};` begins with nothing, which Chrome on SwiftShader does not make zero again \
                         in each turn of a loop; write the zero"
                    ));
                }
            }
            Token::Identifier if text.starts_with("__") => {
                report(format!("identifier `{text}` starts with two underscores, which WGSL reserves"));
            }
            Token::Float => {
                if text.len() > MAX_FLOAT_LITERAL {
                    report(format!("float literal `{text}` is longer than {MAX_FLOAT_LITERAL} characters (Safari)"));
                }
                if decimal_value(text).is_some_and(|value| (value as f32).abs() >= f32::MAX) {
                    report(format!(
                        "float literal `{text}` is f32::MAX or beyond, which Chrome rejects once it is rounded up; \
                         3.0e38 serves as well"
                    ));
                }
            }
            _ => {}
        }
    }
    found
}

/// Rules on bindings.
fn check_resources(module: &Module, info: &ModuleInfo, entry: usize) -> Vec<Violation> {
    let mut found = Vec::new();
    let (mut storage_buffers, mut storage_textures) = (0, 0);
    for (handle, variable) in module.global_variables.iter() {
        let Some(binding) = &variable.binding else { continue };
        let offset = module.global_variables.get_span(handle).to_range().map(|range| range.start);
        let name = variable.name.as_deref().unwrap_or("(unnamed)");
        let mut report = |message| found.push(Violation { message, offset });
        match variable.space {
            AddressSpace::Uniform => {}
            AddressSpace::Storage { access } => {
                storage_buffers += 1;
                if access.contains(StorageAccess::ATOMIC) {
                    report(format!("binding `{name}` has an access other than read and read_write"));
                }
            }
            AddressSpace::Handle if let Some(access) = texels(&module.types[variable.ty].inner) => {
                storage_textures += usize::from(!matches!(access, "Texels" | "FloatTexels"));
            }
            _ => report(format!("binding `{name}` is neither a uniform nor a storage buffer nor a texture of words")),
        }
        if binding.group != 0 {
            report(format!("binding `{name}` is in group {}; kernels use group 0 only", binding.group));
        }
        if info.get_entry_point(entry)[handle].is_empty() {
            report(format!(
                "binding `{name}` is declared but not used, which shifts automatic layouts; put the `@if` of its \
                 uses on the declaration"
            ));
        }
    }
    if storage_buffers > MAX_STORAGE_BUFFERS {
        let message = format!("{storage_buffers} storage buffers; WebGPU guarantees {MAX_STORAGE_BUFFERS} a stage");
        found.push(Violation { message, offset: None });
    }
    if storage_textures > MAX_STORAGE_TEXTURES {
        let message = format!("{storage_textures} storage textures; WebGPU guarantees {MAX_STORAGE_TEXTURES} a stage");
        found.push(Violation { message, offset: None });
    }
    found
}

/// The textures that kernels read and write, as variants of the library's `Access`; `None`: any other.
pub fn texels(inner: &TypeInner) -> Option<&'static str> {
    use naga::{ImageClass, ImageDimension, ScalarKind, StorageFormat};
    let TypeInner::Image { dim: ImageDimension::D2, arrayed: false, class } = *inner else { return None };
    match class {
        ImageClass::Sampled { kind: ScalarKind::Uint, multi: false } => Some("Texels"),
        ImageClass::Sampled { kind: ScalarKind::Float, multi: false } => Some("FloatTexels"),
        ImageClass::Storage { format: StorageFormat::Rgba32Uint, access: StorageAccess::LOAD } => Some("StoredTexels"),
        ImageClass::Storage { format: StorageFormat::Rgba32Float, access: StorageAccess::LOAD } => {
            Some("StoredFloatTexels")
        }
        ImageClass::Storage { format: StorageFormat::Rgba32Float, access: StorageAccess::STORE } => Some("WriteTexels"),
        _ => None,
    }
}

/// Rules on workgroups.
fn check_workgroup(module: &Module, info: &ModuleInfo, entry: usize) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut report = |message, offset| found.push(Violation { message, offset });
    let size = module.entry_points[entry].workgroup_size;
    if module.entry_points[entry].workgroup_size_overrides.is_some() {
        report("the workgroup size depends on an `override`; use a feature, so that it is known here".into(), None);
    }
    let too_long = size.iter().zip(MAX_WORKGROUP_SIZE).any(|(&size, limit)| size > limit);
    if too_long || size.iter().map(|&size| u64::from(size)).product::<u64>() > u64::from(MAX_INVOCATIONS) {
        report(
            format!("workgroup size {size:?} is beyond {MAX_INVOCATIONS} invocations or {MAX_WORKGROUP_SIZE:?}"),
            None,
        );
    }
    let mut bytes = 0u32;
    for (handle, variable) in module.global_variables.iter() {
        if variable.space != AddressSpace::WorkGroup || info.get_entry_point(entry)[handle].is_empty() {
            continue;
        }
        let inner = &module.types[variable.ty].inner;
        if let TypeInner::Array { size: ArraySize::Pending(_), .. } = inner {
            let name = variable.name.as_deref().unwrap_or("(unnamed)");
            let offset = module.global_variables.get_span(handle).to_range().map(|range| range.start);
            report(format!("the length of workgroup array `{name}` depends on an `override`; use a feature"), offset);
        } else {
            // Browsers count each variable rounded up to 16 bytes.
            bytes += inner.size(module.to_ctx()).next_multiple_of(16);
        }
    }
    if bytes > MAX_WORKGROUP_BYTES {
        report(format!("{bytes} bytes of workgroup memory; WebGPU guarantees {MAX_WORKGROUP_BYTES}"), None);
    }
    found
}
