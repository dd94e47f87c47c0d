//! Chat templates, and the conversations that they get.

use std::path::Path;

use understory_fuzz::{Target, fuzz};
use understory_model::chat::Conversation;
use understory_template::{Template, Value};

use crate::{FOLDER, corpus};

fn messages() -> Value {
    let json = r#"[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi \u00e9"},
        {"role": "assistant", "content": "Hello.", "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1, 2.5, null]}}}]},
        {"role": "user", "content": [{"type": "text", "text": "Why?"}]}]"#;
    serde_json::from_str(json).expect("a list")
}

#[test]
fn template() {
    fn read(bytes: &[u8]) {
        let Ok(template) = Template::new(&String::from_utf8_lossy(bytes)) else { return };
        template.switches();
        let _ = template.render(&[("messages", messages()), ("bos_token", "<s>".into())], &|| false);
    }
    let folder = "engine/template/fixtures/templates";
    let names = ["deepseek", "gemma", "llama", "mistral", "phi", "qwen3", "smollm"];
    let mut corpus: Vec<_> = names.iter().map(|name| corpus::file(&format!("{folder}/{name}.jinja"))).collect();
    corpus.extend(corpus::own("template"));
    let words = &[
        "{{ ",
        " }}",
        "{% for x in messages %}",
        "{% endfor %}",
        "{% set x = ",
        "|tojson",
        "|list",
        "|join",
        "range(99999)",
        " * 99999999",
        "namespace()",
        "{% macro m(a) %}",
        "{% endmacro %}",
        "(",
        "[",
        "-",
        "not ",
        "%c",
        "|batch(9)",
        ".format(",
        "[::-1]",
    ];
    fuzz(&Target { name: "template", corpus, words, read }, Path::new(FOLDER));
}

#[test]
fn conversation() {
    fn read(bytes: &[u8]) {
        let _ = Conversation::from_json(&String::from_utf8_lossy(bytes));
    }
    let given = r#"{"messages": [{"role": "user", "content": "Hi"}], "tools": [{"type": "function", "function": {"name": "f"}}],
        "documents": null, "add_generation_prompt": true, "chat_template_kwargs": {"enable_thinking": false}}"#;
    let mut corpus = vec![given.as_bytes().to_vec()];
    corpus.extend(corpus::own("conversation"));
    let words = &["[", "{", "null", "true", "1e999", "\"\\ud800\""];
    fuzz(&Target { name: "conversation", corpus, words, read }, Path::new(FOLDER));
}
