//! Validates linked WGSL with naga and reads off it what a pipeline needs to know. Errors come rendered, with an
//! excerpt of the linked text.

use naga::{
    AddressSpace, Module, ShaderStage, StorageAccess,
    error::ShaderError,
    front::wgsl,
    valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator},
};

use crate::rules::{Violation, check, texels};

/// What naga knows of a module with one compute entry point.
#[derive(Debug)]
pub struct Interface {
    pub entry_point: String,
    pub workgroup_size: [u32; 3],
    /// Sorted by index.
    pub bindings: Vec<Binding>,
}

/// A buffer of group 0; `access` is the name of a variant of the library's `Access`.
#[derive(Debug, PartialEq, Eq)]
pub struct Binding {
    pub index: u32,
    pub name: String,
    pub access: &'static str,
    pub min_size: u32,
}

/// Why a module was refused: the text to show, and the byte offset of the first place it points to.
#[derive(Debug)]
pub struct Refusal {
    pub message: String,
    pub offset: Option<usize>,
}

/// Validates `wgsl` (named `path` in messages) by naga's rules and ours; `browser`: as text that browsers are given.
pub fn inspect(wgsl: &str, path: &str, browser: bool) -> Result<Interface, Refusal> {
    let module = wgsl::parse_str(wgsl).map_err(|error| Refusal {
        offset: error.location(wgsl).map(|location| location.offset as usize),
        message: error.emit_to_string_with_path(wgsl, path),
    })?;
    // Nothing optional but unpack2x16float and its kin, which need no extension in WGSL, and broadcasts among the threads
    // of a CPU adapter, which wgpu has no name for in browsers.
    let broadcasts = if browser { Capabilities::empty() } else { Capabilities::SUBGROUP };
    let capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32 | broadcasts;
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    validator.subgroup_stages(ShaderStages::COMPUTE).subgroup_operations(SubgroupOperationSet::BALLOT);
    let info = validator.validate(&module).map_err(|error| Refusal {
        offset: error.location(wgsl).map(|location| location.offset as usize),
        message: ShaderError { source: wgsl.into(), label: Some(path.into()), inner: Box::new(error) }.to_string(),
    })?;
    let [entry] = &module.entry_points[..] else {
        let names: Vec<_> = module.entry_points.iter().map(|entry| entry.name.as_str()).collect();
        return Err(Refusal { message: format!("error: needs one entry point, has {names:?}"), offset: None });
    };
    if entry.stage != ShaderStage::Compute {
        return Err(Refusal { message: format!("error: entry point `{}` is not @compute", entry.name), offset: None });
    }
    let violations = check(wgsl, &module, &info, 0);
    if !violations.is_empty() {
        let message = violations.iter().map(|violation| render(violation, wgsl, path)).collect::<Vec<_>>().join("\n");
        return Err(Refusal { message, offset: violations.iter().find_map(|violation| violation.offset) });
    }
    Ok(Interface { entry_point: entry.name.clone(), workgroup_size: entry.workgroup_size, bindings: bindings(&module) })
}

fn bindings(module: &Module) -> Vec<Binding> {
    let mut bindings: Vec<_> = module
        .global_variables
        .iter()
        .filter_map(|(_, variable)| {
            let access = match variable.space {
                AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => "ReadWrite",
                AddressSpace::Storage { .. } => "Read",
                AddressSpace::Handle => texels(&module.types[variable.ty].inner).expect("checked by the rules"),
                _ => "Uniform",
            };
            Some(Binding {
                index: variable.binding.as_ref()?.binding,
                name: variable.name.clone().unwrap_or_default(),
                access,
                min_size: module.types[variable.ty].inner.size(module.to_ctx()),
            })
        })
        .collect();
    bindings.sort_by_key(|binding| binding.index);
    bindings
}

fn render(violation: &Violation, wgsl: &str, path: &str) -> String {
    let message = &violation.message;
    let Some(offset) = violation.offset else { return format!("error: {message}") };
    let before = &wgsl[..offset];
    let line = before.matches('\n').count();
    let text = wgsl.lines().nth(line).unwrap_or_default();
    let column = offset - before.rfind('\n').map_or(0, |end| end + 1);
    format!("error: {message}\n  --> {path}:{}:{}\n  | {text}\n  | {:column$}^", line + 1, column + 1, "")
}
