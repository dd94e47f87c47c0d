//! Chat templates: the Jinja2 language as transformers sets it up, with Python's values, within limits.
//!
//! A template comes with a model, so anybody may have written it. It can do nothing but make text, and it ends: its
//! steps, its memory, its output and its nesting are bounded by [`Limits`], and rendering asks its caller now and then
//! whether to go on. Where Jinja2 on Python gives a text, this gives the same; where it raises an exception, this gives
//! an error.
//!
//! Knows no model and no device. Follows Jinja2 3.1 and `transformers/utils/chat_template_utils.py`.

mod args;
mod ast;
mod clock;
mod compare;
mod error;
mod filters;
mod format;
mod globals;
mod interpreter;
mod json;
mod lexer;
mod limits;
mod methods;
mod number;
mod ops;
mod parser;
mod repr;
mod switches;
mod tests;
mod unicode;
mod value;

pub use error::{ErrorKind, Result, TemplateError};
pub use limits::Limits;
pub use value::Value;

/// A template as a tree, with the names and texts in it.
#[derive(Debug, Default)]
struct Program {
    names: Vec<String>,
    texts: Vec<String>,
    loops: Vec<ast::ForNode>,
    macros: Vec<ast::MacroNode>,
    /// names that are set somewhere
    assigned: std::collections::BTreeSet<ast::Symbol>,
    body: Vec<ast::Statement>,
}

/// A template, read once and rendered often.
#[derive(Debug)]
pub struct Template {
    program: Program,
    limits: Limits,
}

impl Template {
    /// # Errors
    /// [`ErrorKind::Syntax`] for a source that is no template; [`ErrorKind::Limit`] for one that is too long or too
    /// deeply nested.
    pub fn new(source: &str) -> Result<Self> {
        Self::with_limits(source, Limits::default())
    }

    /// # Errors
    /// Those of [`Self::new`].
    pub fn with_limits(source: &str, limits: Limits) -> Result<Self> {
        Ok(Self { program: parser::parse(source, &limits)?, limits })
    }

    /// The text of the template with these variables; of two with one name the last counts. `interrupted` is asked every
    /// few thousand steps and ends the rendering with `true`.
    ///
    /// # Errors
    /// [`ErrorKind::Raised`] in the template's own words; [`ErrorKind::Runtime`] where Python or Jinja2 would raise an
    /// exception; [`ErrorKind::Limit`], [`ErrorKind::Interrupted`].
    pub fn render(&self, variables: &[(&str, Value)], interrupted: &dyn Fn() -> bool) -> Result<String> {
        interpreter::render(&self.program, self.limits, variables, interrupted)
    }

    /// The names that the template reads as conditions, never sets and does nothing else with, such as
    /// `enable_thinking`: what a caller may switch. Sorted.
    pub fn switches(&self) -> Vec<String> {
        switches::find(&self.program)
    }
}
