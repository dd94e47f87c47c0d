//! What is assigned to: names, attributes of namespaces, tuples of them.

use super::Parser;
use crate::ast::{Symbol, Target};
use crate::error::Result;
use crate::lexer::Token;

impl Parser {
    /// `attributes`: those of namespaces too. `ends`: names that end it.
    pub(super) fn target(&mut self, attributes: bool, ends: &[&str]) -> Result<Target> {
        let mut targets = Vec::new();
        let mut is_tuple = false;
        loop {
            if !targets.is_empty() {
                self.expect_op(",")?;
            }
            if self.tuple_ends(ends) {
                break;
            }
            targets.push(self.single_target(attributes)?);
            if !self.is_op(",") {
                break;
            }
            is_tuple = true;
        }
        match targets.pop() {
            Some(only) if !is_tuple => Ok(only),
            None => self.unexpected("a name to assign to"),
            last => {
                targets.extend(last);
                Ok(Target::Tuple(targets))
            }
        }
    }

    fn single_target(&mut self, attributes: bool) -> Result<Target> {
        if self.skip_op("(") {
            let inner = self.nested(|parser| parser.target(attributes, &[]))?;
            self.expect_op(")")?;
            return Ok(inner);
        }
        if !matches!(self.peek(), Token::Name(_)) {
            return self.unexpected("a name to assign to");
        }
        let symbol = self.name_target()?;
        if attributes && self.skip_op(".") {
            return Ok(Target::Attribute(symbol, self.expect_name()?));
        }
        self.program.assigned.insert(symbol);
        Ok(Target::Name(symbol))
    }

    /// A name that may be assigned to.
    pub(super) fn name_target(&mut self) -> Result<Symbol> {
        let name = self.expect_name()?;
        if matches!(name.as_str(), "true" | "false" | "none" | "True" | "False" | "None") {
            return self.fail(format!("can't assign to '{name}'"));
        }
        if name == "loop" && self.loops > 0 {
            return self.fail("Can't assign to special loop variable in for-loop target");
        }
        Ok(self.symbol(&name))
    }
}
