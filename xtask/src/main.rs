//! Set-up, demo and tests of the workspace, behind `cargo xtask`. Every command that it starts is printed
//! first, so that each can be repeated by hand. It builds in seconds: keep its dependencies few.

mod bench;
mod browser;
mod crate_order;
mod features;
mod fuzz;
mod links;
mod markdown;
mod metadata;
mod offline;
mod packages;
mod process;
mod setup;
mod sizes;
mod test;
mod wasm;
mod web;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

const HELP: &str = "\
cargo xtask COMMAND

  run [ARGS]   set-up, then a demo: stories from the bundled models, streamed, with a table of timings;
               with ARGS, `understory ARGS` instead (try: cargo xtask run --help);
               `run serve` builds the page first, where it is not there
  test         set-up, then formatting, the order of crates, the links of the documents, clippy, the documentation,
               every test, the page and its tests in a headless Chromium
  check        of these, what compiles nothing: formatting, crates, links
  setup        find a Vulkan driver (Linux), or install Mesa's software one (Debian, Ubuntu)
  web          build the page into web/dist, and check its size
  browser      build the page and run its tests in a headless Chromium
  fuzz [--seconds N] [--seed N] [TARGET]
               damage models, tokenizers, templates, reports, links and listings, N seconds (default 300) a target
  bench [--rounds N] [--out DIR]
               kernels, then interleaved rounds (default 5) of llama.cpp, the burn reference and this engine;
               raw data and a summary go to DIR (default: target/bench)
  help         this text
";

/// The demo: what to tell, and by whom. Greedy text repeats itself with models this small, so it is sampled.
const STORIES: [&[&str]; 2] = [
    &["Once upon a time", "--model", "tales", "--max-new-tokens", "160", "--seed", "7"],
    &["The old woman said to the cat:", "--model", "tales-draft", "--max-new-tokens", "48", "--seed", "7"],
];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<ExitCode> {
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", args),
    };
    if !matches!(command, "run" | "bench" | "fuzz") && !rest.is_empty() {
        bail!("`{command}` takes no arguments, got `{}`", rest.join(" "));
    }
    match command {
        "run" => run(rest)?,
        "test" => return Ok(test::all()),
        "check" => return Ok(test::texts()),
        "setup" => setup::ensure_adapter()?,
        "web" => eprintln!("the page is in {}", web()?.display()),
        "browser" => browser(&web()?)?,
        "bench" => bench::all(rest)?,
        "fuzz" => fuzz::run(rest)?,
        "help" | "-h" | "--help" => print!("{HELP}"),
        unknown => bail!("unknown command `{unknown}`\n\n{HELP}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the page and says what it weighs.
fn web() -> Result<PathBuf> {
    let dist = web::build()?;
    sizes::check(&dist)?;
    Ok(dist)
}

fn browser(dist: &Path) -> Result<()> {
    let (passed, failed) = browser::test(&bench::understory()?)?;
    println!("{passed} passed, {failed} failed, on {}", dist.display());
    if failed > 0 {
        bail!("tests of the page failed");
    }
    Ok(())
}

fn run(args: &[String]) -> Result<()> {
    setup::ensure_adapter()?;
    if !args.is_empty() {
        // Only this command needs the page, which takes minutes to build.
        let command = args.iter().find(|arg| !arg.starts_with('-'));
        if command.is_some_and(|command| command == "serve") && !web::is_built()? {
            web::build()?;
        }
        return process::run(Command::new(bench::understory()?).args(args));
    }
    // Not `cargo run`: cargo becomes the program, whose start would then be that of the build.
    let understory = bench::understory()?;
    for story in STORIES {
        let mut command = Command::new(&understory);
        command.arg("generate").args(story).args(["--temperature", "0.8", "--top-p", "0.95"]);
        process::run(&mut command)?;
    }
    Ok(())
}
