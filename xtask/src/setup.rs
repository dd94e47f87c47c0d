//! Finds out, without building anything, whether wgpu will see an adapter, and installs Mesa's software driver
//! (lavapipe) where that can be done unasked. macOS (Metal) and Windows (DX12 with WARP) need nothing.
//!
//! On Linux an adapter takes three things: the Vulkan loader, a driver's manifest where the loader looks for
//! it, and, unless the driver runs on the CPU, a device node that the kernel offers.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::packages::{apt_install, is_debian};
use crate::process;

/// Makes sure that wgpu will find an adapter; says what it found or did. Quick when nothing is to do.
///
/// # Errors
/// If there is none and none can be installed unasked; the message says what to install.
pub fn ensure_adapter() -> Result<()> {
    if !cfg!(target_os = "linux") {
        eprintln!("set-up: {} brings its own GPU interface, nothing to install", env::consts::OS);
        return Ok(());
    }
    let missing = match find_vulkan() {
        Ok(driver) => {
            eprintln!("set-up: Vulkan driver {}, nothing to install", driver.display());
            return Ok(());
        }
        Err(missing) => missing,
    };
    eprintln!("set-up: no usable Vulkan adapter: {missing}");
    if let Some(variable) = explicit_drivers() {
        bail!("{variable} is set and rules out every other driver: unset it, or name a manifest that exists");
    }
    if !is_debian() {
        bail!("install a Vulkan driver; without a GPU, Mesa's lavapipe:\n{ADVICE}");
    }
    apt_install(&["mesa-vulkan-drivers", "libvulkan1"])?;
    match find_vulkan() {
        Ok(driver) => eprintln!("set-up: installed {}", driver.display()),
        Err(missing) => bail!("still no usable Vulkan adapter after the installation: {missing}"),
    }
    Ok(())
}

const ADVICE: &str = "  \
  Debian, Ubuntu  sudo apt-get install mesa-vulkan-drivers libvulkan1
  Fedora          sudo dnf install mesa-vulkan-drivers vulkan-loader
  Arch            sudo pacman -S vulkan-swrast vulkan-icd-loader
  openSUSE        sudo zypper install libvulkan_lvp libvulkan1
  Alpine          sudo apk add mesa-vulkan-swrast vulkan-loader
  NixOS           hardware.graphics.enable = true; and a shell with vulkan-loader in LD_LIBRARY_PATH";

/// A Vulkan driver as its manifest names it.
struct Driver {
    manifest: PathBuf,
    on_cpu: bool,
}

impl Driver {
    /// Lavapipe and SwiftShader, the drivers that run on the CPU, name themselves in the library's path.
    fn read(manifest: PathBuf) -> Self {
        let text = fs::read_to_string(&manifest).unwrap_or_default();
        Self { on_cpu: text.contains("lvp") || text.contains("swiftshader"), manifest }
    }
}

/// The manifest of a driver that should work, or what is missing.
fn find_vulkan() -> Result<PathBuf, String> {
    if !has_loader() {
        return Err("the Vulkan loader, libvulkan.so.1, is not installed".into());
    }
    let drivers: Vec<_> = manifests().into_iter().map(Driver::read).collect();
    pick_driver(&drivers, has_device_node())
}

/// The first driver of a GPU if the kernel offers a GPU's device node, else the first that runs on the CPU.
fn pick_driver(drivers: &[Driver], device_node: bool) -> Result<PathBuf, String> {
    let of_gpu = drivers.iter().find(|driver| device_node && !driver.on_cpu);
    let usable = of_gpu.or_else(|| drivers.iter().find(|driver| driver.on_cpu));
    usable.map(|driver| driver.manifest.clone()).ok_or_else(|| {
        if drivers.is_empty() {
            "no driver manifest (icd.d/*.json) is installed".into()
        } else {
            "the installed drivers are for GPUs, and the kernel offers no GPU".into()
        }
    })
}

fn has_device_node() -> bool {
    let listed = |dir: &str, prefix: &str| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with(prefix))
    };
    listed("/dev/dri", "renderD") || ["nvidia0", "dxg", "kgsl-3d0", "mali0"].iter().any(|node| listed("/dev", node))
}

fn has_loader() -> bool {
    let triple = format!("{}-linux-gnu", env::consts::ARCH);
    let mut dirs = paths_in("LD_LIBRARY_PATH");
    for base in ["/usr/lib", "/lib", "/usr/local/lib"] {
        dirs.extend([PathBuf::from(base), Path::new(base).join(&triple)]);
    }
    dirs.extend(["/usr/lib64", "/lib64", "/run/opengl-driver/lib"].map(PathBuf::from));
    let listed = |program| process::output_of(program, &["-p"]).is_some_and(|list| list.contains("libvulkan.so.1"));
    dirs.iter().any(|dir| dir.join("libvulkan.so.1").exists()) || listed("ldconfig") || listed("/sbin/ldconfig")
}

/// The variable that replaces the loader's search path, if one is set.
fn explicit_drivers() -> Option<&'static str> {
    ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"]
        .into_iter()
        .find(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Driver manifests where the loader looks for them, in its order.
fn manifests() -> Vec<PathBuf> {
    if let Some(variable) = explicit_drivers() {
        return paths_in(variable)
            .iter()
            .flat_map(|path| if path.is_dir() { json_files(path) } else { existing(path) })
            .collect();
    }
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let mut bases = paths_or("XDG_CONFIG_HOME", &[home.join(".config")]);
    bases.extend(paths_or("XDG_CONFIG_DIRS", &["/etc/xdg".into()]));
    bases.push("/etc".into());
    bases.extend(paths_or("XDG_DATA_HOME", &[home.join(".local/share")]));
    bases.extend(paths_or("XDG_DATA_DIRS", &["/usr/local/share".into(), "/usr/share".into()]));
    bases.push("/run/opengl-driver/share".into());
    bases.iter().flat_map(|base| json_files(&base.join("vulkan/icd.d"))).collect()
}

fn existing(path: &Path) -> Vec<PathBuf> {
    if path.is_file() { vec![path.to_path_buf()] } else { Vec::new() }
}

fn json_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| path.extension() == Some(OsStr::new("json"))).collect();
    files.sort();
    files
}

fn paths_in(variable: &str) -> Vec<PathBuf> {
    env::var_os(variable)
        .map(|value| env::split_paths(&value).filter(|path| !path.as_os_str().is_empty()).collect())
        .unwrap_or_default()
}

fn paths_or(variable: &str, default: &[PathBuf]) -> Vec<PathBuf> {
    let paths = paths_in(variable);
    if paths.is_empty() { default.to_vec() } else { paths }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mesa's package brings manifests for GPUs that a machine need not have: they must not count without a
    /// device node. Taking the first manifest found fails this.
    #[test]
    fn a_driver_is_usable_only_with_its_device() {
        let gpu = || Driver { manifest: "intel_icd.json".into(), on_cpu: false };
        let cpu = || Driver { manifest: "lvp_icd.json".into(), on_cpu: true };
        assert_eq!(pick_driver(&[gpu(), cpu()], true), Ok("intel_icd.json".into()));
        assert_eq!(pick_driver(&[gpu(), cpu()], false), Ok("lvp_icd.json".into()));
        assert_eq!(pick_driver(&[cpu()], true), Ok("lvp_icd.json".into()));
        assert!(pick_driver(&[gpu()], false).is_err());
        assert!(pick_driver(&[], true).is_err());
    }
}
