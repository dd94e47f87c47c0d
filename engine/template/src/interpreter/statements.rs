//! Statements.

use super::{Flow, Interpreter};
use crate::ast::{Statement, StatementKind, Target};
use crate::error::{Result, limit, runtime};
use crate::filters;
use crate::repr::{to_str, write_str};
use crate::value::{Object, Value};

impl<'a> Interpreter<'a> {
    /// Runs `body`; what it prints goes to `out`.
    pub(super) fn run(&mut self, body: &'a [Statement], out: &mut String) -> Result<Flow> {
        for statement in body {
            let flow = self
                .nested(|interpreter| interpreter.statement(statement, out))
                .map_err(|error| error.at(statement.line))?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn statement(&mut self, statement: &'a Statement, out: &mut String) -> Result<Flow> {
        match &statement.kind {
            StatementKind::Text(text) => self.emit(out, text)?,
            StatementKind::Print(value) => {
                let value = self.eval(value)?;
                self.print(out, &value)?;
            }
            StatementKind::For(at) => return self.for_loop(*at, out),
            StatementKind::If(branches, otherwise) => {
                for (test, body) in branches {
                    if self.eval(test)?.truthy() {
                        return self.run(body, out);
                    }
                }
                return self.run(otherwise, out);
            }
            StatementKind::Set(target, value) => {
                let value = self.eval(value)?;
                self.assign(target, value)?;
            }
            StatementKind::Macro(symbol, at) => {
                let function = self.make_macro(*at)?;
                self.set(*symbol, function)?;
            }
            _ => return self.block_statement(statement, out),
        }
        Ok(Flow::Next)
    }

    /// Statements with a body in a scope of its own.
    #[inline(never)]
    fn block_statement(&mut self, statement: &'a Statement, out: &mut String) -> Result<Flow> {
        match &statement.kind {
            StatementKind::SetBlock(target, filter, body) => {
                let scope = self.inner_scope();
                let (text, flow) = self.in_scope(scope, |interpreter| interpreter.captured_text(body))?;
                let text = match filter {
                    Some(filter) => self.eval_on(filter, text)?,
                    None => text,
                };
                self.assign(target, text)?;
                Ok(flow)
            }
            StatementKind::CallBlock(call, at) => {
                let caller = self.make_macro(*at)?;
                let value = self.call_with(call, caller)?;
                self.print(out, &value)?;
                Ok(Flow::Next)
            }
            StatementKind::FilterBlock(filter, body) => {
                let scope = self.inner_scope();
                let (text, flow) = self.in_scope(scope, |interpreter| interpreter.captured_text(body))?;
                let text = self.eval_on(filter, text)?;
                self.print(out, &text)?;
                Ok(flow)
            }
            StatementKind::With(pairs, body) => {
                let scope = self.inner_scope();
                for (target, value) in pairs {
                    let value = self.eval(value)?;
                    self.in_scope(scope.clone(), |interpreter| interpreter.assign(target, value))?;
                }
                self.in_scope(scope, |interpreter| interpreter.run(body, out))
            }
            StatementKind::Block { required: true, .. } => runtime("Required block not found"),
            StatementKind::Block { body, scoped, .. } => {
                let outer = if *scoped { self.scope.clone() } else { self.top.clone() };
                self.in_scope(outer, |interpreter| {
                    let scope = interpreter.inner_scope();
                    interpreter.in_scope(scope, |interpreter| interpreter.run(body, out))
                })
            }
            StatementKind::Scope(body) => {
                let scope = self.inner_scope();
                self.in_scope(scope, |interpreter| interpreter.run(body, out))
            }
            StatementKind::Autoescape(on, body) => {
                let on = self.eval(on)?.truthy();
                let before = std::mem::replace(&mut self.autoescape, on);
                let scope = self.inner_scope();
                let flow = self.in_scope(scope, |interpreter| interpreter.run(body, out));
                self.autoescape = before;
                flow
            }
            StatementKind::Other(tag) => runtime(format!("{tag}: a chat template is on its own, there are no others")),
            StatementKind::Break => Ok(Flow::Break),
            StatementKind::Continue => Ok(Flow::Continue),
            _ => Ok(Flow::Next),
        }
    }

    fn emit(&self, out: &mut String, text: &str) -> Result<()> {
        let most = self.budget.limits.output_bytes;
        if out.len() + text.len() > most {
            return limit(format!("the template prints more than {} MiB", most >> 20));
        }
        self.budget.alloc(text.len())?;
        out.push_str(text);
        Ok(())
    }

    fn print(&self, out: &mut String, value: &Value) -> Result<()> {
        if self.autoescape && !value.is_markup() {
            let text = to_str(&self.budget, value)?;
            return self.emit(out, &filters::escaped(&self.budget, text.as_str().unwrap_or_default())?);
        }
        match value {
            Value::Str(text) => self.emit(out, text),
            other => {
                let mut text = String::new();
                write_str(&self.budget, &mut text, other)?;
                self.emit(out, &text)
            }
        }
    }

    pub(super) fn assign(&mut self, target: &Target, value: Value) -> Result<()> {
        match target {
            Target::Name(symbol) => self.set(*symbol, value),
            Target::Attribute(symbol, name) => {
                let owner = self.lookup(*symbol)?;
                let Value::Object(object) = &owner else {
                    return runtime("cannot assign attribute on non-namespace object");
                };
                let Object::Namespace(attributes) = &**object else {
                    return runtime("cannot assign attribute on non-namespace object");
                };
                self.budget.alloc(64)?;
                let mut attributes = attributes.borrow_mut();
                self.budget.step(attributes.len() as u64 / 8)?;
                let old = match attributes.iter_mut().find(|(other, _)| other == name) {
                    Some((_, old)) => Some(std::mem::replace(old, value)),
                    None => {
                        attributes.push((name.clone(), value));
                        None
                    }
                };
                drop(attributes);
                drop(old);
                Ok(())
            }
            Target::Tuple(targets) => {
                let items = self.iterate(&value)?;
                if items.len() != targets.len() {
                    let few = if items.len() < targets.len() { "not enough" } else { "too many" };
                    return runtime(format!("{few} values to unpack (expected {})", targets.len()));
                }
                for (target, item) in targets.iter().zip(items) {
                    self.assign(target, item)?;
                }
                Ok(())
            }
        }
    }
}
