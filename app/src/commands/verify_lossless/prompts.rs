//! Prompts to compare over.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::input;

/// Different enough for a first look: a tale, speech, a list that repeats itself, a description.
const BUILT_IN: [(&str, &str); 4] = [
    ("tale", "Once upon a time there lived a king who had three sons."),
    ("speech", "\"Where have you been?\" said the old woman to the cat. \"I have been\""),
    ("list", "one, two, three, four, one, two, three, four, one, two,"),
    ("night", "It was a dark night, and the rain fell in torrents upon the"),
];

/// A prompt with the name it has in the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPrompt {
    pub id: String,
    pub text: String,
}

#[derive(Deserialize)]
struct Line {
    text: String,
    /// text or a number
    id: Option<Value>,
}

/// The prompts of a JSON Lines file, or the built-in ones. A prompt without an id has its line's number.
///
/// # Errors
/// A file that cannot be read, holds nothing, or has a line of another form.
pub fn read(file: Option<&Path>) -> Result<Vec<NamedPrompt>> {
    let Some(path) = file else {
        return Ok(BUILT_IN.map(|(id, text)| NamedPrompt { id: id.into(), text: text.into() }).into());
    };
    let prompts = parse(&input::text_file(path)?).with_context(|| path.display().to_string())?;
    if prompts.is_empty() {
        bail!("{} holds no prompts", path.display());
    }
    Ok(prompts)
}

fn parse(text: &str) -> Result<Vec<NamedPrompt>> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let prompt = |(line, number): (&str, usize)| {
        let line: Line = serde_json::from_str(line).map_err(|error| {
            // serde counts lines from this one.
            let reason = error.to_string().replace(" at line 1 column", " at column");
            anyhow!("line {number} is not an object such as {{\"text\": \"Once upon a time\"}}: {reason}")
        })?;
        if line.text.is_empty() {
            bail!("line {number}: the prompt is empty");
        }
        let id = match line.id {
            None => number.to_string(),
            Some(Value::String(id)) => id,
            Some(id) => id.to_string(),
        };
        Ok(NamedPrompt { id, text: line.text })
    };
    lines.map(prompt).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_prompts() {
        let prompts = parse(
            "{\"text\": \"a\"}\n\n{\"id\": \"fox\", \"text\": \"b\", \"more\": 1}\n{\"id\": 7, \"text\": \"c\"}\n",
        );
        let prompts = prompts.unwrap();
        let prompts: Vec<_> = prompts.iter().map(|prompt| (prompt.id.as_str(), prompt.text.as_str())).collect();
        assert_eq!(prompts, [("1", "a"), ("fox", "b"), ("7", "c")]);
        for bad in [
            "{\"text\": \"a\"}\nplain text",
            "{\"text\": \"a\"}\n{\"prompt\": \"b\"}",
            "{\"text\": \"a\"}\n{\"text\": \"\"}",
        ] {
            let message = parse(bad).unwrap_err().to_string();
            assert!(message.contains("line 2") && !message.contains("line 1"), "{bad}: {message}");
        }
    }
}
