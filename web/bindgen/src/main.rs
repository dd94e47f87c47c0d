//! `wasm-bindgen --target web` as a part of the workspace, so that its version is that of the `wasm-bindgen` crate and
//! nothing has to be installed.

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [module, folder, name] = arguments.as_slice() else {
        anyhow::bail!("usage: understory-bindgen MODULE.wasm FOLDER NAME");
    };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name(name).web(true)?.typescript(false).remove_name_section(true);
    // The module lies beside its script.
    bindgen.omit_default_module_path(false);
    bindgen.generate(folder).with_context(|| format!("{module}: no bindings could be made"))
}
