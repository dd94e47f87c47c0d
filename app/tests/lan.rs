//! `understory serve --lan`: what other devices may do, and what they may not.

#[path = "lan/client.rs"]
mod client;
#[path = "serve/client.rs"]
#[allow(dead_code, reason = "the tests of the page's server use the rest")]
mod plain;
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use client::{Lan, reports, stored};
use plain::Answer;
use serde_json::{Value, json};
use support::{report, run, understory};

#[track_caller]
fn refused(answer: &Answer, status: u16, word: &str) {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
    let words = body["error"].as_str().unwrap_or_default();
    assert!(answer.status == status && words.contains(word), "expected {status}, {word}: {answer:?}");
}

#[test]
fn a_report_arrives_and_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let lan = Lan::start(folder.path());
    let text = report("one", "a \u{1b}[2Jphone").to_string();
    let answer = lan.send(&text);
    assert_eq!((answer.status, answer.body.as_str()), (201, r#"{"run_id":"one"}"#));
    assert_eq!(stored(folder.path()), ["one"]);
    assert_eq!(reports(folder.path(), &["show", "one", "--json"]).succeeds().stdout, text + "\n");
    // Whoever sends it has no part in what the terminal does.
    let told = fs::read_to_string(folder.path().join("stderr")).unwrap();
    assert!(told.contains("quick on a ?[2Jphone, kept as one"), "{told}");
    assert!(!reports(folder.path(), &["list"]).succeeds().stdout.contains('\u{1b}'));
    assert!(!reports(folder.path(), &["show", "one"]).succeeds().stdout.contains('\u{1b}'));

    // What the terminal says before: the code to scan, and what the browser will ask.
    assert!(told.contains('▀') && told.contains("SHA-256 ") && told.contains("lan-certificate.cer"), "{told}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let secret = fs::metadata(folder.path().join("lan-identity.json")).unwrap();
        assert_eq!(secret.permissions().mode() & 0o777, 0o600);
    }
}

/// Comparing bytes, or ids alone, or only with what is there now, fails this.
#[test]
fn what_is_refused_is_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let lan = Lan::start(folder.path());
    let good = report("one", "a phone");
    let text = good.to_string();
    refused(&lan.send_as("", text.as_bytes()), 401, "pairing code");
    refused(&lan.send_as(&lan.code.replace(|c: char| c != '0', "1"), text.as_bytes()), 401, "pairing code");
    let none = format!("Host: {}\r\nContent-Length: {}\r\n", lan.address, text.len());
    refused(&lan.ask("POST", "/reports", &none), 401, "pairing code");

    let too_long = 8 * 1024 * 1024 + 1;
    let mut stated = lan.begin(&lan.code, &format!("Content-Length: {too_long}"));
    stated.flush().unwrap();
    refused(&Answer::read(&mut stated), 413, "bytes");
    let mut chunked = lan.begin(&lan.code, "Transfer-Encoding: chunked");
    let piece = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
    for _ in 0..too_long / 0x10000 + 1 {
        if chunked.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = chunked.flush();
    refused(&Answer::read(&mut chunked), 413, "bytes");

    refused(&lan.send(&text[..text.len() / 2]), 400, "not JSON");
    refused(&lan.send([0xff, 0xfe]), 400, "not JSON");
    refused(&lan.send("{}"), 400, "no report");
    let with = |pointer: &str, value: Value| {
        let mut report = good.clone();
        *report.pointer_mut(pointer).unwrap() = value;
        report.to_string()
    };
    refused(&lan.send(with("/cases", json!("none"))), 400, "does not follow");
    refused(&lan.send(with("/cases/0/case/max_new_tokens", json!(1))), 400, "was changed");
    refused(&lan.send(with("/run_id", json!(""))), 400, "run_id");
    refused(&lan.send(with("/run_id", json!("a\u{1b}b"))), 400, "run_id");
    assert!(stored(folder.path()).is_empty());

    assert_eq!(lan.send(&text).status, 201);
    refused(&lan.send(&text), 409, "before");
    refused(&lan.send(serde_json::to_string_pretty(&good).unwrap()), 409, "before");
    refused(&lan.send(with("/run_id", json!("two"))), 409, "before");
    refused(&lan.send(with("/device/label", json!("another phone"))), 409, "before");
    reports(folder.path(), &["delete", "one"]).succeeds();
    refused(&lan.send(&text), 409, "before");
    refused(&lan.send(with("/run_id", json!("two"))), 409, "before");
    assert!(stored(folder.path()).is_empty());
}

#[test]
fn too_many_are_told_to_wait() {
    let folder = tempfile::tempdir().unwrap();
    let lan = Lan::start(folder.path());
    let waits = |answer: &Answer| answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0);
    let mut admitted = 0;
    let refusal = loop {
        let answer = lan.send("{}");
        if answer.status != 400 {
            break answer;
        }
        admitted += 1;
        assert!(admitted < 200, "nobody is told to wait");
    };
    refused(&refusal, 429, "too many");
    assert!(admitted >= 20 && waits(&refusal), "{admitted} before {refusal:?}");
    // Wrong codes are counted apart.
    for _ in 0..5 {
        refused(&lan.send_as("wrong", b"{}"), 401, "pairing code");
    }
    let refusal = lan.send_as("wrong", b"{}");
    refused(&refusal, 429, "wrong pairing codes");
    assert!(waits(&refusal));
    assert!(stored(folder.path()).is_empty());
}

