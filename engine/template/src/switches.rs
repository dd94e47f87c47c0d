//! What a caller can switch: names that a template reads as conditions and leaves to its caller.

use std::collections::BTreeSet;

use crate::Program;
use crate::ast::{Arguments, CompareOp, Expr, Literal, Node, Statement, StatementKind, Symbol};
use crate::globals;

/// What every conversation brings, or the template's language.
const KNOWN: [&str; 12] = [
    "messages",
    "tools",
    "documents",
    "add_generation_prompt",
    "continue_final_message",
    "loop",
    "self",
    "super",
    "caller",
    "varargs",
    "kwargs",
    "functions",
];

pub(crate) fn find(program: &Program) -> Vec<String> {
    let mut uses = Uses::default();
    uses.body(&program.body);
    for node in &program.loops {
        uses.expr(&node.iterable, Use::Other);
        if let Some(test) = &node.test {
            uses.expr(test, Use::Condition);
        }
        uses.body(&node.body);
        uses.body(&node.otherwise);
    }
    for node in &program.macros {
        node.defaults.iter().for_each(|default| uses.expr(default, Use::Other));
        uses.body(&node.body);
    }
    let left = uses.conditions.iter().filter(|symbol| !uses.others.contains(symbol));
    let left = left.filter(|symbol| !program.assigned.contains(symbol));
    let names = left.map(|symbol| program.names[*symbol as usize].clone());
    let known =
        |name: &String| KNOWN.contains(&name.as_str()) || name.ends_with("_token") || globals::find(name).is_some();
    let mut names: Vec<_> = names.filter(|name| !known(name)).collect();
    names.sort();
    names
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// as `true` or `false`
    Condition,
    /// says nothing about it, such as `is defined`
    Neutral,
    Other,
}

#[derive(Default)]
struct Uses {
    conditions: BTreeSet<Symbol>,
    others: BTreeSet<Symbol>,
}

impl Uses {
    fn body(&mut self, body: &[Statement]) {
        for statement in body {
            match &statement.kind {
                StatementKind::Print(value) | StatementKind::Set(_, value) => self.expr(value, Use::Other),
                StatementKind::If(branches, otherwise) => {
                    for (test, body) in branches {
                        self.expr(test, Use::Condition);
                        self.body(body);
                    }
                    self.body(otherwise);
                }
                StatementKind::SetBlock(_, filter, body) => {
                    filter.iter().for_each(|filter| self.expr(filter, Use::Other));
                    self.body(body);
                }
                StatementKind::CallBlock(call, _) => self.expr(call, Use::Other),
                StatementKind::FilterBlock(filter, body) | StatementKind::Autoescape(filter, body) => {
                    self.expr(filter, Use::Other);
                    self.body(body);
                }
                StatementKind::With(pairs, body) => {
                    pairs.iter().for_each(|(_, value)| self.expr(value, Use::Other));
                    self.body(body);
                }
                StatementKind::Block { body, .. } | StatementKind::Scope(body) => self.body(body),
                // Loops and macros are visited as the program lists them.
                _ => {}
            }
        }
    }

    fn arguments(&mut self, arguments: &Arguments) {
        let keyword = arguments.keyword.iter().map(|(_, value)| value);
        let all = arguments.positional.iter().chain(keyword).chain(&arguments.star).chain(&arguments.double_star);
        all.for_each(|argument| self.expr(argument, Use::Other));
    }

    /// The tree is no deeper than the parser allows.
    fn expr(&mut self, expr: &Expr, how: Use) {
        match &expr.node {
            Node::Name(symbol) => match how {
                Use::Condition => drop(self.conditions.insert(*symbol)),
                Use::Other => drop(self.others.insert(*symbol)),
                Use::Neutral => {}
            },
            Node::Const(_) => {}
            Node::List(items) | Node::Tuple(items) | Node::Concat(items) => {
                items.iter().for_each(|item| self.expr(item, Use::Other));
            }
            Node::Dict(pairs) => pairs.iter().for_each(|(key, value)| {
                self.expr(key, Use::Other);
                self.expr(value, Use::Other);
            }),
            Node::Attribute(inner, _) | Node::Negative(inner) | Node::Positive(inner) => self.expr(inner, Use::Other),
            Node::Item(a, b) | Node::Binary(_, a, b) => {
                self.expr(a, Use::Other);
                self.expr(b, Use::Other);
            }
            Node::Slice(parts) => parts.iter().flatten().for_each(|part| self.expr(part, Use::Other)),
            Node::Call(callee, arguments) => {
                self.expr(callee, Use::Other);
                self.arguments(arguments);
            }
            Node::Filter(input, name, arguments) => {
                let switch = matches!(name.as_str(), "default" | "d") && how == Use::Condition;
                input.iter().for_each(|input| self.expr(input, if switch { how } else { Use::Other }));
                self.arguments(arguments);
            }
            Node::Test(input, name, arguments) => {
                let how = match name.as_str() {
                    "true" | "false" => Use::Condition,
                    "defined" | "undefined" | "none" | "boolean" => Use::Neutral,
                    _ => Use::Other,
                };
                self.expr(input, how);
                self.arguments(arguments);
            }
            // The value of `not x` does not depend on what `x` is beyond its truth.
            Node::Not(inner) => self.expr(inner, Use::Condition),
            Node::And(a, b) | Node::Or(a, b) => {
                self.expr(a, Use::Condition);
                self.expr(b, how);
            }
            Node::Compare(first, rest) => {
                let switch = |expr: &Expr| matches!(expr.node, Node::Const(Literal::Bool(_)));
                let with_bool = match &rest[..] {
                    [(CompareOp::Eq | CompareOp::Ne, other)] => switch(first) || switch(other),
                    _ => false,
                };
                let how = if with_bool { Use::Condition } else { Use::Other };
                self.expr(first, how);
                rest.iter().for_each(|(_, operand)| self.expr(operand, how));
            }
            Node::Conditional(test, value, otherwise) => {
                self.expr(test, Use::Condition);
                self.expr(value, how);
                otherwise.iter().for_each(|otherwise| self.expr(otherwise, how));
            }
        }
    }
}
