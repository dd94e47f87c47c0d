//! Whole runs on whatever adapter this machine has (an emulated one will do).

mod support;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use support::{fixture, run, understory, without_figures};

/// Arguments of a greedy run of the fixture `llama` in f32 on its first golden prompt.
fn golden_args(model: &Path) -> Vec<String> {
    let model = model.to_str().unwrap();
    let args = ["generate", "Once upon a time", "--raw", "--dtype", "f32", "--ignore-eos", "--model", model];
    args.map(str::to_owned).to_vec()
}

fn generate(args: &[String], more: &[&str]) -> support::Outcome {
    let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
    run(&mut understory(&args))
}

fn golden() -> Value {
    serde_json::from_slice(&fs::read(fixture("llama").join("golden.json")).unwrap()).unwrap()
}

#[test]
fn the_json_report_has_every_field_and_the_tokens_of_transformers() {
    let golden = &golden()["prompts"][0];
    let n = golden["greedy_ids"].as_array().unwrap().len();
    let report = generate(&golden_args(&fixture("llama")), &["--json", "-n", &n.to_string()]).json();
    assert_eq!(report["prompt_token_ids"], golden["token_ids"]);
    assert_eq!(report["token_ids"], golden["greedy_ids"]);
    assert_eq!(report["method"]["name"], "ar");
    assert_eq!(report["finish_reason"], "length");
    assert_eq!(report["dtype"], "f32");
    assert!(report["model"].as_str().unwrap().ends_with("llama"));
    assert!(!report["device"]["name"].as_str().unwrap().is_empty());
    for field in ["temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed"] {
        assert!(report["sampling"][field].is_number(), "{field}");
    }
    let metrics = &report["metrics"];
    let number = |value: &Value, name: &str| value[name].as_f64().unwrap_or_else(|| panic!("{name}: {value}"));
    for field in ["prefill_tokens_per_s", "decode_tokens_per_s", "n_pipelines", "dispatches_per_token"] {
        assert!(number(metrics, field) > 0.0, "{field}");
    }
    assert!(number(metrics, "peak_gpu_bytes") >= number(metrics, "weights_bytes"));
    let phases = ["device", "open", "upload", "pipelines", "tokenise", "prefill", "first_step"];
    for phase in phases {
        assert!(number(&metrics["phases_ms"], phase) >= 0.0, "{phase}");
    }
    // Only Linux says when a process began.
    assert_eq!(metrics["phases_ms"]["process_start"].is_number(), cfg!(target_os = "linux"));

    let (ttft, first, e2el) =
        (number(metrics, "ttft_ms"), number(metrics, "engine_ttft_ms"), number(metrics, "e2el_ms"));
    assert!(first > 0.0 && first <= ttft && ttft <= e2el, "{metrics}");
    assert!((number(metrics, "token_generation_ms") - (e2el - ttft)).abs() < 1e-6);
    let emitted: Vec<f64> = metrics["emit_ms"].as_array().unwrap().iter().map(|ms| ms.as_f64().unwrap()).collect();
    assert_eq!(emitted.len(), n);
    assert!(emitted.is_sorted(), "{emitted:?}");
    let tpot = (emitted[n - 1] - emitted[0]) / (n - 1) as f64;
    assert!((number(metrics, "tpot_ms") - tpot).abs() < 1e-6, "{metrics}");
}

#[test]
fn what_streams_to_stdout_is_the_text_and_nothing_else() {
    let args = golden_args(&fixture("llama"));
    let text = generate(&args, &["--json"]).json()["text"].as_str().unwrap().to_owned();
    let streamed = generate(&args, &[]);
    assert_eq!(streamed.succeeds().stdout, text);
    // The device and where the model lies differ between machines.
    let mut settings = without_figures();
    let folder = fixture("llama").display().to_string();
    settings.add_filter(r"(?m)^ *device .*$", " device [device]");
    settings.add_filter(r"(?m)^ *a software adapter: .*\n", "");
    let said = streamed.stderr.replace(&folder, "[llama]");
    settings.bind(|| insta::assert_snapshot!("timings", said));
    let quiet = generate(&args, &["--quiet"]);
    assert_eq!((quiet.stdout, quiet.stderr), (text, String::new()));
}

#[test]
fn the_prompt_may_come_from_a_file_or_stdin_byte_for_byte() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "Once upon a time\n").unwrap();
    let ids = |command: &mut std::process::Command| run(command).json()["prompt_token_ids"].clone();
    let common = ["--model", "tales-draft", "-n", "1", "--json"];
    let mut given = understory(&["generate", "Once upon a time\n"]);
    let mut from_file = understory(&["generate", "--prompt-file", file.path().to_str().unwrap()]);
    let mut from_stdin = understory(&["generate", "-"]);
    from_stdin.stdin(Stdio::from(fs::File::open(file.path()).unwrap()));
    let expected = ids(given.args(common));
    assert_eq!(ids(from_file.args(common)), expected);
    assert_eq!(ids(from_stdin.args(common)), expected);
    let mut without_newline = understory(&["generate", "Once upon a time"]);
    assert_ne!(ids(without_newline.args(common)), expected);
}

