//! Says which commit and which libraries the engine of the page is made of, for reports: `UNDERSTORY_COMMIT`,
//! `UNDERSTORY_DIRTY`, `UNDERSTORY_WGPU`; each is empty where it is not known.

#[path = "../../app/origin.rs"]
mod origin;

/// What the module is made of.
const SOURCES: [&str; 6] = ["web/worker", "engine/src", "shaders", "models", "Cargo.toml", "Cargo.lock"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    origin::tell(std::path::Path::new("../.."), &SOURCES);
}
