//! The case of text.

use crate::error::Result;
use crate::limits::Budget;
use crate::unicode::{is_cased, is_titlecase};

pub(crate) fn lower(budget: &Budget<'_>, text: &str) -> Result<String> {
    budget.alloc_n(text.len(), 2)?;
    budget.step(text.len() as u64 / 8)?;
    Ok(text.to_lowercase())
}

pub(super) fn upper(budget: &Budget<'_>, text: &str) -> Result<String> {
    budget.alloc_n(text.len(), 3)?;
    budget.step(text.len() as u64 / 8)?;
    Ok(text.to_uppercase())
}

/// The first of a word: large, and small where its large form is two letters.
fn push_title(out: &mut String, c: char) {
    if is_titlecase(c) {
        out.push(c);
        return;
    }
    let mut upper = c.to_uppercase();
    out.extend(upper.next());
    upper.for_each(|c| out.extend(c.to_lowercase()));
}

/// Small letters, with the sigma that ends a word.
fn push_lower(out: &mut String, text: &str, at: usize, c: char) {
    if c != 'Σ' {
        out.extend(c.to_lowercase());
        return;
    }
    let end = at + c.len_utf8();
    let ends =
        text[..at].chars().next_back().is_some_and(is_cased) && !text[end..].chars().next().is_some_and(is_cased);
    out.push(if ends { 'ς' } else { 'σ' });
}

pub(super) fn capitalize(budget: &Budget<'_>, text: &str) -> Result<String> {
    budget.alloc_n(text.len(), 3)?;
    budget.step(text.len() as u64 / 8)?;
    let mut out = String::new();
    for (at, c) in text.char_indices() {
        if at == 0 { push_title(&mut out, c) } else { push_lower(&mut out, text, at, c) }
    }
    Ok(out)
}

pub(super) fn title(budget: &Budget<'_>, text: &str) -> Result<String> {
    budget.alloc_n(text.len(), 3)?;
    budget.step(text.len() as u64 / 8)?;
    let mut out = String::new();
    let mut within = false;
    for (at, c) in text.char_indices() {
        if within {
            push_lower(&mut out, text, at, c)
        } else {
            push_title(&mut out, c)
        }
        within = is_cased(c);
    }
    Ok(out)
}

pub(super) fn swapcase(budget: &Budget<'_>, text: &str) -> Result<String> {
    budget.alloc_n(text.len(), 3)?;
    budget.step(text.len() as u64 / 8)?;
    let mut out = String::new();
    for (at, c) in text.char_indices() {
        if c.is_uppercase() {
            push_lower(&mut out, text, at, c);
        } else {
            out.extend(c.to_uppercase());
        }
    }
    Ok(out)
}

/// Small letters for comparison, with the letters whose small form is more than one.
pub(super) fn casefold(budget: &Budget<'_>, text: &str) -> Result<String> {
    budget.alloc_n(text.len(), 3)?;
    budget.step(text.len() as u64 / 8)?;
    let mut out = String::new();
    for c in text.chars() {
        match c {
            'ß' | 'ẞ' => out.push_str("ss"),
            'ς' => out.push('σ'),
            'ſ' => out.push('s'),
            'ŉ' => out.push_str("ʼn"),
            'µ' => out.push('μ'),
            '\u{fb00}' => out.push_str("ff"),
            '\u{fb01}' => out.push_str("fi"),
            '\u{fb02}' => out.push_str("fl"),
            '\u{fb03}' => out.push_str("ffi"),
            '\u{fb04}' => out.push_str("ffl"),
            '\u{fb05}' | '\u{fb06}' => out.push_str("st"),
            c => out.extend(c.to_lowercase()),
        }
    }
    Ok(out)
}