#[test]
fn a_seed_decides_the_text() {
    let text = |seed: &str| {
        let args = ["generate", "Once upon a time", "--temperature", "1", "--seed", seed, "-n", "24", "--json"];
        run(&mut understory(&args)).json()["token_ids"].clone()
    };
    let first = text("7");
    assert_eq!(first, text("7"));
    assert_ne!(first, text("8"));
    let default = |args: &[&str]| run(&mut understory(args)).json()["token_ids"].clone();
    let unseeded = ["generate", "Once upon a time", "--temperature", "1", "-n", "24", "--json"];
    assert_eq!(default(&unseeded), text("0"));
}

#[test]
fn a_stop_text_ends_the_text_before_itself() {
    let args = golden_args(&fixture("llama"));
    let text = generate(&args, &["--json"]).json()["text"].as_str().unwrap().to_owned();
    // Two letters from the middle: likely not the end of a token.
    let middle = (text.len() / 2..).find(|&at| text.is_char_boundary(at) && text.is_char_boundary(at + 2)).unwrap();
    let stop = &text[middle..middle + 2];
    let before = &text[..text.find(stop).unwrap()];
    let report = generate(&args, &["--json", "--stop", "no such text", "--stop", stop]).json();
    assert_eq!((report["text"].as_str().unwrap(), report["finish_reason"].as_str().unwrap()), (before, "stop"));
    assert_eq!(generate(&args, &["--stop", stop]).succeeds().stdout, before);
}

/// A copy of a fixture with `change` applied to `file`, a JSON object.
fn changed(file: &str, change: impl Fn(&mut Value)) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture("llama")).unwrap() {
        let path = entry.unwrap().path();
        fs::write(copy.path().join(path.file_name().unwrap()), fs::read(path).unwrap()).unwrap();
    }
    let path = copy.path().join(file);
    let mut value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
    copy
}

#[test]
fn an_end_token_ends_the_text_and_ignoring_it_does_not() {
    let golden = golden();
    let greedy = golden["prompts"][0]["greedy_ids"].as_array().unwrap();
    let end = &greedy[greedy.len() / 2];
    let at = greedy.iter().position(|id| id == end).unwrap();
    let model = changed("generation_config.json", |config| config["eos_token_id"] = end.clone());
    let args = golden_args(model.path());
    let without: Vec<String> = args.iter().filter(|arg| *arg != "--ignore-eos").cloned().collect();
    let report = generate(&without, &["--json"]).json();
    assert_eq!(report["finish_reason"], "eos");
    assert_eq!(report["token_ids"].as_array().unwrap(), &greedy[..=at]);
    let report = generate(&args, &["--json", "-n", &greedy.len().to_string()]).json();
    assert_eq!(report["finish_reason"], "length");
    assert_eq!(report["token_ids"].as_array().unwrap(), greedy);
}

#[test]
fn the_context_ends_a_text_and_refuses_a_prompt() {
    let model = changed("config.json", |config| config["max_position_embeddings"] = 32.into());
    let args = golden_args(model.path());
    let report = generate(&args, &["--json"]).json();
    assert_eq!(report["finish_reason"], "context");
    let (prompt, new) =
        (report["prompt_token_ids"].as_array().unwrap().len(), report["token_ids"].as_array().unwrap().len());
    assert!((32..=33).contains(&(prompt + new)), "{prompt} + {new}");

    let long = "Once upon a time ".repeat(20);
    let model = model.path().to_str().unwrap();
    let refused = run(&mut understory(&["generate", &long, "--raw", "--model", model]));
    refused.fails(1, &["the model's context holds 32", "Shorten the prompt"]);
    assert!(refused.stdout.is_empty());
}

#[test]
fn a_reader_that_goes_away_ends_the_generation_quietly() {
    let args = ["generate", "Once upon a time", "--model", "tales-draft", "--ignore-eos", "-n", "900"];
    let mut child = understory(&args).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 1];
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(141), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Ctrl-C, as a terminal sends it.
#[cfg(unix)]
fn interrupt(child: &std::process::Child) {
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
#[cfg(unix)]
fn an_interrupt_ends_the_generation_and_still_reports() {
    let args = ["generate", "Once upon a time", "--model", "tales-draft", "--ignore-eos", "-n", "900"];
    let mut child = understory(&args).spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 1]).unwrap();
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("stopped by hand") && stderr.contains("TTFT"), "{stderr}");
}

