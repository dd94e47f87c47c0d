//! Says which commit and which wgpu the engine of the page is made of, for reports: `UNDERSTORY_COMMIT`,
//! `UNDERSTORY_DIRTY`, `UNDERSTORY_WGPU`; each is empty where it is not known.

#[path = "../../app/origin.rs"]
mod origin;

/// What the module is made of. Each must exist: cargo runs this on every build for one that does not.
const SOURCES: [&str; 12] = [
    "web/worker",
    "engine/charts",
    "engine/lab",
    "engine/model",
    "engine/protocol",
    "engine/runtime",
    "engine/session",
    "engine/speculation",
    "shaders",
    "models",
    "Cargo.toml",
    "Cargo.lock",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    origin::tell(std::path::Path::new("../.."), &SOURCES);
}
