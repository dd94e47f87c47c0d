//! Lists the files of the page, `web/dist`, for `serve/page.rs` to hold them in the program; an empty list where
//! `cargo xtask web` has not built it. The bundled models' files are in the program already and are left out here.
//!
//! And says which commit and which wgpu the program is made of, for reports: `UNDERSTORY_COMMIT`, `UNDERSTORY_DIRTY`,
//! `UNDERSTORY_WGPU`; each is empty where it is not known.

mod origin;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("..");
    let dist = root.join("web/dist");
    // Cargo runs this again and again for a path that does not exist, and compiles the program each time. Where the
    // folder cannot be made, that is all that comes of it.
    let _ = fs::create_dir_all(&dist);
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", dist.display());
    let mut files = BTreeMap::new();
    if dist.join("index.html").is_file() {
        list(&dist, "", &mut files)?;
    }
    files.retain(|name, path| !is_bundled(&root, name, path));
    let mut code = String::from("&[\n");
    for (name, path) in &files {
        writeln!(code, "    ({name:?}, include_bytes!({:?})),", path.display().to_string())
            .map_err(io::Error::other)?;
    }
    code.push_str("]\n");
    // The tests ask for it too.
    println!("cargo::rustc-env=UNDERSTORY_PAGE={}", if files.is_empty() { "absent" } else { "embedded" });
    origin::tell(&root, "app/src");
    fs::write(PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("page.rs"), code)
}

/// Every file below `folder`, under its path with `/` between the parts.
fn list(folder: &Path, prefix: &str, files: &mut BTreeMap<String, PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let name = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &format!("{name}/"), files)?;
        } else {
            files.insert(name, entry.path().canonicalize()?);
        }
    }
    Ok(())
}

/// Whether the file is one of a model in `models/`, as it is there. What lies in `models/` itself is the page's.
fn is_bundled(root: &Path, name: &str, path: &Path) -> bool {
    let same = |original: PathBuf| fs::read(original).is_ok_and(|bytes| fs::read(path).is_ok_and(|copy| copy == bytes));
    name.strip_prefix("models/").is_some_and(|file| file.contains('/')) && same(root.join(name))
}
