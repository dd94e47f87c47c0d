//! Expressions.

use super::Interpreter;
use crate::ast::{CompareOp, Expr, Literal, Node};
use crate::compare::{equal, order};
use crate::error::{Result, runtime};
use crate::repr::write_str;
use crate::value::{Object, Value};
use crate::{filters, ops, tests};

impl<'a> Interpreter<'a> {
    pub(super) fn eval(&mut self, expr: &'a Expr) -> Result<Value> {
        match &expr.node {
            Node::Const(literal) => self.literal(literal),
            Node::Name(symbol) => {
                self.budget.step(1)?;
                self.lookup(*symbol)
            }
            _ => self.nested(|interpreter| interpreter.operation(expr)).map_err(|error| error.at(expr.line)),
        }
    }

    /// `filter`, whose innermost input is `input`.
    pub(super) fn eval_on(&mut self, filter: &'a Expr, input: Value) -> Result<Value> {
        self.block_input = Some(input);
        self.eval(filter)
    }

    fn literal(&mut self, literal: &Literal) -> Result<Value> {
        self.budget.step(1)?;
        Ok(match literal {
            Literal::None => Value::None,
            Literal::Bool(value) => Value::Bool(*value),
            Literal::Int(value) => Value::Int(*value),
            Literal::Float(value) => Value::Float(*value),
            Literal::Str(at) => {
                let at = *at as usize;
                let program = self.program;
                self.texts[at].get_or_insert_with(|| Value::str(&program.texts[at])).clone()
            }
        })
    }

    /// One kind of expression a function, so that a level of nesting takes little of the stack.
    fn operation(&mut self, expr: &'a Expr) -> Result<Value> {
        match &expr.node {
            Node::Const(_) | Node::Name(_) => self.eval(expr),
            Node::Attribute(owner, name) => {
                let owner = self.eval(owner)?;
                self.attribute(&owner, name)
            }
            Node::Item(owner, index) => self.eval_item(owner, index),
            Node::Call(callee, arguments) => self.eval_call(callee, arguments),
            Node::Filter(input, name, arguments) => self.eval_filter(input.as_deref(), name, arguments),
            Node::Test(input, name, arguments) => self.eval_test(input, name, arguments),
            Node::Not(inner) => Ok((!self.eval(inner)?.truthy()).into()),
            Node::And(a, b) => {
                let a = self.eval(a)?;
                if a.truthy() { self.eval(b) } else { Ok(a) }
            }
            Node::Or(a, b) => {
                let a = self.eval(a)?;
                if a.truthy() { Ok(a) } else { self.eval(b) }
            }
            Node::Binary(operator, a, b) => {
                let a = self.eval(a)?;
                let b = self.eval(b)?;
                ops::binary(self, *operator, &a, &b)
            }
            Node::Negative(inner) => ops::negative(&self.eval(inner)?),
            Node::Positive(inner) => ops::positive(&self.eval(inner)?),
            Node::Compare(first, rest) => self.eval_compare(first, rest),
            Node::Conditional(test, value, otherwise) => {
                if self.eval(test)?.truthy() {
                    return self.eval(value);
                }
                match otherwise {
                    Some(otherwise) => self.eval(otherwise),
                    None => {
                        Ok(Value::hint("the inline if-expression evaluated to false and no else section was defined."))
                    }
                }
            }
            _ => self.display(expr),
        }
    }

    /// Lists, tuples, maps and joined texts.
    #[inline(never)]
    fn display(&mut self, expr: &'a Expr) -> Result<Value> {
        match &expr.node {
            Node::List(items) => {
                let items = self.eval_all(items)?;
                self.budget.list(items)
            }
            Node::Tuple(items) => {
                let items = self.eval_all(items)?;
                self.budget.tuple(items)
            }
            Node::Dict(pairs) => {
                let mut values = Vec::with_capacity(pairs.len());
                for (key, value) in pairs {
                    values.push((self.eval(key)?, self.eval(value)?));
                }
                self.budget.dict(values)
            }
            Node::Concat(items) => {
                let mut out = String::new();
                for item in items {
                    let mut item = self.eval(item)?;
                    if self.autoescape && !item.is_markup() {
                        item = filters::escape(&self.budget, &item)?;
                    }
                    write_str(&self.budget, &mut out, &item)?;
                }
                self.budget.marked(out, self.autoescape)
            }
            _ => runtime("a slice is an index only"),
        }
    }

