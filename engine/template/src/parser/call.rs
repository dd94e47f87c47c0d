//! What follows an expression: attributes, indexes, calls, filters and tests.

use std::collections::HashSet;

use super::Parser;
use crate::ast::{Arguments, Expr, Literal, Node};
use crate::error::Result;
use crate::lexer::Token;
use crate::{filters, tests};

impl Parser {
    pub(super) fn postfix(&mut self, mut node: Expr) -> Result<Expr> {
        loop {
            let line = self.line();
            let next = match self.peek() {
                Token::Op(".") => self.attribute(node)?,
                Token::Op("[") => {
                    self.at += 1;
                    let index = self.index(line)?;
                    Node::Item(node.into(), index.into())
                }
                Token::Op("(") => Node::Call(node.into(), self.arguments()?.into()),
                _ => return Ok(node),
            };
            node = self.make(line, next)?;
        }
    }

    pub(super) fn filters_and_tests(&mut self, mut node: Expr) -> Result<Expr> {
        loop {
            let line = self.line();
            if self.is_op("|") {
                self.at += 1;
                node = self.filter(Some(node))?;
            } else if self.is_name("is") {
                node = self.test(node)?;
            } else if self.is_op("(") {
                let arguments = self.arguments()?;
                node = self.make(line, Node::Call(node.into(), arguments.into()))?;
            } else {
                return Ok(node);
            }
        }
    }

    fn attribute(&mut self, owner: Expr) -> Result<Node> {
        self.at += 1;
        let line = self.line();
        match self.next() {
            Token::Name(name) => Ok(Node::Attribute(owner.into(), name)),
            Token::Int(index) => {
                let index = self.make(line, Node::Const(Literal::Int(index)))?;
                Ok(Node::Item(owner.into(), index.into()))
            }
            _ => self.fail("expected a name or a number after the dot"),
        }
    }

    /// What stands in brackets, behind the first.
    fn index(&mut self, line: u32) -> Result<Expr> {
        let mut parts = Vec::new();
        while !self.is_op("]") {
            if !parts.is_empty() {
                self.expect_op(",")?;
            }
            parts.push(self.subscript()?);
        }
        self.expect_op("]")?;
        match parts.pop() {
            Some(only) if parts.is_empty() => Ok(only),
            last => {
                parts.extend(last);
                self.make(line, Node::Tuple(parts))
            }
        }
    }

    fn subscript(&mut self) -> Result<Expr> {
        let line = self.line();
        let start = if self.is_op(":") { None } else { Some(self.expression()?) };
        if !self.skip_op(":") {
            return start.map_or_else(|| self.unexpected("an index"), Ok);
        }
        let ends = |parser: &Self| parser.is_op("]") || parser.is_op(",");
        let stop = if self.is_op(":") || ends(self) { None } else { Some(self.expression()?) };
        let step = if self.skip_op(":") && !ends(self) { Some(self.expression()?) } else { None };
        self.make(line, Node::Slice([start, stop, step].into()))
    }

    pub(super) fn arguments(&mut self) -> Result<Arguments> {
        self.expect_op("(")?;
        let mut arguments = Arguments::default();
        let mut first = true;
        let mut names = HashSet::new();
        while !self.is_op(")") {
            if !first {
                self.expect_op(",")?;
                if self.is_op(")") {
                    break;
                }
            }
            first = false;
            let unpacked = arguments.star.is_some() || arguments.double_star.is_some();
            let allowed = if self.skip_op("*") {
                arguments.star = Some(self.expression()?);
                !unpacked
            } else if self.skip_op("**") {
                let only = arguments.double_star.is_none();
                arguments.double_star = Some(self.expression()?);
                only
            } else if matches!(self.peek(), Token::Name(_)) && *self.peek_after() == Token::Op("=") {
                let name = self.expect_name()?;
                self.at += 1;
                if !names.insert(name.clone()) {
                    return self.fail(format!("keyword argument repeated: {name}"));
                }
                let value = self.expression()?;
                arguments.keyword.push((name, value));
                arguments.double_star.is_none()
            } else {
                arguments.positional.push(self.expression()?);
                !unpacked && arguments.keyword.is_empty()
            };
            if !allowed {
                return self.fail("invalid syntax for function call expression");
            }
        }
        self.expect_op(")")?;
        Ok(arguments)
    }

    fn dotted_name(&mut self) -> Result<String> {
        let mut name = self.expect_name()?;
        while self.skip_op(".") {
            name.push('.');
            name.push_str(&self.expect_name()?);
        }
        Ok(name)
    }

    /// A filter from its name on.
    pub(super) fn filter(&mut self, input: Option<Expr>) -> Result<Expr> {
        let line = self.line();
        let name = self.dotted_name()?;
        if self.conditional == 0 && !filters::exists(&name) {
            return self.fail(format!("No filter named '{name}'."));
        }
        let arguments = if self.is_op("(") { self.arguments()? } else { Arguments::default() };
        self.make(line, Node::Filter(input.map(Box::new), name, arguments.into()))
    }

    fn test(&mut self, input: Expr) -> Result<Expr> {
        let line = self.line();
        self.at += 1;
        let negated = self.skip_name("not");
        let name = self.dotted_name()?;
        if self.conditional == 0 && !tests::exists(&name) {
            return self.fail(format!("No test named '{name}'."));
        }
        let takes_one = match self.peek() {
            Token::Name(name) if name == "is" => return self.fail("You cannot chain multiple tests with is"),
            Token::Name(name) => !matches!(name.as_str(), "else" | "or" | "and"),
            Token::Str(_) | Token::Int(_) | Token::Float(_) | Token::Op("[" | "{") => true,
            _ => false,
        };
        let arguments = if self.is_op("(") {
            self.arguments()?
        } else if takes_one {
            let argument = self.primary()?;
            Arguments { positional: vec![self.postfix(argument)?], ..Arguments::default() }
        } else {
            Arguments::default()
        };
        let test = self.make(line, Node::Test(input.into(), name, arguments.into()))?;
        if negated { self.make(line, Node::Not(test.into())) } else { Ok(test) }
    }
}
