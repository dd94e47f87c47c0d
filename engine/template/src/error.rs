//! What can go wrong in a template, with messages of bounded length.

use std::fmt;

/// Longest message, characters; what a template says beyond that is cut.
const LONGEST: usize = 500;

/// Why a template was refused or its rendering ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The source is not a template.
    Syntax,
    /// The template's own refusal: `raise_exception`.
    Raised,
    /// A number of [`Limits`](crate::Limits) was reached.
    Limit,
    /// The caller asked for an end.
    Interrupted,
    /// Python or Jinja2 would raise an exception here.
    Runtime,
}

/// An error of parsing or rendering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    pub kind: ErrorKind,
    /// at most 500 characters
    pub message: String,
    /// line of the template, from 1
    pub line: Option<u32>,
}

/// Boxed, so that results of small values stay small.
pub type Error = Box<TemplateError>;
pub type Result<T> = std::result::Result<T, Error>;

impl TemplateError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Box::new(Self { kind, message: shortened(message.into(), LONGEST), line: None })
    }

    pub(crate) fn at(mut self: Box<Self>, line: u32) -> Error {
        self.line.get_or_insert(line);
        self
    }
}

impl fmt::Display for TemplateError {
    /// A refusal of the template's own is given in its own words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.line {
            Some(line) if self.kind != ErrorKind::Raised => write!(f, " (line {line} of the template)"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for TemplateError {}

/// An error as Python or Jinja2 raises it.
pub(crate) fn runtime<T>(message: impl Into<String>) -> Result<T> {
    Err(TemplateError::new(ErrorKind::Runtime, message))
}

pub(crate) fn limit<T>(message: impl Into<String>) -> Result<T> {
    Err(TemplateError::new(ErrorKind::Limit, message))
}

/// At most `longest` characters of `text`, with an ellipsis where it was cut.
pub(crate) fn shortened(mut text: String, longest: usize) -> String {
    if let Some((at, _)) = text.char_indices().nth(longest) {
        text.truncate(at);
        text.push('…');
    }
    text
}
