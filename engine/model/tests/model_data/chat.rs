//! Chat templates in the manner of published ones. The expected texts are what Jinja2 3.1 prints for the same
//! templates, set up as transformers does (`utils/chat_template_utils.py`).

use serde_json::json;
use understory_model::chat::{ChatTemplate, Conversation};
use understory_protocol::{ChatMessage, Error, Result};

use super::{MemoryFiles, root};

/// Whitespace control of every kind, conditions on the loop, filters and concatenation, as Qwen's.
const CHATML: &str = r##"{%- if tools %}
    {{- 'unexpected tools' }}
{%- endif %}
{% for message in messages %}
    {% if loop.first and message['role'] != 'system' %}
        {{- '<|im_start|>system\nYou are a helpful assistant.' + eos_token + '\n' }}
    {% endif %}
    {{- '<|im_start|>' + message.role + '\n' + message.content | trim + eos_token + '\n' }}
{% endfor %}
{% if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{% endif %}
"##;

/// Variables, slices, Python's string methods, namespaces, dates, refusals, as Llama 3's and Qwen 3's.
const LLAMA3: &str = r##"{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%Y")[:2] %}
    {%- else %}
        {%- set date_string = "none" %}
    {%- endif %}
{%- endif %}
{#- The system message may come first. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'].strip() %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{{- "Century: " + date_string + "\n\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- set ns = namespace(users=0) %}
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {%- set ns.users = ns.users + 1 %}
    {%- elif message.role not in ['assistant'] %}
        {{- raise_exception("Unexpected role " ~ message.role) }}
    {%- endif %}
    {%- if '</think>' in message.content %}
        {%- set content = message.content.split('</think>')[-1].lstrip('\n') %}
    {%- else %}
        {%- set content = message['content'] | trim %}
    {%- endif %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + content + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
{{ {"first": messages[0].content[:3]} | tojson }}{{ messages | map(attribute="content") | list | tojson }}{{ ns.users }}
{%- for message in messages if message.role == 'user' %}
    {%- if loop.index0 > 0 %}{% break %}{% endif %}
    {{ loop.index }} {{ message.content.startswith('a<b') }} {{ message.get('name', 'nobody') }}
{% endfor %}
"##;

fn config(template: serde_json::Value) -> String {
    json!({ "chat_template": template, "bos_token": "<|begin_of_text|>", "eos_token": { "content": "<|im_end|>" } })
        .to_string()
}

fn open(template: &str) -> ChatTemplate {
    let files = MemoryFiles::default().with("tokenizer_config.json", config(json!(template)));
    ChatTemplate::from_files(&files).unwrap().unwrap()
}

fn messages(turns: &[(&str, &str)]) -> Vec<ChatMessage> {
    turns.iter().map(|(role, content)| ChatMessage { role: (*role).into(), content: (*content).into() }).collect()
}

fn render(template: &ChatTemplate, turns: &[(&str, &str)], add_generation_prompt: bool) -> Result<String> {
    template.render(&Conversation::from_messages(&messages(turns), add_generation_prompt)?, &|| false)
}

#[test]
fn templates_render_as_jinja2_does() {
    let check = |template: &str, turns: &[(&str, &str)], add_generation_prompt: bool, expected: &str| {
        let rendered = render(&open(template), turns, add_generation_prompt).unwrap();
        assert_eq!(rendered, expected);
    };
    check(
        CHATML,
        &[("user", " Hi!\n"), ("assistant", "Hello."), ("user", "A tale?")],
        true,
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n\n<|im_start|>user\nHi!<|im_end|>\n\n<|im_start|>assistant\nHello.<|im_end|>\n\n<|im_start|>user\nA tale?<|im_end|>\n\n<|im_start|>assistant\n\n",
    );
    check(
        CHATML,
        &[("system", "Be brief."), ("user", "Hi")],
        false,
        "<|im_start|>system\nBe brief.<|im_end|>\n\n<|im_start|>user\nHi<|im_end|>\n\n",
    );
    check(
        LLAMA3,
        &[
            ("system", " Be brief. "),
            ("user", "a<b & \"c\""),
            ("assistant", "<think>\nhm\n</think>\n\nYes é."),
            ("user", " And? "),
        ],
        true,
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCentury: 20\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\na<b & \"c\"<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nYes é.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nAnd?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n{\"first\": \"a<b\"}[\"a<b & \\\"c\\\"\", \"<think>\\nhm\\n</think>\\n\\nYes é.\", \" And? \"]2    1 True nobody\n",
    );
    check(
        LLAMA3,
        &[("user", "Hi")],
        false,
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCentury: 20\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>{\"first\": \"Hi\"}[\"Hi\"]1    1 False nobody\n",
    );
}

#[test]
fn a_refusal_carries_the_templates_words() {
    let error = render(&open(LLAMA3), &[("user", "Hi"), ("tool", "7")], true).unwrap_err();
    assert!(matches!(error, Error::ChatTemplate { .. }));
    assert!(error.to_string().contains("Unexpected role tool"), "{error}");
}

#[test]
fn a_template_is_found_where_repositories_keep_it() {
    let found = |files: &MemoryFiles| {
        let template = ChatTemplate::from_files(files).unwrap();
        template.map(|template| render(&template, &[("user", "Hi")], false).unwrap())
    };
    assert_eq!(found(&MemoryFiles::load(&root().join("models").join("tales"))), None);
    assert_eq!(found(&MemoryFiles::default()), None);
    assert_eq!(found(&MemoryFiles::default().with("tokenizer_config.json", "{}")), None);
    let named = json!([
        { "name": "tool_use", "template": "no" },
        { "name": "default", "template": "{{ bos_token }}{{ messages[0].content }}" },
    ]);
    let files = MemoryFiles::default().with("tokenizer_config.json", config(named));
    assert_eq!(found(&files).as_deref(), Some("<|begin_of_text|>Hi"));
    // The file of its own wins, and still knows the special tokens.
    let files = files.with("chat_template.jinja", "{{ eos_token }}!");
    assert_eq!(found(&files).as_deref(), Some("<|im_end|>!"));
}

/// The model loads: refusing it for a template that nobody asks for fails this.
#[test]
fn a_broken_template_refuses_conversations() {
    let files = |config: String| MemoryFiles::default().with("tokenizer_config.json", config);
    let entry = |name: &str| json!({ "name": name, "template": "" });
    for (broken, named) in [
        (json!("{% for %}"), "line 1"),
        (json!([entry("a"), entry("b")]), "none of them named `default`"),
        (json!(7), "neither text nor a list"),
    ] {
        let template = ChatTemplate::from_files(&files(config(broken))).unwrap().unwrap();
        assert!(template.switches().is_empty());
        let error = render(&template, &[("user", "Hi")], true).unwrap_err();
        assert!(matches!(&error, Error::ChatTemplate { reason } if reason.contains(named)), "{error}");
    }
    let error = ChatTemplate::from_files(&files("{".into())).err();
    assert!(matches!(error, Some(Error::BadFile { .. })), "{error:?}");
}

/// Tools and variables reach the template; what is absent is `None` to it, not undefined.
#[test]
fn a_conversation_brings_tools_and_variables() {
    let source = "{{ tools|tojson }}{{ documents }}{{ thinking }}{{ add_generation_prompt }}{{ eos_token }}";
    let render = |json: &str| open(source).render(&Conversation::from_json(json).unwrap(), &|| false).unwrap();
    let json = r#"{"messages": [], "tools": [{"b": 1, "a": 2}], "chat_template_kwargs": {"thinking": false}, "add_generation_prompt": false}"#;
    assert_eq!(render(json), r#"[{"b": 1, "a": 2}]NoneFalseFalse<|im_end|>"#);
    assert_eq!(render(r#"{"messages": []}"#), "nullNoneTrue<|im_end|>");
}

/// What a front end can offer, and Stop.
#[test]
fn a_template_names_its_switches_and_can_be_stopped() {
    let source =
        "{% if think %}{% endif %}{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
    let template = open(source);
    assert_eq!(template.switches(), ["think"]);
    let conversation = Conversation::from_messages(&[], true).unwrap();
    let error = template.render(&conversation, &|| true).unwrap_err();
    assert!(error.to_string().contains("stopped"), "{error}");
}
