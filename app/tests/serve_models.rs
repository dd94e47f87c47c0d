//! `understory serve` and models: of the hub, and those that strangers made. Whatever they do, their request is answered,
//! and so is the next.

#[path = "serve/client.rs"]
#[allow(dead_code, reason = "the tests of the page's server use the rest")]
mod client;
#[path = "hub/server.rs"]
#[allow(dead_code, reason = "the hub's own tests use the rest")]
mod hub;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use client::{Page, Server, bundled, generate, load};
use serde_json::{Value, json};
use support::{fixture, understory};
use tempfile::TempDir;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// Long enough for a request to be under way.
const MOMENT: Duration = Duration::from_millis(700);

type Files = BTreeMap<String, Vec<u8>>;
/// What makes a sound model into another one.
type Change = Box<dyn FnOnce(&mut Files)>;

/// A page, and a cache of the hub.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("page")).unwrap();
    fs::write(home.path().join("page/index.html"), "<!doctype html><title>a page</title>").unwrap();
    home
}

/// Puts `owner/NAME` into the cache: a tiny Llama, after `change`.
fn keep(home: &Path, name: &str, change: impl FnOnce(&mut Files)) {
    let read = |file: &str| (file.to_owned(), fs::read(fixture("llama").join(file)).unwrap());
    let mut files: Files =
        ["config.json", "generation_config.json", "tokenizer.json", "model.safetensors"].map(read).into();
    change(&mut files);
    let model = home.join(format!("hub/models--owner--{name}"));
    let folder = model.join("snapshots").join(COMMIT);
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(model.join("refs")).unwrap();
    fs::write(model.join("refs/main"), COMMIT).unwrap();
    for (file, bytes) in files {
        fs::write(folder.join(file), bytes).unwrap();
    }
}

fn with_template(template: &str) -> impl FnOnce(&mut Files) + use<> {
    let config = json!({ "chat_template": template }).to_string().into_bytes();
    move |files| drop(files.insert("tokenizer_config.json".into(), config))
}

fn serve(home: &Path, offline: bool, endpoint: &str) -> Server {
    let page = home.join("page").display().to_string();
    let mut command = understory(&["serve", "--port", "0", "--page", &page]);
    if offline {
        command.arg("--offline");
    }
    command.env("HF_HOME", home).env("HF_ENDPOINT", endpoint);
    Server::start(command)
}

fn hub(name: &str) -> Value {
    load(json!({ "from": "hub", "repo": format!("owner/{name}"), "revision": null }), json!(null))
}

fn chat() -> Value {
    let mut request = generate(json!({ "name": "ar" }), 0.0, 0, 2);
    request["prompt"] = json!({ "chat": [{ "role": "user", "content": "hello" }] });
    request
}

/// The server does what it is for: on the same connection.
#[track_caller]
fn goes_on(page: &mut Page) {
    let loaded = page.ask(hub("good"));
    assert_eq!(loaded["reply"], "loaded", "{loaded}");
    let done = page.ask(generate(json!({ "name": "ar" }), 0.0, 0, 2));
    assert_eq!(done["finish_reason"], "length", "{done}");
}

/// Errors that are as long as what they quote fail this too.
#[track_caller]
fn is_short(reply: &Value, name: &str) {
    assert!(reply["message"].as_str().unwrap_or_default().chars().count() <= 2000, "{name}");
}

#[track_caller]
fn survives(models: Vec<(&str, Change)>) {
    let home = home();
    keep(home.path(), "good", |_| {});
    let mut names = Vec::new();
    for (name, change) in models {
        keep(home.path(), name, change);
        names.push(name);
    }
    let server = serve(home.path(), true, "http://127.0.0.1:1");
    let mut page = server.ready();
    for name in names {
        let loaded = page.ask(hub(name));
        is_short(&loaded, name);
        if loaded["reply"] == "loaded" {
            let done = page.ask(chat());
            assert!(["failed", "generated"].contains(&done["reply"].as_str().unwrap()), "{name}: {done}");
            is_short(&done, name);
        } else {
            assert_eq!(loaded["reply"], "failed", "{name}: {loaded}");
        }
        goes_on(&mut page);
    }
}

