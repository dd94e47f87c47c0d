//! Reports and links with reports.

use std::path::Path;

use understory_fuzz::{Target, fuzz};
use understory_lab::report::Report;
use understory_lab::{link, report_loader};
use understory_protocol::{Contents, ReportInput};

use crate::{FOLDER, corpus};

#[test]
fn report() {
    fn read(bytes: &[u8]) {
        let given = |text: String| ReportInput { name: "given".into(), contents: Contents::Json(text) };
        report_loader::look(&[given(String::from_utf8_lossy(bytes).into_owned())], None);
        // Whoever damages a report on purpose writes the hash that fits.
        let Ok(mut report) = serde_json::from_slice::<Report>(bytes) else { return };
        report.cases = report
            .cases
            .into_iter()
            .map(|mut of| {
                of.case = of.case.sealed();
                of
            })
            .collect();
        let json = |report: &Report| given(serde_json::to_string(report).expect("it was read"));
        let one = json(&report);
        report.run_id.push('2');
        report_loader::look(&[one, json(&report)], Some("given"));
    }
    let mut corpus = vec![
        corpus::file("bench/runs/2026-11-23-swiftshader-2core-single-request/report.json"),
        corpus::file("bench/runs/2026-11-23-lavapipe-2core-single-request/report.json"),
    ];
    corpus.extend(corpus::own("report"));
    let words = &["null", "1e999", "-0", "\"\\u202e\"", "<script>", "[", "{", "\u{1b}[2J"];
    fuzz(&Target { name: "report", corpus, words, read }, Path::new(FOLDER));
}

#[test]
fn link() {
    fn read(bytes: &[u8]) {
        let packed = String::from_utf8_lossy(bytes);
        let _ = link::unpack("given", &packed);
    }
    let json = corpus::file("bench/runs/2026-11-23-swiftshader-2core-single-request/report.json");
    let packed = link::pack(&String::from_utf8_lossy(&json)).expect("it has room in a link");
    let mut corpus = vec![packed.into_bytes()];
    corpus.extend(corpus::own("link"));
    fuzz(&Target { name: "link", corpus, words: &["=", "-", "%2F", "AAAA"], read }, Path::new(FOLDER));
}
