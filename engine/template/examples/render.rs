//! Renders templates from standard input, one JSON object a line (`template`, `variables`), and prints one JSON object a
//! line: `text` or `error`. `fixtures/compare.py` sets them beside Jinja2's own.

use std::io::{BufRead, Write};

use serde_json::json;
use understory_template::{Template, Value};

#[derive(serde::Deserialize)]
struct Case {
    template: String,
    #[serde(default)]
    variables: Option<Value>,
}

fn main() {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let case: Case = serde_json::from_str(&line).expect("a case");
        let pairs = case.variables.as_ref().map(|variables| variables.pairs().collect::<Vec<_>>());
        let rendered =
            Template::new(&case.template).and_then(|template| template.render(&pairs.unwrap_or_default(), &|| false));
        let reply = match rendered {
            Ok(text) => json!({ "text": text }),
            Err(error) => json!({ "error": error.to_string(), "kind": format!("{:?}", error.kind) }),
        };
        writeln!(out, "{reply}").expect("standard output");
    }
}
