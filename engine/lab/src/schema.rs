//! Reports against their JSON Schema (`report.schema.json`). Knows the part of JSON Schema that this one schema uses,
//! and refuses a schema that uses more, so that nothing in it goes unchecked.

use serde_json::{Map, Value};

use understory_protocol::hash::Fingerprint;

/// The schema of the current version, as text: for other tools.
pub const TEXT: &str = include_str!("report.schema.json");

/// Keywords that say nothing about what is valid.
const WORDS: [&str; 3] = ["$schema", "title", "description"];

/// A report of the current version.
///
/// # Errors
/// The path of the first value that is not as it should be, what it is and what was expected.
pub fn check_report(report: &Value) -> Result<(), String> {
    let schema: Value = serde_json::from_str(TEXT).map_err(|error| format!("report.schema.json: {error}"))?;
    Checker { root: &schema }.check(&schema, report, "report")
}

/// Of the schema without titles and descriptions: it changes with what is valid, not with the words.
pub fn hash(schema: &Value) -> String {
    let mut hash = Fingerprint::default();
    push(schema, false, &mut hash);
    hash.hex()
}

/// Members of objects in the order of their names. `names`: the members are names of fields, not keywords.
fn push(value: &Value, names: bool, hash: &mut Fingerprint) {
    match value {
        Value::Object(members) => {
            let mut keys: Vec<&String> = members.keys().filter(|key| names || !WORDS.contains(&key.as_str())).collect();
            keys.sort_unstable();
            hash.push(b"{");
            for key in keys {
                hash.push(key.as_bytes());
                hash.push(b":");
                push(&members[key], !names && matches!(key.as_str(), "properties" | "$defs"), hash);
            }
            hash.push(b"}");
        }
        Value::Array(items) => {
            hash.push(b"[");
            for item in items {
                push(item, false, hash);
                hash.push(b",");
            }
            hash.push(b"]");
        }
        plain => hash.push(plain.to_string().as_bytes()),
    }
}

struct Checker<'a> {
    root: &'a Value,
}

impl Checker<'_> {
    fn check(&self, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
        let rules = schema.as_object().ok_or_else(|| format!("the schema of {path} is no object"))?;
        for (rule, wanted) in rules {
            self.rule(rules, rule, wanted, value, path)?;
        }
        Ok(())
    }

    fn rule(
        &self,
        rules: &Map<String, Value>,
        rule: &str,
        wanted: &Value,
        value: &Value,
        path: &str,
    ) -> Result<(), String> {
        let fail = |expected: String| Err(format!("{path} is {}: expected {expected}", shown(value)));
        match rule {
            "$ref" => {
                let pointer = wanted.as_str().unwrap_or_default().trim_start_matches('#');
                let target = self.root.pointer(pointer).ok_or_else(|| format!("the schema has no {pointer}"))?;
                self.check(target, value, path)
            }
            "anyOf" => {
                let errors = list(wanted).iter().map(|option| self.check(option, value, path).err());
                let errors: Option<Vec<String>> = errors.collect();
                // The longest message is from the option that fitted best: its path is the deepest.
                errors.map_or(Ok(()), |all| Err(all.into_iter().max_by_key(String::len).unwrap_or_default()))
            }
            "type" => match wanted {
                Value::String(name) if is_a(value, name) => Ok(()),
                Value::Array(names) if names.iter().any(|n| n.as_str().is_some_and(|n| is_a(value, n))) => Ok(()),
                other => fail(other.to_string()),
            },
            "const" if wanted != value => fail(wanted.to_string()),
            "enum" if !list(wanted).contains(value) => fail(format!("one of {wanted}")),
            "minimum" if value.as_f64().zip(wanted.as_f64()).is_some_and(|(v, w)| v < w) => {
                fail(format!("{wanted} or more"))
            }
            "maximum" if value.as_f64().zip(wanted.as_f64()).is_some_and(|(v, w)| v > w) => {
                fail(format!("{wanted} or less"))
            }
            "minLength" if value.as_str().is_some_and(|v| (v.len() as u64) < count(wanted)) => {
                fail(format!("{wanted} characters or more"))
            }
            "minItems" if value.as_array().is_some_and(|v| (v.len() as u64) < count(wanted)) => {
                fail(format!("{wanted} items or more"))
            }
            "maxItems" if value.as_array().is_some_and(|v| v.len() as u64 > count(wanted)) => {
                fail(format!("{wanted} items or fewer"))
            }
            "items" => {
                let mut items = value.as_array().into_iter().flatten().enumerate();
                items.try_for_each(|(i, item)| self.check(wanted, item, &format!("{path}[{i}]")))
            }
            "required" => {
                let Some(members) = value.as_object() else { return Ok(()) };
                let missing = list(wanted).iter().filter_map(Value::as_str).find(|name| !members.contains_key(*name));
                missing.map_or(Ok(()), |name| Err(format!("{path}.{name} is missing")))
            }
            "properties" => {
                let Some(members) = value.as_object() else { return Ok(()) };
                let known = |(name, _): &(&String, &Value)| wanted.get(name.as_str()).is_some();
                let mut checked = members.iter().filter(known);
                checked.try_for_each(|(name, v)| self.check(&wanted[name], v, &format!("{path}.{name}")))
            }
            "additionalProperties" => {
                let known = rules.get("properties").and_then(Value::as_object);
                let is_unknown = |name: &&String| !known.is_some_and(|known| known.contains_key(name.as_str()));
                let unknown = value.as_object().and_then(|members| members.keys().find(is_unknown));
                unknown.map_or(Ok(()), |name| Err(format!("{path}.{name} is unknown")))
            }
            "const" | "enum" | "minimum" | "maximum" | "minLength" | "minItems" | "maxItems" | "$defs" => Ok(()),
            word if WORDS.contains(&word) => Ok(()),
            other => Err(format!("the schema of {path} uses `{other}`, which is not checked here")),
        }
    }
}

fn is_a(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// A value in a message, not longer than a line.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(_) => "an object".into(),
        Value::String(text) if text.chars().count() > 40 => {
            format!("{:?}...", text.chars().take(40).collect::<String>())
        }
        plain => plain.to_string(),
    }
}
