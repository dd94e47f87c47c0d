//! Templates with the texts that Jinja2 gives for them, made by `fixtures/make_cases.py`: every filter,
//! test, method and operator, statements and scopes, whitespace, whole templates in the manner of published ones.

use serde::Deserialize;
use understory_template::{ErrorKind, Template, Value};

#[derive(Deserialize)]
struct Cases {
    common: Value,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    template: String,
    variables: Value,
    #[serde(default)]
    expected: Option<String>,
    #[serde(default)]
    error: bool,
}

/// Each difference is listed. A refusal must be Jinja2's own kind of refusal, not a limit or a failure.
#[test]
fn templates_give_what_jinja2_gives() {
    let text = std::fs::read_to_string("fixtures/cases.json").expect("the fixture");
    let Cases { common, cases } = serde_json::from_str(&text).expect("cases");
    assert!(cases.len() > 800, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let variables = if case.variables.is_map() { &case.variables } else { &common };
        let variables: Vec<_> = variables.pairs().collect();
        let got = Template::new(&case.template).and_then(|template| template.render(&variables, &|| false));
        let right = match &got {
            Ok(text) => case.expected.as_ref() == Some(text),
            Err(error) => case.error && (error.kind != ErrorKind::Limit || case.template.contains("range(1000000)")),
        };
        if !right {
            wrong.push(format!(
                "{}: {:?}\n  expected {:?}\n  got      {got:?}",
                case.name, case.template, case.expected
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
