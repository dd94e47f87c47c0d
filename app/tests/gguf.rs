//! GGUF models by file, by folder and by name on a hub.

#[path = "../../engine/model/tests/gguf_models/mod.rs"]
mod gguf_models;
#[path = "hub/server.rs"]
#[allow(dead_code, reason = "every test binary uses its own part")]
mod server;
#[path = "hub/setting.rs"]
#[allow(dead_code, reason = "every test binary uses its own part")]
mod setting;
mod support;

use std::collections::BTreeMap;
use std::fs;

use gguf_models::convert::converted;
use gguf_models::writer::{Meta, Writer};
use serde_json::Value;
use setting::{Setting, got_files};
use support::{fixture, run, transcript, understory};

fn model(name: &str) -> Writer {
    let mut writer = converted(&fixture(name), true);
    writer.set("general.name", Meta::Text(format!("A fixture of {name}")));
    writer.set("tokenizer.chat_template", Meta::Text("{{ messages[0].content }}".into()));
    writer
}

#[test]
fn a_model_is_shown_by_its_headers() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("qwen2.gguf"), model("qwen2").bytes()).unwrap();
    let show = |name: &str, more: &[&str]| {
        let args = [&["models", "show", name][..], more].concat();
        run(understory(&args).current_dir(folder.path()))
    };
    insta::assert_snapshot!("shown", show("qwen2.gguf", &[]).succeeds().stdout);
    let of_gguf = show("qwen2.gguf", &["--json", "--tensors"]).json();
    let of_folder = show(fixture("qwen2").to_str().unwrap(), &["--json"]).json();
    assert_eq!((&of_gguf["format"], &of_folder["format"]), (&"GGUF".into(), &"safetensors".into()));
    for field in ["architecture", "layers", "parameters", "heads", "context", "vocabulary", "tied", "end_tokens"] {
        assert_eq!(of_gguf[field], of_folder[field], "{field}");
    }
    assert_eq!((&of_gguf["chat_template"], &of_folder["chat_template"]), (&true.into(), &false.into()));
    let tensors = of_gguf["tensors"].as_array().unwrap();
    let bytes = |rows: &mut dyn Iterator<Item = &Value>| rows.map(|row| row["bytes"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(bytes(&mut tensors.iter()), bytes(&mut of_gguf["types"].as_object().unwrap().values()));
    assert_eq!(of_folder.get("tensors"), None);
    assert!(show("qwen2.gguf", &["--tensors"]).succeeds().stdout.contains("blk.1.attn_q.bias"));
}

#[test]
fn a_gguf_file_is_a_model_and_of_several_in_a_folder_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("a.gguf"), model("llama").bytes()).unwrap();
    // The model is found first; the adapter does not exist.
    let load = |model: &str| run(&mut understory(&["generate", "x", "--device", "9999", "--model", model]));
    got_files(&load(&path("a.gguf")));
    got_files(&load(folder.path().to_str().unwrap()));
    fs::write(path("b.gguf"), model("llama").bytes()).unwrap();
    load(folder.path().to_str().unwrap())
        .fails(1, &["holds several models: a.gguf, b.gguf", "name one of them", "a.gguf"]);
    let predicted = run(&mut understory(&["predict", "--model", &path("a.gguf"), "--device", "h200", "--json"])).json();
    assert!(predicted["tpot_ms"].as_f64().is_some(), "{predicted}");
}

/// Whatever is not chosen is not downloaded; what is in the cache needs no network, under either name.
#[test]
fn one_of_a_repositorys_gguf_models_is_fetched() {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for name in ["model-Q4_K_M.gguf", "model-Q8_0.gguf"] {
        files.insert(name.into(), model("llama").bytes());
    }
    files.insert("mmproj-model.gguf".into(), b"GGUF".to_vec());
    files.insert("README.md".into(), b"# A model".to_vec());
    let setting = Setting::with(files);
    let several = run(&mut setting.command("owner/model"));
    several.fails(1, &["several GGUF models: model-Q4_K_M.gguf, model-Q8_0.gguf"]);
    run(&mut setting.command("owner/model:Q2_K")).fails(1, &["no such GGUF model", "model-Q8_0.gguf"]);
    assert!(!setting.root().join("refs/main").exists());
    got_files(&run(&mut setting.command("owner/model:q8_0")));
    assert!(setting.cached("model-Q8_0.gguf").exists() && !setting.cached("model-Q4_K_M.gguf").exists());

    setting.hub.state().requests.clear();
    got_files(&run(&mut setting.command("owner/model:Q8_0")));
    got_files(&run(setting.command("owner/model/model-Q8_0.gguf").arg("--offline")));
    got_files(&run(setting.command("owner/model").arg("--offline")));
    assert!(setting.hub.state().requests.is_empty(), "a file that is in the cache needs no network");
    run(setting.command("owner/model:Q4_K_M").arg("--offline")).fails(1, &["Q4_K_M", "is missing from the cache"]);

    let listed = setting.listed();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(
        (&listed[0]["name"], &listed[0]["architecture"]),
        (&"owner/model/model-Q8_0.gguf".into(), &"llama".into())
    );
}

#[test]
fn what_is_no_model_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut said = String::new();
    let mut writer = model("llama");
    writer.set("general.architecture", Meta::Text("mamba".into()));
    let mut other_type = model("llama");
    other_type.tensors[0].number = 16;
    let files = [
        ("web-page.gguf", b"<!DOCTYPE html>".to_vec()),
        ("architecture.gguf", writer.bytes()),
        ("type.gguf", other_type.bytes()),
        ("cut.gguf", model("llama").bytes()[..9000].to_vec()),
    ];
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
        let args = ["models", "show", name];
        let outcome = run(understory(&args).current_dir(folder.path()));
        said += &transcript(&args, outcome.fails(1, &[]));
    }
    insta::assert_snapshot!("refused", said);
}
