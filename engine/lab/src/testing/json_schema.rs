//! The part of JSON Schema that the reports' schema is written in. A library for all of it takes twenty crates.

use serde_json::Value;

/// Keywords that say nothing of values.
const ANNOTATIONS: [&str; 4] = ["$defs", "$schema", "description", "title"];

/// Checks `value` against `schema`, which is the whole of `root` or a part of it.
///
/// # Errors
/// The place of the first value that is not as it should be, and the keyword that it breaks.
///
/// # Panics
/// For a keyword that is not known here: it would go unchecked.
pub fn validate(root: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    for (keyword, rule) in schema.as_object().expect("a schema is an object") {
        let holds = match keyword.as_str() {
            known if ANNOTATIONS.contains(&known) => true,
            "$ref" => {
                let pointer = rule.as_str().and_then(|to| to.strip_prefix('#')).expect("a reference within the schema");
                validate(root, root.pointer(pointer).expect("a definition"), value, place)?;
                true
            }
            "type" => match rule {
                Value::Array(types) => types.iter().any(|of| is_of_type(value, of)),
                of => is_of_type(value, of),
            },
            "const" => value == rule,
            "enum" => list(rule).contains(value),
            "anyOf" => list(rule).iter().any(|schema| validate(root, schema, value, place).is_ok()),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().expect("a number")),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().expect("a number")),
            "minLength" => value.as_str().is_none_or(|text| text.chars().count() >= size(rule)),
            "minItems" => value.as_array().is_none_or(|items| items.len() >= size(rule)),
            "maxItems" => value.as_array().is_none_or(|items| items.len() <= size(rule)),
            "items" => {
                for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                    validate(root, rule, item, &format!("{place}/{i}"))?;
                }
                true
            }
            "required" => {
                let lacks = |name: &&Value| value.is_object() && value.get(name.as_str().expect("a name")).is_none();
                if let Some(name) = list(rule).iter().find(lacks) {
                    return Err(format!("{place}: lacks {name}"));
                }
                true
            }
            "properties" => {
                for (name, schema) in rule.as_object().expect("schemas by name") {
                    if let Some(value) = value.get(name) {
                        validate(root, schema, value, &format!("{place}/{name}"))?;
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = |name: &String| schema["properties"].get(name).is_some();
                let mut others = value.as_object().into_iter().flatten().filter(|(name, _)| !known(name));
                match rule {
                    Value::Bool(allowed) => match others.next().filter(|_| !allowed) {
                        Some((name, _)) => return Err(format!("{place}: has '{name}', which is not allowed")),
                        None => true,
                    },
                    of => {
                        others.try_for_each(|(name, value)| validate(root, of, value, &format!("{place}/{name}")))?;
                        true
                    }
                }
            }
            unknown => panic!("keyword {unknown} of the schema is not checked"),
        };
        if !holds {
            return Err(format!("{place}: {value} breaks {keyword} {rule}"));
        }
    }
    Ok(())
}

fn list(rule: &Value) -> &[Value] {
    rule.as_array().expect("a list")
}

fn size(rule: &Value) -> usize {
    rule.as_u64().expect("a whole number") as usize
}

fn is_of_type(value: &Value, of: &Value) -> bool {
    match of.as_str().expect("a type's name") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        unknown => panic!("type {unknown}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Each keyword with a value that it allows and one that it does not.
    #[test]
    fn every_keyword_is_checked() {
        let cases = [
            (json!({"type": "integer"}), json!(3.0), json!(3.5)),
            (json!({"type": ["string", "null"]}), json!(null), json!(false)),
            (json!({"const": 1}), json!(1), json!(2)),
            (json!({"enum": ["a", "b"]}), json!("b"), json!("c")),
            (json!({"anyOf": [{"type": "null"}, {"minimum": 2}]}), json!(2), json!(1)),
            (json!({"minimum": 0, "maximum": 1}), json!(1), json!(1.5)),
            (json!({"minLength": 2}), json!("äb"), json!("ä")),
            (json!({"minItems": 1, "maxItems": 2}), json!([1, 2]), json!([1, 2, 3])),
            (json!({"items": {"type": "string"}}), json!(["a"]), json!(["a", 1])),
            (json!({"required": ["a"]}), json!({"a": null}), json!({"b": 1})),
            (json!({"properties": {"a": {"type": "string"}}}), json!({"b": 1}), json!({"a": 1})),
            (json!({"properties": {"a": {}}, "additionalProperties": false}), json!({"a": 1}), json!({"b": 1})),
            (json!({"additionalProperties": {"type": "string"}}), json!({"b": "c"}), json!({"b": 1})),
            (json!({"$ref": "#/$defs/one", "$defs": {"one": {"const": 1}}}), json!(1), json!(2)),
        ];
        for (schema, good, bad) in cases {
            assert_eq!(validate(&schema, &schema, &good, ""), Ok(()), "{schema}");
            assert!(validate(&schema, &schema, &bad, "").is_err(), "{schema} allows {bad}");
        }
    }
}
