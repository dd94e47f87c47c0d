//! The JSON Schema of reports (`report.schema.json`), as text and as the hash that every report states. Tests check reports
//! against it.

use serde_json::Value;

use understory_protocol::hash::Fingerprint;

/// The schema of the current version, as text: for other tools.
pub const TEXT: &str = include_str!("report.schema.json");

/// Keywords that say nothing about what is valid.
const WORDS: [&str; 3] = ["$schema", "title", "description"];

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
