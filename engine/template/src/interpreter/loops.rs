//! `for`, and what `loop` knows.

use std::rc::Rc;

use super::{Flow, Interpreter};
use crate::args::Args;
use crate::compare::equal;
use crate::error::{Result, runtime};
use crate::value::{LoopState, Object, Scope, Value};

impl<'a> Interpreter<'a> {
    pub(super) fn for_loop(&mut self, at: usize, out: &mut String) -> Result<Flow> {
        let program = self.program;
        let items = self.eval(&program.loops[at].iterable)?;
        self.loop_over(at, &items, 0, out)
    }

    #[inline(never)]
    fn loop_over(&mut self, at: usize, items: &Value, depth0: usize, out: &mut String) -> Result<Flow> {
        let program = self.program;
        let node = &program.loops[at];
        let (source, length) = self.source(items)?;
        let outer = self.scope.clone();
        let object = Rc::new(Object::Loop(Box::new(LoopState {
            source: source.into(),
            length: length.filter(|_| node.test.is_none()).into(),
            index0: (-1).into(),
            before: None.into(),
            current: None.into(),
            after: None.into(),
            changed: None.into(),
            depth0,
            recurse: node.recursive.then(|| (at, outer.clone())),
            filter: node.test.as_ref().map(|_| (at, outer.clone())),
        })));
        let Object::Loop(state) = &*object else { return Ok(Flow::Next) };
        let mut ran = false;
        while let Some(item) = self.advance(state)? {
            ran = true;
            let scope = Rc::new(Scope::within(&outer));
            let flow = self.in_scope(scope, |interpreter| {
                interpreter.assign(&node.target, item)?;
                if let Some(symbol) = interpreter.loop_symbol {
                    interpreter.set(symbol, Value::Object(object.clone()))?;
                }
                interpreter.run(&node.body, out)
            })?;
            if flow == Flow::Break {
                break;
            }
        }
        self.end_loop(state);
        if ran {
            return Ok(Flow::Next);
        }
        // A break in here belongs to a loop around.
        let scope = self.inner_scope();
        self.in_scope(scope, |interpreter| interpreter.run(&node.otherwise, out))
    }

    /// The next item, which becomes the current one.
    pub(super) fn advance(&mut self, state: &LoopState) -> Result<Option<Value>> {
        self.budget.step(1)?;
        let after = state.after.borrow_mut().take();
        let item = match after {
            Some(item) => item,
            None => match self.pull(state)? {
                Some(item) => item,
                None => return Ok(None),
            },
        };
        state.index0.set(state.index0.get() + 1);
        let before = state.current.borrow_mut().replace(item.clone());
        drop(std::mem::replace(&mut *state.before.borrow_mut(), before));
        Ok(Some(item))
    }

    /// The next item of the source that passes the loop's `if`.
    fn pull(&mut self, state: &LoopState) -> Result<Option<Value>> {
        loop {
            let Some(item) = state.source.borrow_mut().next() else { return Ok(None) };
            self.budget.step(1)?;
            // Once the length is known, what is left has passed.
            let Some((at, outer)) = state.filter.as_ref().filter(|_| state.length.get().is_none()) else {
                return Ok(Some(item));
            };
            let program = self.program;
            let node = &program.loops[*at];
            let scope = Rc::new(Scope::within(outer));
            let passes = self.in_scope(scope, |interpreter| {
                interpreter.assign(&node.target, item.clone())?;
                node.test.as_ref().map_or(Ok(true), |test| Ok(interpreter.eval(test)?.truthy()))
            })?;
            if passes {
                return Ok(Some(item));
            }
        }
    }

    fn peek(&mut self, state: &LoopState) -> Result<Option<Value>> {
        if state.after.borrow().is_none() {
            let next = self.pull(state)?;
            *state.after.borrow_mut() = next;
        }
        Ok(state.after.borrow().clone())
    }

    fn loop_length(&mut self, state: &LoopState) -> Result<i64> {
        if let Some(length) = state.length.get() {
            return Ok(length as i64);
        }
        let mut rest = Vec::new();
        while let Some(item) = self.pull(state)? {
            self.budget.alloc(size_of::<Value>())?;
            rest.push(item);
        }
        let peeked = usize::from(state.after.borrow().is_some());
        let length = rest.len() + (state.index0.get() + 1) as usize + peeked;
        *state.source.borrow_mut() = crate::value::Source::Seq(Value::list(rest)?, 0);
        state.length.set(Some(length));
        Ok(length as i64)
    }

    /// An attribute of `loop`.
    pub(super) fn loop_attribute(&mut self, owner: &Value, state: &LoopState, name: &str) -> Result<Option<Value>> {
        let index0 = state.index0.get();
        let int = |value: i64| Ok(Some(Value::Int(value.into())));
        match name {
            "index0" => int(index0),
            "index" => int(index0 + 1),
            "length" => {
                let length = self.loop_length(state)?;
                int(length)
            }
            "revindex0" => {
                let length = self.loop_length(state)?;
                int(length - index0 - 1)
            }
            "revindex" => {
                let length = self.loop_length(state)?;
                int(length - index0)
            }
            "depth0" => int(state.depth0 as i64),
            "depth" => int(state.depth0 as i64 + 1),
            "first" => Ok(Some((index0 == 0).into())),
            "last" => Ok(Some(self.peek(state)?.is_none().into())),
            "previtem" if index0 == 0 => Ok(Some(Value::hint("there is no previous item"))),
            "previtem" => Ok(Some(state.before.borrow().clone().unwrap_or(Value::None))),
            "nextitem" => Ok(Some(self.peek(state)?.unwrap_or_else(|| Value::hint("there is no next item")))),
            "cycle" | "changed" => Ok(Some(Value::Method((owner.clone(), name.to_owned()).into()))),
            _ => Ok(None),
        }
    }

    pub(crate) fn loop_method(&mut self, state: &LoopState, name: &str, args: Args) -> Result<Value> {
        if let Some((name, _)) = args.keyword.first() {
            return runtime(format!("unexpected keyword argument '{name}'"));
        }
        let items = args.positional;
        if name == "cycle" {
            if items.is_empty() {
                return runtime("no items for cycling given");
            }
            let at = state.index0.get().max(0) as usize % items.len();
            return Ok(items[at].clone());
        }
        for item in &items {
            self.budget.step(item.weight())?;
        }
        let mut last = state.changed.borrow_mut();
        let same = last.as_ref().is_some_and(|last| {
            last.len() == items.len() && last.iter().zip(&items).all(|(last, item)| equal(last, item))
        });
        let before = if same { None } else { last.replace(items) };
        drop(last);
        drop(before);
        Ok((!same).into())
    }

    /// `loop(items)`: the loop's body once more, one level deeper.
    pub(super) fn recurse(&mut self, state: &LoopState, args: Args) -> Result<Value> {
        let [items] = args.bind("loop", ["iterable"], 1)?;
        let Some((at, outer)) = state.recurse.clone() else {
            return runtime("The loop must have the 'recursive' marker to be called recursively.");
        };
        let mut out = String::new();
        let items = items.unwrap_or(Value::None);
        self.in_scope(outer, |interpreter| interpreter.loop_over(at, &items, state.depth0 + 1, &mut out))?;
        self.budget.marked(out, self.autoescape)
    }
}
