//! The collection from the command line.

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{Outcome, fixture, report, run, understory};

fn reports(folder: &Path, args: &[&str]) -> Outcome {
    let db = folder.join("data").join("reports.sqlite");
    run(understory(&["reports"]).args(args).arg("--db").arg(db))
}

fn put(folder: &Path, name: &str, report: &Value) -> String {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, report.to_string()).unwrap();
    file.display().to_string()
}

#[test]
fn reports_go_in_and_come_out_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    reports(here, &["list"]).succeeds();
    assert!(!here.join("data").exists(), "looking makes no file");

    let one = put(here, "one.json", &report("2026-one", "a phone"));
    put(here, "run/report.json", &report("2026-two", "a laptop"));
    let run_folder = here.join("run").display().to_string();
    let first = reports(here, &["import", &one, &run_folder]);
    assert!(first.succeeds().stderr.contains("imported: 2026-one"), "{first:?}");
    let again = reports(here, &["import", &one]);
    assert!(again.succeeds().stderr.contains("there already: 2026-one"), "{again:?}");
    let renamed = put(here, "renamed.json", &report("2026-three", "a phone"));
    assert!(reports(here, &["import", &renamed]).succeeds().stderr.contains("there already: 2026-one"));
    let changed = put(here, "changed.json", &report("2026-one", "another phone"));
    reports(here, &["import", &changed]).fails(1, &["changed.json", "another report with the id 2026-one"]);

    let list = reports(here, &["list", "--json"]).json();
    let named: Vec<_> = list.as_array().unwrap().iter().map(|e| (e["run_id"].as_str(), e["device"].as_str())).collect();
    assert_eq!(named, [(Some("2026-one"), Some("a phone")), (Some("2026-two"), Some("a laptop"))]);
    assert_eq!(list[0]["scenario"], "quick");
    assert!(list[0]["received_at"].as_str().is_some_and(|at| at.len() == 20 && at.ends_with('Z')), "{list}");
    let table = reports(here, &["list"]);
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"(?m)  [0-9T:-]{19}Z$", "  [when it came]");
    settings.bind(|| insta::assert_snapshot!("list", table.succeeds().stdout));

    let html = here.join("one.html");
    let shown = reports(here, &["show", "2026-o", "--html", html.to_str().unwrap()]);
    insta::assert_snapshot!("show", shown.succeeds().stdout);
    assert!(fs::read_to_string(html).unwrap().starts_with("<!doctype html>"));
    let json = reports(here, &["show", "2026-two", "--json"]).json();
    assert_eq!(json, report("2026-two", "a laptop"));

    let out = here.join("out");
    reports(here, &["export", out.to_str().unwrap()]).succeeds();
    assert_eq!(fs::read(out.join("2026-one.json")).unwrap(), fs::read(&one).unwrap());
    assert_eq!(fs::read_dir(&out).unwrap().count(), 2);
    // What comes out is what compare takes.
    let files = ["2026-one.json", "2026-two.json"].map(|name| out.join(name).display().to_string());
    run(&mut understory(&["compare", &files[0], &files[1]])).succeeds();
}

#[test]
fn an_id_may_be_short_as_long_as_it_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for (nth, id) in ["ab", "abc", "abd", "x%"].into_iter().enumerate() {
        let file = put(here, "report.json", &report(id, &nth.to_string()));
        reports(here, &["import", &file]).succeeds();
    }
    reports(here, &["delete", "a"]).fails(1, &["3 reports begin with `a`", "ab"]);
    reports(here, &["show", "q"]).fails(1, &["`q`", "understory reports list"]);
    // A pattern of SQL would match here.
    reports(here, &["show", "_b"]).fails(1, &["`_b`"]);
    // All or none.
    reports(here, &["delete", "abc", "q"]).fails(1, &["`q`"]);
    reports(here, &["delete", "ab", "x"]).succeeds();
    let list = reports(here, &["list", "--json"]).json();
    let left: Vec<_> = list.as_array().unwrap().iter().map(|entry| entry["run_id"].as_str().unwrap()).collect();
    assert_eq!(left, ["abc", "abd"]);
}

#[test]
fn what_is_no_report_or_no_collection_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let bad = here.join("bad.json").display().to_string();
    for (text, word) in [("{", "not JSON"), ("{}", "no report"), ("{\"schema\": {\"version\": 99}}", "version 99")] {
        fs::write(&bad, text).unwrap();
        reports(here, &["import", &bad]).fails(1, &["bad.json", word]);
    }
    reports(here, &["import", "none.json"]).fails(1, &["none.json"]);
    let list = |db: &str| run(&mut understory(&["reports", "list", "--db", db]));
    list(&bad).fails(1, &["bad.json", "not a database", "--db"]);
    run(&mut understory(&["reports"])).fails(2, &["list", "import"]);
}

