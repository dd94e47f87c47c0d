//! Expressions, by precedence climbing: a level of the recursion for each level of parentheses, none for a chain of
//! operators.

use super::Parser;
use crate::ast::{BinaryOp, CompareOp, Expr, Literal, Node};
use crate::error::Result;
use crate::lexer::Token;

/// Operators bind from weak to strong: `or`, `and`, `not`, comparisons, `+ -`, `~`, `* / // %`, `**`.
const OR: u8 = 1;
const AND: u8 = 2;
const NOT: u8 = 3;
const COMPARE: u8 = 4;
const SUM: u8 = 5;
const CONCAT: u8 = 6;
const PRODUCT: u8 = 7;
const POWER: u8 = 8;

enum Infix {
    Or,
    And,
    Compare,
    Concat,
    Binary(BinaryOp, u8),
}

impl Infix {
    fn strength(&self) -> u8 {
        match self {
            Self::Or => OR,
            Self::And => AND,
            Self::Compare => COMPARE,
            Self::Concat => CONCAT,
            Self::Binary(_, strength) => *strength,
        }
    }
}

impl Parser {
    /// With `a if b else c`.
    pub(super) fn expression(&mut self) -> Result<Expr> {
        self.nested(|parser| {
            let mut line = parser.line();
            let mut value = parser.binary(OR)?;
            while parser.skip_name("if") {
                parser.conditional += 1;
                let test = parser.binary(OR)?;
                let otherwise = if parser.skip_name("else") { Some(Box::new(parser.expression()?)) } else { None };
                parser.conditional -= 1;
                value = parser.make(line, Node::Conditional(test.into(), value.into(), otherwise))?;
                line = parser.line();
            }
            Ok(value)
        })
    }

    /// Without `a if b else c`.
    pub(super) fn plain_expression(&mut self) -> Result<Expr> {
        self.nested(|parser| parser.binary(OR))
    }

    /// Operators that bind at least as strongly as `weakest`.
    fn binary(&mut self, weakest: u8) -> Result<Expr> {
        let mut line = self.line();
        let mut left = if weakest <= NOT && self.skip_name("not") {
            let inner = self.nested(|parser| parser.binary(NOT))?;
            self.make(line, Node::Not(inner.into()))?
        } else {
            self.unary(true)?
        };
        while let Some(infix) = self.infix().filter(|infix| infix.strength() >= weakest) {
            let node = match infix {
                Infix::Or => {
                    self.at += 1;
                    Node::Or(left.into(), self.binary(AND)?.into())
                }
                Infix::And => {
                    self.at += 1;
                    Node::And(left.into(), self.binary(NOT)?.into())
                }
                Infix::Compare => {
                    let mut operands = Vec::new();
                    while let Some(operator) = self.skip_compare() {
                        operands.push((operator, self.binary(SUM)?));
                    }
                    Node::Compare(left.into(), operands)
                }
                Infix::Concat => {
                    let mut items = vec![left];
                    while self.skip_op("~") {
                        items.push(self.binary(PRODUCT)?);
                    }
                    Node::Concat(items)
                }
                Infix::Binary(operator, strength) => {
                    self.at += 1;
                    let right = if strength == POWER { self.unary(true)? } else { self.binary(strength + 1)? };
                    Node::Binary(operator, left.into(), right.into())
                }
            };
            left = self.make(line, node)?;
            line = self.line();
        }
        Ok(left)
    }

    fn infix(&self) -> Option<Infix> {
        Some(match self.peek() {
            Token::Name(name) => match name.as_str() {
                "or" => Infix::Or,
                "and" => Infix::And,
                "in" => Infix::Compare,
                "not" if matches!(self.peek_after(), Token::Name(name) if name == "in") => Infix::Compare,
                _ => return None,
            },
            Token::Op(operator) => match *operator {
                "==" | "!=" | "<" | "<=" | ">" | ">=" => Infix::Compare,
                "+" => Infix::Binary(BinaryOp::Add, SUM),
                "-" => Infix::Binary(BinaryOp::Sub, SUM),
                "~" => Infix::Concat,
                "*" => Infix::Binary(BinaryOp::Mul, PRODUCT),
                "/" => Infix::Binary(BinaryOp::Div, PRODUCT),
                "//" => Infix::Binary(BinaryOp::FloorDiv, PRODUCT),
                "%" => Infix::Binary(BinaryOp::Mod, PRODUCT),
                "**" => Infix::Binary(BinaryOp::Pow, POWER),
                _ => return None,
            },
            _ => return None,
        })
    }

