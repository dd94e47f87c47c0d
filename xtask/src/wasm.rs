//! A toolchain for wasm32. The standard library comes, in this order, from the installed toolchain, from rustup, or
//! (Debian, Ubuntu without rustup's servers) from the packages `rustc-web` and `rust-web-src`, whose compiler builds it
//! from its sources.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{packages, process};

pub const TARGET: &str = "wasm32-unknown-unknown";
const DEBIAN_PACKAGES: [&str; 5] = ["rustc-web", "cargo-web", "rust-web-src", "lld", "ca-certificates"];
const DEBIAN_SOURCES: &str = "/usr/lib/rustlib/src/rust/library/std";

/// A cargo that can compile and link for wasm32.
///
/// # Errors
/// If no toolchain for wasm32 can be had.
pub fn cargo() -> Result<Command> {
    if !target_installed() && process::answers("rustup", &["--version"]) {
        let added = process::run(Command::new("rustup").args(["target", "add", TARGET]));
        if let Err(error) = added {
            eprintln!("xtask: {error:#}; trying the distribution's packages");
        }
    }
    if target_installed() { Ok(process::cargo()) } else { debian_cargo() }
}

fn target_installed() -> bool {
    let sysroot = process::output_of("rustc", &["--print", "sysroot"]);
    sysroot.is_some_and(|sysroot| Path::new(&sysroot).join("lib/rustlib").join(TARGET).join("lib").is_dir())
}

fn debian_cargo() -> Result<Command> {
    if !Path::new(DEBIAN_SOURCES).is_dir() || !Path::new("/usr/bin/cargo").is_file() {
        packages::apt_install(&DEBIAN_PACKAGES)
            .with_context(|| format!("no {TARGET} target: run `rustup target add {TARGET}`"))?;
    }
    if !Path::new(DEBIAN_SOURCES).is_dir() {
        bail!("{} brought no sources of the standard library to {DEBIAN_SOURCES}", DEBIAN_PACKAGES.join(", "));
    }
    // The distribution's compiler builds std itself, which a stable compiler does only under these two.
    let mut command = Command::new("/usr/bin/cargo");
    command.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
    command.env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort").env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld");
    Ok(command)
}