/// Whoever sends a report has no part in what a terminal does or shows: neither by its names nor by an error that quotes
/// them. `char::is_control` alone lets U+202E through.
#[test]
fn reports_give_a_terminal_no_orders() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let hostile = "a\u{1b}[2J\u{9b}2J\u{202e}\r\nzzz";
    let mut named = report("one", hostile);
    named["started_at"] = hostile.into();
    named["runtime"]["backend"] = hostile.into();
    named["flags"][0]["detail"] = hostile.into();
    for case in named["cases"].as_array_mut().unwrap() {
        case["case"]["prompt"]["id"] = hostile.into();
    }
    let mut other = named.clone();
    (other["run_id"], other["device"]["label"]) = ("two".into(), "two".into());
    let mut stranger = other.clone();
    stranger["model"]["target"]["hash"] = hostile.into();
    let mut broken = other.clone();
    broken["cases"][0]["case"]["method"]["name"] = hostile.into();
    let files = [("one", &named), ("two", &other), ("stranger", &stranger), ("broken", &broken)];
    let [one, two, stranger, broken] = files.map(|(name, report)| put(here, name, report));
    let compare = |files: &[&str]| run(understory(&["compare"]).args(files));
    reports(here, &["import", &one]).succeeds();
    let outcomes = [
        compare(&[&one, &two]),
        compare(&[&one, &stranger]),
        compare(&[&one, &two, &stranger]),
        compare(&[&one, &broken]),
        reports(here, &["show", "one"]),
        reports(here, &["list"]),
        run(understory(&["latency", "--report", &one]).args(["--model", "tales"])),
    ];
    let statuses: Vec<Option<i32>> = outcomes.iter().map(|outcome| outcome.status).collect();
    assert_eq!(statuses, [0, 1, 0, 1, 0, 0, 0].map(Some), "{outcomes:?}");
    for Outcome { stdout, stderr, .. } in &outcomes {
        for text in [stdout, stderr] {
            assert!(!text.contains(['\u{1b}', '\u{9b}', '\u{202e}', '\r']), "{text:?}");
            assert!(!text.contains("\nzzz"), "a name makes no line of its own: {text:?}");
        }
    }
}

/// A hash is cut for a table; at byte 16 of this one there is no character's end.
#[test]
fn hashes_may_be_any_text() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mut odd = report("one", "a phone");
    odd["model"]["target"]["hash"] = "aaaaaaaaaaaaaaaé€".into();
    odd["model"]["target"]["tokenizer_hash"] = "é".into();
    let file = put(here, "odd.json", &odd);
    reports(here, &["import", &file]).succeeds();
    let page = here.join("odd.html");
    reports(here, &["show", "one", "--html", page.to_str().unwrap()]).succeeds();
    assert!(fs::read_to_string(page).unwrap().contains("weights aaaaaaaaaaaaaaaé, tokenizer é (SHA-256"));
}

/// Opening a pipe waits for who writes to it.
#[test]
#[cfg(unix)]
fn pipes_and_devices_are_no_reports() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let one = put(here, "one.json", &report("one", "a phone"));
    let inside = here.join("run");
    fs::create_dir(&inside).unwrap();
    let pipe = inside.join("report.json");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [pipe.to_str().unwrap(), inside.to_str().unwrap(), "/dev/zero"] {
        run(&mut understory(&["compare", &one, path])).fails(1, &["is not a regular file"]);
        reports(here, &["import", path]).fails(1, &["is not a regular file"]);
        run(&mut understory(&["latency", "--report", path])).fails(1, &["is not a regular file"]);
    }
    // What a shell makes of `<(command)`.
    let stdin = std::process::Stdio::from(fs::File::open(&one).unwrap());
    run(understory(&["reports", "import", "/dev/stdin", "--db"]).arg(here.join("db")).stdin(stdin)).succeeds();
}

/// A rename would put a file in place of the link.
#[test]
#[cfg(unix)]
fn a_page_is_written_through_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let files = ["one", "two"].map(|id| put(here, id, &report(id, id)));
    let link = here.join("link.html");
    for (target, written) in [("/dev/null", false), ("page.html", true)] {
        std::os::unix::fs::symlink(target, &link).unwrap();
        run(understory(&["compare", &files[0], &files[1], "--html"]).arg(&link)).succeeds();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(here.join("page.html").exists(), written);
        fs::remove_file(&link).unwrap();
    }
    // The comparison is told, whatever becomes of its page.
    let full = run(&mut understory(&["compare", &files[0], &files[1], "--html", "/dev/full"]));
    assert!(full.fails(1, &["cannot write /dev/full"]).stdout.contains("B / A"), "{full:?}");
}

#[test]
fn a_measured_report_can_be_saved() {
    let folder = tempfile::tempdir().unwrap();
    let model = fixture("llama");
    let args = ["bench", "--runs", "2", "--lengths", "8", "--methods", "ar", "--model", model.to_str().unwrap()];
    let saved = run(understory(&args).arg("--save").env("XDG_DATA_HOME", folder.path()));
    assert!(saved.succeeds().stderr.contains("saved: "), "{saved:?}");
    let list = run(understory(&["reports", "list", "--json"]).env("XDG_DATA_HOME", folder.path())).json();
    assert_eq!(list[0]["scenario"], "custom", "{list}");
    assert!(folder.path().join("understory").join("reports.sqlite").is_file());
    run(understory(&args).args(["--db", "x"])).fails(2, &["--save"]);
}
