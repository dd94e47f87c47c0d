//! What a figure means, for `--explain`.

use anyhow::Result;
use understory_protocol::definitions::{Definition, all, find};

use crate::exit::usage;

/// The definition of `name`, or with `all` every one.
///
/// # Errors
/// A usage error lists the known names.
pub fn text(name: &str) -> Result<String> {
    if name == "all" {
        return Ok(all().iter().map(|definition| entry(definition)).collect::<Vec<_>>().join("\n"));
    }
    find(name).map(entry).ok_or_else(|| {
        let known: Vec<&str> = all().iter().map(|definition| definition.id).collect();
        usage(format!("--explain {name}: there is no such figure; known are {}, and all", known.join(", ")))
    })
}

fn entry(definition: &Definition) -> String {
    let Definition { id, name, unit, text } = definition;
    let unit = if unit.is_empty() { String::new() } else { format!(", {unit}") };
    format!("{name} ({id}{unit})\n{}", wrapped(text))
}

/// Lines of at most 100 characters, two spaces in.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut line = String::from(" ");
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > 100 {
            out.push_str(&line);
            out.push('\n');
            line = String::from(" ");
        }
        line.push(' ');
        line.push_str(word);
    }
    out + &line + "\n"
}
