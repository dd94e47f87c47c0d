//! Runs a template.

mod access;
mod calls;
mod expressions;
mod iteration;
mod loops;
mod statements;

use std::rc::Rc;

use crate::Program;
use crate::ast::{Statement, Symbol};
use crate::error::{ErrorKind, Result, TemplateError, limit};
use crate::globals;
use crate::limits::{Budget, Limits, STACK, stack_address};
use crate::value::{LoopState, Object, Scope, Value};

/// Renders `program`.
///
/// # Errors
/// See [`Template::render`](crate::Template::render).
pub(crate) fn render(
    program: &Program,
    limits: Limits,
    variables: &[(&str, Value)],
    interrupted: &dyn Fn() -> bool,
) -> Result<String> {
    let budget = Budget::new(limits, interrupted);
    let known = |name: &str| {
        let given = variables.iter().rev().find(|(other, _)| *other == name).map(|(_, value)| value.clone());
        given.or_else(|| globals::find(name))
    };
    let known = program.names.iter().enumerate().filter_map(|(symbol, name)| Some((symbol as Symbol, known(name)?)));
    let context = Scope { vars: known.collect::<Vec<_>>().into(), parent: None, captured: false.into() };
    let top = Rc::new(Scope::within(&Rc::new(context)));
    let symbol = |name: &str| program.names.iter().position(|other| other == name).map(|at| at as Symbol);
    let mut interpreter = Interpreter {
        program,
        budget,
        texts: vec![None; program.texts.len()],
        loop_symbol: symbol("loop"),
        special: [symbol("caller"), symbol("kwargs"), symbol("varargs")],
        scope: top.clone(),
        top,
        autoescape: false,
        block_input: None,
        depth: 0,
        stack: stack_address(),
        heap: Vec::new(),
        captured: Vec::new(),
    };
    let mut out = String::new();
    match interpreter.run(&program.body, &mut out)? {
        Flow::Next => Ok(out),
        Flow::Break => Err(TemplateError::new(ErrorKind::Syntax, "'break' outside loop")),
        Flow::Continue => Err(TemplateError::new(ErrorKind::Syntax, "'continue' not properly in loop")),
    }
}

/// What happens after a statement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

pub(crate) struct Interpreter<'a> {
    program: &'a Program,
    pub budget: Budget<'a>,
    /// the program's texts as values, once they were used
    texts: Vec<Option<Value>>,
    /// `loop`
    loop_symbol: Option<Symbol>,
    /// `caller`, `kwargs`, `varargs`
    special: [Option<Symbol>; 3],
    scope: Rc<Scope>,
    /// the scope of the template itself
    top: Rc<Scope>,
    pub autoescape: bool,
    /// what the block printed to which a filter applies
    block_input: Option<Value>,
    depth: usize,
    /// where the stack was at the start
    stack: usize,
    /// Everything that can come to hold itself. It is kept to the end and emptied one by one then, so that neither a
    /// ring nor a long chain is dropped through itself.
    heap: Vec<Rc<Object>>,
    captured: Vec<Rc<Scope>>,
}

impl Drop for Interpreter<'_> {
    fn drop(&mut self) {
        for scope in &self.captured {
            drop(std::mem::take(&mut *scope.vars.borrow_mut()));
        }
        for object in &self.heap {
            if let Object::Namespace(attributes) = &**object {
                drop(std::mem::take(&mut *attributes.borrow_mut()));
            }
        }
    }
}

impl Scope {
    fn within(parent: &Rc<Self>) -> Self {
        Self { vars: Vec::new().into(), parent: Some(parent.clone()), captured: false.into() }
    }
}

impl<'a> Interpreter<'a> {
    /// `run`, one level deeper.
    fn nested<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.budget.step(1)?;
        if self.depth >= self.budget.limits.recursion || self.stack.abs_diff(stack_address()) > STACK {
            return limit("maximum recursion depth exceeded");
        }
        self.depth += 1;
        let result = run(self);
        self.depth -= 1;
        result
    }

    /// `run` in the scope `scope`.
    fn in_scope<T>(&mut self, scope: Rc<Scope>, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let outer = std::mem::replace(&mut self.scope, scope);
        let result = run(self);
        self.scope = outer;
        result
    }

    fn inner_scope(&self) -> Rc<Scope> {
        Rc::new(Scope::within(&self.scope))
    }

    fn lookup(&self, symbol: Symbol) -> Result<Value> {
        let mut scope = Some(&self.scope);
        while let Some(here) = scope {
            let vars = here.vars.borrow();
            if let Some((_, value)) = vars.iter().find(|(name, _)| *name == symbol) {
                return Ok(value.clone());
            }
            self.budget.step(vars.len() as u64 / 16)?;
            scope = here.parent.as_ref();
        }
        Ok(Value::missing_name(&self.program.names[symbol as usize]))
    }

    fn set(&self, symbol: Symbol, value: Value) -> Result<()> {
        let mut vars = self.scope.vars.borrow_mut();
        self.budget.step(vars.len() as u64 / 16)?;
        let old = match vars.iter_mut().find(|(name, _)| *name == symbol) {
            Some((_, old)) => Some(std::mem::replace(old, value)),
            None => {
                vars.push((symbol, value));
                None
            }
        };
        // After the borrow: what is dropped may look at variables.
        drop(vars);
        drop(old);
        Ok(())
    }

    /// Keeps the scopes that a macro sees to the end.
    fn capture(&mut self) -> Result<Rc<Scope>> {
        let mut scope = Some(self.scope.clone());
        while let Some(here) = scope.filter(|scope| !scope.captured.replace(true)) {
            self.budget.alloc(size_of::<Scope>())?;
            scope = here.parent.clone();
            self.captured.push(here);
        }
        Ok(self.scope.clone())
    }

    /// A namespace.
    pub(crate) fn namespace(&mut self, attributes: Vec<(String, Value)>) -> Result<Value> {
        self.budget.alloc_n(attributes.len() + 2, 64)?;
        let object = Rc::new(Object::Namespace(attributes.into()));
        self.heap.push(object.clone());
        Ok(Value::Object(object))
    }

    /// What `body` prints.
    fn captured_text(&mut self, body: &'a [Statement]) -> Result<(Value, Flow)> {
        let mut out = String::new();
        let flow = self.run(body, &mut out)?;
        Ok((self.budget.marked(out, self.autoescape)?, flow))
    }

    /// The loop's `loop`, ended: it must not hold on to what it went through.
    fn end_loop(&self, state: &LoopState) {
        *state.source.borrow_mut() = crate::value::source_end();
        for item in [&state.before, &state.current, &state.after] {
            drop(item.borrow_mut().take());
        }
        drop(state.changed.borrow_mut().take());
    }
}
