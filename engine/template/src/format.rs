//! Text with values in it: `%`, `str.format` and their numbers.

pub(crate) mod braces;
pub(crate) mod numeric;
pub(crate) mod percent;
mod spec;

use crate::error::Result;
use crate::limits::Budget;

/// `text` in a field of `width` characters. With the alignment `=`, what is missing goes behind the first `sign_len`
/// bytes.
fn padded(budget: &Budget<'_>, text: &str, width: usize, fill: char, align: char, sign_len: usize) -> Result<String> {
    let count = text.chars().count();
    let missing = width.saturating_sub(count);
    budget.alloc(text.len().saturating_add(missing.saturating_mul(fill.len_utf8())))?;
    let (sign, rest) = text.split_at(sign_len);
    let (before, within, after) = match align {
        '<' => (0, 0, missing),
        '^' => (missing / 2, 0, missing - missing / 2),
        '=' => (0, missing, 0),
        _ => (missing, 0, 0),
    };
    let fill = |n: usize| std::iter::repeat_n(fill, n);
    let mut out = String::new();
    out.extend(fill(before));
    out.push_str(sign);
    out.extend(fill(within));
    out.push_str(rest);
    out.extend(fill(after));
    Ok(out)
}
