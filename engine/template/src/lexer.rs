//! A source as tokens, with the whitespace rules that transformers sets: `trim_blocks` and `lstrip_blocks`.
//!
//! Follows `lexer.py` of Jinja2 3.1.

mod literal;

use crate::error::{ErrorKind, Result, TemplateError};
use crate::unicode::is_space;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Data(String),
    VariableBegin,
    VariableEnd,
    BlockBegin,
    BlockEnd,
    Name(String),
    Str(String),
    Int(i128),
    Float(f64),
    Op(&'static str),
    Eof,
}

/// Longer ones first.
const OPERATORS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".",
    ":", "|", ",", ";",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    Variable,
    Block,
}

/// The tokens of `source` with their lines; an end at the end.
///
/// # Errors
/// [`ErrorKind::Syntax`] where Jinja2 reads no token either.
pub(crate) fn tokens(source: &str) -> Result<Vec<(Token, u32)>> {
    let mut source = source.replace("\r\n", "\n").replace('\r', "\n");
    if source.ends_with('\n') {
        source.pop();
    }
    let mut lexer = Lexer { source: &source, at: 0, line: 1, line_starting: true, tokens: Vec::new() };
    while lexer.at < lexer.source.len() {
        lexer.text()?;
    }
    lexer.token(Token::Eof);
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: u32,
    /// the last match ended a line
    line_starting: bool,
    tokens: Vec<(Token, u32)>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn token(&mut self, token: Token) {
        self.tokens.push((token, self.line));
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(TemplateError::new(ErrorKind::Syntax, message).at(self.line))
    }

    /// Moves on by `bytes`.
    fn skip(&mut self, bytes: usize) {
        let passed = &self.rest()[..bytes];
        self.line += passed.matches('\n').count() as u32;
        if !passed.is_empty() {
            self.line_starting = passed.ends_with('\n');
        }
        self.at += bytes;
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.skip(rest.len() - rest.trim_start_matches(is_space).len());
    }

    /// Text up to the next tag, and that tag.
    fn text(&mut self) -> Result<()> {
        let rest = self.rest();
        let opens = |(at, _): &(usize, &str)| matches!(rest.as_bytes().get(at + 1), Some(b'%' | b'{' | b'#'));
        let Some((at, _)) = rest.match_indices('{').find(opens) else {
            self.token(Token::Data(rest.into()));
            self.skip(rest.len());
            return Ok(());
        };
        let kind = rest.as_bytes()[at + 1];
        let sign = rest[at + 2..].chars().next().filter(|c| matches!(c, '-' | '+'));
        let data = self.stripped(&rest[..at], sign, kind != b'{');
        if !data.is_empty() {
            self.token(Token::Data(data.into()));
        }
        self.skip(at);
        let open = 2 + usize::from(sign.is_some());
        match kind {
            b'#' => self.comment(open),
            b'{' => {
                self.token(Token::VariableBegin);
                self.skip(open);
                self.expression(Tag::Variable)
            }
            _ => match raw_tag(&self.rest()[open..], "raw") {
                Some(len) => self.raw(open + len),
                None => {
                    self.token(Token::BlockBegin);
                    self.skip(open);
                    self.expression(Tag::Block)
                }
            },
        }
    }

    /// `text` before a tag with this sign. `block`: the tag is none of a variable.
    fn stripped(&self, text: &'a str, sign: Option<char>, block: bool) -> &'a str {
        match sign {
            Some('-') => text.trim_end_matches(is_space),
            None if block => {
                let line = text.rfind('\n').map_or(0, |at| at + 1);
                let indents = (line > 0 || self.line_starting) && text[line..].chars().all(is_space);
                if indents { &text[..line] } else { text }
            }
            _ => text,
        }
    }

    /// The whitespace after a tag that ended with `sign`.
    fn after_block(&mut self, sign: Option<char>) {
        match sign {
            Some('-') => self.skip_space(),
            None if self.rest().starts_with('\n') => self.skip(1),
            _ => {}
        }
    }

    fn comment(&mut self, open: usize) -> Result<()> {
        let body = &self.rest()[open..];
        let Some(end) = body.find("#}") else {
            // With nothing behind it, Jinja2 does not look for the end.
            self.skip(open);
            return if body.is_empty() { Ok(()) } else { self.fail("Missing end of comment tag") };
        };
        let sign = body[..end].chars().next_back().filter(|c| matches!(c, '-' | '+'));
        self.skip(open + end + 2);
        self.after_block(sign);
        Ok(())
    }

    /// Text up to `endraw`, as it is.
    fn raw(&mut self, open: usize) -> Result<()> {
        let strips = self.rest()[..open].ends_with("-%}");
        self.skip(open);
        if strips {
            self.skip_space();
        }
        let rest = self.rest();
        for (at, _) in rest.match_indices("{%") {
            let sign = rest[at + 2..].chars().next().filter(|c| matches!(c, '-' | '+'));
            let open = at + 2 + usize::from(sign.is_some());
            let Some(len) = raw_tag(&rest[open..], "endraw") else { continue };
            let data = self.stripped(&rest[..at], sign, true);
            if !data.is_empty() {
                self.token(Token::Data(data.into()));
            }
            let close = rest[..open + len - 2].chars().next_back().filter(|c| matches!(c, '-' | '+'));
            self.skip(open + len);
            self.after_block(close);
            return Ok(());
        }
        self.at = self.source.len();
        if rest.is_empty() { Ok(()) } else { self.fail("Missing end of raw directive") }
    }

    /// Tokens up to the end of the tag.
    fn expression(&mut self, tag: Tag) -> Result<()> {
        let mut open: Vec<&'static str> = Vec::new();
        loop {
            if open.is_empty() && self.tag_end(tag) {
                return Ok(());
            }
            let rest = self.rest();
            let Some(first) = rest.chars().next() else { return Ok(()) };
            if is_space(first) {
                self.skip_space();
            } else if first.is_ascii_digit() {
                let (token, len) = literal::number(self.source, self.at).or_else(|message| self.fail(message))?;
                self.token(token);
                self.skip(len);
            } else if first.is_alphanumeric() || first == '_' {
                let len = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                self.token(Token::Name(rest[..len].into()));
                self.skip(len);
            } else if let Some(len) = literal::string_len(rest) {
                let text = literal::unescaped(&rest[1..len - 1]).or_else(|message| self.fail(message))?;
                self.token(Token::Str(text));
                self.skip(len);
            } else if let Some(operator) = OPERATORS.iter().find(|operator| rest.starts_with(**operator)) {
                self.balance(&mut open, operator)?;
                self.token(Token::Op(operator));
                self.skip(operator.len());
            } else {
                return self.fail(format!("unexpected char {first:?}"));
            }
        }
    }

    fn balance(&self, open: &mut Vec<&'static str>, operator: &'static str) -> Result<()> {
        match operator {
            "{" => open.push("}"),
            "(" => open.push(")"),
            "[" => open.push("]"),
            "}" | ")" | "]" => match open.pop() {
                None => return self.fail(format!("unexpected '{operator}'")),
                Some(expected) if expected != operator => {
                    return self.fail(format!("unexpected '{operator}', expected '{expected}'"));
                }
                Some(_) => {}
            },
            _ => {}
        }
        Ok(())
    }

    /// Whether the tag ends here, and then what belongs to its end.
    fn tag_end(&mut self, tag: Tag) -> bool {
        let rest = self.rest();
        let end = if tag == Tag::Variable { "}}" } else { "%}" };
        let sign = rest.chars().next().filter(|c| *c == '-' || *c == '+' && tag == Tag::Block);
        let signed = usize::from(sign.is_some());
        if !rest[signed..].starts_with(end) {
            return false;
        }
        self.token(if tag == Tag::Variable { Token::VariableEnd } else { Token::BlockEnd });
        self.skip(signed + 2);
        if tag == Tag::Block || sign.is_some() {
            self.after_block(sign);
        } else {
            self.line_starting = false;
        }
        true
    }
}

/// The length of `raw -%}` or `endraw %}` at the start of `text`, whitespace before the name included.
fn raw_tag(text: &str, name: &str) -> Option<usize> {
    let rest = text.trim_start_matches(is_space).strip_prefix(name)?.trim_start_matches(is_space);
    let rest = match rest.strip_prefix('-') {
        Some(rest) => rest,
        None if name == "endraw" => rest.strip_prefix('+').unwrap_or(rest),
        None => rest,
    };
    rest.strip_prefix("%}").map(|rest| text.len() - rest.len())
}