/// A parser or a renderer that recurses as deep as a template says overflows the stack, which ends the whole process.
#[test]
fn deep_templates_end_their_request_alone() {
    let templates = [
        ("minus", format!("{{{{ {}1 }}}}", "-".repeat(19_300))),
        ("not", format!("{{{{ {}1 }}}}", "not ".repeat(26_000))),
        ("plus", format!("{{{{ 1{} }}}}", "+1".repeat(100_000))),
        ("attribute", format!("{{{{ a{} }}}}", ".a".repeat(100_000))),
        ("filter", format!("{{{{ 'a'{} }}}}", "|upper".repeat(100_000))),
        ("bracket", format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000))),
    ];
    survives(templates.iter().map(|(name, text)| (*name, Box::new(with_template(text)) as _)).collect());
}

#[test]
fn a_value_that_holds_itself_ends_its_request_alone() {
    let text = "{% set ns=namespace(x='') %}{% set ns.x=ns %}{{ ns }}";
    survives(vec![("cycle", Box::new(with_template(text)) as _)]);
}

/// A panic that nobody catches ends the engine's thread: the next request would wait for ever.
#[test]
fn models_that_fail_end_their_request_alone() {
    let template = |text: &str| Box::new(with_template(text)) as Change;
    let tokenizer = |change: fn(&mut Value)| {
        Box::new(move |files: &mut Files| {
            let mut value: Value = serde_json::from_slice(&files["tokenizer.json"]).unwrap();
            change(&mut value);
            files.insert("tokenizer.json".into(), value.to_string().into_bytes());
        }) as Change
    };
    let file = |name: &'static str, change: fn(&mut Vec<u8>)| {
        Box::new(move |files: &mut Files| change(files.get_mut(name).unwrap())) as Change
    };
    survives(vec![
        ("indent", template("{{ messages|tojson(indent=100000000) }}")),
        ("divisor", template("{{ 4 is divisibleby(0) }}")),
        ("words", template("{{ raise_exception('\\u001b' ~ 'x' * 1000000) }}")),
        ("syntax", template("{{")),
        ("flipped", file("tokenizer.json", |bytes| bytes[1] ^= 1)),
        ("cut", file("tokenizer.json", |bytes| bytes.truncate(700))),
        (
            "strip",
            tokenizer(|value| value["decoder"] = json!({"type": "Strip", "content": "a", "start": 9, "stop": 9})),
        ),
        ("prepend", tokenizer(|value| value["normalizer"] = json!({"type": "Prepend", "prepend": ""}))),
        (
            "precompiled",
            tokenizer(|value| {
                value["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": "/////w=="});
            }),
        ),
        ("weights", file("model.safetensors", |bytes| bytes.truncate(5000))),
        ("header", file("model.safetensors", |bytes| bytes[..8].fill(0xff))),
        ("config", file("config.json", |bytes| bytes.truncate(40))),
        (
            "layers",
            file("config.json", |bytes| {
                let mut value: Value = serde_json::from_slice(bytes).unwrap();
                (value["num_hidden_layers"], value["model_type"]) = (json!(u32::MAX), json!("x".repeat(1 << 20)));
                *bytes = value.to_string().into_bytes();
            }),
        ),
    ]);
}

/// A Stop that is only read between tokens fails this: there is no first one.
#[test]
fn an_endless_template_ends_with_stop_and_with_its_page() {
    let home = home();
    keep(home.path(), "good", |_| {});
    let text = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}";
    keep(home.path(), "endless", with_template(text));
    let server = serve(home.path(), true, "http://127.0.0.1:1");
    let mut page = server.ready();
    assert_eq!(page.ask(hub("endless"))["reply"], "loaded");
    let id = page.begin(chat());
    std::thread::sleep(MOMENT);
    page.begin(json!({ "request": "stop", "id": id }));
    let ended = page.last(id);
    assert!(ended["reply"] == "failed" || ended["finish_reason"] == "cancelled", "{ended}");
    goes_on(&mut page);

    assert_eq!(page.ask(hub("endless"))["reply"], "loaded");
    page.begin(chat());
    std::thread::sleep(MOMENT);
    drop(page);
    goes_on(&mut server.ready());
}

