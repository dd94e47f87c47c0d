//! Measuring and comparing from the command line.

#[path = "../../engine/lab/src/testing/json_schema.rs"]
mod json_schema;
mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{Outcome, fixture, run, transcript, understory, without_figures};
use understory_lab::report::{FlagKind, MAX_BYTES, Report, StartState, read};
use understory_lab::schema;

/// A run of two rounds of eight tokens, with its files in `folder`.
fn bench(folder: &Path, args: &[&str]) -> Outcome {
    let common = ["bench", "--runs", "2", "--lengths", "8", "--out", folder.to_str().unwrap()];
    run(&mut understory(&[&common, args].concat()))
}

fn report(folder: &Path) -> Report {
    let bytes = fs::read(folder.join("report.json")).unwrap();
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    let schema: Value = serde_json::from_str(schema::TEXT).unwrap();
    json_schema::validate(&schema, &schema, &value, "").unwrap();
    read("report.json", &bytes, MAX_BYTES).unwrap()
}

/// What a browser would ask for, or run.
#[track_caller]
fn asks_for_nothing(html: &str) {
    for word in ["http://", "https://", "src=", "url(", "@import", "<script", "<link", "<iframe"] {
        assert!(!html.contains(word), "{word} in the page");
    }
    assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"));
}

#[test]
fn a_report_is_measured_written_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("deeper").join("b"));
    let args = ["--label", "a <b> device", "--methods", "ar,lookup,tree", "--goodput", "1e6,1e-6"];
    let outcome = bench(&a, &args);
    outcome.succeeds();
    // What the figures lead to, and the warnings, differ between runs too.
    let (table, _) = outcome.stdout.split_once("\nFrom which length on").expect("advice after the table");
    without_figures().bind(|| insta::assert_snapshot!("table", table));

    let report = report(&a);
    assert_eq!(report.protocol.scenario, "custom");
    // Two prompts of `quick`, three methods.
    assert_eq!(report.cases.len(), 6);
    for of in &report.cases {
        assert_eq!(of.samples.len(), 2);
        assert_eq!(of.goodput, Some(0.0), "no step takes a picosecond");
        for sample in &of.samples {
            assert_eq!(sample.emissions.n_out(), 8);
            assert_eq!(sample.reused_tokens, 0, "a run begins with an empty KV cache");
            assert!(sample.first_text_ms.is_some_and(|ms| ms > 0.0));
        }
        assert!(of.case.prompt.n_tokens.is_some_and(|n| n > 1));
        assert_eq!(of.speculation.is_some(), of.case.method.name() != "ar");
    }
    // What the program is made of, and what the machine tells on every system. Another crate's version, or units mixed
    // up, fail this.
    let written: Value = serde_json::from_slice(&fs::read(a.join("report.json")).unwrap()).unwrap();
    assert_eq!(written["engine"]["burn"], Value::Null, "the program has no burn");
    assert!(written["engine"]["wgpu"].is_string());
    let device = &report.device;
    assert!(device.ram_bytes.is_some_and(|bytes| (1 << 28..1 << 46).contains(&bytes)), "{:?}", device.ram_bytes);
    assert!(device.cpu_cores.is_some_and(|cores| cores > 0));
    assert!(device.os.as_ref().is_some_and(|os| os.len() > std::env::consts::OS.len()), "{:?}", device.os);
    assert!(cfg!(windows) || device.load.is_some_and(|load| load >= 0.0));
    // ABBA: the second round is the first one backwards.
    let order = |round| {
        let mut runs: Vec<_> = report
            .cases
            .iter()
            .enumerate()
            .flat_map(|(case, of)| of.samples.iter().map(move |s| (s.round, s.order, case)))
            .filter(|run| run.0 == round)
            .collect();
        runs.sort_unstable_by_key(|run| run.1);
        runs.into_iter().map(|run| run.2).collect::<Vec<_>>()
    };
    let mut back = order(1);
    back.reverse();
    assert_eq!(order(0), back);
    let sha256 = |hash: &Option<String>| hash.as_ref().is_some_and(|hash| hash.len() == 64);
    assert!(sha256(&report.model.target.hash) && sha256(&report.model.target.tokenizer_hash));
    assert!(!report.flags.iter().any(|flag| flag.kind == FlagKind::OutputDiffers), "{:?}", report.flags);

    let html = fs::read_to_string(a.join("report.html")).unwrap();
    asks_for_nothing(&html);
    assert!(html.contains("a &lt;b&gt; device") && !html.contains("<b>"));
    assert!(html.matches("<svg").count() >= 5, "charts");
    assert_eq!(html.matches("<figure>").count(), html.matches("The same as a table").count());
    assert_eq!(fs::read_to_string(a.join("samples.csv")).unwrap().lines().count(), 1 + 12);
    assert!(fs::read_to_string(a.join("report.md")).unwrap().contains("## warm"));
    assert_eq!(fs::read_dir(&a).unwrap().count(), 4, "nothing is left beside the four files");

    bench(&b, &["--label", "b", "--methods", "ar,tree", "--quiet"]).succeeds();
    let page = folder.path().join("compare.html");
    let files = [&a, &b].map(|folder| folder.join("report.json").display().to_string());
    let compare = |args: &[&str]| run(&mut understory(&[&["compare", &files[0], &files[1]], args].concat()));
    let text = compare(&["--html", page.to_str().unwrap()]);
    assert!(text.succeeds().stdout.contains("B / A") && text.stdout.contains("TPOT"), "{}", text.stdout);
    // `lookup` ran in the first only.
    assert!(text.stdout.contains("Only in one report"), "{}", text.stdout);
    asks_for_nothing(&fs::read_to_string(&page).unwrap());
    let json = compare(&["--json"]).json();
    assert_eq!(json["cases"].as_array().unwrap().len(), 4);
    // Two runs have no interval, and without one nobody is ahead.
    let standing = &json["cases"][0]["rows"][0]["cells"][1]["standing"];
    assert!(standing == "tied" || standing == "not_ranked", "{standing}");
}

