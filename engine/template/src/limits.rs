//! How much a template may ask for, and the account of what it has used.

use std::cell::Cell;

use crate::error::{ErrorKind, Result, TemplateError, limit};
use crate::value::{Dict, Seq, Value};

/// Deepest nesting of expressions and of blocks in a source. Python's own parser, which Jinja2 uses, ends at 200
/// parentheses, and a chain of operators is such a nest to it.
pub(crate) const NESTING: usize = 200;
/// Deepest nesting of lists and maps as values.
pub(crate) const VALUE_DEPTH: u16 = 200;
/// Bytes of the stack that parsing or rendering may take: the smallest stack that they run on is 512 KiB.
pub(crate) const STACK: usize = 256 << 10;
/// Largest range, as Jinja2's sandbox has it.
pub(crate) const RANGE: i128 = 100_000;
/// Largest key of a map, in values.
const KEY_WEIGHT: u64 = 10_000;
/// Steps between two questions to the caller whether to go on.
const ASK_EVERY: u64 = 4096;

/// The numbers of the sandbox. The default is what chat templates get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// longest source, bytes
    pub source_bytes: usize,
    /// evaluated nodes, iterated items, and 32 bytes each of scanned text
    pub steps: u64,
    /// strings, lists and maps made by one rendering, freed ones included, bytes
    pub memory_bytes: usize,
    /// longest rendered text, bytes
    pub output_bytes: usize,
    /// deepest nesting of macro calls, loops and expressions while rendering
    pub recursion: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            source_bytes: 1 << 20,
            steps: 8_000_000,
            memory_bytes: 128 << 20,
            output_bytes: 8 << 20,
            recursion: 1000,
        }
    }
}

/// The account of one rendering.
pub(crate) struct Budget<'a> {
    pub limits: Limits,
    steps: Cell<u64>,
    ask_at: Cell<u64>,
    memory: Cell<usize>,
    interrupted: &'a dyn Fn() -> bool,
}

impl<'a> Budget<'a> {
    pub fn new(limits: Limits, interrupted: &'a dyn Fn() -> bool) -> Self {
        Self { limits, steps: Cell::new(0), ask_at: Cell::new(0), memory: Cell::new(0), interrupted }
    }

    /// Charges `n` steps.
    #[inline]
    pub fn step(&self, n: u64) -> Result<()> {
        let steps = self.steps.get().saturating_add(n);
        self.steps.set(steps);
        if steps < self.ask_at.get() { Ok(()) } else { self.ask(steps) }
    }

    #[cold]
    fn ask(&self, steps: u64) -> Result<()> {
        self.ask_at.set((steps + ASK_EVERY).min(self.limits.steps));
        if (self.interrupted)() {
            return Err(TemplateError::new(ErrorKind::Interrupted, "stopped while the chat template was rendered"));
        }
        if steps >= self.limits.steps {
            return limit(format!("the template takes more than {} steps", self.limits.steps));
        }
        Ok(())
    }

    /// Charges a pass over `bytes` of text.
    #[inline]
    pub fn scan(&self, bytes: usize) -> Result<()> {
        self.step(bytes as u64 / 32 + 1)
    }

    /// Charges `bytes` of memory and the time to fill it. To be called before they are allocated.
    #[inline]
    pub fn alloc(&self, bytes: usize) -> Result<()> {
        let memory = self.memory.get().saturating_add(bytes);
        if memory > self.limits.memory_bytes {
            let mib = self.limits.memory_bytes >> 20;
            return limit(format!("the template makes more than {mib} MiB of text and lists"));
        }
        self.memory.set(memory);
        self.scan(bytes)
    }

    /// As [`Self::alloc`], for `n` times `bytes`.
    pub fn alloc_n(&self, n: usize, bytes: usize) -> Result<()> {
        self.alloc(n.saturating_mul(bytes))
    }

    pub fn text(&self, text: impl AsRef<str>) -> Result<Value> {
        let text = text.as_ref();
        self.alloc(text.len() + 16)?;
        Ok(Value::str(text))
    }

    /// Text that counts as escaped if `markup`.
    pub fn marked(&self, text: impl AsRef<str>, markup: bool) -> Result<Value> {
        Ok(self.text(text)?.with_markup(markup))
    }

    fn seq(&self, items: Vec<Value>) -> Result<Seq> {
        self.alloc_n(items.len() + 2, size_of::<Value>())?;
        Seq::new(items)
    }

    pub fn list(&self, items: Vec<Value>) -> Result<Value> {
        Ok(Value::List(self.seq(items)?.into()))
    }

    pub fn tuple(&self, items: Vec<Value>) -> Result<Value> {
        Ok(Value::Tuple(self.seq(items)?.into()))
    }

    pub fn dict(&self, pairs: Vec<(Value, Value)>) -> Result<Value> {
        self.alloc_n(pairs.len() + 2, 4 * size_of::<Value>())?;
        for (key, _) in &pairs {
            self.key(key)?;
        }
        Ok(Value::Dict(Dict::new(pairs)?.into()))
    }

    /// Charges the hash of a key.
    pub fn key(&self, key: &Value) -> Result<()> {
        let weight = key.weight();
        if weight > KEY_WEIGHT && !matches!(key, Value::Str(_)) {
            return limit("a key of a map is too large");
        }
        self.step(weight)
    }

    /// Charges a comparison of two values.
    pub fn compare(&self, a: &Value, b: &Value) -> Result<()> {
        self.step(a.weight().min(b.weight()))
    }
}

/// An address on the present stack.
#[inline(never)]
pub(crate) fn stack_address() -> usize {
    let mark = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&mark)) as usize
}
