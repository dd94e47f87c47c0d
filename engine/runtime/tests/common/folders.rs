//! Model folders for tests; needs no crate of this workspace, so that every crate's tests can include it.

use std::path::Path;

/// A copy of `folder`, with other contents in the files that `replaced` names.
pub fn copy_with(folder: &Path, replaced: &[(&str, &[u8])]) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a temporary folder");
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().expect("a file has a name");
        if replaced.iter().all(|(file, _)| name != *file) {
            std::fs::copy(&path, copy.path().join(name)).expect("copies");
        }
    }
    for (file, contents) in replaced {
        std::fs::write(copy.path().join(file), contents).expect("writes");
    }
    copy
}
