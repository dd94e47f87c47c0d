//! Numbers and texts of a source.

use super::Token;
use crate::unicode::escape;

/// The number at byte `at` of `source`, and its length in bytes.
///
/// # Errors
/// The reason, where it is too large.
pub(super) fn number(source: &str, at: usize) -> Result<(Token, usize), String> {
    let rest = &source.as_bytes()[at..];
    let after_dot = at > 0 && source.as_bytes()[at - 1] == b'.';
    if !after_dot && let Some(len) = float_len(rest) {
        let value = source[at..at + len].replace('_', "").parse().map_err(|_| "not a number")?;
        return Ok((Token::Float(value), len));
    }
    let (radix, prefix) = match rest {
        [b'0', b'x' | b'X', ..] => (16, 2),
        [b'0', b'o' | b'O', ..] => (8, 2),
        [b'0', b'b' | b'B', ..] => (2, 2),
        _ => (10, 0),
    };
    let digit = |byte: &u8| char::from(*byte).is_digit(radix) && (prefix > 0 || rest[0] != b'0' || *byte == b'0');
    let digits = grouped(&rest[prefix..], prefix > 0, digit);
    // `0x` without digits is a 0 and a name.
    let (radix, prefix, len) = if digits == 0 { (10, 0, 1) } else { (radix, prefix, prefix + digits) };
    let text = source[at + prefix..at + len].replace('_', "");
    let value = i128::from_str_radix(&text, radix).map_err(|_| "whole numbers are limited to 128 bits")?;
    Ok((Token::Int(value), len))
}

/// Length of digits with single underscores between them; `leading`: one may be in front.
fn grouped(bytes: &[u8], leading: bool, digit: impl Fn(&u8) -> bool) -> usize {
    let mut len = 0;
    loop {
        let underscore = usize::from((leading || len > 0) && bytes.get(len) == Some(&b'_'));
        if !bytes.get(len + underscore).is_some_and(&digit) {
            return len;
        }
        len += underscore + 1;
    }
}

fn float_len(bytes: &[u8]) -> Option<usize> {
    let digits = |from: usize| grouped(bytes.get(from..).unwrap_or_default(), false, u8::is_ascii_digit);
    let whole = digits(0);
    let decimals = if bytes.get(whole) == Some(&b'.') { digits(whole + 1) } else { 0 };
    let mantissa = if decimals > 0 { whole + 1 + decimals } else { whole };
    if matches!(bytes.get(mantissa), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(mantissa + 1), Some(b'+' | b'-')));
        let exponent = digits(mantissa + 1 + sign);
        if exponent > 0 {
            return Some(mantissa + 1 + sign + exponent);
        }
    }
    (decimals > 0).then_some(mantissa)
}

/// Length of the text in quotes that `rest` starts with.
pub(super) fn string_len(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let quote = *bytes.first().filter(|byte| matches!(byte, b'\'' | b'"'))?;
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match *byte {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// A text without its escapes, as Python's codec `unicode-escape` reads it after `backslashreplace`.
///
/// # Errors
/// The reason, for an escape that is cut short or is no character.
pub(super) fn unescaped(text: &str) -> Result<String, String> {
    if !text.contains('\\') {
        return Ok(text.into());
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let hex = match chars.next() {
            None => return Err("\\ at end of string".into()),
            Some('\n') => continue,
            Some(quoted @ ('\\' | '\'' | '"')) => {
                out.push(quoted);
                continue;
            }
            Some('a') => '\u{7}'.into(),
            Some('b') => '\u{8}'.into(),
            Some('f') => '\u{c}'.into(),
            Some('n') => '\n'.into(),
            Some('r') => '\r'.into(),
            Some('t') => '\t'.into(),
            Some('v') => '\u{b}'.into(),
            Some(first @ '0'..='7') => {
                let mut code = first.to_digit(8).unwrap_or_default();
                for _ in 0..2 {
                    let Some(digit) = chars.peek().and_then(|c| c.to_digit(8)) else { break };
                    code = code * 8 + digit;
                    chars.next();
                }
                char::from_u32(code)
            }
            Some('x') => code(&mut chars, 2)?,
            Some('u') => code(&mut chars, 4)?,
            Some('U') => code(&mut chars, 8)?,
            Some('N') => return Err("escapes of characters by name are not supported".into()),
            // The character was an escape itself by then, and lost its backslash.
            Some(other) if !other.is_ascii() => {
                out.push_str(&escape(other));
                continue;
            }
            Some(other) => {
                out.extend(['\\', other]);
                continue;
            }
        };
        out.push(hex.ok_or("an escape is no character")?);
    }
    Ok(out)
}

fn code(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, digits: usize) -> Result<Option<char>, String> {
    let mut code = 0_u32;
    for _ in 0..digits {
        let digit = chars.next().and_then(|c| c.to_digit(16)).ok_or("an escape is cut short")?;
        code = code << 4 | digit;
    }
    Ok(char::from_u32(code))
}