    pub(super) fn eval_all(&mut self, items: &'a [Expr]) -> Result<Vec<Value>> {
        items.iter().map(|item| self.eval(item)).collect()
    }

    #[inline(never)]
    fn eval_item(&mut self, owner: &'a Expr, index: &'a Expr) -> Result<Value> {
        let owner = self.eval(owner)?;
        if let Node::Slice(parts) = &index.node {
            let mut bounds = [const { None }; 3];
            for (bound, part) in bounds.iter_mut().zip(parts.iter()) {
                *bound = part.as_ref().map(|part| self.eval(part)).transpose()?;
            }
            return self.slice(&owner, &bounds);
        }
        let index = self.eval(index)?;
        self.item(&owner, &index)
    }

    #[inline(never)]
    fn eval_compare(&mut self, first: &'a Expr, rest: &'a [(CompareOp, Expr)]) -> Result<Value> {
        let mut left = self.eval(first)?;
        for (operator, right) in rest {
            let right = self.eval(right)?;
            if !self.compare(*operator, &left, &right)? {
                return Ok(false.into());
            }
            left = right;
        }
        Ok(true.into())
    }

    pub(crate) fn compare(&mut self, operator: CompareOp, a: &Value, b: &Value) -> Result<bool> {
        if matches!(operator, CompareOp::In | CompareOp::NotIn) {
            return Ok(self.contains(b, a)? == (operator == CompareOp::In));
        }
        self.budget.compare(a, b)?;
        Ok(match operator {
            CompareOp::Ne => !equal(a, b),
            CompareOp::Lt => order(a, b, "<")?.is_some_and(|order| order.is_lt()),
            CompareOp::Le => order(a, b, "<=")?.is_some_and(|order| order.is_le()),
            CompareOp::Gt => order(a, b, ">")?.is_some_and(|order| order.is_gt()),
            CompareOp::Ge => order(a, b, ">=")?.is_some_and(|order| order.is_ge()),
            _ => equal(a, b),
        })
    }

    /// Python's `item in container`.
    pub(crate) fn contains(&mut self, container: &Value, item: &Value) -> Result<bool> {
        match container {
            Value::Str(text) => match item {
                Value::Str(part) => {
                    self.budget.scan(text.len())?;
                    Ok(text.contains(&**part))
                }
                other => runtime(format!("'in <string>' requires string as left operand, not {}", other.type_name())),
            },
            Value::Dict(dict) | Value::View(dict, crate::value::ViewKind::Keys) => {
                self.budget.key(item)?;
                Ok(dict.get(item)?.is_some())
            }
            Value::Range(range) if item.as_int().is_some() => {
                Ok(item.as_int().is_some_and(|item| range.contains(item)))
            }
            Value::Object(object) if !matches!(&**object, Object::Group(_) | Object::Loop(_)) => {
                runtime(format!("argument of type '{}' is not iterable", container.type_name()))
            }
            Value::Iter(iter) => {
                while let Some(other) = iter.next() {
                    self.budget.compare(&other, item)?;
                    if equal(&other, item) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Value::List(items) | Value::Tuple(items) => {
                for other in items.iter() {
                    self.budget.compare(other, item)?;
                    if equal(other, item) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            _ => {
                for other in self.iterate(container)? {
                    self.budget.compare(&other, item)?;
                    if equal(&other, item) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    #[inline(never)]
    fn eval_filter(
        &mut self,
        input: Option<&'a Expr>,
        name: &str,
        arguments: &'a crate::ast::Arguments,
    ) -> Result<Value> {
        let input = match input {
            Some(input) => self.eval(input)?,
            None => self.block_input.take().unwrap_or(Value::None),
        };
        let args = self.eval_arguments(arguments)?;
        filters::apply(self, name, input, args)
    }

    #[inline(never)]
    fn eval_test(&mut self, input: &'a Expr, name: &str, arguments: &'a crate::ast::Arguments) -> Result<Value> {
        let input = self.eval(input)?;
        let args = if arguments.is_empty() { Default::default() } else { self.eval_arguments(arguments)? };
        Ok(tests::apply(self, name, &input, args)?.into())
    }
}
