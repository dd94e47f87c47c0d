//! Calls: functions, methods and macros.

use std::rc::Rc;

use super::{Flow, Interpreter};
use crate::args::Args;
use crate::ast::{Arguments, Expr, Node};
use crate::error::{Result, runtime};
use crate::value::{Macro, Object, Scope, Value};
use crate::{globals, methods};

impl<'a> Interpreter<'a> {
    #[inline(never)]
    pub(super) fn eval_call(&mut self, callee: &'a Expr, arguments: &'a Arguments) -> Result<Value> {
        let callee = self.eval(callee)?;
        let args = self.eval_arguments(arguments)?;
        self.call(&callee, args)
    }

    /// The call of a call block, which hands over its body.
    pub(super) fn call_with(&mut self, call: &'a Expr, caller: Value) -> Result<Value> {
        let Node::Call(callee, arguments) = &call.node else { return runtime("expected call") };
        let callee = self.eval(callee)?;
        let mut args = self.eval_arguments(arguments)?;
        args.keyword.push(("caller".into(), caller));
        self.call(&callee, args)
    }

    #[inline(never)]
    pub(super) fn eval_arguments(&mut self, arguments: &'a Arguments) -> Result<Args> {
        let mut args = Args { positional: self.eval_all(&arguments.positional)?, keyword: Vec::new() };
        for (name, value) in &arguments.keyword {
            args.keyword.push((name.clone(), self.eval(value)?));
        }
        if let Some(star) = &arguments.star {
            let items = self.eval(star)?;
            args.positional.extend(self.iterate(&items)?);
        }
        if let Some(star) = &arguments.double_star {
            let Value::Dict(dict) = self.eval(star)? else { return runtime("argument after ** must be a mapping") };
            self.budget.alloc_n(dict.len(), 64)?;
            for (name, value) in dict.entries() {
                let Some(name) = name.as_str() else { return runtime("keywords must be strings") };
                self.budget.step(args.keyword.len() as u64 / 8)?;
                if args.keyword.iter().any(|(other, _)| other == name) {
                    return runtime(format!("got multiple values for keyword argument '{name}'"));
                }
                args.keyword.push((name.into(), value.clone()));
            }
        }
        Ok(args)
    }

    pub(crate) fn call(&mut self, callee: &Value, args: Args) -> Result<Value> {
        match callee {
            Value::Undefined(undefined) => undefined.fail(),
            Value::Function(function) => globals::call(self, *function, args),
            Value::Method(method) => methods::call(self, &method.0, &method.1, args),
            Value::Object(object) => match &**object {
                Object::Macro(function) => self.nested(|interpreter| interpreter.call_macro(function, args)),
                Object::Loop(state) => self.nested(|interpreter| interpreter.recurse(state, args)),
                Object::Joiner { separator, used } => {
                    args.bind("joiner", [], 0)?;
                    Ok(if used.replace(true) { separator[0].clone() } else { Value::str("") })
                }
                _ => not_callable(callee),
            },
            other => not_callable(other),
        }
    }

    pub(super) fn make_macro(&mut self, at: usize) -> Result<Value> {
        let node = &self.program.macros[at];
        self.budget.alloc_n(node.arguments.len() + 2, 64)?;
        let arguments = node.arguments.iter().map(|(name, _)| name.clone()).collect();
        let scope = self.capture()?;
        let function = Macro { node: at, scope, name: node.name.clone(), arguments, catches: node.catches };
        Ok(Value::Object(Object::Macro(function).into()))
    }

    #[inline(never)]
    fn call_macro(&mut self, function: &Macro, mut args: Args) -> Result<Value> {
        let node = &self.program.macros[function.node];
        let name = function.name.as_deref().unwrap_or("None");
        let count = node.arguments.len();
        let mut positional = args.positional.into_iter();
        let mut given: Vec<Option<Value>> = positional.by_ref().take(count).map(Some).collect();
        self.budget.step(args.keyword.len() as u64 * node.arguments.len() as u64 / 8)?;
        let mut take = |name: &str| {
            let at = args.keyword.iter().position(|(other, _)| other == name)?;
            Some(args.keyword.remove(at).1)
        };
        for (name, _) in &node.arguments[given.len()..] {
            given.push(take(name));
        }
        let caller = node.catches.caller.then(|| take("caller").unwrap_or(Value::hint("No caller defined")));
        let varargs: Vec<Value> = positional.collect();
        if !node.catches.kwargs
            && let Some((argument, _)) = args.keyword.first()
        {
            return runtime(format!("macro '{name}' takes no keyword argument '{argument}'"));
        }
        if !node.catches.varargs && !varargs.is_empty() {
            return runtime(format!("macro '{name}' takes not more than {count} argument(s)"));
        }
        let kwargs = args.keyword.into_iter().map(|(name, value)| (Value::str(name), value)).collect();
        let special = [
            caller,
            node.catches.kwargs.then(|| self.budget.dict(kwargs)).transpose()?,
            node.catches.varargs.then(|| self.budget.tuple(varargs)).transpose()?,
        ];
        let scope = Rc::new(Scope::within(&function.scope));
        let first_default = count - node.defaults.len();
        self.in_scope(scope, |interpreter| {
            for (symbol, value) in interpreter.special.into_iter().zip(special) {
                if let (Some(symbol), Some(value)) = (symbol, value) {
                    interpreter.set(symbol, value)?;
                }
            }
            for (at, ((_, symbol), value)) in node.arguments.iter().zip(given).enumerate() {
                let value = match value {
                    Some(value) => value,
                    None if at >= first_default => interpreter.eval(&node.defaults[at - first_default])?,
                    None => Value::hint("a parameter of the macro was not provided"),
                };
                interpreter.set(*symbol, value)?;
            }
            let (text, flow) = interpreter.captured_text(&node.body)?;
            if flow == Flow::Next { Ok(text) } else { runtime("'break' outside loop") }
        })
    }
}

fn not_callable<T>(value: &Value) -> Result<T> {
    runtime(format!("'{}' object is not callable", value.type_name()))
}
