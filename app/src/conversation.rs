//! Conversations for a model's chat template: from files, and with variables of the template from flags.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use serde::de::IgnoredAny;
use understory_model::chat::Conversation;
use understory_protocol::Prompt;

use crate::input;

/// A variable of the template: `NAME=JSON`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateArg {
    name: String,
    json: String,
}

impl FromStr for TemplateArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, json) = text.split_once('=').ok_or("expected NAME=JSON, such as enable_thinking=false")?;
        let is_name = name.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if !is_name {
            return Err(format!("'{name}' is not the name of a variable"));
        }
        if let Err(error) = serde_json::from_str::<IgnoredAny>(json) {
            return Err(format!("the value is not JSON ({error}); a text needs its quotes: {name}='\"{json}\"'"));
        }
        Ok(Self { name: name.into(), json: json.into() })
    }
}

/// `prompt` with variables for the template; one that goes through no template takes none.
pub fn with_template_args(prompt: Prompt, args: &[TemplateArg]) -> Result<Prompt> {
    match prompt {
        prompt if args.is_empty() => Ok(prompt),
        Prompt::Chat(messages) => {
            let messages = serde_json::to_string(&messages)?;
            let pairs = args.iter().map(|arg| format!("\"{}\":{}", arg.name, arg.json));
            let pairs = pairs.collect::<Vec<_>>().join(",");
            Ok(Prompt::Conversation(format!("{{\"messages\":{messages},\"chat_template_kwargs\":{{{pairs}}}}}")))
        }
        _ => bail!("--template-arg is for a chat template, and this prompt goes through none"),
    }
}

/// The conversation in the file `path`, or on standard input (`-`), checked.
pub fn read(path: &Path) -> Result<Prompt> {
    let (text, source) = match path == Path::new("-") {
        true => (input::stdin()?, "standard input".to_owned()),
        false => (input::text_file(path)?, path.display().to_string()),
    };
    Conversation::from_json(&text).context(source)?;
    Ok(Prompt::Conversation(text))
}

#[cfg(test)]
mod tests {
    use understory_protocol::ChatMessage;

    use super::*;

    #[test]
    fn a_template_argument_is_a_name_and_json() {
        let parse = |text: &str| text.parse::<TemplateArg>();
        assert_eq!(parse("a_1=[1, 2]").map(|arg| arg.json), Ok("[1, 2]".into()));
        for wrong in ["", "a", "=1", "1a=2", "a b=1", "a=", "a=x", "a\"=1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    /// Variables that only reach the text of the prompt, or get lost, fail this.
    #[test]
    fn template_arguments_travel_with_the_messages() {
        let messages = vec![ChatMessage { role: "user".into(), content: "a\"b".into() }];
        let args = ["x=false".parse().unwrap(), "y=\"z\"".parse().unwrap()];
        let Prompt::Conversation(json) = with_template_args(Prompt::Chat(messages), &args).unwrap() else {
            panic!("not a conversation")
        };
        let expected = r#"{"messages":[{"role":"user","content":"a\"b"}],"chat_template_kwargs":{"x":false,"y":"z"}}"#;
        assert_eq!(json, expected);
        assert!(Conversation::from_json(&json).is_ok());
        assert!(with_template_args(Prompt::Text("a".into()), &args).is_err());
    }
}
