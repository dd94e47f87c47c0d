//! Downloads from a hub on this machine. Every run asks for an adapter that does not exist, so that it ends where the
//! files are complete, on machines with and without a GPU.
//!
//! Tried and caught: recording the revision before its files are there, going on with a part that is already whole,
//! keeping a file without looking at its hash.

#[path = "hub/server.rs"]
#[allow(dead_code, reason = "every test binary uses its own part")]
mod server;
#[path = "hub/setting.rs"]
#[allow(dead_code, reason = "every test binary uses its own part")]
mod setting;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;

use serde_json::Value;
use server::{COMMIT, sha256, tag};
use setting::{Setting, WEIGHTS, got_files};
use support::run;

#[test]
fn a_download_that_was_cut_goes_on_where_it_stopped_and_then_needs_no_network() {
    let setting = Setting::new();
    let half = setting.weights().len() / 2;
    setting.hub.state().cut_after = Some(half);
    setting.fetch().fails(1, &["model.safetensors of owner/model broke off", "run the same command again"]);
    assert!(!setting.cached(WEIGHTS).exists(), "half a file must not look whole");
    assert!(!setting.root().join("refs/main").exists(), "half a model must not look whole");
    assert_eq!(setting.listed()[0]["missing"], serde_json::json!([WEIGHTS]));
    let part = setting.root().join("blobs").join(sha256(&setting.weights())).with_extension("incomplete");
    assert_eq!(fs::metadata(part).unwrap().len(), half as u64);
    run(setting.command("owner/model").arg("--offline")).fails(1, &["owner/model is not in the cache", "--offline"]);

    setting.hub.state().cut_after = None;
    setting.hub.take_ranges();
    got_files(&setting.fetch());
    assert_eq!(setting.hub.take_ranges(), [format!("bytes={half}-")]);
    setting.assert_whole();
    let listed = setting.listed();
    assert_eq!(
        (listed.len(), &listed[0]["name"], &listed[0]["missing"]),
        (1, &"owner/model".into(), &Value::Array(vec![]))
    );
    assert_eq!(listed[0]["architecture"], "llama");

    setting.hub.state().requests.clear();
    got_files(&setting.fetch());
    got_files(&run(setting.command("owner/model").arg("--offline")));
    got_files(&run(setting.command("owner/model").env("HF_HUB_OFFLINE", "1")));
    got_files(&run(setting.command("owner/model").env("HF_ENDPOINT", "http://127.0.0.1:9")));
    assert!(setting.hub.state().requests.is_empty(), "a model that is whole in the cache needs no network");
}

#[test]
fn a_single_cut_is_overcome_within_one_run() {
    let setting = Setting::new();
    let half = setting.weights().len() / 2;
    setting.hub.state().cut_after = Some(half);
    setting.hub.state().cuts_left = Some(1);
    got_files(&setting.fetch());
    assert!(setting.hub.take_ranges().contains(&format!("bytes={half}-")));
    setting.assert_whole();
}

#[test]
fn a_part_that_is_already_whole_does_not_stand_in_the_way() {
    let setting = Setting::new();
    let weights = setting.weights();
    let blobs = setting.root().join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(sha256(&weights)).with_extension("incomplete"), &weights).unwrap();
    got_files(&setting.fetch());
    setting.assert_whole();
}