#[test]
#[cfg(unix)]
fn an_interrupt_in_a_conversation_ends_the_answer_only() {
    let mut child = understory(&["chat", "-n", "900"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"Once upon a time\n").unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 1]).unwrap();
    interrupt(&child);
    stdin.write_all(b"/reset\n/exit\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("stopped by hand") && stderr.contains("starts over"), "{stderr}");
}

#[test]
fn a_device_that_is_not_there_is_named() {
    run(&mut understory(&["generate", "x", "--device", "9999"])).fails(1, &["adapter 9999", "understory devices"]);
}

#[test]
fn chat_without_a_template_is_refused_and_so_is_a_broken_model() {
    let model = fixture("llama");
    let model = model.to_str().unwrap();
    run(&mut understory(&["generate", "x", "--chat", "--model", model])).fails(1, &["no chat template"]);
    let strange = changed("config.json", |config| {
        config["architectures"] = serde_json::json!(["MambaForCausalLM"]);
        config["model_type"] = "mamba".into();
    });
    let strange = strange.path().to_str().unwrap();
    run(&mut understory(&["generate", "x", "--model", strange])).fails(1, &["unknown architecture", "ama", "known"]);
}

/// The advice has to hold: refusing the whole model for its template fails this.
#[test]
fn a_model_with_a_broken_template_still_continues_text() {
    let model = changed("config.json", |_| {});
    fs::write(model.path().join("chat_template.jinja"), "{% for %}").unwrap();
    let args = ["generate", "x", "--max-new-tokens", "2", "--model", model.path().to_str().unwrap()];
    run(&mut understory(&args)).fails(1, &["chat template: ", "--raw"]);
    assert_eq!(run(understory(&args).args(["--raw", "--json"])).json()["token_ids"].as_array().unwrap().len(), 2);
}

#[test]
fn eval_measures_what_transformers_measures() {
    let golden = golden();
    let nll = &golden["nll"];
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), nll["text"].as_str().unwrap()).unwrap();
    let model = fixture("llama");
    let paths = (model.to_str().unwrap(), file.path().to_str().unwrap());
    let args = ["eval", "--model", paths.0, "--text-file", paths.1, "--dtype", "f32"];
    let report = run(understory(&args).arg("--json")).json();
    assert_eq!(report["token_ids"], nll["token_ids"]);
    let values = |value: &Value| value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect::<Vec<f64>>();
    let (ours, theirs) = (values(&report["per_token"]), values(&nll["per_token"]));
    assert_eq!(ours.len(), theirs.len());
    for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        assert!((ours - theirs).abs() <= 2e-3, "token {index}: {ours}, transformers {theirs}");
    }
    let mean = ours.iter().sum::<f64>() / ours.len() as f64;
    assert!((report["mean_nll"].as_f64().unwrap() - mean).abs() < 1e-9);
    assert!((report["perplexity"].as_f64().unwrap() - mean.exp()).abs() < 1e-6 * mean.exp());
    assert!(run(&mut understory(&args)).succeeds().stdout.contains("perplexity"));
}

#[test]
fn devices_says_which_adapter_is_used_and_why() {
    let listed = run(&mut understory(&["devices", "--json"])).json();
    let adapters = listed.as_array().unwrap();
    assert_eq!(adapters.iter().filter(|adapter| adapter["preferred"] == true).count(), 1);
    let table = run(&mut understory(&["devices"]));
    for adapter in adapters {
        assert!(table.succeeds().stdout.contains(adapter["name"].as_str().unwrap()), "{}", table.stdout);
        assert!(table.stdout.contains(adapter["why"].as_str().unwrap()), "{}", table.stdout);
    }
}

#[test]
fn a_conversation_goes_on_with_what_was_said() {
    let input = tempfile::NamedTempFile::new().unwrap();
    fs::write(input.path(), "Once upon a time\n\n/reset\nThe king\n/exit\nnever read\n").unwrap();
    let args = ["chat", "--model", "tales-draft", "-n", "16"];
    let outcome = run(understory(&args).stdin(fs::File::open(input.path()).unwrap()));
    let answers = outcome.succeeds().stderr.matches(" tokens/s").count();
    assert_eq!(answers, 3, "{}", outcome.stderr);
    assert_eq!(outcome.stderr.matches("no chat template").count(), 1, "{}", outcome.stderr);
    // The second turn continues the first one's text, whose keys and values are still there.
    let reused: Vec<usize> = outcome
        .stderr
        .lines()
        .filter_map(|line| line.split(", ").find_map(|part| part.strip_suffix(" reused")?.parse().ok()))
        .collect();
    assert_eq!(reused.len(), 3, "{}", outcome.stderr);
    assert!(reused[0] == 0 && reused[1] > 0 && reused[1] > reused[2], "{reused:?}");
}
