//! How measuring ends where it is made to: by a signal, by a full disk. Nothing that was measured is lost, and nothing is
//! left behind.
#![cfg(unix)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{fixture, run, understory};
use understory_lab::report::{FlagKind, MAX_BYTES, Report, read};

/// Against a hang: what is waited for takes a moment.
const PATIENCE: Duration = Duration::from_secs(60);

fn signal(name: &str, process: u32) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// A long `bench` of the smallest model, with its temporary files in `temporary`.
fn bench(temporary: &Path, args: &[&str]) -> Child {
    fs::create_dir_all(temporary).unwrap();
    let model = fixture("llama");
    let args =
        [&["-v", "bench", "--lengths", "8", "--methods", "ar", "--model", model.to_str().unwrap()], args].concat();
    understory(&args).env("TMPDIR", temporary).spawn().unwrap()
}

/// Reads until a run was measured.
fn measured(child: &mut Child) -> BufReader<impl Read + use<>> {
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("a run was measured") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended before a run was measured");
    }
    stderr
}

fn ended(child: &mut Child) -> Option<i32> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn partial(folder: &Path) -> Report {
    let report = read("report.json", &fs::read(folder.join("report.json")).unwrap(), MAX_BYTES).unwrap();
    assert!(report.cases.iter().any(|of| !of.samples.is_empty()));
    assert!(report.flags.iter().any(|flag| flag.kind == FlagKind::Partial), "{:?}", report.flags);
    report
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

/// Listening for Ctrl-C alone loses every run and leaves the folder of the starts' caches.
#[test]
fn a_service_managers_signal_keeps_what_was_measured() {
    for (name, status) in [("TERM", 143), ("HUP", 129)] {
        if name == "HUP" && hangups_are_ignored() {
            eprintln!("SIGHUP is not tried: these tests run under `nohup`, which their children inherit");
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let (temporary, out) = (folder.path().join("tmp"), folder.path().join("out"));
        let mut child = bench(&temporary, &["--runs", "20000", "--out", out.to_str().unwrap()]);
        let mut stderr = measured(&mut child);
        signal(name, child.id());
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).unwrap();
        if cfg!(target_os = "linux") || name == "TERM" {
            assert_eq!(ended(&mut child), Some(status), "{rest}");
            let report = partial(&out);
            assert!(report.flags.iter().any(|flag| flag.detail.ends_with(&format!("SIG{name}"))), "{:?}", report.flags);
            assert!(is_empty(&temporary));
        }
    }
}

/// Whether this process was told to ignore SIGHUP, as far as the system tells.
fn hangups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}

/// `nohup` asks that the end of the terminal be no end.
#[test]
#[cfg(target_os = "linux")]
fn nohup_is_heeded() {
    let folder = tempfile::tempdir().unwrap();
    let model = fixture("llama");
    let program = env!("CARGO_BIN_EXE_understory");
    let script = format!(
        "trap '' HUP; exec {program} -v bench --runs 20000 --lengths 8 --methods ar --model {}",
        model.display()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]).env("TMPDIR", folder.path()).env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = measured(&mut child);
    signal("HUP", child.id());
    let mut line = String::new();
    for _ in 0..20 {
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended: {line}");
    }
    signal("TERM", child.id());
    stderr.read_to_string(&mut line).unwrap();
    assert_eq!(ended(&mut child), Some(143), "{line}");
}

/// The processes that `parent` started, as the system lists them.
#[cfg(target_os = "linux")]
fn children(parent: u32) -> Vec<u32> {
    let listed = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    tasks.map(listed).collect::<String>().split_whitespace().map(|id| id.parse().unwrap()).collect()
}

/// The first start of a `bench`, as a process that runs.
#[cfg(target_os = "linux")]
fn first_start(child: &Child) -> u32 {
    let begun = Instant::now();
    loop {
        // Between fork and exec it is the parent once more.
        let is_start = |id: &u32| {
            fs::read(format!("/proc/{id}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains("bench-start"))
        };
        if let Some(id) = children(child.id()).into_iter().find(is_start) {
            return id;
        }
        assert!(begun.elapsed() < PATIENCE, "no start");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(target_os = "linux")]
fn is_gone(process: u32) -> bool {
    let begun = Instant::now();
    // A zombie is no more than an entry in a table.
    while fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
        if begun.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// A start waits for its request and then measures, whether or not anybody is there to hear of it.
#[test]
#[cfg(target_os = "linux")]
fn no_start_outlives_its_bench() {
    for (name, status) in [("KILL", None), ("TERM", Some(143))] {
        let folder = tempfile::tempdir().unwrap();
        // Long enough that it would be seen after its parent's end.
        let args = ["--runs", "1000", "--start", "cold", "--lengths", "400"];
        let mut child = bench(folder.path(), &args);
        let start = first_start(&child);
        signal(name, child.id());
        assert_eq!(ended(&mut child), status);
        assert!(is_gone(start), "after {name}");
        assert!(name == "KILL" || is_empty(folder.path()));
    }
}

/// Text that was generated stays, and the status is the signal's.
#[test]
fn a_signal_ends_a_generation() {
    let args = ["generate", "Once upon a time", "--max-new-tokens", "400", "--ignore-eos", "--draft", "none"];
    let mut child = understory(&args).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0]).unwrap();
    signal("TERM", child.id());
    stdout.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(ended(&mut child), Some(143));
}

/// Files first, or ending at the first failure, loses the measurement.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_loses_no_measurement() {
    let folder = tempfile::tempdir().unwrap();
    let (out, db) = (folder.path().join("out"), folder.path().join("reports.sqlite"));
    fs::create_dir(&out).unwrap();
    for name in ["report.json", "report.html"] {
        std::os::unix::fs::symlink("/dev/full", out.join(name)).unwrap();
    }
    let model = fixture("llama");
    let args = ["bench", "--runs", "2", "--lengths", "8", "--methods", "ar", "--model", model.to_str().unwrap()];
    let outcome = run(understory(&args).args(["--json", "--save", "--db"]).arg(&db).arg("--out").arg(&out));
    outcome.fails(1, &["report.json: No space left", "report.html: No space left", "saved: "]);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["protocol"]["runs"], 2);
    let list = run(understory(&["reports", "list", "--json", "--db"]).arg(&db)).json();
    assert_eq!(list[0]["run_id"], report["run_id"]);
    assert!(fs::read_to_string(out.join("samples.csv")).unwrap().lines().count() > 2);

    // Nobody reads what is printed: the files are there all the same.
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let out = folder.path().join("again");
    let outcome = run(understory(&args).arg("--out").arg(&out).stdout(full));
    outcome.fails(1, &["cannot write to standard output"]);
    assert!(out.join("report.json").is_file());
}
