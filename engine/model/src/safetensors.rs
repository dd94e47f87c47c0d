//! The header of a safetensors file: eight bytes of length, then JSON that says which tensor lies where.
//!
//! Read through [`ModelFiles::range`], so that only the header is touched; the `safetensors` crate would want the
//! whole file in one slice. Its rules hold: the tensors fill the file from the header to the end, without gaps.

use std::collections::HashMap;

use serde::Deserialize;
use understory_protocol::foreign::shown;
use understory_protocol::{Error, Result};

use super::files::{ModelFiles, read_small};
use super::repository::{WEIGHTS, WEIGHTS_INDEX, shard_names};
use super::stored::{StoredType, TensorEntry};

/// The limit of the `safetensors` crate; a longer header is a sign of something else than a header.
const MAX_HEADER_BYTES: u64 = 100_000_000;
const LENGTH_BYTES: u64 = 8;

/// The types that are read, for errors.
pub(crate) const KNOWN: &str = "F32, F16, BF16";

fn stored(name: &str) -> Option<StoredType> {
    [StoredType::F32, StoredType::F16, StoredType::Bf16].into_iter().find(|stored| stored.name() == name)
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawEntry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// The tensors of one file by name.
///
/// # Errors
/// [`Error::NotAModel`] where the file is absent; [`Error::Truncated`] where it ends before what its header promises;
/// [`Error::BadFile`] for a header that is none, or offsets that overlap, leave gaps or do not fit the shapes.
pub(crate) fn read_header(files: &dyn ModelFiles, file: &str) -> Result<HashMap<String, TensorEntry>> {
    let missing = || Error::NotAModel { path: files.name().into(), missing: file.into() };
    let bad = |reason: String| Error::BadFile { file: file.into(), reason };
    let actual = files.len(file)?.ok_or_else(missing)?;
    if actual < LENGTH_BYTES {
        return Err(Error::Truncated { file: file.into(), expected: LENGTH_BYTES, actual });
    }
    let length = files.range(file, 0, LENGTH_BYTES)?;
    let length: [u8; 8] = length[..].try_into().map_err(|_| bad("gave fewer bytes than asked for".into()))?;
    if length.starts_with(b"version ") {
        return Err(bad("is a Git LFS pointer, not the weights themselves; fetch them with `git lfs pull`".into()));
    }
    let header_bytes = u64::from_le_bytes(length);
    if header_bytes > MAX_HEADER_BYTES {
        return Err(bad(format!("is not a safetensors file: a header of {header_bytes} bytes is too long")));
    }
    let data_start = LENGTH_BYTES + header_bytes;
    if data_start > actual {
        return Err(Error::Truncated { file: file.into(), expected: data_start, actual });
    }
    let header = files.range(file, LENGTH_BYTES, header_bytes)?;
    let mut raw: HashMap<String, serde_json::Value> =
        serde_json::from_slice(&header).map_err(|error| bad(format!("has a header that is not JSON: {error}")))?;
    raw.remove("__metadata__");
    let mut tensors = Vec::with_capacity(raw.len());
    for (name, value) in raw {
        let entry = RawEntry::deserialize(&value).map_err(|error| {
            bad(format!("describes the tensor `{}` in a way that is not understood: {error}", shown(&name)))
        })?;
        tensors.push((name, entry));
    }
    tensors.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut end = 0;
    for (name, RawEntry { dtype, shape, data_offsets: [from, to] }) in &tensors {
        if *from != end || to < from {
            let name = shown(name);
            return Err(bad(format!("places tensor `{name}` at bytes {from} to {to}; expected it to begin at {end}")));
        }
        let given = to - from;
        // Of other types nobody reads anything, so their sizes are not our business.
        if let Some(known) = stored(dtype)
            && known.tensor_bytes(shape) != Some(given)
        {
            return Err(bad(format!(
                "gives tensor `{}` {given} bytes; {dtype} of shape {} has another size",
                shown(name),
                shown(&format!("{shape:?}"))
            )));
        }
        end = *to;
    }
    let expected = data_start.saturating_add(end);
    if expected > actual {
        return Err(Error::Truncated { file: file.into(), expected, actual });
    }
    if expected < actual {
        return Err(bad(format!("has {} bytes after its last tensor", actual - expected)));
    }
    let place = |(name, raw): (String, RawEntry)| {
        let [from, to] = raw.data_offsets;
        let stored = stored(&raw.dtype);
        let entry =
            TensorEntry { type_name: raw.dtype, stored, shape: raw.shape, offset: data_start + from, len: to - from };
        (name, entry)
    };
    Ok(tensors.into_iter().map(place).collect())
}

/// Which files hold the tensors: the single one, or those that the index lists.
///
/// # Errors
/// [`Error::NotAModel`] where there is neither; [`Error::BadFile`] for an index that is not one or that names files
/// outside of the model's folder.
pub(crate) fn weight_files(files: &dyn ModelFiles) -> Result<Vec<String>> {
    if files.len(WEIGHTS)?.is_some() {
        return Ok(vec![WEIGHTS.into()]);
    }
    let Some(index) = read_small(files, WEIGHTS_INDEX)? else {
        return Err(Error::NotAModel { path: files.name().into(), missing: WEIGHTS.into() });
    };
    shard_names(&index).map_err(|reason| Error::BadFile { file: WEIGHTS_INDEX.into(), reason })
}
