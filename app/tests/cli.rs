//! What the program says to the command lines that it cannot follow, and the commands that need no device.

mod support;

use std::fs;
use std::process::Stdio;

use support::{fixture, run, understory};

#[test]
fn every_command_has_help_with_examples() {
    let top = run(&mut understory(&["--help"]));
    top.succeeds();
    for command in [
        "generate",
        "chat",
        "trace",
        "verify-lossless",
        "calibrate",
        "eval",
        "bench",
        "compare",
        "serve",
        "devices",
        "models",
    ] {
        assert!(top.stdout.contains(command), "{}", top.stdout);
        let help = run(&mut understory(&[command, "--help"]));
        assert!(help.succeeds().stdout.contains("Usage: understory"), "{}", help.stdout);
        assert!(command == "devices" || help.stdout.contains("Examples:"), "{}", help.stdout);
    }
    assert!(top.stdout.contains("Exit status"), "{}", top.stdout);
}

/// What was measured would be another device's tomorrow; the text of the kernels is the program's.
#[test]
fn kernels_are_written_as_wgsl_without_a_device() {
    let folder = tempfile::tempdir().expect("a folder");
    let into = folder.path().join("kernels");
    let written = run(&mut understory(&["kernels", "--wgsl", into.to_str().expect("utf-8")]));
    written.succeeds();
    let text = fs::read_to_string(into.join("matmul-cb4-f16-gpu-norm-rms-store.wgsl")).expect("a module");
    assert!(text.contains("@compute @workgroup_size("), "{text}");
    let files = fs::read_dir(&into).expect("the folder").count();
    assert!(written.stderr.contains(&format!("{files} modules in ")), "{}", written.stderr);

    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    let refused = run(&mut understory(&["kernels", "--wgsl", file.to_str().expect("utf-8")]));
    refused.fails(1, &["give another with --wgsl"]);
}

#[test]
fn wrong_usage_ends_with_status_2_and_names_the_argument() {
    let cases: [(&[&str], &str); 18] = [
        (&[], "Usage"),
        (&["sing"], "sing"),
        (&["generate", "x", "--max-new-tokens", "0"], "expected a whole number, 1 or more"),
        (&["generate", "x", "--max-new-tokens", "many"], "--max-new-tokens"),
        (&["generate", "x", "-n", "-3"], "expected a whole number, 1 or more"),
        (&["generate", "x", "--seed", "-1"], "expected a whole number, 0 or more"),
        (&["generate", "x", "--temperature", "warm"], "expected a number"),
        (&["generate", "x", "--top-p", "0.9"], "--top-p needs --temperature above 0"),
        (&["verify-lossless", "--methods", "ar"], "plain decoding itself"),
        (&["verify-lossless", "--methods", "tree,lookup,tree"], "tree twice"),
        (&["generate", "x", "--dtype", "f64"], "--dtype"),
        (&["generate", "x", "--profile", "tpu"], "--profile"),
        (&["generate", "x", "--raw", "--chat"], "--chat"),
        (&["generate", "x", "--stop", ""], "--stop"),
        (&["generate", "x", "--prompt-file", "y"], "--prompt-file"),
        (&["generate", "x", "--temperature", "-1"], "temperature = -1 is out of range"),
        (&["generate", "x", "--top-p", "NaN"], "top-p = NaN is out of range"),
        (&["eval", "--model", "tales"], "--text-file"),
    ];
    for (args, word) in cases {
        run(&mut understory(args)).fails(2, &[word]);
    }
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
    for name in ["gpt2", "./no-such-folder", "/no/such/folder", "a/b/c", "no such/model"] {
        run(&mut understory(&["generate", "x", "--model", name])).fails(1, &[name, "`tales`", "owner/name[@revision]"]);
    }
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
    assert!(table.succeeds().stdout.starts_with("NAME"), "{}", table.stdout);
    assert!(table.stdout.contains("tales-draft"), "{}", table.stdout);
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
    let words = ["no usable GPU adapter", "mesa-vulkan-drivers"];
    without(&["generate", "x"]).fails(1, &words);
    without(&["devices"]).fails(1, &words);
    assert_eq!(without(&["devices", "--json"]).fails(1, &words).stdout, "[]\n");
}
