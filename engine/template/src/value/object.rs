//! Values with a state or behaviour of their own: namespaces, macros, loops, cyclers, joiners.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::ast;
use crate::value::Value;

/// Which part of a map a view shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ViewKind {
    Keys,
    Values,
    Items,
}

/// A function that every template knows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Range,
    Dict,
    Lipsum,
    Cycler,
    Joiner,
    Namespace,
    RaiseException,
    StrftimeNow,
}

/// Variables of a block and what surrounds it.
pub struct Scope {
    pub vars: RefCell<Vec<(ast::Symbol, Value)>>,
    pub parent: Option<Rc<Scope>>,
    /// a macro was defined here or within
    pub captured: Cell<bool>,
}

/// A macro with the scope in which it was defined. `node` is its place in the program.
pub struct Macro {
    pub node: usize,
    pub scope: Rc<Scope>,
    pub name: Option<String>,
    pub arguments: Vec<String>,
    pub catches: ast::Catches,
}

/// A running loop.
pub struct LoopState {
    pub source: RefCell<Source>,
    /// the whole length, once it is known
    pub length: Cell<Option<usize>>,
    pub index0: Cell<i64>,
    pub before: RefCell<Option<Value>>,
    pub current: RefCell<Option<Value>>,
    pub after: RefCell<Option<Value>>,
    pub changed: RefCell<Option<Vec<Value>>>,
    pub depth0: usize,
    /// place of a recursive loop in the program, and the scope around it
    pub recurse: Option<(usize, Rc<Scope>)>,
    /// the `if` of the loop: place of the loop in the program, and its scope
    pub filter: Option<(usize, Rc<Scope>)>,
}

/// Where a loop's items come from.
pub enum Source {
    /// of a list or tuple, from a place on
    Seq(Value, usize),
    Range(super::Range, i128),
    Items(std::vec::IntoIter<Value>),
    Iter(Rc<super::Iter>),
}

pub enum Object {
    Namespace(RefCell<Vec<(String, Value)>>),
    Macro(Macro),
    Loop(Box<LoopState>),
    /// of at least one item
    Cycler {
        items: Rc<super::Seq>,
        at: Cell<usize>,
    },
    /// its only item
    Joiner {
        separator: Rc<super::Seq>,
        used: Cell<bool>,
    },
    /// an element of `groupby`: prints as a tuple, has `grouper` and `list`
    Group(Value),
}

impl Object {
    /// Levels of what it holds. What can come to hold itself is kept apart by the interpreter, and counts as none.
    pub(super) fn depth(&self) -> u16 {
        match self {
            Self::Group(pair) => pair.depth(),
            Self::Cycler { items, .. } | Self::Joiner { separator: items, .. } => items.depth,
            Self::Namespace(_) | Self::Macro(_) | Self::Loop(_) => 0,
        }
    }

    pub(super) fn weight(&self) -> u64 {
        match self {
            Self::Group(pair) => pair.weight(),
            _ => 1,
        }
    }

    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Namespace(_) => "Namespace",
            Self::Macro(_) => "Macro",
            Self::Loop(_) => "LoopContext",
            Self::Cycler { .. } => "Cycler",
            Self::Joiner { .. } => "Joiner",
            Self::Group(_) => "_GroupTuple",
        }
    }
}

/// No more items.
pub(crate) fn source_end() -> Source {
    Source::Items(Vec::new().into_iter())
}
