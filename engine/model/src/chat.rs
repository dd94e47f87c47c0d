//! A conversation as the text that the model was trained on, through its own chat template.
//!
//! Templates are written for Jinja2 as transformers sets it up; this gives them the same globals, filters, methods
//! and whitespace rules.

mod clock;
mod json;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, Value, context};
use serde_json::Value as Json;
use understory_protocol::{ChatMessage, Error, Result};

use crate::files::{ModelFiles, read_text};
use crate::special_tokens;

const NAME: &str = "chat_template";

/// A model's chat template, compiled.
pub struct ChatTemplate {
    environment: Environment<'static>,
}

impl ChatTemplate {
    /// From `chat_template.jinja`, else `chat_template` in `tokenizer_config.json` (a string, or a list of named ones
    /// of which `default` counts); `None` where the model has neither.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] for a template with a syntax error or a list without a default;
    /// [`Error::BadFile`] for a `tokenizer_config.json` that is not JSON.
    pub fn from_files(files: &dyn ModelFiles) -> Result<Option<Self>> {
        let config = Json::Object(special_tokens::tokenizer_config(files)?);
        let source = match read_text(files, "chat_template.jinja")? {
            Some(source) => Some(source),
            None => default_template(&config["chat_template"])?,
        };
        source.map(|source| Self::new(&source, &config)).transpose()
    }

    fn new(source: &str, tokenizer_config: &Json) -> Result<Self> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(failed)?;
        environment.set_syntax(syntax);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", json::tojson);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", clock::strftime_now);
        for (name, text) in special_tokens(tokenizer_config) {
            environment.add_global(name.to_owned(), Value::from(text));
        }
        environment.add_template_owned(NAME, without_generation_marks(source)).map_err(failed)?;
        Ok(Self { environment })
    }

    /// The conversation as one text, special tokens spelled out: tokenise it without adding any.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] with the template's own words where it refuses the conversation (roles that do not
    /// alternate, say).
    pub fn render(&self, messages: &[ChatMessage], add_generation_prompt: bool) -> Result<String> {
        let template = self.environment.get_template(NAME).map_err(failed)?;
        let messages = Value::from(Serde(messages));
        let absent = || Value::from(());
        let context = context! { messages, add_generation_prompt, tools => absent(), documents => absent() };
        template.render(context).map_err(failed)
    }
}

fn failed(error: minijinja::Error) -> Error {
    Error::ChatTemplate { reason: error.to_string() }
}

fn raise_exception(message: String) -> Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

fn default_template(value: &Json) -> Result<Option<String>> {
    match value {
        Json::Null => Ok(None),
        Json::String(source) => Ok(Some(source.clone())),
        Json::Array(named) => {
            let default = named.iter().find(|entry| entry["name"] == "default").or(match &named[..] {
                [only] => Some(only),
                _ => None,
            });
            let source = default.and_then(|entry| entry["template"].as_str());
            let reason = || "tokenizer_config.json lists several templates, none of them named `default`".into();
            source.map(|source| Some(source.to_owned())).ok_or_else(|| Error::ChatTemplate { reason: reason() })
        }
        _ => Err(Error::ChatTemplate {
            reason: "chat_template in tokenizer_config.json is neither text nor a list".into(),
        }),
    }
}

/// `bos_token`, `eos_token` and their like: a string, or an object with the string as `content`.
fn special_tokens(tokenizer_config: &Json) -> impl Iterator<Item = (&str, String)> {
    let entries = tokenizer_config.as_object().into_iter().flatten();
    entries.filter(|(name, _)| name.ends_with("_token")).filter_map(|(name, value)| {
        let text = value.as_str().or_else(|| value["content"].as_str())?;
        Some((name.as_str(), text.to_owned()))
    })
}

/// `{% generation %} ... {% endgeneration %}` marks the assistant's words for training; to a reader it is a block
/// that changes nothing, and only transformers knows it.
fn without_generation_marks(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(len) = rest[start..].find("%}") else { break };
        let tag = &rest[start..start + len];
        out.push_str(&rest[..start]);
        out.push_str(&match tag.trim_matches(['{', '%', '-', '+']).trim() {
            "generation" => tag.replace("generation", "if true"),
            "endgeneration" => tag.replace("endgeneration", "endif"),
            _ => tag.to_owned(),
        });
        rest = &rest[start + len..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(turns: &[(&str, &str)]) -> Vec<ChatMessage> {
        turns.iter().map(|(role, content)| ChatMessage { role: (*role).into(), content: (*content).into() }).collect()
    }

    fn render(source: &str, turns: &[(&str, &str)]) -> Result<String> {
        let config = serde_json::json!({ "bos_token": "<s>", "eos_token": { "content": "</s>" }, "pad_token": null });
        ChatTemplate::new(source, &config)?.render(&messages(turns), true)
    }

    #[test]
    fn special_tokens_are_known_as_text_or_object() {
        let rendered = render("{{ bos_token }}{{ eos_token }}{{ pad_token }}", &[]).unwrap();
        assert_eq!(rendered, "<s></s>");
    }

    #[test]
    fn generation_marks_change_nothing() {
        let marked = "a\n{%- generation -%}\n  b{{ messages[0]['content'] }}\n{% endgeneration %}\nc";
        assert_eq!(render(marked, &[("user", "!")]).unwrap(), "ab!\nc");
    }

    #[test]
    fn a_list_needs_a_default() {
        let entry = |name: &str| serde_json::json!({ "name": name, "template": name });
        let several = Json::Array(vec![entry("tool_use"), entry("default")]);
        assert_eq!(default_template(&several).unwrap().as_deref(), Some("default"));
        assert_eq!(default_template(&Json::Array(vec![entry("only")])).unwrap().as_deref(), Some("only"));
        assert!(default_template(&Json::Array(vec![entry("tool_use"), entry("rag")])).is_err());
    }
}
