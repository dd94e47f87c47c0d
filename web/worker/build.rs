//! Says which commit and which wgpu the engine of the page is made of, for reports: `UNDERSTORY_COMMIT`,
//! `UNDERSTORY_DIRTY`, `UNDERSTORY_WGPU`; each is empty where it is not known.

#[path = "../../app/origin.rs"]
mod origin;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    origin::tell(std::path::Path::new("../.."), "web/worker");
}
