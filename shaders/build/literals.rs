//! The tokens of WGSL text that the rules look at: identifiers and numbers. Comments are skipped; WGSL has no
//! strings, so what remains is punctuation.

use std::ops::Range;

/// Longest float literal that Safari accepts without complaint.
pub const MAX_FLOAT_LITERAL: usize = 20;

/// What a token is; punctuation is not reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    Identifier,
    Integer,
    Float,
}

/// Identifiers and numbers of `text` with their byte ranges, in order.
pub fn tokens(text: &str) -> Vec<(Token, Range<usize>)> {
    let bytes = text.as_bytes();
    let at = |index: usize| bytes.get(index).copied().unwrap_or(b' ');
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii();
    let mut found = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let mut end = start + 1;
        match (at(start), at(end)) {
            (b'/', b'/') => end = text[start..].find('\n').map_or(bytes.len(), |length| start + length),
            (b'/', b'*') => end = block_comment_end(bytes, start),
            (b'.' | b'0'..=b'9', next) if at(start) != b'.' || next.is_ascii_digit() => {
                let hex = at(start) == b'0' && matches!(next, b'x' | b'X');
                let exponent: &[u8] = if hex { b"pP" } else { b"eE" };
                while word(at(end)) || at(end) == b'.' || (b"+-".contains(&at(end)) && exponent.contains(&at(end - 1)))
                {
                    end += 1;
                }
                let body = &bytes[start..end];
                let float = body.contains(&b'.')
                    || body.iter().any(|byte| exponent.contains(byte))
                    || (!hex && matches!(body.last(), Some(b'f' | b'h')));
                found.push((if float { Token::Float } else { Token::Integer }, start..end));
            }
            (byte, _) if word(byte) => {
                while word(at(end)) {
                    end += 1;
                }
                found.push((Token::Identifier, start..end));
            }
            _ => {}
        }
        start = end;
    }
    found
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < bytes.len() {
        let step = match &bytes[at..(at + 2).min(bytes.len())] {
            b"/*" => 1,
            b"*/" => -1,
            _ => 0,
        };
        depth += step;
        at += if step == 0 { 1 } else { 2 };
        if depth == 0 {
            break;
        }
    }
    at
}

/// Value of a decimal float literal, suffix or not; `None` for a hexadecimal one.
pub fn decimal_value(literal: &str) -> Option<f64> {
    literal.trim_end_matches(['f', 'h']).parse().ok()
}

/// Rewrites decimal float literals longer than [`MAX_FLOAT_LITERAL`] in scientific notation, same value:
/// the linker spells `1e30f` as a one and thirty zeros.
pub fn respell_long_floats(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for (token, range) in tokens(text) {
        let literal = &text[range.clone()];
        if token != Token::Float || literal.len() <= MAX_FLOAT_LITERAL {
            continue;
        }
        let Some(value) = decimal_value(literal) else { continue };
        out.push_str(&text[copied..range.start]);
        match literal.as_bytes().last() {
            // A value in f32 needs at most nine digits; as f64 it would show more.
            Some(b'f') => out.push_str(&format!("{:e}f", value as f32)),
            Some(b'h') => out.push_str(&format!("{:e}h", value as f32)),
            _ => out.push_str(&format!("{value:e}")),
        }
        copied = range.end;
    }
    out.push_str(&text[copied..]);
    out
}
