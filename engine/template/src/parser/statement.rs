//! Statements and their bodies.

use std::collections::HashSet;

use super::Parser;
use crate::ast::{Arguments, Catches, Expr, ForNode, MacroNode, Node, Statement, StatementKind, Symbol};
use crate::error::Result;
use crate::lexer::Token;

/// Names of arguments, and defaults of the last of them.
type Signature = (Vec<(String, Symbol)>, Vec<Expr>);

impl Parser {
    /// Statements up to a tag with one of the names `ends`, which is next then; without names, up to the end.
    pub(super) fn statements_until(&mut self, ends: &[&str]) -> Result<Vec<Statement>> {
        self.nested(|parser| {
            let mut body = Vec::new();
            loop {
                let line = parser.line();
                match parser.peek() {
                    Token::Eof if ends.is_empty() => return Ok(body),
                    Token::Data(_) => {
                        if let Token::Data(text) = parser.next() {
                            body.push(Statement { kind: StatementKind::Text(text), line });
                        }
                    }
                    Token::VariableBegin => {
                        parser.at += 1;
                        let value = parser.tuple(true, false, &[])?;
                        parser.expect(&Token::VariableEnd, "'}}'")?;
                        body.push(Statement { kind: StatementKind::Print(value), line });
                    }
                    Token::BlockBegin => {
                        parser.at += 1;
                        if matches!(parser.peek(), Token::Name(name) if ends.contains(&name.as_str())) {
                            return Ok(body);
                        }
                        parser.statement(&mut body)?;
                        parser.expect(&Token::BlockEnd, "'%}'")?;
                    }
                    _ => {
                        let expected: Vec<_> = ends.iter().map(|end| format!("'{end}'")).collect();
                        return parser.unexpected(&expected.join(" or "));
                    }
                }
            }
        })
    }

    /// The body of a block up to one of `ends`, whose name is given back.
    fn body(&mut self, ends: &[&str]) -> Result<(Vec<Statement>, String)> {
        self.skip_op(":");
        self.expect(&Token::BlockEnd, "'%}'")?;
        let body = self.statements_until(ends)?;
        Ok((body, self.expect_name()?))
    }

    /// [`Self::body`] in a scope of its own, where an unknown filter is an error again.
    fn inner_body(&mut self, ends: &[&str]) -> Result<(Vec<Statement>, String)> {
        let conditional = std::mem::take(&mut self.conditional);
        let body = self.body(ends);
        self.conditional = conditional;
        body
    }

    fn statement(&mut self, body: &mut Vec<Statement>) -> Result<()> {
        let line = self.line();
        if !matches!(self.peek(), Token::Name(_)) {
            return self.unexpected("the name of a tag");
        }
        let kind = match self.expect_name()?.as_str() {
            "for" => self.for_loop()?,
            "if" => self.condition()?,
            "set" => self.set()?,
            "macro" => self.macro_definition()?,
            "call" => self.call_block()?,
            "filter" => {
                let filter = self.filter_chain(None)?;
                StatementKind::FilterBlock(filter, self.inner_body(&["endfilter"])?.0)
            }
            "with" => self.with()?,
            "block" => self.block()?,
            "generation" => StatementKind::Scope(self.inner_body(&["endgeneration"])?.0),
            "autoescape" => {
                let on = self.expression()?;
                StatementKind::Autoescape(on, self.inner_body(&["endautoescape"])?.0)
            }
            "print" => {
                while *self.peek() != Token::BlockEnd {
                    let value = self.expression()?;
                    body.push(Statement { kind: StatementKind::Print(value), line });
                    if *self.peek() != Token::BlockEnd {
                        self.expect_op(",")?;
                    }
                }
                return Ok(());
            }
            "break" => StatementKind::Break,
            "continue" => StatementKind::Continue,
            "include" => self.other("include")?,
            "import" => self.other("import")?,
            "from" => self.other("from")?,
            "extends" => self.other("extends")?,
            name => return self.fail(format!("Encountered unknown tag '{name}'.")),
        };
        body.push(Statement { kind, line });
        Ok(())
    }

    /// A tag that names another template; what else is in it does not matter.
    fn other(&mut self, tag: &'static str) -> Result<StatementKind> {
        self.expression()?;
        while !matches!(self.peek(), Token::BlockEnd | Token::Eof) {
            self.at += 1;
        }
        Ok(StatementKind::Other(tag))
    }

    fn for_loop(&mut self) -> Result<StatementKind> {
        self.loops += 1;
        let target = self.target(false, &["in"])?;
        self.expect_word("in")?;
        let iterable = self.tuple(false, false, &["recursive"])?;
        let test = if self.skip_name("if") { Some(self.expression()?) } else { None };
        let recursive = self.skip_name("recursive");
        let (body, end) = self.inner_body(&["endfor", "else"])?;
        let otherwise = if end == "else" { self.inner_body(&["endfor"])?.0 } else { Vec::new() };
        self.loops -= 1;
        self.program.loops.push(ForNode { target, iterable, test, recursive, body, otherwise });
        Ok(StatementKind::For(self.program.loops.len() - 1))
    }