/// A limit that is asked before the code is looked at fails this: who sends wrong codes would lock the right one out.
#[test]
fn the_right_code_is_taken_after_any_number_of_wrong_ones() {
    let folder = tempfile::tempdir().unwrap();
    let lan = Lan::start(folder.path());
    let wrong: Vec<_> = (0..20).map(|_| lan.begin("wrong", "Content-Length: 2")).collect();
    assert_eq!(lan.send(report("one", "a phone").to_string()).status, 201);
    let mut statuses: Vec<u16> = wrong
        .into_iter()
        .map(|mut stream| {
            let _ = stream.write_all(b"{}").and_then(|()| stream.flush());
            Answer::read(&mut stream).status
        })
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![401; 5], vec![429; 15]].concat());
    assert_eq!(lan.send(report("two", "a laptop").to_string()).status, 201);
}

/// A semaphore of connections fails this: nobody gets in until the silent ones have run into their deadlines.
#[test]
fn those_who_hold_connections_open_keep_no_device_out() {
    let folder = tempfile::tempdir().unwrap();
    let lan = Lan::start(folder.path());
    let text = report("one", "a phone").to_string();
    let mut upload = lan.admitted(text.len());
    let silent: Vec<_> = (0..80).map(|_| TcpStream::connect(&lan.address).unwrap()).collect();
    assert_eq!(lan.get("/").status, 200);
    let slow: Vec<_> = (0..64)
        .map(|_| {
            let mut stream = lan.connect();
            let _ = stream.write_all(b"G").and_then(|()| stream.flush());
            stream
        })
        .collect();
    assert_eq!(lan.get("/").status, 200);
    refused(&lan.send("{}"), 400, "no report");
    // An upload that has shown the code is not ended for those who have not.
    upload.write_all(text.as_bytes()).and_then(|()| upload.flush()).unwrap();
    assert_eq!(Answer::read(&mut upload).status, 201);
    drop((silent, slow));
}

/// One that closes at once fails this: the reset takes the answer with it.
#[test]
fn an_upload_that_is_too_long_is_told_so_after_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let lan = Lan::start(folder.path());
    let body = vec![b' '; 24 << 20];
    for code in [lan.code.as_str(), "wrong"] {
        let mut stream = lan.begin(code, &format!("Content-Length: {}", body.len()));
        stream.write_all(&body).and_then(|()| stream.flush()).unwrap();
        let status = if code == "wrong" { 401 } else { 413 };
        assert_eq!(Answer::read(&mut stream).status, status);
    }
}

#[test]
fn so_many_are_received_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let lan = Lan::start(folder.path());
    let text = report("one", "a phone").to_string();
    let half = text.len() / 2;
    let mut slow: Vec<_> = (0..4).map(|_| lan.admitted(text.len())).collect();
    for stream in &mut slow {
        stream.write_all(&text.as_bytes()[..half]).and_then(|()| stream.flush()).unwrap();
    }
    refused(&lan.send("{}"), 429, "on their way");
    let mut first = slow.remove(0);
    first.write_all(&text.as_bytes()[half..]).and_then(|()| first.flush()).unwrap();
    assert_eq!(Answer::read(&mut first).status, 201);
    refused(&lan.send("{}"), 400, "no report");
    assert_eq!(stored(folder.path()), ["one"]);
}

