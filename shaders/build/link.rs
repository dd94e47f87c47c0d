//! Links one permutation of a kernel from its WESL sources to plain WGSL text: imports resolved, `@if` decided,
//! unused declarations gone. The linker itself is the `wesl` crate.

use std::path::Path;

use wesl::{CompileOptions, Feature, Features, Mangler, ModulePath, SourceMap, Wesl, syntax::*};

use crate::{literals::respell_long_floats, permutations::KERNELS};

/// Linked text, and what is needed to say where a piece of it came from.
pub struct Linked {
    pub wgsl: String,
    sources: Option<wesl::BasicSourceMap>,
}

/// Names of imported declarations: `package::lib::reduce::sum` becomes `lib_reduce__sum`. Readable, independent
/// of what else is linked, and not a name that a kernel declares by accident.
struct PathMangler;

impl Mangler for PathMangler {
    fn mangle(&self, path: &ModulePath, item: &str) -> String {
        format!("{}__{item}", path.components.join("_"))
    }
}

/// The feature of builds for browsers, which every kernel can ask for.
const BROWSER: &str = "browser";

/// Whether this build is for browsers.
pub fn is_for_browsers() -> bool {
    std::env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|families| families.split(',').any(|family| family == "wasm"))
}

/// Links `kernels/<kernel>.wesl` with `features` on and every other known feature off. A feature in no axis of any
/// kernel is an error, so that a misspelt `@if` does not silently mean "never". `browser`: as browsers are given it.
///
/// # Errors
/// wesl's message, with an excerpt of the source where wesl knows the place.
pub fn link(kernels: &Path, kernel: &str, features: &[&str], browser: bool) -> Result<Linked, String> {
    let known = KERNELS.iter().flat_map(|kernel| kernel.features()).map(|name| (name, features.contains(&name)));
    let flags =
        known.chain([(BROWSER, browser)]).map(|(name, is_on)| (name.to_string(), Feature::from(is_on))).collect();
    let mut compiler = Wesl::new(kernels);
    compiler.set_custom_mangler(PathMangler);
    compiler.set_options(CompileOptions {
        features: Features { default: Feature::Error, flags },
        keep: Some(kept_declarations(kernels, kernel)?),
        ..CompileOptions::default()
    });
    let root = ModulePath::new(PathOrigin::Absolute, vec![kernel.to_string()]);
    let linked = compiler.compile(&root).map_err(|error| plain(&error.to_string()))?;
    Ok(Linked { wgsl: respell_long_floats(&linked.to_string()), sources: linked.sourcemap })
}

/// `text` without the terminal's colour codes, which wesl writes whether or not there is a terminal.
fn plain(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
}

/// Entry points and bindings: stripping an unused binding would hide it from the rule against those.
fn kept_declarations(kernels: &Path, kernel: &str) -> Result<Vec<String>, String> {
    let path = kernels.join(kernel).with_extension("wesl");
    let source = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    // wesl reports syntax errors better, so leave them to it.
    let Ok(unit) = source.parse::<TranslationUnit>() else { return Ok(Vec::new()) };
    let keep = |declaration: &GlobalDeclarationNode| match declaration.node() {
        GlobalDeclaration::Function(function) => {
            let entry = function.attributes.iter().any(|attribute| matches!(attribute.node(), Attribute::Compute));
            entry.then(|| function.ident.to_string())
        }
        GlobalDeclaration::Declaration(variable) => {
            let bound = variable.attributes.iter().any(|attribute| matches!(attribute.node(), Attribute::Binding(_)));
            bound.then(|| variable.ident.to_string())
        }
        _ => None,
    };
    Ok(unit.global_declarations.iter().filter_map(keep).collect())
}

impl Linked {
    /// The name in its source file of the declaration that linked text calls `name`.
    pub fn source_name<'a>(&'a self, name: &'a str) -> &'a str {
        self.sources.as_ref().and_then(|sources| sources.get_decl(name)).map_or(name, |(_, item)| item)
    }

    /// The source declaration that the linked text at `offset` came from: `sum of kernels/lib/reduce.wesl`.
    /// `None` in the kernel's own file, whose names are unchanged.
    pub fn origin(&self, offset: usize) -> Option<String> {
        let line_end = self.wgsl[offset..].find('\n').map_or(self.wgsl.len(), |length| offset + length);
        // Only declarations start with a letter in the first column; the name ends at one of these.
        let declaration = self.wgsl[..line_end].lines().rev().find(|line| line.starts_with(char::is_alphabetic))?;
        let mangled = declaration.split([':', '(', '=', '{']).next()?.split_whitespace().last()?;
        let sources = self.sources.as_ref()?;
        let (path, name) = sources.get_decl(mangled)?;
        Some(format!("{name} of {}", sources.get_display_name(path)?))
    }
}