    fn skip_compare(&mut self) -> Option<CompareOp> {
        let operator = match self.peek() {
            Token::Op("==") => CompareOp::Eq,
            Token::Op("!=") => CompareOp::Ne,
            Token::Op("<") => CompareOp::Lt,
            Token::Op("<=") => CompareOp::Le,
            Token::Op(">") => CompareOp::Gt,
            Token::Op(">=") => CompareOp::Ge,
            Token::Name(name) if name == "in" => CompareOp::In,
            Token::Name(name) if name == "not" => {
                matches!(self.peek_after(), Token::Name(name) if name == "in").then_some(CompareOp::NotIn)?
            }
            _ => return None,
        };
        self.at += if operator == CompareOp::NotIn { 2 } else { 1 };
        Some(operator)
    }

    /// `filters`: also `|` and `is` after it. They apply to the negative number, not within it.
    fn unary(&mut self, filters: bool) -> Result<Expr> {
        let line = self.line();
        let negative = self.is_op("-");
        let node = if negative || self.is_op("+") {
            self.at += 1;
            let inner = self.nested(|parser| parser.unary(false))?.into();
            self.make(line, if negative { Node::Negative(inner) } else { Node::Positive(inner) })?
        } else {
            self.primary()?
        };
        let node = self.postfix(node)?;
        if filters { self.filters_and_tests(node) } else { Ok(node) }
    }

    pub(super) fn primary(&mut self) -> Result<Expr> {
        let line = self.line();
        let node = match self.peek() {
            Token::Name(_) => match self.expect_name()?.as_str() {
                "true" | "True" => Node::Const(Literal::Bool(true)),
                "false" | "False" => Node::Const(Literal::Bool(false)),
                "none" | "None" => Node::Const(Literal::None),
                name => {
                    for catches in &mut self.catches {
                        catches.varargs |= name == "varargs";
                        catches.kwargs |= name == "kwargs";
                        catches.caller |= name == "caller";
                    }
                    Node::Name(self.symbol(name))
                }
            },
            Token::Str(_) => {
                let mut whole = String::new();
                while let Token::Str(_) = self.peek() {
                    if let Token::Str(text) = self.next() {
                        whole.push_str(&text);
                    }
                }
                self.program.texts.push(whole);
                Node::Const(Literal::Str(self.program.texts.len() as u32 - 1))
            }
            Token::Int(value) => {
                let value = *value;
                self.at += 1;
                Node::Const(Literal::Int(value))
            }
            Token::Float(value) => {
                let value = *value;
                self.at += 1;
                Node::Const(Literal::Float(value))
            }
            Token::Op("(") => {
                self.at += 1;
                let inner = self.tuple(true, true, &[])?;
                self.expect_op(")")?;
                return Ok(inner);
            }
            Token::Op("[") => Node::List(self.list()?),
            Token::Op("{") => Node::Dict(self.dict()?),
            _ => return self.unexpected("an expression"),
        };
        self.make(line, node)
    }

    fn list(&mut self) -> Result<Vec<Expr>> {
        self.at += 1;
        let mut items = Vec::new();
        while !self.is_op("]") {
            if !items.is_empty() {
                self.expect_op(",")?;
                if self.is_op("]") {
                    break;
                }
            }
            items.push(self.expression()?);
        }
        self.expect_op("]")?;
        Ok(items)
    }

    fn dict(&mut self) -> Result<Vec<(Expr, Expr)>> {
        self.at += 1;
        let mut pairs = Vec::new();
        while !self.is_op("}") {
            if !pairs.is_empty() {
                self.expect_op(",")?;
                if self.is_op("}") {
                    break;
                }
            }
            let key = self.expression()?;
            self.expect_op(":")?;
            pairs.push((key, self.expression()?));
        }
        self.expect_op("}")?;
        Ok(pairs)
    }

    /// One expression, or several with commas as a tuple. `parentheses`: it may be empty. `ends`: names that end it.
    pub(super) fn tuple(&mut self, conditional: bool, parentheses: bool, ends: &[&str]) -> Result<Expr> {
        let line = self.line();
        let mut items = Vec::new();
        let mut is_tuple = false;
        loop {
            if !items.is_empty() {
                self.expect_op(",")?;
            }
            if self.tuple_ends(ends) {
                break;
            }
            items.push(if conditional { self.expression()? } else { self.plain_expression()? });
            if !self.is_op(",") {
                break;
            }
            is_tuple = true;
        }
        match items.pop() {
            Some(only) if !is_tuple => return Ok(only),
            None if !parentheses => return self.unexpected("an expression"),
            last => items.extend(last),
        }
        self.make(line, Node::Tuple(items))
    }

    pub(super) fn tuple_ends(&self, ends: &[&str]) -> bool {
        match self.peek() {
            Token::VariableEnd | Token::BlockEnd | Token::Op(")") => true,
            Token::Name(name) => ends.contains(&name.as_str()),
            _ => false,
        }
    }
}