#[test]
fn a_damaged_file_is_not_kept() {
    let setting = Setting::new();
    setting.hub.state().corrupt = true;
    setting.fetch().fails(1, &["model.safetensors of owner/model arrived damaged", "hash"]);
    assert!(!setting.cached(WEIGHTS).exists());
    setting.hub.state().corrupt = false;
    got_files(&setting.fetch());
    setting.assert_whole();
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_said_and_leaves_nothing_that_looks_whole() {
    let setting = Setting::new();
    let blobs = setting.root().join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    // Everything written to /dev/full fails with ENOSPC.
    let part = blobs.join(sha256(&setting.weights())).with_extension("incomplete");
    std::os::unix::fs::symlink("/dev/full", &part).unwrap();
    setting.fetch().fails(1, &["no space left on the disk for model.safetensors", "HF_HOME"]);
    assert!(!setting.cached(WEIGHTS).exists());
    fs::remove_file(part).unwrap();
    got_files(&setting.fetch());
    setting.assert_whole();
}

#[test]
fn refusals_say_what_to_do() {
    let setting = Setting::new();
    let mut said = String::new();
    for status in [401, 403, 404, 500] {
        setting.hub.state().refuse = Some(status);
        said += &setting.fetch().fails(1, &[]).stderr;
    }
    insta::assert_snapshot!(said.replace(&setting.hub.endpoint(), "[hub]"));
    setting.hub.state().refuse = Some(401);
    got_files(&run(setting.command("owner/model").env("HF_TOKEN", "secret")));
    setting.assert_whole();
}

#[test]
fn the_token_file_of_other_tools_counts() {
    let setting = Setting::new();
    setting.hub.state().refuse = Some(401);
    fs::write(setting.home().join("token"), "secret\n").unwrap();
    got_files(&setting.fetch());
}

#[test]
fn names_and_revisions_that_do_not_exist_are_told_apart_from_failures() {
    let setting = Setting::new();
    run(&mut setting.command("owner/other")).fails(1, &["owner/other", "404", "Check owner, name and revision"]);
    run(&mut setting.command("owner/model@v9")).fails(1, &["`v9`", "404"]);
    got_files(&run(&mut setting.command("owner/model@v1")));
    assert_eq!(fs::read_to_string(setting.root().join("refs/v1")).unwrap(), COMMIT);
    assert_eq!(setting.listed()[0]["name"], "owner/model@v1");
    let by_commit = format!("owner/model@{COMMIT}");
    got_files(&run(setting.command(&by_commit).arg("--offline")));
}

#[test]
fn no_network_is_said() {
    let setting = Setting::new();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let run_without = |endpoint: &str| run(setting.command("owner/model").env("HF_ENDPOINT", endpoint));
    run_without(&format!("http://{nobody}")).fails(1, &["cannot reach http://127.0.0.1", "owner/model", "network"]);
    run_without("http://no-such-host.invalid").fails(1, &["cannot reach http://no-such-host.invalid"]);
    run_without("not a url").fails(1, &["HF_ENDPOINT"]);
}

#[test]
fn offline_with_an_empty_cache_is_said_before_any_request() {
    let setting = Setting::new();
    run(setting.command("owner/model").arg("--offline")).fails(1, &["owner/model is not in the cache", "--offline"]);
    run(setting.command("owner/model").env("HF_HUB_OFFLINE", "1")).fails(1, &["HF_HUB_OFFLINE"]);
    assert!(setting.hub.state().requests.is_empty());
}

#[test]
fn without_a_network_a_cached_model_whose_extras_are_unknown_is_used_with_a_note() {
    let setting = Setting::new();
    got_files(&setting.fetch());
    fs::remove_dir_all(setting.root().join(".no_exist")).unwrap();
    let outcome = run(setting.command("owner/model").env("HF_ENDPOINT", "http://no-such-host.invalid"));
    outcome.fails(1, &["adapter", "using the cached copy"]);
}

/// A repository whose weights come in two shards that `index` speaks of.
fn sharded(index: Value) -> BTreeMap<String, Vec<u8>> {
    let mut files = Setting::new().hub.state().files.clone();
    let weights = files.remove(WEIGHTS).unwrap();
    let (first, second) = weights.split_at(weights.len() / 3);
    files.insert("model-00001-of-00002.safetensors".into(), first.into());
    files.insert("model-00002-of-00002.safetensors".into(), second.into());
    files.insert("model.safetensors.index.json".into(), index.to_string().into_bytes());
    files
}

#[test]
fn shards_are_found_through_their_index() {
    let one = "model-00001-of-00002.safetensors";
    let two = "model-00002-of-00002.safetensors";
    let setting = Setting::with(sharded(serde_json::json!({ "weight_map": { "a": one, "b": two, "c": one } })));
    got_files(&setting.fetch());
    setting.assert_whole();
    fs::remove_file(setting.cached(two)).unwrap();
    run(setting.command("owner/model").arg("--offline"))
        .fails(1, &[&format!("{two} of owner/model is missing"), "cache"]);

    let absent = Setting::with(sharded(serde_json::json!({ "weight_map": { "a": "model-00003.safetensors" } })));
    absent.fetch().fails(1, &["names model-00003.safetensors, which it does not have"]);
    let outside = Setting::with(sharded(serde_json::json!({ "weight_map": { "a": "../../../outside.safetensors" } })));
    outside.fetch().fails(1, &["outside its folder"]);
}

#[test]
fn a_repository_without_usable_weights_is_refused_before_anything_is_downloaded() {
    let mut files = Setting::new().hub.state().files.clone();
    let weights = files.remove(WEIGHTS).unwrap();
    files.insert("pytorch_model.bin".into(), weights);
    let setting = Setting::with(files);
    setting.fetch().fails(1, &["neither model.safetensors", "it has pytorch_model.bin"]);
    assert!(!setting.root().exists());
}

/// The rules of the reader are another's unless both ask the same function: a shard in a folder below is fetched by one
/// and refused by the other.
#[test]
fn shards_may_lie_in_a_folder_below() {
    let mut files = sharded(serde_json::json!({ "weight_map": { "a": "sub/deep/model-1.safetensors" } }));
    files.retain(|name, _| !name.starts_with("model-0"));
    let weights = Setting::new().weights();
    files.insert("sub/deep/model-1.safetensors".into(), weights);
    let setting = Setting::with(files);
    got_files(&setting.fetch());
    setting.assert_whole();
    setting.assert_contained();
    got_files(&run(setting.command("owner/model").arg("--offline")));
}

/// As huggingface_hub lays it out, and hf-hub before: links to blobs on Unix, plain files elsewhere, and no word of the
/// files that this program would like to know of.
#[test]
fn a_cache_that_another_tool_filled_is_used_offline() {
    let setting = Setting::new();
    let files = setting.hub.state().files.clone();
    let snapshot = setting.cached("");
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(setting.root().join("blobs")).unwrap();
    fs::create_dir_all(setting.root().join("refs")).unwrap();
    fs::write(setting.root().join("refs/main"), COMMIT).unwrap();
    for (file, bytes) in &files {
        let blob = setting.root().join("blobs").join(tag(file, bytes));
        fs::write(&blob, bytes).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(format!("../../blobs/{}", tag(file, bytes)), snapshot.join(file)).unwrap();
        #[cfg(not(unix))]
        fs::rename(blob, snapshot.join(file)).unwrap();
    }
    got_files(&run(setting.command("owner/model").arg("--offline")));
    got_files(&run(setting.command(&format!("owner/model@{COMMIT}")).arg("--offline")));
    assert!(setting.hub.state().requests.is_empty());
    assert_eq!(setting.listed()[0]["missing"], Value::Array(vec![]));
    // A hub that refuses does not take away what is here.
    setting.hub.state().refuse = Some(403);
    setting.fetch().fails(1, &["adapter", "403", "using the cached copy"]);
    setting.hub.state().refuse = None;
    got_files(&setting.fetch());
    let asked: Vec<String> = setting.hub.state().requests.drain(..).map(|request| request.path).collect();
    assert!(asked.iter().all(|path| path.starts_with("/api/")), "what is here came again: {asked:?}");
    setting.assert_whole();
}

/// Links on Unix are relative, so that a cache can be moved.
#[test]
#[cfg(unix)]
fn what_is_written_has_the_layout_of_huggingface_hub() {
    let setting = Setting::new();
    got_files(&setting.fetch());
    let root = setting.root();
    let mut expected = vec![".no_exist".to_owned(), "blobs".into(), "refs".into(), "snapshots".into()];
    expected.extend(["refs/main".into(), format!("snapshots/{COMMIT}"), format!(".no_exist/{COMMIT}")]);
    for absent in ["added_tokens.json", "chat_template.jinja", "special_tokens_map.json", "tokenizer_config.json"] {
        expected.push(format!(".no_exist/{COMMIT}/{absent}"));
    }
    for (file, bytes) in &setting.hub.state().files {
        let target = fs::read_link(setting.cached(file)).unwrap();
        assert_eq!(target.to_str().unwrap(), format!("../../blobs/{}", tag(file, bytes)));
        expected.extend([format!("snapshots/{COMMIT}/{file}"), format!("blobs/{}", tag(file, bytes))]);
    }
    expected.sort();
    assert_eq!(setting::tree(&root, ""), expected);
}

/// The variables of `environment.rs` reach a download, and `~` and `$NAME` in them.
#[test]
fn the_cache_and_the_token_are_where_the_variables_say() {
    let setting = Setting::new();
    setting.hub.state().refuse = Some(401);
    let home = setting.home();
    fs::write(home.join("my-token"), "secret\n").unwrap();
    let mut command = setting.command("owner/model");
    command.env("HOME", &home).env("HF_HUB_CACHE", "~/$SUB/cache").env("SUB", "below");
    got_files(&run(command.env("HF_TOKEN_PATH", "${HOME}/my-token")));
    assert!(home.join("below/cache/models--owner--model/refs/main").is_file());
    assert!(!setting.root().exists());
    let mut command = setting.command("owner/model");
    got_files(&run(command
        .env_remove("HF_HOME")
        .env("XDG_CACHE_HOME", &home)
        .env("HUGGING_FACE_HUB_TOKEN", " secret\n")));
    assert!(home.join("huggingface/hub/models--owner--model/refs/main").is_file());
}
