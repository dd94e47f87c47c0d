//! Which names of a repository's files may become paths on this computer, whatever its system.

use understory_protocol::foreign::is_command;

/// Bytes of a name, with its folders.
const MOST_BYTES: usize = 1024;
/// Bytes of one component, as most file systems have it.
const MOST_COMPONENT_BYTES: usize = 255;
const MOST_COMPONENTS: usize = 16;

/// Whether `name` is a relative path of plain components with `/` between them, on every system: nothing that leads
/// elsewhere (`..`, a drive, a backslash), that names a device of Windows, or that a terminal would act upon.
pub fn is_plain_path(name: &str) -> bool {
    name.len() <= MOST_BYTES && name.split('/').count() <= MOST_COMPONENTS && name.split('/').all(is_plain_component)
}

/// Whether no repository of git can hold a file of that name: it is not inside the repository.
pub(super) fn is_outside(name: &str) -> bool {
    name.contains('\0') || name.split('/').any(|part| matches!(part, "" | "." | ".."))
}

fn is_plain_component(part: &str) -> bool {
    // The byte order mark among them: it is not seen.
    let is_reserved =
        |c: char| matches!(c, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' | '\u{feff}') || is_command(c);
    !part.is_empty()
        && part.len() <= MOST_COMPONENT_BYTES
        && !part.contains(is_reserved)
        // `.` and `..` too; Windows drops such ends.
        && !part.ends_with(['.', ' '])
        && !is_device(part)
}

/// Names that Windows gives to devices, in every folder and with every extension.
fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end().to_ascii_uppercase();
    let numbered = ["COM", "LPT"].iter().find_map(|kind| stem.strip_prefix(kind));
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || numbered
            .is_some_and(|number| matches!(number, "¹" | "²" | "³") || matches!(number.as_bytes(), [b'0'..=b'9']))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asking `std::path` alone fails this on all systems but one: what is a plain name there is a device, a drive or a
    /// folder elsewhere.
    #[test]
    fn plain_paths_mean_the_same_file_on_every_system() {
        for name in
            ["a", "model-00001-of-00002.safetensors", "sub/dir/a.b", "größe/模型", ".hidden", "comma,", "com", "COM10"]
        {
            assert!(is_plain_path(name), "{name}");
        }
        let long = "x".repeat(256);
        let deep = "a/".repeat(16) + "a";
        let devices = ["CON", "nul.txt", "sub/Aux", "com1", "LPT9.x", "COM¹", "conin$", "NUL .txt"];
        let elsewhere = ["", ".", "..", "a/../b", "/a", "a/", "a//b", "a\\b", "C:a", "C:/a", "\\\\host\\a", "a:stream"];
        let unseen = ["a\0", "a\nb", "a\u{1b}[2J", "a\u{202e}b", "a.", "a ", "what?"];
        for name in devices.into_iter().chain(elsewhere).chain(unseen).chain([long.as_str(), &deep]) {
            assert!(!is_plain_path(name), "{name:?}");
        }
    }
}