/// One thread that downloads and waits fails this: every page after the first one waits for a hub that says nothing.
#[test]
fn a_silent_hub_blocks_no_other_page() {
    let (home, silent) = (home(), TcpListener::bind("127.0.0.1:0").unwrap());
    let server = serve(home.path(), false, &format!("http://{}", silent.local_addr().unwrap()));
    let mut page = server.ready();
    let id = page.begin(hub("model"));
    std::thread::sleep(MOMENT);
    page.begin(json!({ "request": "stop", "id": id }));
    assert_eq!(page.last(id)["reply"], "failed");
    assert_eq!(page.ask(bundled())["reply"], "loaded");

    page.begin(hub("model"));
    std::thread::sleep(MOMENT);
    drop(page);
    assert_eq!(server.ready().ask(bundled())["reply"], "loaded");
}

/// A load that hears of nothing until it is done fails this.
#[test]
fn a_load_ends_with_stop() {
    let home = home();
    let server = serve(home.path(), true, "http://127.0.0.1:1");
    let mut page = server.ready();
    let (first, second) = (page.begin(bundled()), page.begin(bundled()));
    page.begin(json!({ "request": "stop", "id": second }));
    page.begin(json!({ "request": "stop", "id": first }));
    for id in [first, second] {
        assert!(page.failure(id).contains("stopped"));
    }
    assert_eq!(page.ask(bundled())["reply"], "loaded");
}

#[test]
fn a_model_of_the_hub_comes_with_its_progress_and_its_name() {
    let files = ["config.json", "generation_config.json", "tokenizer.json", "model.safetensors"];
    let read = |file: &str| (file.to_owned(), fs::read(fixture("llama").join(file)).unwrap());
    let hub = hub::HubServer::start(files.into_iter().map(read).collect());
    let home = home();
    let mut command = understory(&["serve", "--port", "0", "--page", home.path().join("page").to_str().unwrap()]);
    command.env("HF_HOME", home.path()).env("HF_ENDPOINT", hub.endpoint());
    let server = Server::start(command);
    let mut page = server.ready();
    let id = page.begin(load(json!({ "from": "hub", "repo": "owner/model", "revision": "v1" }), json!(null)));
    let mut fetched = Vec::new();
    let loaded = loop {
        let message = page.next();
        assert_eq!(message["id"], id);
        let body = &message["body"];
        match body["stage"].as_str() {
            Some("fetch") => fetched.push((body["done_bytes"].as_u64(), body["total_bytes"].as_u64())),
            Some(_) => {}
            None => break body.clone(),
        }
    };
    assert_eq!((&loaded["reply"], &loaded["target"]), (&json!("loaded"), &json!("owner/model@v1")), "{loaded}");
    let weights = fs::metadata(fixture("llama").join("model.safetensors")).unwrap().len();
    assert!(fetched.contains(&(Some(weights), Some(weights))), "{weights}: {fetched:?}");
}

/// Waiting for the hub alone fails this: the page's stop, and the next page, would wait half a minute and longer.
#[test]
fn a_download_that_hangs_ends_with_the_request_and_with_the_page() {
    let files = ["config.json", "generation_config.json", "tokenizer.json", "model.safetensors"];
    let read = |file: &str| (file.to_owned(), fs::read(fixture("llama").join(file)).unwrap());
    let hub = hub::HubServer::start(files.into_iter().map(read).collect());
    let length = fs::metadata(fixture("llama").join("model.safetensors")).unwrap().len() as usize;
    hub.state().trick = Some(Box::new(move |request| {
        let head = hub::head(200, length, "");
        request.path.starts_with("/store/").then(|| hub::Reply { head, body: vec![], then: hub::Then::Silence })
    }));
    let home = home();
    let mut command = understory(&["serve", "--port", "0", "--page", home.path().join("page").to_str().unwrap()]);
    command.env("HF_HOME", home.path()).env("HF_ENDPOINT", hub.endpoint());
    let server = Server::start(command);
    let hangs = || hub.state().requests.iter().filter(|request| request.path.starts_with("/store/")).count();
    let model = || load(json!({ "from": "hub", "repo": "owner/model", "revision": null }), json!(null));
    let until = |n: usize| {
        let start = Instant::now();
        while hangs() < n {
            assert!(start.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let mut page = server.ready();
    let start = Instant::now();
    let id = page.begin(model());
    until(1);
    page.begin(json!({ "request": "stop", "id": id }));
    assert!(page.failure(id).contains("stopped"));
    page.begin(model());
    until(2);
    drop(page);
    let mut next = server.ready();
    assert_eq!(next.ask(bundled())["reply"], "loaded");
    // A deadline against waiting for the hub twice, not a speed.
    assert!(start.elapsed() < Duration::from_secs(60));
}
