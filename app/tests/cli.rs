//! What the program says to the command lines that it cannot follow, and the commands that need no device.

mod support;

use std::fs;
use std::process::Stdio;

use support::{fixture, run, shape, transcript, understory};

/// `INSTA_UPDATE=always cargo test -p understory` takes new texts over; look at the difference before it is committed.
#[test]
fn help_texts_are_as_they_were_approved() {
    let top = run(&mut understory(&["--help"]));
    insta::assert_snapshot!("help", top.succeeds().stdout);
    let commands = top.stdout.split_once("Commands:\n").and_then(|(_, rest)| rest.split_once("\n\n")).unwrap().0;
    let names =
        commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|n| !n.is_empty()));
    let names: Vec<&str> = names.filter(|name| *name != "help").collect();
    assert_eq!(names.len(), 15, "{commands}");
    for command in names {
        let help = run(&mut understory(&[command, "--help"]));
        assert!(help.succeeds().stdout.contains("Examples:"), "{}", help.stdout);
        insta::assert_snapshot!(format!("help-{command}"), help.stdout);
    }
}

/// What was measured would be another device's tomorrow; the text of the kernels is the program's.
#[test]
fn kernels_are_written_as_wgsl_without_a_device() {
    let folder = tempfile::tempdir().expect("a folder");
    let into = folder.path().join("kernels");
    let written = run(&mut understory(&["kernels", "--wgsl", into.to_str().expect("utf-8")]));
    written.succeeds();
    let text = fs::read_to_string(into.join("matmul-cb16-f16-gpu-norm-rms-store.wgsl")).expect("a module");
    assert!(text.contains("@compute @workgroup_size("), "{text}");
    let files = fs::read_dir(&into).expect("the folder").count();
    assert!(written.stderr.contains(&format!("{files} modules in ")), "{}", written.stderr);

    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    let refused = run(&mut understory(&["kernels", "--wgsl", file.to_str().expect("utf-8")]));
    refused.fails(1, &["give another with --wgsl"]);
}

/// Rust's own words about a number ("invalid digit found in string") would show here.
#[test]
fn wrong_usage_ends_with_status_2_and_names_the_argument() {
    let cases: [&[&str]; 30] = [
        &["sing"],
        &["generate", "x", "--max-new-tokens", "0"],
        &["generate", "x", "--max-new-tokens", "many"],
        &["generate", "x", "-n", "-3"],
        &["generate", "x", "--seed", "-1"],
        &["generate", "x", "--device", "first"],
        &["generate", "x", "--temperature", "warm"],
        &["generate", "x", "--top-p", "0.9"],
        &["verify-lossless", "--methods", "ar"],
        &["verify-lossless", "--methods", "tree,lookup,tree"],
        &["generate", "x", "--dtype", "f64"],
        &["generate", "x", "--profile", "tpu"],
        &["generate", "x", "--raw", "--chat"],
        &["generate", "x", "--stop", ""],
        &["generate", "x", "--prompt-file", "y"],
        &["generate", "x", "--temperature", "-1"],
        &["generate", "x", "--top-p", "NaN"],
        &["generate", "x", "--method", "linear", "--k", "64"],
        &["generate", "x", "--method", "tree", "--tau", "2"],
        &["eval", "--model", "tales"],
        &["bench", "--runs", "x"],
        &["bench", "--lengths", "8,x"],
        &["latency", "--lengths", "2,x"],
        &["latency", "--bandwidth", "x"],
        &["predict", "--calibrated", "--adapter", "x"],
        &["predict", "--device", "h200", "--input", "-1"],
        &["predict", "--device", "h200", "--draft", "tales-draft", "--acceptance", "0.8,x"],
        &["predict", "--device", "h200", "--draft-load-ms", "x"],
        &["serve", "--port", "65536"],
        &["serve", "--lan=phone"],
    ];
    let mut said = String::new();
    for args in cases {
        let outcome = run(&mut understory(args));
        assert!(!outcome.fails(2, &[]).stderr.contains("invalid digit"), "{}", outcome.stderr);
        said += &transcript(args, &outcome);
    }
    insta::assert_snapshot!(said);
    run(&mut understory(&[])).fails(2, &["Usage"]);
}

#[test]
fn an_empty_prompt_is_refused_wherever_it_comes_from() {
    run(&mut understory(&["generate", ""])).fails(1, &["the prompt is empty"]);
    run(&mut understory(&["generate", "-"])).fails(1, &["the prompt is empty"]);
    run(&mut understory(&["generate"])).fails(1, &["the prompt is empty"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    run(&mut understory(&["generate", "--prompt-file", path])).fails(1, &["the prompt is empty"]);
    run(&mut understory(&["eval", "--text-file", path])).fails(1, &[path, "is empty"]);
}

#[test]
fn text_that_is_not_utf8_is_refused_with_the_offset() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), b"Once upon \xff a time").unwrap();
    let path = file.path().to_str().unwrap();
    let words = ["not valid UTF-8", "0xff", "offset 10"];
    run(&mut understory(&["generate", "--prompt-file", path])).fails(1, &words).fails(1, &[path]);
    run(&mut understory(&["eval", "--text-file", path])).fails(1, &words);
    let stdin = Stdio::from(fs::File::open(file.path()).unwrap());
    run(understory(&["generate", "-"]).stdin(stdin)).fails(1, &words).fails(1, &["standard input"]);
}

