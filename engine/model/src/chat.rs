//! A conversation as the text that the model was trained on, through its own chat template.
//!
//! The template comes with the model, so anybody may have written it: `understory-template` runs it within limits.

mod conversation;

use serde_json::Value as Json;
use understory_protocol::{Error, Result};
use understory_template::{Template, TemplateError, Value};

pub use conversation::Conversation;

use crate::caught::caught;
use crate::files::{ModelFiles, read_text};
use crate::special_tokens;

/// A model's chat template, read, with the special tokens that it may name.
pub struct ChatTemplate {
    template: Template,
    special_tokens: Vec<(String, String)>,
}

impl ChatTemplate {
    /// From `chat_template.jinja`, else `chat_template` in `tokenizer_config.json` or in a GGUF file (a string, or a list of
    /// named ones of which `default` counts); `None` where the model has neither.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] for a template with a syntax error or a list without a default;
    /// [`Error::BadFile`] for a `tokenizer_config.json` that is not JSON.
    pub fn from_files(files: &dyn ModelFiles) -> Result<Option<Self>> {
        let config = Json::Object(special_tokens::tokenizer_config(files)?);
        let beside = if files.gguf().is_some() { None } else { read_text(files, "chat_template.jinja")? };
        let source = match beside {
            Some(source) => Some(source),
            None => default_template(&config["chat_template"])?,
        };
        source.map(|source| Self::new(&source, &config)).transpose()
    }

    fn new(source: &str, tokenizer_config: &Json) -> Result<Self> {
        let template = guarded(|| Template::new(source))?;
        let special_tokens = special_tokens(tokenizer_config).map(|(name, text)| (name.to_owned(), text)).collect();
        Ok(Self { template, special_tokens })
    }

    /// The conversation as one text, special tokens spelled out: tokenise it without adding any. `interrupted` is asked
    /// now and then, and ends the work with `true`.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] with the template's own words where it refuses the conversation (roles that do not
    /// alternate, say), and where it asks for more than the sandbox allows.
    pub fn render(&self, conversation: &Conversation, interrupted: &dyn Fn() -> bool) -> Result<String> {
        let tokens = self.special_tokens.iter().map(|(name, text)| (name.as_str(), Value::from(text.as_str())));
        let variables: Vec<_> = tokens.chain(conversation.variables()).collect();
        guarded(|| self.template.render(&variables, interrupted))
    }

    /// The names of the template's own switches, such as `enable_thinking`: conditions that it leaves to its caller, who
    /// sets them in [`Conversation::kwargs`]. Sorted.
    pub fn switches(&self) -> Vec<String> {
        self.template.switches()
    }
}

/// The last resort: a template must not end the process, whatever is in it.
fn guarded<T>(work: impl FnOnce() -> Result<T, Box<TemplateError>>) -> Result<T> {
    let reason = match caught(work) {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it made the template engine fail".into(),
    };
    Err(Error::ChatTemplate { reason })
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
            let reason = || "the model lists several templates, none of them named `default`".into();
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

#[cfg(test)]
mod tests {
    use understory_protocol::ChatMessage;

    use super::*;

    fn messages(turns: &[(&str, &str)]) -> Vec<ChatMessage> {
        turns.iter().map(|(role, content)| ChatMessage { role: (*role).into(), content: (*content).into() }).collect()
    }

    fn render(source: &str, turns: &[(&str, &str)]) -> Result<String> {
        let config = serde_json::json!({ "bos_token": "<s>", "eos_token": { "content": "</s>" }, "pad_token": null });
        let conversation = Conversation::from_messages(&messages(turns), true)?;
        ChatTemplate::new(source, &config)?.render(&conversation, &|| false)
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
