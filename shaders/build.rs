//! Links every permutation of every kernel to plain WGSL, refuses what naga or a browser would refuse, and
//! writes the table that the library includes. A refusal names kernel, features, place and reason.

#[path = "build/inspect.rs"]
mod inspect;
#[path = "build/link.rs"]
mod link;
#[path = "build/literals.rs"]
mod literals;
#[path = "src/permutations.rs"]
mod permutations;
#[path = "build/rules.rs"]
mod rules;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use inspect::{Interface, inspect};
use permutations::KERNELS;

/// Unoptimised recursive parsers want more than Windows' 1 MiB main thread.
const STACK: usize = 16 << 20;

/// One permutation to build, in the order of the table.
struct Job {
    kernel: &'static str,
    features: Vec<&'static str>,
}

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=kernels");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/permutations.rs");
    let kernels = Path::new("kernels");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let mut failures = check_table(kernels);

    let mut jobs: Vec<Job> = KERNELS
        .iter()
        .flat_map(|kernel| kernel.permutations().into_iter().map(|features| Job { kernel: kernel.name, features }))
        .collect();
    jobs.sort_by(|a, b| (a.kernel, &a.features).cmp(&(b.kernel, &b.features)));
    if failures.is_empty() {
        match build_all(kernels, &out, &jobs) {
            Ok(built) => {
                fs::write(out.join("shaders.rs"), table(&jobs, &built)).expect("OUT_DIR is writable");
                return ExitCode::SUCCESS;
            }
            Err(messages) => failures = messages,
        }
    }
    for failure in failures {
        eprintln!("{failure}\n");
    }
    ExitCode::FAILURE
}

/// The table and the folder must name the same kernels.
fn check_table(kernels: &Path) -> Vec<String> {
    let listed: BTreeSet<String> = KERNELS.iter().map(|kernel| kernel.name.to_string()).collect();
    let files = fs::read_dir(kernels).into_iter().flatten().flatten().map(|entry| entry.path());
    let present: BTreeSet<String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "wesl"))
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    let mut failures = Vec::new();
    for name in listed.symmetric_difference(&present) {
        let (is, not) = match listed.contains(name) {
            true => ("src/permutations.rs", "a file in shaders/kernels"),
            false => ("shaders/kernels", "a line in src/permutations.rs"),
        };
        failures.push(format!("kernel `{name}` is in {is} but has not got {not}"));
    }
    failures
}

/// A permutation's text and what a pipeline needs to know of it.
struct Built {
    wgsl: String,
    interface: Interface,
    /// What browsers are given, in a build that is not for them, where it is another text.
    browser: Option<String>,
}

/// Builds `jobs` on all cores, in their order. Of each kernel only the first refusal is reported, since the
/// permutations of a kernel mostly fail together.
fn build_all(kernels: &Path, out: &Path, jobs: &[Job]) -> Result<Vec<Built>, Vec<String>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some(job) = jobs.get(at)
        {
            done.push((at, build(kernels, out, job)));
        }
        done
    };
    let mut done = thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, |count| count.get()).min(jobs.len());
        let spawn = |_| thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).expect("a thread starts");
        let handles: Vec<_> = (0..workers).map(spawn).collect();
        handles.into_iter().flat_map(|handle| handle.join().expect("workers do not panic")).collect::<Vec<_>>()
    });
    done.sort_by_key(|(at, _)| *at);

    let mut refused: Vec<(&str, String, usize)> = Vec::new();
    let mut built = Vec::new();
    for (at, result) in done {
        match (result, refused.last_mut()) {
            (Ok(shader), _) => built.push(shader),
            (Err(_), Some((kernel, _, more))) if *kernel == jobs[at].kernel => *more += 1,
            (Err(message), _) => refused.push((jobs[at].kernel, message, 0)),
        }
    }
    if refused.is_empty() {
        return Ok(built);
    }
    let note = |more| if more == 0 { String::new() } else { format!("\n(and {more} more permutations of it)") };
    Err(refused.into_iter().map(|(_, message, more)| message + &note(more)).collect())
}

/// Builds `job` for this build's target and, where that is no browser, for browsers.
fn build(kernels: &Path, out: &Path, job: &Job) -> Result<Built, String> {
    if link::is_for_browsers() {
        let (wgsl, interface) = build_for(kernels, out, job, true)?;
        return Ok(Built { wgsl, interface, browser: None });
    }
    let (wgsl, interface) = build_for(kernels, out, job, false)?;
    let (browser, _) = build_for(kernels, &out.join("browser"), job, true)?;
    Ok(Built { browser: Some(browser).filter(|browser| *browser != wgsl), wgsl, interface })
}

/// Links, validates and keeps the linked text in `out` for whoever has to read an error or a profile.
fn build_for(kernels: &Path, out: &Path, job: &Job, browser: bool) -> Result<(String, Interface), String> {
    let Job { kernel, features } = job;
    let head = format!("shaders/kernels/{kernel}.wesl with features {features:?}");
    let linked =
        link::link(kernels, kernel, features, browser).map_err(|message| format!("{head} does not link\n{message}"))?;
    let path = out.join(format!("{}.wgsl", [&[*kernel], &features[..]].concat().join("-")));
    fs::create_dir_all(out).expect("OUT_DIR is writable");
    fs::write(&path, &linked.wgsl).expect("OUT_DIR is writable");
    match inspect(&linked.wgsl, &path.display().to_string(), browser) {
        Ok(mut interface) => {
            for binding in &mut interface.bindings {
                binding.name = linked.source_name(&binding.name).to_string();
            }
            Ok((linked.wgsl, interface))
        }
        Err(refusal) => {
            let origin = refusal.offset.and_then(|offset| linked.origin(offset));
            let origin = origin.map_or(String::new(), |origin| format!(", in {origin}"));
            Err(format!("{head} is refused{origin}\n{}", refusal.message.trim()))
        }
    }
}

/// The Rust source of the table, and the hash over everything in it.
fn table(jobs: &[Job], built: &[Built]) -> String {
    let mut rows = String::new();
    for (Job { kernel, features }, Built { wgsl, interface, browser }) in jobs.iter().zip(built) {
        let Interface { entry_point, workgroup_size, bindings } = interface;
        let mut row = format!(
            "Shader {{ kernel: {kernel:?}, features: &{features:?}, entry_point: {entry_point:?}, \
             workgroup_size: {workgroup_size:?}, wgsl: {wgsl:?}, browser: {browser:?}, bindings: &["
        );
        for inspect::Binding { index, name, access, min_size } in bindings {
            let access = format!("Access::{access}");
            write!(row, "Binding {{ index: {index}, name: {name:?}, access: {access}, min_size: {min_size} }}, ")
                .expect("strings do not fail");
        }
        rows += &format!("    {row}] }},\n");
    }
    let hash = fnv1a(rows.as_bytes());
    format!("static SHADERS: &[Shader] = &[\n{rows}];\nconst HASH: &str = \"{hash:016x}\";\n")
}

/// FNV-1a, 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf29ce484222325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100000001b3))
}