/// A start is a process of its own: its clock begins before the model is there. A clock that begins with the request fails
/// this.
#[test]
fn starts_are_cold_or_find_their_caches() {
    let folder = tempfile::tempdir().unwrap();
    let model = fixture("llama");
    let prompts = folder.path().join("prompts.jsonl");
    fs::write(&prompts, "{\"text\": \"Once\"}").unwrap();
    let prompts = ["--prompts", prompts.to_str().unwrap(), "--start", "cold,warm-cache,warm"];
    bench(folder.path(), &[&["--model", model.to_str().unwrap(), "--methods", "ar"], &prompts[..]].concat()).succeeds();
    let report = report(folder.path());
    assert_eq!(report.model.target.id, "llama", "no path in a report");
    for of in &report.cases {
        for sample in &of.samples {
            let names: Vec<&str> = sample.phases.iter().map(|phase| phase.name.as_str()).collect();
            let before = sample.before_ms.unwrap();
            if of.case.start == StartState::Warm {
                assert_eq!(before, 0.0);
                assert!(!names.contains(&"upload"), "{names:?}");
            } else {
                let loading = sample.phases.iter().filter(|phase| ["device", "open", "upload"].contains(&&*phase.name));
                let loading: f64 = loading.map(|phase| phase.ms).sum();
                assert!(names.contains(&"process") && loading > 0.0, "{names:?}");
                assert!(before >= loading, "{before} ms before the request, {loading} ms of them loading");
            }
        }
    }
}

/// Writing nothing fails this, and so does a report that does not say that it is partial.
#[test]
#[cfg(unix)]
fn ctrl_c_keeps_what_was_measured() {
    use std::io::{BufRead, BufReader, Read};
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let model = fixture("llama");
    let model = model.to_str().unwrap();
    let args = ["-v", "bench", "--runs", "20000", "--lengths", "8", "--methods", "ar", "--model", model, "--out", out];
    let mut child = understory(&args).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("a run was measured") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended before a run was measured");
    }
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    stderr.read_to_string(&mut line).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{line}");
    let report = report(folder.path());
    assert!(report.cases.iter().any(|of| !of.samples.is_empty()));
    assert!(report.flags.iter().any(|flag| flag.kind == FlagKind::Partial), "{:?}", report.flags);
    assert!(fs::read_to_string(folder.path().join("report.html")).unwrap().contains("partial"));
}

#[test]
fn other_models_are_not_compared() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["llama", "qwen2"].map(|name| {
        let out = folder.path().join(name);
        bench(&out, &["--model", fixture(name).to_str().unwrap(), "--methods", "ar"]).succeeds();
        out.join("report.json").display().to_string()
    });
    run(&mut understory(&["compare", &files[0], &files[1]])).fails(1, &["target weights differ"]);
    run(&mut understory(&["compare", &files[0]])).fails(1, &["two or more"]);
}

#[test]
fn what_cannot_be_measured_is_named() {
    let cases: [&[&str]; 9] = [
        &["slow"],
        &["--methods", "ar,oracle"],
        &["--runs", "0"],
        &["--lengths", "8,0"],
        &["--start", "lukewarm"],
        &["--methods", "linear", "--draft", "none"],
        &["--goodput", "500"],
        &["--goodput", "500,0"],
        &["--explain", "speed"],
    ];
    let mut said = String::new();
    for args in cases {
        let args = [&["bench"], args].concat();
        said += &transcript(&args, run(&mut understory(&args)).fails(2, &[]));
    }
    insta::assert_snapshot!(said);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let below = file.join("out");
    run(&mut understory(&["bench", "--out", below.to_str().unwrap()])).fails(1, &["cannot write", "--out"]);
    run(&mut understory(&["bench", "--prompts", "no/such.jsonl"])).fails(1, &["no/such.jsonl"]);
}

#[test]
fn what_is_no_report_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    for (text, word) in [
        ("not JSON", "is not JSON"),
        ("{}", "is no report"),
        ("{\"schema\": {\"version\": 99, \"hash\": \"\"}}", "version 99"),
        ("{\"schema\": {\"version\": 1, \"hash\": \"\"}}", "does not follow it"),
    ] {
        fs::write(path("a.json"), text).unwrap();
        run(&mut understory(&["compare", &path("a.json"), &path("b.json")])).fails(1, &[&path("a.json"), word]);
    }
    run(&mut understory(&["compare", &path("none.json"), &path("a.json")])).fails(1, &["none.json"]);
    run(&mut understory(&["compare"])).fails(2, &["REPORT"]);
}

#[test]
fn figures_are_explained() {
    let one = run(&mut understory(&["bench", "--explain", "tpot_ms"]));
    assert!(one.succeeds().stdout.starts_with("TPOT (tpot_ms, ms)\n"), "{}", one.stdout);
    let all = run(&mut understory(&["bench", "--explain", "all"]));
    assert!(all.succeeds().stdout.contains("break_even_tokens"), "{}", all.stdout);
}
