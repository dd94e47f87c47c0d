//! Files of reports, and the schema that they follow.

use std::collections::BTreeSet;

use serde_json::json;
use understory_protocol::Method;

use super::*;
use crate::metrics::Metric;
use crate::report::{FlagKind, SCHEMA_HASH, StartState};
use crate::{schema, testing};

/// Written when version 1 was the current one, and never again: every later program has to read it.
const V1: &str = include_str!("v1.json");

fn text(report: &Report) -> String {
    serde_json::to_string(report).unwrap()
}

fn value(report: &Report) -> Value {
    serde_json::from_str(&text(report)).unwrap()
}

fn error(bytes: &[u8]) -> String {
    read("a.json", bytes, MAX_BYTES).unwrap_err().to_string()
}

#[test]
fn reports_follow_their_schema_and_come_back_as_they_were() {
    for report in [testing::full(), testing::bare()] {
        testing::check_schema(&value(&report)).unwrap();
        assert_eq!(read("a.json", text(&report).as_bytes(), MAX_BYTES).unwrap(), report);
    }
}

/// Names of fields that the schema has, and that a value has: each as `object.field`.
fn fields(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(rules) => {
            if let Some(Value::Object(properties)) = rules.get("properties") {
                found.extend(properties.keys().cloned());
            }
            rules.values().for_each(|rule| fields(rule, found));
        }
        Value::Array(rules) => rules.iter().for_each(|rule| fields(rule, found)),
        _ => {}
    }
}

fn members(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members_of) => {
            found.extend(members_of.iter().filter(|(_, v)| !v.is_null()).map(|(name, _)| name.clone()));
            members_of.values().for_each(|v| members(v, found));
        }
        Value::Array(items) => items.iter().for_each(|v| members(v, found)),
        _ => {}
    }
}

