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
    /// or why no conversation can be had with it: the model itself is none the worse
    template: Result<Template, String>,
    special_tokens: Vec<(String, String)>,
}

impl ChatTemplate {
    /// From `chat_template.jinja`, else `chat_template` in `tokenizer_config.json` or in a GGUF file (a string, or a list of
    /// named ones of which `default` counts); `None` where the model has neither. A template with a syntax error and a list
    /// without a default are found by [`Self::render`]: a model that is not asked to converse runs without them.
    ///
    /// # Errors
    /// [`Error::BadFile`] for a `tokenizer_config.json` that is not JSON.
    pub fn from_files(files: &dyn ModelFiles) -> Result<Option<Self>> {
        let config = Json::Object(special_tokens::tokenizer_config(files)?);
        let beside = if files.gguf().is_some() { None } else { read_text(files, "chat_template.jinja")? };
        let source = match beside {
            Some(source) => Ok(Some(source)),
            None => default_template(&config["chat_template"]),
        };
        Ok(source.transpose().map(|source| Self::new(source, &config)))
    }

    fn new(source: Result<String, String>, tokenizer_config: &Json) -> Self {
        let template = source.and_then(|source| guarded(|| Template::new(&source)));
        let special_tokens = special_tokens(tokenizer_config).map(|(name, text)| (name.to_owned(), text)).collect();
        Self { template, special_tokens }
    }

    /// The conversation as one text, special tokens spelled out: tokenise it without adding any. `interrupted` is asked
    /// now and then, and ends the work with `true`.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] for a template that cannot be read; with the template's own words where it refuses the
    /// conversation (roles that do not alternate, say); where it makes no text of it; and where it asks for more than the
    /// sandbox allows.
    pub fn render(&self, conversation: &Conversation, interrupted: &dyn Fn() -> bool) -> Result<String> {
        let tokens = self.special_tokens.iter().map(|(name, text)| (name.as_str(), Value::from(text.as_str())));
        let variables: Vec<_> = tokens.chain(conversation.variables()).collect();
        let template = self.template.as_ref().map_err(Clone::clone);
        let rendered = template.and_then(|template| guarded(|| template.render(&variables, interrupted)));
        let nothing = || "it makes no text of this conversation".to_owned();
        let text = rendered.and_then(|text| if text.is_empty() { Err(nothing()) } else { Ok(text) });
        text.map_err(|reason| Error::ChatTemplate { reason })
    }

    /// The names of the template's own switches, such as `enable_thinking`: conditions that it leaves to its caller, who
    /// sets them in [`Conversation::kwargs`]. Sorted.
    pub fn switches(&self) -> Vec<String> {
        self.template.as_ref().map(Template::switches).unwrap_or_default()
    }
}

/// The last resort: a template must not end the process, whatever is in it.
fn guarded<T>(work: impl FnOnce() -> Result<T, Box<TemplateError>>) -> Result<T, String> {
    match caught(work) {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err("it made the template engine fail".into()),
    }
}

fn default_template(value: &Json) -> Result<Option<String>, String> {
    match value {
        Json::Null => Ok(None),
        Json::String(source) => Ok(Some(source.clone())),
        Json::Array(named) => {
            let default = named.iter().find(|entry| entry["name"] == "default").or(match &named[..] {
                [only] => Some(only),
                _ => None,
            });
            let source = default.and_then(|entry| entry["template"].as_str());
            let lacking = "the model lists several templates, none of them named `default`";
            source.map(|source| Some(source.to_owned())).ok_or_else(|| lacking.into())
        }
        _ => Err("chat_template in tokenizer_config.json is neither text nor a list".into()),
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
        ChatTemplate::new(Ok(source.into()), &config).render(&conversation, &|| false)
    }

    #[test]
    fn special_tokens_are_known_as_text_or_object() {
        let rendered = render("{{ bos_token }}{{ eos_token }}{{ pad_token }}", &[]).unwrap();
        assert_eq!(rendered, "<s></s>");
    }

    /// An empty prompt would be blamed on the person who wrote the message.
    #[test]
    fn a_template_that_makes_no_text_is_to_blame() {
        let error = render("{% if false %}x{% endif %}", &[("user", "Hi")]).unwrap_err();
        assert!(error.to_string().contains("makes no text"), "{error}");
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