    fn condition(&mut self) -> Result<StatementKind> {
        self.conditional += 1;
        let mut branches = Vec::new();
        let otherwise = loop {
            let test = self.tuple(false, false, &[])?;
            let (body, end) = self.body(&["elif", "else", "endif"])?;
            branches.push((test, body));
            match end.as_str() {
                "elif" => {}
                "else" => break self.body(&["endif"])?.0,
                _ => break Vec::new(),
            }
        };
        self.conditional -= 1;
        Ok(StatementKind::If(branches, otherwise))
    }

    fn set(&mut self) -> Result<StatementKind> {
        let target = self.target(true, &[])?;
        if self.skip_op("=") {
            return Ok(StatementKind::Set(target, self.tuple(true, false, &[])?));
        }
        let filter = if self.skip_op("|") { Some(self.filter_chain(None)?) } else { None };
        Ok(StatementKind::SetBlock(target, filter, self.inner_body(&["endset"])?.0))
    }

    fn filter_chain(&mut self, input: Option<Expr>) -> Result<Expr> {
        let mut filter = self.filter(input)?;
        while self.skip_op("|") {
            filter = self.filter(Some(filter))?;
        }
        Ok(filter)
    }

    fn signature(&mut self) -> Result<Signature> {
        let (mut arguments, mut defaults) = (Vec::new(), Vec::new());
        let mut symbols = HashSet::new();
        self.expect_op("(")?;
        while !self.is_op(")") {
            if !arguments.is_empty() {
                self.expect_op(",")?;
            }
            let symbol = self.name_target()?;
            self.program.assigned.insert(symbol);
            if self.skip_op("=") {
                defaults.push(self.expression()?);
            } else if !defaults.is_empty() {
                return self.fail("non-default argument follows default argument");
            }
            let name = self.program.names[symbol as usize].clone();
            if !symbols.insert(symbol) {
                return self.fail(format!("duplicate argument '{name}'"));
            }
            arguments.push((name, symbol));
        }
        self.expect_op(")")?;
        Ok((arguments, defaults))
    }

    fn macro_body(&mut self, name: Option<String>, (arguments, defaults): Signature, end: &str) -> Result<usize> {
        self.catches.push(Catches::default());
        let body = self.inner_body(&[end])?.0;
        let mut catches = self.catches.pop().unwrap_or_default();
        let named = |name: &str| arguments.iter().any(|(argument, _)| argument == name);
        catches.caller &= !named("caller");
        catches.varargs &= !named("varargs");
        catches.kwargs &= !named("kwargs");
        for name in ["caller", "varargs", "kwargs"] {
            self.symbol(name);
        }
        self.program.macros.push(MacroNode { name, arguments, defaults, body, catches });
        Ok(self.program.macros.len() - 1)
    }

    fn macro_definition(&mut self) -> Result<StatementKind> {
        let symbol = self.name_target()?;
        self.program.assigned.insert(symbol);
        let name = self.program.names[symbol as usize].clone();
        let signature = self.signature()?;
        Ok(StatementKind::Macro(symbol, self.macro_body(Some(name), signature, "endmacro")?))
    }

    fn call_block(&mut self) -> Result<StatementKind> {
        let signature = if self.is_op("(") { self.signature()? } else { (Vec::new(), Vec::new()) };
        let call = self.expression()?;
        if !matches!(call.node, Node::Call(..)) {
            return self.fail("expected call");
        }
        Ok(StatementKind::CallBlock(call, self.macro_body(None, signature, "endcall")?))
    }

    fn with(&mut self) -> Result<StatementKind> {
        let mut pairs = Vec::new();
        while *self.peek() != Token::BlockEnd {
            if !pairs.is_empty() {
                self.expect_op(",")?;
            }
            let target = self.target(false, &[])?;
            self.expect_op("=")?;
            pairs.push((target, self.expression()?));
        }
        Ok(StatementKind::With(pairs, self.inner_body(&["endwith"])?.0))
    }

    fn block(&mut self) -> Result<StatementKind> {
        let name = self.expect_name()?;
        if !self.blocks.insert(name.clone()) {
            return self.fail(format!("block '{name}' defined twice"));
        }
        let scoped = self.skip_name("scoped");
        let required = self.skip_name("required");
        let body = self.inner_body(&["endblock"])?.0;
        self.skip_name(&name);
        Ok(StatementKind::Block { body, scoped, required })
    }
}

impl Arguments {
    pub(crate) fn is_empty(&self) -> bool {
        let named = self.keyword.is_empty() && self.double_star.is_none();
        self.positional.is_empty() && self.star.is_none() && named
    }
}