/// A field that only the types have fails `reports_follow_their_schema`; one that only the schema has fails this.
#[test]
fn the_schema_has_no_field_that_reports_lack() {
    let schema: Value = serde_json::from_str(schema::TEXT).unwrap();
    let (mut known, mut used) = (BTreeSet::new(), BTreeSet::new());
    fields(&schema, &mut known);
    members(&value(&testing::full()), &mut used);
    for method in [Method::LINEAR, Method::TREE, Method::HEURISTIC, Method::CONFIDENCE, Method::LOOKUP] {
        members(&serde_json::to_value(method).unwrap(), &mut used);
    }
    assert_eq!(known.difference(&used).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// Every method, flag and start state that can be written is one that the schema knows.
#[test]
fn the_schema_knows_every_method_and_flag() {
    let mut report = testing::full();
    let kinds = [
        FlagKind::Drift,
        FlagKind::Outliers,
        FlagKind::Stalls,
        FlagKind::Hidden,
        FlagKind::DebugBuild,
        FlagKind::SoftwareAdapter,
        FlagKind::Load,
        FlagKind::OnBattery,
        FlagKind::Throttled,
        FlagKind::CoarseTimer,
        FlagKind::Synthetic,
        FlagKind::FewRuns,
        FlagKind::OutputDiffers,
        FlagKind::PromptReused,
        FlagKind::Partial,
        FlagKind::CachesKept,
    ];
    report.flags = kinds.map(|kind| crate::report::Flag { kind, detail: String::new() }).into();
    let methods =
        [Method::LINEAR, Method::TREE, Method::DynaTree, Method::HEURISTIC, Method::CONFIDENCE, Method::LOOKUP];
    for (method, start) in methods.into_iter().zip(StartState::ALL.into_iter().cycle()) {
        (report.cases[0].case.method, report.cases[0].case.start) = (method, start);
        testing::check_schema(&value(&report)).unwrap();
    }
}

#[test]
fn the_schemas_hash_is_the_one_that_reports_state() {
    let schema: Value = serde_json::from_str(schema::TEXT).unwrap();
    assert_eq!(schema::hash(&schema), SCHEMA_HASH, "the schema changed: state its hash, and see whether VERSION stays");
    let mut reworded = schema.clone();
    reworded["description"] = json!("Other words.");
    assert_eq!(schema::hash(&reworded), SCHEMA_HASH);
    reworded["properties"]["run_id"]["minLength"] = json!(2);
    assert_ne!(schema::hash(&reworded), SCHEMA_HASH);
}

/// Each edit makes a valid report invalid, and the message says where.
#[test]
fn what_does_not_follow_the_schema_is_found() {
    let check = |edit: &dyn Fn(&mut Value)| {
        let mut report = value(&testing::full());
        edit(&mut report);
        testing::check_schema(&report).unwrap_err()
    };
    let found = |edit: &dyn Fn(&mut Value), place: &str, wrong: &str| {
        let message = check(edit);
        assert!(message.starts_with(&format!("{place}: ")) && message.contains(wrong), "{message}");
    };
    found(&|r| r["extra"] = json!(1), "", "'extra'");
    found(&|r| r["run_id"] = json!(""), "/run_id", "minLength 1");
    found(&|r| r["schema"]["version"] = json!(2), "/schema/version", "const 1");
    found(&|r| r["device"]["adapter"]["software"] = json!("no"), "/device/adapter/software", "\"boolean\"");
    found(&|r| drop(r["engine"].as_object_mut().unwrap().remove("build")), "/engine", "\"build\"");
    let sample = |r: &mut Value, field: &str, to: Value| r["cases"][0]["samples"][2][field] = to;
    found(&|r| sample(r, "finish_reason", json!("done")), "/cases/0/samples/2/finish_reason", "\"done\"");
    found(&|r| sample(r, "repetition", json!(1.5)), "/cases/0/samples/2/repetition", "maximum 1");
    found(&|r| sample(r, "round", json!(-1)), "/cases/0/samples/2/round", "minimum 0");
    found(&|r| sample(r, "round", json!(0.5)), "/cases/0/samples/2/round", "\"integer\"");
    assert!(check(&|r| r["speculation"]["costs"]["verify_ms"][0] = json!([1, 2, 3])).starts_with("/speculation"));
    assert!(check(&|r| r["cases"][0]["case"]["method"]["name"] = json!("guess")).starts_with("/cases/0/case/method"));
}

#[test]
fn version_1_is_read() {
    let report = read("v1.json", V1.as_bytes(), MAX_BYTES).unwrap();
    assert_eq!((report.device.label.as_str(), report.protocol.runs, report.cases.len()), ("full", 6, 3));
    let of = &report.cases[1];
    assert_eq!((of.case.method, of.case.start, of.samples.len()), (Method::LINEAR, StartState::Warm, 6));
    assert_eq!(Metric::Itl.of(&of.samples[0]), Some(27.0));
    assert_eq!(of.samples[0].speculation.as_ref().unwrap().accepted, 42);
    assert_eq!(report.ratios[0].metric, "ttft_ms");
}

/// A list of upgrades that begins at the wrong version leaves `moved` out or takes `started` twice.
#[test]
fn older_versions_are_brought_up_step_by_step() {
    let steps: [Upgrade; 2] = [|v| v["started"] = v["begun"].take(), |v| v["moved"] = json!(v["started"] == json!(5))];
    let mut from_1 = json!({"begun": 5});
    upgrade(&mut from_1, 1, &steps);
    assert_eq!(from_1, json!({"begun": null, "started": 5, "moved": true}));
    let mut from_2 = json!({"started": 5});
    upgrade(&mut from_2, 2, &steps);
    assert_eq!(from_2, json!({"started": 5, "moved": true}));
    let mut from_3 = json!({"started": 5});
    upgrade(&mut from_3, 3, &steps);
    assert_eq!(from_3, json!({"started": 5}));
}

#[test]
fn what_is_no_report_is_told_apart() {
    assert!(error(b"").contains("is not JSON, or cut short"));
    assert!(error(b"\x89PNG").contains("is not JSON"));
    assert!(error(b"[1, 2]").contains("is no report"));
    assert!(error(b"{\"name\": \"understory\"}").contains("is no report: it has no `schema`"));
    assert!(error(b"{\"schema\": {\"version\": 0}}").contains("version 0"));
    let newer = error(b"{\"schema\": {\"version\": 9}, \"all\": \"new\"}");
    assert!(newer.starts_with("a.json: is of version 9; this program knows up to 1"), "{newer}");
    assert!(error(b"{\"schema\": {\"version\": 1}}").contains("missing field"));
    let whole = text(&testing::bare());
    assert!(error(&whole.as_bytes()[..whole.len() - 1]).contains("cut short"));
    // Brackets beyond what the parser descends into are an error, not a full stack.
    assert!(error("[".repeat(1 << 20).as_bytes()).contains("a.json"));
    let deep = format!("{{\"schema\": {{\"version\": 1}}, \"x\": {}", "[".repeat(1 << 20));
    assert!(error(deep.as_bytes()).contains("cut short"));
}

#[test]
fn a_large_file_is_refused_before_it_is_parsed() {
    let message = read("a.json", &[b' '; 1001], 1000).unwrap_err().to_string();
    assert!(message.contains("1001 bytes") && message.contains("1000"), "{message}");
    assert!(check_size("a.json", MAX_BYTES, MAX_BYTES).is_ok() && check_size("a.json", u64::MAX, MAX_BYTES).is_err());
}

#[test]
fn what_the_types_leave_open_is_checked() {
    let message = |edit: &dyn Fn(&mut Report)| {
        let mut report = testing::bare();
        edit(&mut report);
        error(text(&report).as_bytes())
    };
    let sample = |edit: &dyn Fn(&mut Sample)| message(&|report| edit(&mut report.cases[1].samples[0]));
    assert!(
        sample(&|s| s.emissions.tokens.truncate(21)).contains("cases[1].samples[0]: 22 times of emissions, but 21")
    );
    assert!(sample(&|s| s.emissions.at_ms[3] = 1.0).contains("ascend"));
    assert!(sample(&|s| s.emissions.tokens[3] = 0).contains("without tokens"));
    assert!(sample(&|s| s.reused_tokens = 5).contains("5 of 4"));
    // JSON has no NaN: it is written as null, and is no number.
    assert!(sample(&|s| s.emissions.at_ms[0] = f64::NAN).contains("invalid type: null"));
    assert!(message(&|r| r.cases[0].case.max_new_tokens = 65).contains("the file was changed"));
    let ratio = testing::full().ratios[0].clone();
    assert!(message(&|r| r.ratios = vec![crate::report::Ratio { case: 3, ..ratio.clone() }]).contains("ratios[0]"));
}
