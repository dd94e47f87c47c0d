//! `understory predict` as a user runs it. None of these measures anything.

mod support;

use std::fs;

use support::{fixture, run, transcript, understory};

/// The published steps of GenZ, within what its plain arithmetic misses of them. It would catch a step divided by the
/// output's length again, as the published TPOT of 0.035 ms was.
#[test]
fn the_check_values_come_out() {
    let cases = [
        ("llama-3.1-8b", ["1024", "256", "1"], 8.895, 0.02),
        ("llama-2-13b", ["1024", "256", "1"], 15.87, 0.02),
        ("llama-3.1-8b", ["512", "256", "4"], 9.21, 0.03),
    ];
    for (model, [input, output, batch], published, within) in cases {
        let device = ["--device", "genz-a100-40gb", "--dtype", "bf16", "--json"];
        let request = ["--input", input, "--output", output, "--batch", batch];
        let report = run(understory(&["predict", "--model", model]).args(device).args(request)).json();
        let tpot = report["tpot_ms"].as_f64().unwrap();
        assert!((tpot / published - 1.0).abs() < within, "{model}: {tpot} against {published}");
        let (ttft, e2e) = (report["ttft_ms"].as_f64().unwrap(), report["e2e_ms"].as_f64().unwrap());
        let steps = output.parse::<f64>().unwrap() - 1.0;
        assert!((e2e - (ttft + steps * tpot)).abs() < 1e-6, "{report}");
    }
}

#[test]
fn what_cannot_be_predicted_is_said() {
    let cases: [(&[&str], i32); 11] = [
        (&[], 2),
        (&["--device", "abacus"], 1),
        (&["--device", "h200", "--model", "llama-9"], 1),
        (&["--device", "h200", "--model", "gpt2", "--input", "2000"], 2),
        (&["--device", "h200", "--model", "gpt2", "--tensor-parallel", "5"], 2),
        (&["--device", "h200", "--lora", "8,mixed"], 2),
        (&["--device", "h200", "--draft", "tales-draft"], 2),
        (&["--device", "h200", "--draft", "tales-draft", "--acceptance", "1.5"], 2),
        (&["--device", "h200", "--efficiency", "2,1"], 2),
        (&["--calibrated", "--dtype", "int4"], 2),
        (&["--explain", "happiness"], 2),
    ];
    let mut said = String::new();
    for (args, status) in cases {
        let args = [&["predict"], args].concat();
        said += &transcript(&args, run(&mut understory(&args)).fails(status, &[]));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn models_are_found_by_name_in_folders_and_files() {
    let tpot = |model: &str| {
        let report = run(&mut understory(&["predict", "--model", model, "--device", "h200", "--json"])).json();
        (report["tpot_ms"].as_f64().unwrap(), report["model"]["parameters"].as_u64().unwrap())
    };
    let folder = fixture("llama3.2");
    let config = folder.join("config.json");
    assert_eq!(tpot(folder.to_str().unwrap()), tpot(config.to_str().unwrap()));
    assert_eq!(tpot("gpt2").1, 124_439_808);
    assert_eq!(tpot("GPT2"), tpot("openai-community/gpt2"));
    assert!(tpot("tales").0 < tpot("gpt2").0);
}

#[test]
fn tables_name_the_bound_and_speculation() {
    let args = ["predict", "--model", "llama-3.1-8b", "--draft", "llama-3.2-1b", "--acceptance", "0.8", "--device"];
    insta::assert_snapshot!("table", run(understory(&args).arg("rtx-4090")).succeeds().stdout);
    let report = run(understory(&args).args(["rtx-4090", "--json"])).json();
    let chain = &report["speculation"]["chains"][3];
    assert!((chain["expected_tokens"].as_f64().unwrap() - 3.3616).abs() < 1e-9, "{chain}");
    assert_eq!(report["speculation"]["ranks_assumed"], true);
    insta::assert_snapshot!(
        "table-of-unknown-rates",
        run(understory(&args).arg("snapdragon-8-elite")).succeeds().stdout
    );
}

#[test]
fn lists_and_definitions_need_no_model() {
    let devices = run(&mut understory(&["predict", "--list-devices", "--json"])).json();
    let devices = devices.as_array().unwrap();
    assert!(devices.len() > 40);
    for name in ["apple-m1", "apple-m5", "h200", "genz-a100-40gb"] {
        assert!(devices.iter().any(|device| device["name"] == name), "{name}");
    }
    let table = run(&mut understory(&["predict", "--list-devices"])).succeeds().stdout.clone();
    let row = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(row("rtx-4080 ").contains("97.5*") && !row("rtx-4090 ").contains('*'), "{table}");
    assert!(run(&mut understory(&["predict", "--list-models"])).succeeds().stdout.contains("qwen3-0.6b"));
    let text = run(&mut understory(&["predict", "--explain", "tpot_ms"])).succeeds().stdout.clone();
    assert!(text.contains("N - 1"), "{text}");
    let help = run(&mut understory(&["predict", "--help"])).succeeds().stdout.clone();
    assert!(help.contains("Examples:"), "{help}");
    // A device of one's own: the first of the list, under another name.
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut device = devices[0].clone();
    device["name"] = "mine".into();
    fs::write(file.path(), device.to_string()).unwrap();
    let path = file.path().to_str().unwrap();
    let report = run(&mut understory(&["predict", "--model", "gpt2", "--device", path, "--json"])).json();
    assert_eq!(report["device"]["name"], "mine");
    fs::write(file.path(), "{}").unwrap();
    run(&mut understory(&["predict", "--device", path])).fails(1, &[path, "is not a device profile"]);
}
