//! The header of one GGUF file: versions 2 and 3, little-endian. After `docs/gguf.md` and `gguf.cpp` of ggml.
//!
//! Nothing in it is believed: each count, length and offset is held against the file's size and the limits here before
//! anything is made of it.

use std::collections::HashMap;

use understory_protocol::foreign::shown;
use understory_protocol::{Error, Result};

use super::value::Value;
use super::window::Window;
use super::{ALIGNMENT, types};
use crate::files::ModelFiles;
use crate::stored::TensorEntry;

const MAGIC: &[u8] = b"GGUF";
const DEFAULT_ALIGNMENT: u64 = 32;
/// An alignment beyond this would be for nothing but to waste space.
const MAX_ALIGNMENT: u64 = 1 << 20;
const MAX_KEYS: u64 = 1 << 16;
const MAX_TENSORS: u64 = 1 << 17;
const MAX_KEY_BYTES: u64 = (1 << 16) - 1;
const MAX_NAME_BYTES: u64 = 1 << 10;
/// `GGML_MAX_DIMS`
const MAX_DIMENSIONS: u32 = 4;

/// What a header says.
pub(super) struct Header {
    pub metadata: HashMap<String, Value>,
    /// Where each key's value lies in the file, in the file's order.
    pub places: Vec<(String, u64, u64)>,
    pub tensors: HashMap<String, TensorEntry>,
}

struct RawTensor {
    name: String,
    shape: Vec<u64>,
    number: u32,
    /// from where the data begins
    offset: u64,
}

impl Header {
    /// # Errors
    /// [`Error::NotAModel`] where the file is absent; [`Error::Truncated`] where it ends before what its header promises;
    /// [`Error::BadFile`] for a header that is none, of another version or byte order, beyond the limits, or with names
    /// that occur twice or tensors that overlap.
    pub fn read(files: &dyn ModelFiles, file: &str) -> Result<Self> {
        let mut window = Window::open(files, file)?;
        begin(&mut window)?;
        let count = |window: &mut Window, what: &str, max: u64| match window.u64()? {
            count if count <= max => Ok(count),
            count => Err(window.bad(format!("counts {count} {what}; at most {max} are expected"))),
        };
        let n_tensors = count(&mut window, "tensors", MAX_TENSORS)?;
        let n_keys = count(&mut window, "keys", MAX_KEYS)?;
        let (mut metadata, mut places) = (HashMap::new(), Vec::new());
        for _ in 0..n_keys {
            let key = text(&mut window, "a key", MAX_KEY_BYTES)?;
            let kind = window.u32()?;
            let from = window.at();
            let value = Value::read(&mut window, kind, &key)?;
            places.push((key.clone(), from, window.at() - from));
            if metadata.insert(key.clone(), value).is_some() {
                return Err(window.bad(format!("has the key `{}` twice", shown(&key))));
            }
        }
        let tensors = (0..n_tensors).map(|_| RawTensor::read(&mut window)).collect::<Result<Vec<_>>>()?;
        let data = window.at().next_multiple_of(alignment(&window, &metadata)?);
        let tensors = placed(&window, tensors, data, alignment(&window, &metadata)?, file)?;
        Ok(Self { metadata, places, tensors })
    }
}

/// The magic number and the version.
fn begin(window: &mut Window) -> Result<()> {
    let magic = window.bytes(MAGIC.len() as u64)?;
    if magic == b"vers" {
        return Err(window.bad("is a Git LFS pointer, not the weights themselves; fetch them with `git lfs pull`"));
    }
    if magic != MAGIC {
        return Err(window.bad("is not a GGUF file: it does not begin with `GGUF`"));
    }
    match window.u32()? {
        2 | 3 => Ok(()),
        version if version & 0xffff == 0 => {
            Err(window.bad("is a GGUF file in big-endian order; little-endian is known"))
        }
        version => Err(window.bad(format!("is of GGUF version {version}; known: 2, 3"))),
    }
}

fn text(window: &mut Window, what: &str, max: u64) -> Result<String> {
    let bytes = window.string(what, max)?.to_vec();
    String::from_utf8(bytes).map_err(|_| window.bad(format!("{what} is not UTF-8")))
}

fn alignment(window: &Window, metadata: &HashMap<String, Value>) -> Result<u64> {
    match metadata.get(ALIGNMENT) {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(value) => match value.count() {
            Some(alignment) if alignment.is_power_of_two() && alignment <= MAX_ALIGNMENT => Ok(alignment),
            _ => Err(window.bad(format!("has no usable {ALIGNMENT}; expected a power of two up to {MAX_ALIGNMENT}"))),
        },
    }
}

impl RawTensor {
    fn read(window: &mut Window) -> Result<Self> {
        let name = text(window, "the name of a tensor", MAX_NAME_BYTES)?;
        let n_dimensions = window.u32()?;
        if n_dimensions > MAX_DIMENSIONS {
            let name = shown(&name);
            return Err(window.bad(format!("gives tensor `{name}` {n_dimensions} dimensions; up to 4 are known")));
        }
        let mut shape = (0..n_dimensions).map(|_| window.u64()).collect::<Result<Vec<_>>>()?;
        // The row's length comes first in the file.
        shape.reverse();
        Ok(Self { name, shape, number: window.u32()?, offset: window.u64()? })
    }
}

/// The tensors by name, at their places in the file.
fn placed(
    window: &Window,
    mut raw: Vec<RawTensor>,
    data: u64,
    alignment: u64,
    file: &str,
) -> Result<HashMap<String, TensorEntry>> {
    raw.sort_by_key(|tensor| tensor.offset);
    let mut tensors = HashMap::with_capacity(raw.len());
    let mut free = data;
    for RawTensor { name, shape, number, offset } in raw {
        let said = || shown(&name);
        let stored = types::stored(number);
        let len = match stored {
            // Of other types nobody reads anything, so their sizes are not our business.
            None => 0,
            Some(stored) => stored.tensor_bytes(&shape).ok_or_else(|| {
                let shape = shown(&format!("{shape:?}"));
                window.bad(format!("gives tensor `{}` the shape {shape}, which {} cannot have", said(), stored.name()))
            })?,
        };
        if !offset.is_multiple_of(alignment) {
            return Err(window.bad(format!("places tensor `{}` at {offset}, no multiple of {alignment}", said())));
        }
        let from = data.saturating_add(offset);
        let end = from.saturating_add(len);
        if end > window.file_len() {
            return Err(Error::Truncated { file: file.into(), expected: end, actual: window.file_len() });
        }
        if from < free {
            return Err(window.bad(format!("places tensor `{}` over another", said())));
        }
        free = end;
        let entry = TensorEntry { type_name: types::name(number), stored, shape, offset: from, len };
        if tensors.contains_key(&name) {
            return Err(window.bad(format!("has the tensor `{}` twice", said())));
        }
        tensors.insert(name, entry);
    }
    Ok(tensors)
}