/// A row made when an upload is admitted fails this.
#[test]
fn what_breaks_off_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut lan = Lan::start(folder.path());
    assert_eq!(lan.send(report("one", "a phone").to_string()).status, 201);
    let two = report("two", "a laptop").to_string();
    let begin = |lan: &Lan| {
        let mut stream = lan.admitted(two.len());
        stream.write_all(&two.as_bytes()[..two.len() - 1]).and_then(|()| stream.flush()).unwrap();
        stream
    };
    // The device goes.
    drop(begin(&lan));
    assert_eq!(stored(folder.path()), ["one"]);
    assert_eq!(lan.get("/").status, 200);
    // The server goes.
    let upload = begin(&lan);
    lan.child.kill().unwrap();
    lan.child.wait().unwrap();
    drop(upload);
    assert_eq!(stored(folder.path()), ["one"]);

    let code = lan.code.clone();
    let lan = Lan::start(folder.path());
    assert_ne!(code, lan.code);
    refused(&lan.send_as(&code, two.as_bytes()), 401, "pairing code");
    assert_eq!(lan.send(&two).status, 201);
    assert_eq!(stored(folder.path()), ["one", "two"]);
}

#[test]
fn nothing_else_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let lan = Lan::start(folder.path());
    assert!(lan.get("/").body.contains("a page"));
    assert_eq!(lan.get("/").header("cross-origin-embedder-policy"), "require-corp");
    for path in ["/engine", "/engine/info", "/metrics", "/reports", "/reports/one", "/reports.sqlite"] {
        assert_eq!(lan.get(path).status, 404, "{path}");
    }
    let host = format!("Host: {}\r\n", lan.address);
    for (method, path) in [("POST", "/"), ("DELETE", "/reports"), ("PUT", "/reports"), ("OPTIONS", "/reports")] {
        assert_eq!(lan.ask(method, path, &format!("{host}Content-Length: 0\r\n")).status, 404, "{method} {path}");
    }
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \
                   dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert_eq!(lan.ask("GET", "/engine", &format!("{host}{upgrade}")).status, 404);
    // Other names, other sites.
    assert_eq!(lan.ask("GET", "/", "Host: evil.example\r\n").status, 421);
    assert_eq!(lan.ask("GET", "/", "").status, 421);
    let foreign = format!("{host}Origin: https://evil.example\r\nContent-Length: 0\r\n");
    assert_eq!(lan.ask("POST", "/reports", &foreign).status, 403);
    // No page without TLS, no reports on the listener of this computer.
    let mut stream = TcpStream::connect(&lan.address).unwrap();
    // The server may be gone before all of it is written.
    let _ = stream.write_all(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", lan.address).as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("a page"));
    let mut stream = TcpStream::connect(&lan.local).unwrap();
    write!(stream, "GET /reports HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", lan.local).unwrap();
    assert_eq!(Answer::read(&mut stream).status, 404);
}

#[test]
fn what_cannot_be_offered_is_refused_before_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().to_str().unwrap();
    fs::write(folder.path().join("index.html"), "a page").unwrap();
    let serve = |args: &[&str]| run(understory(&["serve", "--port", "0", "--page", page]).args(args));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let db = folder.path().join("reports.sqlite").display().to_string();
    serve(&["--lan=127.0.0.1", "--lan-port", &port, "--db", &db]).fails(1, &[&port, "--lan-port"]);
    serve(&["--lan=192.0.2.1", "--lan-port", "0", "--db", &db]).fails(1, &["192.0.2.1", "not an address"]);
    serve(&["--lan=phone"]).fails(2, &["phone"]);
    serve(&["--db", &db]).fails(2, &["--lan"]);
    let index = folder.path().join("index.html").display().to_string();
    serve(&["--lan=127.0.0.1", "--lan-port", "0", "--db", &index]).fails(1, &[&index, "not a database", "--db"]);
}
