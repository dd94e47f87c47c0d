//! What a check needs beyond cargo: the distribution's packages and the toolchain's components.

use std::fs;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// Makes sure that rustfmt and clippy are there.
///
/// # Errors
/// If one is missing and rustup cannot add it.
pub fn ensure_components() -> Result<()> {
    let has = |tool: &str| process::cargo().args([tool, "--version"]).output().is_ok_and(|out| out.status.success());
    if has("fmt") && has("clippy") {
        return Ok(());
    }
    process::run(Command::new("rustup").args(["component", "add", "rustfmt", "clippy"]))
}

/// Installs packages with apt, as root or through a sudo that asks for no password.
///
/// # Errors
/// If this is no Debian or Ubuntu, neither root nor sudo is to be had, or apt fails.
pub fn apt_install(packages: &[&str]) -> Result<()> {
    let by_hand = format!("sudo apt-get install -y --no-install-recommends {}", packages.join(" "));
    if !is_debian() {
        bail!("this is neither Debian nor Ubuntu, so nothing is installed unasked");
    }
    let root = process::output_of("id", &["-u"]).as_deref() == Some("0");
    if !root && !process::answers("sudo", &["-n", "true"]) {
        bail!("packages are missing and this user cannot install them; run: {by_hand}");
    }
    let apt = || {
        let mut command = Command::new(if root { "env" } else { "sudo" });
        if !root {
            command.args(["-n", "env"]);
        }
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        command
    };
    // A repository that cannot be reached need not be the one that holds these packages.
    if let Err(error) = process::run(apt().arg("update")) {
        eprintln!("set-up: {error:#}; going on with the package lists at hand");
    }
    process::run(apt().args(["install", "-y", "--no-install-recommends"]).args(packages))
}

/// Whether apt is this system's package manager.
pub fn is_debian() -> bool {
    fs::read_to_string("/etc/os-release").is_ok_and(|text| os_release_is_debian(&text))
}

/// Reads os-release(5): `ID` or one of `ID_LIKE` is debian or ubuntu.
fn os_release_is_debian(text: &str) -> bool {
    let values = text.lines().filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")));
    values.flat_map(|value| value.trim_matches('"').split(' ')).any(|id| matches!(id, "debian" | "ubuntu"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files as the distributions ship them. Looking for `debian` anywhere in the text fails the last one,
    /// whose home page mentions it.
    #[test]
    fn the_distribution_is_read_from_os_release() {
        assert!(os_release_is_debian("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n"));
        assert!(os_release_is_debian("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"));
        assert!(!os_release_is_debian("ID=fedora\nHOME_URL=\"https://example.org/not-debian\"\n"));
    }
}
