//! The arguments `attribute=` of filters: `"user.name"`, `"0"`, `1`.

use crate::args::Args;
use crate::error::Result;
use crate::interpreter::Interpreter;
use crate::number::parse_int;
use crate::value::Value;

pub(super) fn attr(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [name] = args.bind("attr", ["name"], 1)?;
    let name = name.unwrap_or(Value::None);
    let Some(name) = name.as_str() else {
        return crate::error::runtime("attribute name must be string");
    };
    interpreter.own_attribute_or_undefined(&value, name)
}

/// Finds what an attribute argument names.
pub(super) struct Getter {
    parts: Vec<Value>,
    pub default: Option<Value>,
}

impl Getter {
    pub fn new(attribute: Option<&Value>) -> Self {
        let parts = match attribute {
            None | Some(Value::None) => Vec::new(),
            Some(Value::Str(path)) => path.split('.').map(part).collect(),
            Some(other) => vec![other.clone()],
        };
        Self { parts, default: None }
    }

    /// Several, with commas between them.
    pub fn several(attribute: Option<&Value>) -> Vec<Self> {
        match attribute {
            Some(Value::Str(paths)) => paths.split(',').map(|path| Self::new(Some(&Value::str(path)))).collect(),
            other => vec![Self::new(other)],
        }
    }

    pub fn get(&self, interpreter: &mut Interpreter<'_>, item: &Value) -> Result<Value> {
        let mut item = item.clone();
        for part in &self.parts {
            item = interpreter.item(&item, part)?;
            if let (Value::Undefined(_), Some(default)) = (&item, &self.default) {
                item = default.clone();
            }
        }
        Ok(item)
    }
}

fn part(name: &str) -> Value {
    let index = parse_int(name, 10).filter(|_| !name.is_empty() && name.chars().all(|c| c.is_ascii_digit()));
    index.map_or_else(|| Value::str(name), Value::Int)
}
