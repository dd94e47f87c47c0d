//! What a template turns into text.

use serde::Deserialize;
use understory_protocol::{ChatMessage, Error, Result};
use understory_template::Value;

/// Messages with what comes with them, in the form and under the names of transformers' `apply_chat_template`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct Conversation {
    /// a list of maps with `role` and most often `content`
    pub messages: Value,
    #[serde(default)]
    pub tools: Option<Value>,
    #[serde(default)]
    pub documents: Option<Value>,
    /// The text ends where the model's answer begins.
    #[serde(default = "yes")]
    pub add_generation_prompt: bool,
    /// further variables of the template, such as `enable_thinking`: a map
    #[serde(default, rename = "chat_template_kwargs")]
    pub kwargs: Option<Value>,
}

fn yes() -> bool {
    true
}

impl Conversation {
    /// # Errors
    /// [`Error::ChatTemplate`]; plain messages give none.
    pub fn from_messages(messages: &[ChatMessage], add_generation_prompt: bool) -> Result<Self> {
        let message = |message: &ChatMessage| {
            let role = ("role".to_owned(), Value::from(message.role.as_str()));
            Value::map(vec![role, ("content".to_owned(), Value::from(message.content.as_str()))])
        };
        let messages = messages.iter().map(message).collect::<Result<_, _>>().and_then(Value::list);
        let messages = messages.map_err(|error| Error::ChatTemplate { reason: error.to_string() })?;
        Ok(Self { messages, tools: None, documents: None, add_generation_prompt, kwargs: None })
    }

    /// From JSON: `{"messages": [...], "tools": [...], "documents": [...], "add_generation_prompt": true,
    /// "chat_template_kwargs": {...}}`, of which only the messages are needed. Maps keep their order.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] with what is wrong and where.
    pub fn from_json(text: &str) -> Result<Self> {
        let wrong = |reason: String| Error::ChatTemplate { reason: format!("the conversation: {reason}") };
        // Serde would take a list for the fields in their order.
        if text.trim_start().starts_with('[') {
            return Err(wrong("an object with `messages` is expected, not a list".into()));
        }
        let conversation: Self = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let are_messages = conversation.messages.items().is_some_and(|items| items.iter().all(Value::is_map));
        if !are_messages {
            return Err(wrong("`messages` must be a list of objects".into()));
        }
        if conversation.kwargs.as_ref().is_some_and(|kwargs| !kwargs.is_map()) {
            return Err(wrong("`chat_template_kwargs` must be an object".into()));
        }
        Ok(conversation)
    }

    /// The variables of the template. What is absent is `None` to it, as transformers has it.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&str, Value)> {
        let or_none = |value: &Option<Value>| value.clone().unwrap_or(Value::None);
        let own = [
            ("messages", self.messages.clone()),
            ("tools", or_none(&self.tools)),
            ("documents", or_none(&self.documents)),
            ("add_generation_prompt", self.add_generation_prompt.into()),
        ];
        self.kwargs.iter().flat_map(Value::pairs).chain(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reading through a sorted map, as `serde_json::Value` is one, fails this.
    #[test]
    fn maps_keep_their_order() {
        let json =
            r#"{"messages": [{"role": "user", "content": "a", "b": 1, "a": 2}], "chat_template_kwargs": {"x": true}}"#;
        let conversation = Conversation::from_json(json).unwrap();
        let template = understory_template::Template::new("{{ messages[0]|tojson }}{{ x }}{{ tools }}").unwrap();
        let text = template.render(&conversation.variables().collect::<Vec<_>>(), &|| false).unwrap();
        assert_eq!(text, r#"{"role": "user", "content": "a", "b": 1, "a": 2}TrueNone"#);
    }

    /// Each is refused with the name of what is wrong.
    #[test]
    fn a_wrong_conversation_is_named() {
        for (json, named) in [
            ("", "EOF"),
            ("[]", "messages"),
            ("{}", "messages"),
            (r#"{"messages": "hi"}"#, "`messages`"),
            (r#"{"messages": ["hi"]}"#, "`messages`"),
            (r#"{"messages": [], "tool": []}"#, "tool"),
            (r#"{"messages": [], "add_generation_prompt": 1}"#, "bool"),
            (r#"{"messages": [], "chat_template_kwargs": [1]}"#, "`chat_template_kwargs`"),
        ] {
            let error = Conversation::from_json(json).err().expect("refused").to_string();
            assert!(error.contains(named), "{json}: {error}");
        }
        let deep = format!(r#"{{"messages": [{{"a": {}1{}}}]}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(Conversation::from_json(&deep).is_err());
    }
}
