//! Latency by position from the command line.

mod support;

use std::fs;

use serde_json::Value;
use support::{run, understory};

#[test]
fn steps_are_measured_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("latency");
    let args = ["latency", "--prefill", "8,16", "--lengths", "2,8", "--runs", "2", "--json", "--out"];
    let outcome = run(&mut understory(&[&args[..], &[out.to_str().unwrap()]].concat()));
    let json: Value = serde_json::from_str(&outcome.succeeds().stdout).unwrap();
    assert_eq!((&json["runs"], &json["rounds"]), (&8.into(), &2.into()));

    assert_eq!(json, serde_json::from_slice::<Value>(&fs::read(out.join("latency.json")).unwrap()).unwrap());
    // One step of each run of two tokens, seven of each run of eight, for two prompts and two rounds; and the header.
    let steps = fs::read_to_string(out.join("steps.csv")).unwrap();
    assert_eq!(steps.lines().count(), 1 + 2 * 2 * (1 + 7), "{steps}");
    let page = fs::read_to_string(out.join("latency.html")).unwrap();
    assert!(page.contains("<svg") && !page.contains("://") && !page.contains("<script"), "{page}");
    // Nothing is left beside them.
    assert_eq!(fs::read_dir(&out).unwrap().count(), 3);
}

#[test]
fn what_is_no_report_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.json");
    fs::write(&file, "{\"schema\": 7}").unwrap();
    run(&mut understory(&["latency", "--report", file.to_str().unwrap()])).fails(1, &["notes.json"]);
    run(&mut understory(&["latency", "--lengths", "1"])).fails(2, &["expected 2 or more"]);
}
