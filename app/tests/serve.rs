//! `understory serve`: the files, who may have them, and the engine behind the socket.

#[path = "serve/client.rs"]
mod client;
mod support;

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use client::{Page, Server, bundled, generate, load};
use serde_json::json;
use support::{run, understory};
use tempfile::TempDir;
use tungstenite::Message;

/// A folder with a page, beside a file that is nobody's business.
struct Site {
    _root: TempDir,
    page: PathBuf,
}

fn site() -> Site {
    let root = tempfile::tempdir().unwrap();
    let page = root.path().join("page");
    fs::create_dir_all(page.join("models/tales")).unwrap();
    fs::write(page.join("index.html"), "<!doctype html><title>a page</title>").unwrap();
    for file in ["engine_bg.wasm", "start.js", "style.css", "models/index.json", "models/tales/weights.bin", ".hidden"]
    {
        fs::write(page.join(file), file).unwrap();
    }
    fs::write(root.path().join("secret.txt"), "secret").unwrap();
    Site { _root: root, page }
}

#[test]
fn files_come_with_their_types_tags_and_guards() {
    let site = site();
    let server = Server::of(&site.page);
    let types = [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/start.js", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/engine_bg.wasm", "application/wasm"),
        ("/models/index.json", "application/json"),
        ("/models/tales/weights.bin", "application/octet-stream"),
    ];
    for (path, kind) in types {
        let answer = server.get(path, "");
        assert_eq!((answer.status, answer.header("content-type")), (200, kind), "{path}");
    }
    let first = server.get("/start.js", "");
    assert_eq!(first.body, "start.js");
    let tag = first.header("etag");
    assert!(tag.starts_with('"') && tag.len() > 10, "{tag}");
    for known in [tag.to_owned(), format!("\"other\", W/{tag}"), "*".to_owned()] {
        let again = server.get("/start.js", &format!("If-None-Match: {known}\r\n"));
        assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", tag), "{known}");
    }
    // A tag made once, or of the name, would hide the new contents.
    fs::write(site.page.join("start.js"), "changed").unwrap();
    let changed = server.get("/start.js", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((changed.status, changed.body.as_str()), (200, "changed"));

    let posted = server.ask("POST", "/", &format!("Host: {}\r\nContent-Length: 0\r\n", server.address));
    assert_eq!(posted.status, 405);
    let refused = server.ask("GET", "/", "Host: evil.example\r\n");
    for answer in [first, changed, posted, refused, server.get("/none", ""), server.get("/engine/info", "")] {
        for (name, value) in [
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-embedder-policy", "require-corp"),
            ("cross-origin-resource-policy", "same-origin"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-cache"),
        ] {
            assert_eq!(answer.header(name), value, "{name} of {answer:?}");
        }
        assert_eq!(answer.header("access-control-allow-origin"), "", "{answer:?}");
    }
}

/// Tried and caught: the path joined to the folder as it comes.
#[test]
fn nothing_outside_the_folder_is_served() {
    let site = site();
    #[cfg(unix)]
    std::os::unix::fs::symlink(site.page.join("../secret.txt"), site.page.join("link.txt")).unwrap();
    let server = Server::of(&site.page);
    let paths = [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/models/../../secret.txt",
        "/models/..\\..\\secret.txt",
        "//etc/passwd",
        "/.hidden",
        "/link.txt",
        "/models",
        "/models/",
        "/start.js/",
    ];
    for path in paths {
        let answer = server.get(path, "");
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
}

#[test]
fn other_names_and_other_sites_are_refused() {
    let site = site();
    let server = Server::of(&site.page);
    let port = server.address.rsplit_once(':').unwrap().1;
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}")] {
        assert_eq!(server.ask("GET", "/", &format!("Host: {host}\r\n")).status, 200, "{host}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example", "192.168.0.7"] {
        for path in ["/", "/engine", "/engine/info"] {
            assert_eq!(server.ask("GET", path, &format!("Host: {host}:{port}\r\n")).status, 421, "{host}{path}");
        }
    }
    for origin in ["http://evil.example", "http://localhost:1", "null", &format!("http://localhost:{port}")] {
        assert_eq!(server.open_from(origin).err(), Some(403), "{origin}");
    }
    let info = server.get("/engine/info", "");
    let info: serde_json::Value = serde_json::from_str(&info.body).unwrap();
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert!(info["adapters"][0]["backend"].is_string(), "{info}");
}

#[test]
fn the_socket_writes_what_the_command_line_writes() {
    let site = site();
    let server = Server::of(&site.page);
    let mut page = server.loaded();
    let costs = page.ask(json!({ "request": "calibrate", "cached": null }));
    assert_eq!(costs["reply"], "costs", "{costs}");
    let cases = [
        (json!({ "name": "ar" }), 0.0, &["--method", "ar", "--temperature", "0"][..]),
        (json!({ "name": "linear", "k": 4 }), 0.8, &["--method", "linear", "--k", "4", "--temperature", "0.8"]),
    ];
    for (method, temperature, args) in cases {
        let id = page.begin(generate(method, temperature, 7, 24));
        let mut streamed = String::new();
        let done = loop {
            let message = page.next();
            assert_eq!(message["id"], id);
            match message["body"]["reply"].as_str() {
                Some("event") => streamed += message["body"]["text"].as_str().unwrap_or_default(),
                _ => break message["body"].clone(),
            }
        };
        let mut command = understory(&["generate", "Once upon a time", "--seed", "7", "-n", "24", "--ignore-eos"]);
        let expected = run(command.args(args).arg("--json")).json();
        assert_eq!(done["token_ids"], expected["token_ids"], "{args:?}");
        assert_eq!((&done["text"], done["text"].as_str()), (&expected["text"], Some(streamed.as_str())), "{args:?}");
    }
}

#[test]
fn stop_ends_its_generation_and_no_other() {
    let site = site();
    let server = Server::of(&site.page);
    let mut page = server.loaded();
    let ar = || json!({ "name": "ar" });
    let (first, second) = (page.begin(generate(ar(), 0.0, 0, 200)), page.begin(generate(ar(), 0.0, 0, 200)));
    let third = page.begin(generate(ar(), 0.0, 0, 8));
    // One that waits, and one that runs.
    page.begin(json!({ "request": "stop", "id": second }));
    while page.next()["body"]["event"] != "emission" {}
    page.begin(json!({ "request": "stop", "id": first }));
    for (id, reason) in [(first, "cancelled"), (second, "cancelled"), (third, "length")] {
        let done = page.last(id);
        assert_eq!(done["finish_reason"], reason, "{done}");
        assert!(done["token_ids"].as_array().unwrap().len() < 200);
    }
    // Nobody has such a request.
    page.begin(json!({ "request": "stop", "id": 99 }));
    assert_eq!(page.ask(generate(ar(), 0.0, 0, 2))["finish_reason"], "length");
}

#[test]
fn what_is_no_request_is_answered_and_the_connection_goes_on() {
    let site = site();
    let server = Server::of(&site.page);
    let mut page = server.ready();
    for text in ["", "{", "[]", r#"{"id":1}"#, r#"{"id":1,"body":{"request":"sing"}}"#, r#"{"id":-1,"body":{}}"#] {
        page.say(Message::text(text));
        assert!(page.failure(0).contains("no request"), "{text}");
    }
    page.say(Message::binary(vec![0xff; 4]));
    assert!(page.failure(0).contains("JSON text"));
    let id = page.begin(generate(json!({ "name": "ar" }), 0.0, 0, 2));
    assert!(page.failure(id).contains("load"), "nothing is loaded yet");
    let id = page.begin(json!({ "request": "destroy_device" }));
    assert!(page.failure(id).contains("does not destroy"));
    let refused = [
        (json!({ "from": "folder", "name": "mine" }), "understory generate --model"),
        (json!({ "from": "bundled", "name": "../tales" }), "known: tales, tales-draft"),
        (json!({ "from": "hub", "repo": "/etc", "revision": null }), "expected owner/name"),
    ];
    for (source, words) in refused {
        let id = page.begin(load(source, json!(null)));
        let message = page.failure(id);
        assert!(message.contains(words), "{message}");
    }
    assert!(!page.ask(json!({ "request": "devices" }))["adapters"].as_array().unwrap().is_empty());
}

/// A connection that is closed with bytes unread fails this: the reset takes the answer with it.
#[test]
fn a_message_that_is_too_long_is_answered_before_the_end() {
    let site = site();
    let server = Server::of(&site.page);
    for length in [(1 << 20) + 1, 24 << 20] {
        let mut page = server.ready();
        page.say(Message::text("x".repeat(length)));
        assert!(page.failure(0).contains("1048576 bytes"), "{length}");
        assert_eq!(page.end(), (1009, "a message is too long".into()));
    }
    // In pieces, each of which would do.
    let mut page = server.ready();
    page.say_in_pieces(&"x".repeat(700_000), 3);
    assert!(page.failure(0).contains("1048576 bytes"));
    assert_eq!(page.end().0, 1009);
    let mut page = server.ready();
    page.say_raw(&[0xff; 16]);
    assert!(page.failure(0).contains("protocol"));
    assert_eq!(page.end().0, 1002);
    server.ready();
}

/// Errors that quote a message as it came fail this.
#[test]
fn answers_are_short_whatever_was_asked() {
    let site = site();
    let server = Server::of(&site.page);
    let mut page = server.ready();
    let long = "\u{1b}x".repeat(100_000);
    page.say(Message::text(json!({ "id": 1, "body": { "request": long } }).to_string()));
    let message = page.failure(0);
    assert!(message.chars().count() <= 2000 && !message.contains('\u{1b}'), "{} bytes", message.len());
    for source in [
        json!({ "from": "hub", "repo": long, "revision": null }),
        json!({ "from": "folder", "name": long }),
        json!({ "from": "bundled", "name": long }),
    ] {
        let id = page.begin(load(source, json!(null)));
        let message = page.failure(id);
        assert!(message.chars().count() <= 2000 && !message.contains('\u{1b}'), "{} bytes", message.len());
    }
    let refused = server.ask("GET", "/", &format!("Host: {}\r\n", "x".repeat(20_000)));
    assert!(refused.status == 421 && refused.body.len() < 1000, "{} bytes", refused.body.len());
}

/// A limit that keeps newcomers out, an accept loop that waits, or one that ends the page's own socket fails this.
#[test]
fn slow_connections_end_nothing_and_keep_nobody_out() {
    let site = site();
    let server = Server::of(&site.page);
    let mut page = server.loaded();
    let running = page.begin(generate(json!({ "name": "ar" }), 0.0, 0, 400));
    while page.next()["body"]["event"] != "emission" {}
    let mut slow = Vec::new();
    for n in 0..400 {
        let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
        let _ = std::io::Write::write_all(&mut stream, &b"GET / HTTP/1.1\r\nX: "[..n % 19]);
        slow.push(stream);
        if n % 100 == 99 {
            assert_eq!(server.get("/", "").status, 200);
        }
    }
    page.begin(json!({ "request": "stop", "id": running }));
    assert_eq!(page.last(running)["finish_reason"], "cancelled");
}

/// Tried and caught: the turn not given back, and the model left for the next page.
#[test]
fn one_page_at_a_time_and_the_next_begins_anew() {
    let site = site();
    let server = Server::of(&site.page);
    let mut first = server.loaded();
    let running = first.begin(generate(json!({ "name": "ar" }), 0.0, 0, 400));
    while first.next()["body"]["event"] != "emission" {}
    let mut second = server.open();
    let refusal = loop {
        let message = second.next();
        if message["id"] == 0 {
            break message;
        }
    };
    assert_eq!(refusal["body"]["reply"], "failed");
    assert!(refusal["body"]["message"].as_str().unwrap().contains("one at a time"), "{refusal}");
    assert!(second.is_closed());
    // Unharmed by the other.
    first.begin(json!({ "request": "stop", "id": running }));
    assert!(first.last(running)["token_ids"].as_array().unwrap().len() > 1);

    // It goes in the middle of a text, with more of them waiting.
    for _ in 0..3 {
        first.begin(generate(json!({ "name": "ar" }), 0.0, 0, 400));
    }
    drop(first);
    let mut third = server.ready();
    let id = third.begin(generate(json!({ "name": "ar" }), 0.0, 0, 2));
    assert!(third.failure(id).contains("load"), "nothing is loaded for this page");
    assert_eq!(third.ask(bundled())["reply"], "loaded");
}

#[test]
fn too_many_requests_are_refused() {
    let site = site();
    let server = Server::of(&site.page);
    let mut page = server.loaded();
    let running = page.begin(generate(json!({ "name": "ar" }), 0.0, 0, 400));
    while page.next()["body"]["event"] != "emission" {}
    let many: Vec<u64> = (0..80).map(|_| page.begin(json!({ "request": "devices" }))).collect();
    page.begin(json!({ "request": "stop", "id": running }));
    let (mut refused, mut answered) = (0, 0);
    while refused + answered < many.len() {
        match page.next()["body"]["reply"].as_str() {
            Some("failed") => refused += 1,
            Some("devices") => answered += 1,
            _ => {}
        }
    }
    assert!(refused >= 1 && answered >= 63, "{refused} refused, {answered} answered");
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let site = site();
    let page = site.page.to_str().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    run(&mut understory(&["serve", "--page", page, "--port", &port])).fails(1, &[&port, "in use", "--port"]);
}

#[test]
fn what_cannot_be_served_is_refused_before_it_is() {
    let site = site();
    let page = site.page.to_str().unwrap();
    let remote = run(&mut understory(&["serve", "--page", page, "--host", "0.0.0.0", "--port", "0"]));
    remote.fails(2, &["0.0.0.0", "--allow-remote", "GPU"]);
    run(&mut understory(&["serve", "--page", page, "--host", "no such host"])).fails(2, &["no such host"]);
    run(&mut understory(&["serve", "--page", page, "--port", "65536"])).fails(2, &["--port"]);
    let empty = tempfile::tempdir().unwrap();
    let folder = empty.path().to_str().unwrap();
    run(&mut understory(&["serve", "--page", folder])).fails(1, &[folder, "index.html", "cargo xtask web"]);
    run(&mut understory(&["serve", "--page", "no/such/folder"])).fails(1, &["no/such/folder"]);
}

#[test]
fn the_page_inside_the_program_is_served_or_missed_in_words() {
    let mut command = understory(&["serve", "--port", "0"]);
    if env!("UNDERSTORY_PAGE") == "absent" {
        run(&mut command).fails(1, &["cargo xtask web", "--page"]);
        return;
    }
    let server = Server::start(command);
    assert!(server.get("/", "").body.contains("<title>Understory</title>"));
    assert_eq!(server.get("/page.js", "").header("content-type"), "text/javascript; charset=utf-8");
    let config = fs::read_to_string(support::fixture("../models/tales/config.json")).unwrap();
    assert_eq!(server.get("/models/tales/config.json", "").body, config);
    // It lies among the models, and no model holds it.
    let catalogue = fs::read_to_string(support::fixture("../models/catalogue.json")).unwrap();
    assert_eq!(server.get("/models/catalogue.json", "").body, catalogue);
    assert_eq!(server.get("/models/tales/train.py", "").status, 404);
}

/// Seen to fail here: a text that waits for the whole of it; one that is told to end and is not; no answer to a calibration
/// whose model is gone.
#[test]
fn a_calibration_in_the_background_gives_way() {
    let site = site();
    let server = Server::of(&site.page);
    let mut page = server.loaded();
    let calibrate = || json!({ "request": "calibrate", "cached": null, "in_background": true });
    let ends = |page: &mut Page, ids: &[u64]| -> Vec<(u64, String)> {
        let mut ended: Vec<(u64, String)> = Vec::new();
        while ended.len() < ids.len() {
            let message = page.next();
            let (id, reply) = (message["id"].as_u64().unwrap(), message["body"]["reply"].as_str().unwrap().to_owned());
            assert!(ids.contains(&id), "{message}");
            if !["event", "progress"].contains(&reply.as_str()) {
                ended.push((id, reply));
            }
        }
        ended
    };
    let [first, text] = [calibrate(), generate(json!({ "name": "auto" }), 0.0, 0, 8)].map(|body| page.begin(body));
    let ended = ends(&mut page, &[first, text]);
    assert_eq!(ended, [(text, "generated".to_owned()), (first, "costs".to_owned())]);
    // What is known needs no time.
    let again = page.ask(calibrate());
    assert!(again["reply"] == "costs" && again["lossless"] != "off", "{again}");

    assert_eq!(page.ask(bundled())["reply"], "loaded");
    let [left, load] = [calibrate(), bundled()].map(|body| page.begin(body));
    assert_eq!(ends(&mut page, &[left, load]), [(left, "failed".to_owned()), (load, "loaded".to_owned())]);
    let stopped = page.begin(calibrate());
    page.begin(json!({ "request": "stop", "id": stopped }));
    assert_eq!(page.last(stopped)["reply"], "failed");
    assert_eq!(page.ask(generate(json!({ "name": "ar" }), 0.0, 0, 4))["reply"], "generated");
}

/// A counter of tokens that counts requests fails this, and so does one that never hears of an error.
#[test]
fn what_was_measured_can_be_collected() {
    let site = site();
    let server = Server::of(&site.page);
    let value = |name: &str| -> Option<f64> {
        let answer = server.get("/metrics", "");
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/plain; version=0.0.4; charset=utf-8"));
        let line = answer.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    };
    assert_eq!(value("understory_requests_total{outcome=\"length\"}"), Some(0.0));
    let mut page = server.loaded();
    page.ask(json!({ "request": "calibrate", "cached": null }));
    let done = page.ask(generate(json!({ "name": "linear", "k": 4 }), 0.0, 0, 24));
    let (speculation, metrics) = (&done["speculation"], &done["metrics"]);
    assert!(speculation["drafted"].as_f64().is_some_and(|drafted| drafted > 0.0), "{done}");
    let mut bad = generate(json!({ "name": "ar" }), 0.0, 0, 8);
    bad["prompt"] = json!({ "text": "" });
    let id = page.begin(bad);
    page.failure(id);
    for (name, expected) in [
        ("understory_requests_total{outcome=\"length\"}", json!(1)),
        ("understory_requests_total{outcome=\"failed\"}", json!(1)),
        ("understory_generated_tokens_total", json!(24)),
        ("understory_drafted_tokens_total", speculation["drafted"].clone()),
        ("understory_accepted_tokens_total", speculation["accepted"].clone()),
        ("understory_rounds_total", speculation["rounds"].clone()),
        ("understory_ttft_seconds_count", json!(1)),
        ("understory_tpot_seconds_count", json!(1)),
        ("understory_acceptance_length_count", json!(1)),
        ("understory_waiting_requests", json!(0)),
        ("understory_gpu_weights_bytes", metrics["weights_bytes"].clone()),
        ("understory_gpu_peak_bytes", metrics["peak_gpu_bytes"].clone()),
    ] {
        assert_eq!(value(name), expected.as_f64(), "{name}");
    }
    let ttft = value("understory_ttft_seconds_sum").unwrap();
    assert!((1e3 * ttft - metrics["ttft_ms"].as_f64().unwrap()).abs() < 1e-6, "{ttft} s");
    // Emissions of several tokens have one gap.
    let gaps = value("understory_itl_seconds_count").unwrap();
    assert!((1.0..23.0).contains(&gaps), "{gaps}");
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_it_in_the_middle_of_a_text() {
    let site = site();
    let mut server = Server::of(&site.page);
    let mut page = server.loaded();
    page.begin(generate(json!({ "name": "ar" }), 0.0, 0, 400));
    while page.next()["body"]["event"] != "emission" {}
    let pid = server.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}
