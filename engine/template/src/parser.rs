//! Tokens to a tree, in the grammar of `parser.py` of Jinja2 3.1.
//!
//! Neither the depth of the recursion nor that of the tree can exceed what a small stack holds.

mod call;
mod expression;
mod statement;
mod target;

use std::collections::{HashMap, HashSet};

use crate::Program;
use crate::ast::{Catches, Expr, Node, Symbol};
use crate::error::{ErrorKind, Result, TemplateError};
use crate::lexer::{Token, tokens};
use crate::limits::{Limits, NESTING, STACK, stack_address};

/// Deepest recursion of the parser: parentheses, arguments, blocks.
const LEVELS: usize = 100;

/// Parses a whole template.
///
/// # Errors
/// [`ErrorKind::Syntax`], [`ErrorKind::Limit`].
pub(crate) fn parse(source: &str, limits: &Limits) -> Result<Program> {
    if source.len() > limits.source_bytes {
        let message = format!("the template has {} bytes; at most {} are read", source.len(), limits.source_bytes);
        return Err(TemplateError::new(ErrorKind::Limit, message));
    }
    let mut parser = Parser {
        tokens: tokens(source)?,
        at: 0,
        level: 0,
        stack: stack_address(),
        conditional: 0,
        loops: 0,
        catches: Vec::new(),
        symbols: HashMap::new(),
        blocks: HashSet::new(),
        program: Program::default(),
    };
    parser.program.body = parser.statements_until(&[])?;
    Ok(parser.program)
}

struct Parser {
    tokens: Vec<(Token, u32)>,
    at: usize,
    level: usize,
    /// where the stack was at the start
    stack: usize,
    /// within so many `if`s, where an unknown filter is an error only once it is used
    conditional: usize,
    /// within so many loops, where nothing else may be called `loop`
    loops: usize,
    /// what the macros around ask for
    catches: Vec<Catches>,
    symbols: HashMap<String, Symbol>,
    /// names of `block`s
    blocks: HashSet<String>,
    program: Program,
}

impl Parser {
    /// The end is the last token; there is always one.
    fn peek(&self) -> &Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)].0
    }

    fn peek_after(&self) -> &Token {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].0
    }

    fn line(&self) -> u32 {
        self.tokens[self.at.min(self.tokens.len() - 1)].1
    }

    fn next(&mut self) -> Token {
        let at = self.at.min(self.tokens.len() - 1);
        self.at += 1;
        match self.tokens[at].0 {
            Token::Eof => Token::Eof,
            _ => std::mem::replace(&mut self.tokens[at].0, Token::Op(";")),
        }
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(TemplateError::new(ErrorKind::Syntax, message).at(self.line()))
    }

    fn unexpected<T>(&self, expected: &str) -> Result<T> {
        let got = match self.peek() {
            Token::Eof => "the end of the template".into(),
            Token::Data(_) => "text".into(),
            Token::VariableBegin => "'{{'".into(),
            Token::VariableEnd => "'}}'".into(),
            Token::BlockBegin => "'{%'".into(),
            Token::BlockEnd => "'%}'".into(),
            Token::Name(name) => format!("'{name}'"),
            Token::Str(text) => format!("the text '{text}'"),
            Token::Int(value) => format!("{value}"),
            Token::Float(value) => format!("{value}"),
            Token::Op(operator) => format!("'{operator}'"),
        };
        self.fail(format!("expected {expected}, got {got}"))
    }

    fn is_op(&self, operator: &str) -> bool {
        matches!(self.peek(), Token::Op(op) if *op == operator)
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Token::Name(other) if other == name)
    }

    fn skip_op(&mut self, operator: &str) -> bool {
        let here = self.is_op(operator);
        self.at += usize::from(here);
        here
    }

    fn skip_name(&mut self, name: &str) -> bool {
        let here = self.is_name(name);
        self.at += usize::from(here);
        here
    }

    fn expect_op(&mut self, operator: &str) -> Result<()> {
        if self.skip_op(operator) { Ok(()) } else { self.unexpected(&format!("'{operator}'")) }
    }

    fn expect_word(&mut self, name: &str) -> Result<()> {
        if self.skip_name(name) { Ok(()) } else { self.unexpected(&format!("'{name}'")) }
    }

    fn expect(&mut self, token: &Token, what: &str) -> Result<()> {
        if self.peek() == token {
            self.at += 1;
            return Ok(());
        }
        self.unexpected(what)
    }

    fn expect_name(&mut self) -> Result<String> {
        match self.peek() {
            Token::Name(_) => match self.next() {
                Token::Name(name) => Ok(name),
                _ => self.unexpected("a name"),
            },
            _ => self.unexpected("a name"),
        }
    }

    fn symbol(&mut self, name: &str) -> Symbol {
        if let Some(symbol) = self.symbols.get(name) {
            return *symbol;
        }
        let symbol = self.program.names.len() as Symbol;
        self.program.names.push(name.into());
        self.symbols.insert(name.into(), symbol);
        symbol
    }

    /// `parse`, one level deeper.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.level >= LEVELS || self.stack.abs_diff(stack_address()) > STACK {
            let message = "the template nests expressions or blocks too deeply";
            return Err(TemplateError::new(ErrorKind::Limit, message).at(self.line()));
        }
        self.level += 1;
        let parsed = parse(self);
        self.level -= 1;
        parsed
    }

    /// An expression with its depth.
    fn make(&self, line: u32, node: Node) -> Result<Expr> {
        let depth = node.children_depth() + 1;
        if usize::from(depth) > NESTING {
            let message = format!("an expression is nested more than {NESTING} deep");
            return Err(TemplateError::new(ErrorKind::Limit, message).at(line));
        }
        Ok(Expr { node, line, depth })
    }
}

impl Node {
    fn children_depth(&self) -> u16 {
        let many = |items: &[Expr]| items.iter().map(|item| item.depth).max().unwrap_or_default();
        match self {
            Self::Const(_) | Self::Name(_) => 0,
            Self::List(items) | Self::Tuple(items) | Self::Concat(items) => many(items),
            Self::Dict(pairs) => pairs.iter().map(|(key, value)| key.depth.max(value.depth)).max().unwrap_or_default(),
            Self::Attribute(inner, _) | Self::Not(inner) | Self::Negative(inner) | Self::Positive(inner) => inner.depth,
            Self::Item(a, b) | Self::And(a, b) | Self::Or(a, b) | Self::Binary(_, a, b) => a.depth.max(b.depth),
            Self::Slice(parts) => parts.iter().flatten().map(|part| part.depth).max().unwrap_or_default(),
            Self::Call(inner, arguments) => inner.depth.max(arguments.depth()),
            Self::Filter(inner, _, arguments) => inner.as_ref().map_or(0, |inner| inner.depth).max(arguments.depth()),
            Self::Test(inner, _, arguments) => inner.depth.max(arguments.depth()),
            Self::Compare(first, rest) => {
                rest.iter().map(|(_, operand)| operand.depth).max().unwrap_or_default().max(first.depth)
            }
            Self::Conditional(test, value, otherwise) => {
                test.depth.max(value.depth).max(otherwise.as_ref().map_or(0, |otherwise| otherwise.depth))
            }
        }
    }
}

impl crate::ast::Arguments {
    fn depth(&self) -> u16 {
        let keyword = self.keyword.iter().map(|(_, value)| value);
        let all = self.positional.iter().chain(keyword).chain(&self.star).chain(&self.double_star);
        all.map(|argument| argument.depth).max().unwrap_or_default()
    }
}
