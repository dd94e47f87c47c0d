//! The values of a header's metadata. Lists stay in the file: only where they lie is kept.

use understory_protocol::Result;
use understory_protocol::foreign::shown;

use super::window::Window;

/// Bytes of a string among the metadata, a chat template say, or a token.
pub(super) const MAX_STRING: u64 = 1 << 20;
/// How deeply lists nest.
const MAX_DEPTH: usize = 4;

const BOOL: u32 = 7;
pub(super) const STRING: u32 = 8;
const ARRAY: u32 = 9;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Unsigned(u64),
    Signed(i64),
    /// an f32 has the same value as an f64
    Float(f64),
    Bool(bool),
    Text(String),
    List(List),
}

/// A list in the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct List {
    /// the type of its elements
    pub kind: u32,
    pub count: u64,
    /// bytes of the file
    pub offset: u64,
    pub len: u64,
}

impl Value {
    /// The value of this type that comes next. `key` is for errors.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(window: &mut Window, kind: u32, key: &str) -> Result<Self> {
        Ok(match kind {
            STRING => {
                let bytes = window.string(&format!("the value of `{}`", shown(key)), MAX_STRING)?;
                Self::Text(String::from_utf8_lossy(bytes).into_owned())
            }
            ARRAY => Self::List(List::pass(window, key, 1)?),
            _ => Self::scalar(window, kind, key)?,
        })
    }

    /// A number or a truth value.
    pub(super) fn scalar(window: &mut Window, kind: u32, key: &str) -> Result<Self> {
        Ok(match kind {
            0 => Self::Unsigned(window.u8()?.into()),
            1 => Self::Signed(window.u8()?.cast_signed().into()),
            2 => Self::Unsigned(window.u16()?.into()),
            3 => Self::Signed(window.u16()?.cast_signed().into()),
            4 => Self::Unsigned(window.u32()?.into()),
            5 => Self::Signed(window.u32()?.cast_signed().into()),
            6 => Self::Float(f32::from_bits(window.u32()?).into()),
            BOOL => Self::Bool(window.u8()? != 0),
            10 => Self::Unsigned(window.u64()?),
            11 => Self::Signed(window.u64()?.cast_signed()),
            12 => Self::Float(f64::from_bits(window.u64()?)),
            other => return Err(unknown(window, other, key)),
        })
    }

    /// A whole number, not negative.
    pub fn count(&self) -> Option<u64> {
        match *self {
            Self::Unsigned(count) => Some(count),
            Self::Signed(count) => u64::try_from(count).ok(),
            _ => None,
        }
    }

    pub fn number(&self) -> Option<f64> {
        match *self {
            Self::Unsigned(number) => Some(number as f64),
            Self::Signed(number) => Some(number as f64),
            Self::Float(number) => Some(number),
            _ => None,
        }
    }
}

impl List {
    /// Passes over a list.
    fn pass(window: &mut Window, key: &str, depth: usize) -> Result<Self> {
        let (kind, count) = (window.u32()?, window.u64()?);
        let offset = window.at();
        match kind {
            STRING => {
                let what = format!("a string of `{}`", shown(key));
                for _ in 0..count {
                    let len = window.string_len(&what, MAX_STRING)?;
                    window.skip(len)?;
                }
            }
            ARRAY if depth == MAX_DEPTH => {
                return Err(window.bad(format!("`{}` is a list of lists, more than {MAX_DEPTH} deep", shown(key))));
            }
            ARRAY => {
                for _ in 0..count {
                    Self::pass(window, key, depth + 1)?;
                }
            }
            _ => {
                let bytes = size(kind).ok_or_else(|| unknown(window, kind, key))?;
                window.skip(count.saturating_mul(bytes))?;
            }
        }
        Ok(Self { kind, count, offset, len: window.at() - offset })
    }
}

/// Bytes of a number or a truth value.
fn size(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | BOOL => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

fn unknown(window: &Window, kind: u32, key: &str) -> understory_protocol::Error {
    window.bad(format!("gives `{}` a value of type {kind}; types from 0 to 12 are known", shown(key)))
}