#[test]
fn files_that_are_not_there_are_named() {
    run(&mut understory(&["generate", "--prompt-file", "no/such.txt"])).fails(1, &["no/such.txt"]);
    run(&mut understory(&["eval", "--text-file", "no/such.txt"])).fails(1, &["no/such.txt"]);
}

#[test]
fn a_model_that_cannot_be_found_is_answered_with_what_there_is() {
    let mut said = String::new();
    for name in ["gpt2", "./no-such-folder", "/no/such/folder", "a/b/c", "no such/model"] {
        let args = ["generate", "x", "--model", name];
        let outcome = run(&mut understory(&args));
        said += &transcript(&args, outcome.fails(1, &[name]));
    }
    insta::assert_snapshot!(said);
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().to_str().unwrap();
    run(&mut understory(&["generate", "x", "--model", path])).fails(1, &[path, "config.json is missing"]);
    let weights = fixture("llama").join("model.safetensors");
    let words = ["is a file", "folder"];
    run(&mut understory(&["generate", "x", "--model", weights.to_str().unwrap()])).fails(1, &words);
}

#[test]
fn models_lists_the_bundled_ones_with_their_sizes() {
    let home = tempfile::tempdir().unwrap();
    let listed = run(understory(&["models", "--json"]).env("HF_HOME", home.path())).json();
    let rows = listed.as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["tales", "tales-draft"]);
    for (row, name) in rows.iter().zip(names) {
        let folder = fixture("..").join("models").join(name);
        let bytes: u64 = fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert_eq!(row["bytes"], bytes);
        assert_eq!(row["architecture"], "llama");
    }
    let table = run(understory(&["models"]).env("HF_HOME", home.path()));
    insta::assert_snapshot!(table.succeeds().stdout);
}

/// Taking a repository with a part of its files for a model that is there fails this, and so does a table that leaves out
/// which pairs there are.
#[test]
fn the_catalogue_says_what_is_in_the_cache() {
    let home = tempfile::tempdir().unwrap();
    let cached = |name: &str, files: &[&str]| {
        let root = home.path().join("hub").join(format!("models--{}", name.replace('/', "--")));
        let (refs, snapshot) = (root.join("refs"), root.join("snapshots").join("a".repeat(40)));
        fs::create_dir_all(&refs).unwrap();
        fs::create_dir_all(&snapshot).unwrap();
        fs::write(refs.join("main"), "a".repeat(40)).unwrap();
        files.iter().for_each(|file| fs::write(snapshot.join(file), "{}").unwrap());
    };
    cached("EleutherAI/pythia-70m", &["config.json", "tokenizer.json", "model.safetensors"]);
    cached("EleutherAI/pythia-2.8b", &["config.json", "tokenizer.json"]);
    cached("Qwen/Qwen3-0.6B-GGUF", &["Qwen3-0.6B-Q8_0.gguf"]);
    let understory = |args: &[&str]| run(understory(args).env("HF_HOME", home.path()));
    let listed = understory(&["models", "--catalogue", "--json"]).json();
    let rows = listed.as_array().unwrap();
    let names: Vec<&str> =
        rows.iter().filter(|row| row["cached"] == true).map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf", "EleutherAI/pythia-70m"]);
    let mut of_file: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../../models/catalogue.json")).unwrap();
    of_file.iter_mut().zip(rows).for_each(|(model, row)| model["cached"] = row["cached"].clone());
    assert_eq!(&of_file, rows);
    let args = ["models", "--catalogue"];
    insta::assert_snapshot!(transcript(&args, understory(&args).succeeds()));
    understory(&["models", "--catalogue", "show", "tales"]).fails(2, &["--catalogue"]);
}

#[test]
fn a_closed_stdout_ends_the_program_quietly() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let outcome = run(understory(&["models"]).stdout(writer));
    assert_eq!((outcome.status, outcome.stderr.as_str()), (Some(141), ""));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_behind_stdout_is_an_error() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    run(understory(&["models"]).stdout(full)).fails(1, &["cannot write to standard output"]);
}

#[test]
#[cfg(target_os = "linux")]
fn without_an_adapter_the_message_says_what_to_install() {
    let without = |args: &[&str]| {
        let none = "/no/such/driver.json";
        run(understory(args).env("VK_DRIVER_FILES", none).env("VK_ICD_FILENAMES", none))
    };
    for args in [&["generate", "x"][..], &["devices"], &["chat"], &["bench"], &["verify-lossless"], &["kernels"]] {
        let outcome = without(args);
        let lines: Vec<&str> = outcome.fails(1, &[]).stderr.lines().skip_while(|l| !l.starts_with("error: ")).collect();
        insta::allow_duplicates! {
            insta::assert_snapshot!("no-adapter", lines.join("\n"));
        }
    }
    assert_eq!(without(&["devices", "--json"]).fails(1, &[]).stdout, "[]\n");
}

/// Fields that come, go or change their type.
#[test]
fn devices_as_json_have_these_fields() {
    let devices = run(&mut understory(&["devices", "--json"])).json();
    insta::assert_snapshot!(serde_json::to_string_pretty(&shape(&devices)).unwrap());
}
