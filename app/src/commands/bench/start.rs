//! One start in a process of its own: `bench` runs the program again, hands it a request in a line of stdin, and reads one
//! line of JSON. The clock begins where `bench` started the process. Stdin stays open as long as `bench` lives: the process
//! ends with it, so that none is left behind, whichever way `bench` ended.

use std::io::{self, BufRead, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use understory_lab::report::{Phase, Sample, StartState};
use understory_protocol::{Dtype, Failure, GenerateRequest, Method};

use super::sample::{Taken, take};
use crate::cli::{BenchArgs, BenchStartArgs, KernelSetArg};
use crate::commands::load;
use crate::exit::{self, Elsewhere, Stop};
use crate::output::{self, Console};
use crate::{calibration, interrupt, methods};

/// How often a start is asked whether it has ended; its times are its own, so that this is in none of them.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What goes in.
#[derive(Serialize, Deserialize)]
struct Ask {
    request: GenerateRequest,
    start: StartState,
}

/// What comes out: a line on stdout, whether it worked or not. Failures cross as kinds, so that advice is not lost.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Measured { sample: Box<Sample>, weights_bytes: u64 },
    Failed(Failure),
}

/// Milliseconds of the Unix clock.
fn unix_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3
}

/// In the new process.
pub fn run(args: &BenchStartArgs) -> Result<()> {
    output::json(&match measure(args) {
        Ok(Taken { sample, weights_bytes }) => Answer::Measured { sample: Box::new(sample), weights_bytes },
        Err(error) if error.is::<Stop>() => return Err(error),
        Err(error) => Answer::Failed(exit::failure(&error)),
    })
}

fn measure(args: &BenchStartArgs) -> Result<Taken> {
    let process_ms = (unix_ms() - args.spawned_ms).max(0.0);
    let console = Console { quiet: true, process_start_ms: Some(process_ms) };
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("cannot read standard input")?;
    end_with_stdin()?;
    let ask: Ask = serde_json::from_str(&line).context("standard input is no request of `understory bench`")?;
    pollster::block_on(async {
        let draft = methods::draft(&args.draft, &args.load.model);
        let mut loaded = load(&args.load, draft.as_deref(), &console).await?;
        let mut calibration_ms = None;
        if ask.request.method != Method::Ar {
            let begin = unix_ms();
            calibration::calibrate(&mut loaded.engine, false).await?;
            calibration_ms = Some(unix_ms() - begin);
        }
        let before_ms = unix_ms() - args.spawned_ms;
        let mut taken = take(&mut loaded.engine, &ask.request, ask.start).await?;
        let phases = &mut taken.sample.phases;
        if let Some(ms) = calibration_ms {
            // Before the phases of the request, which are the last.
            let request = ["tokenise", "prefill", "first step"];
            let at = phases.iter().position(|phase| request.contains(&phase.name.as_str())).unwrap_or(phases.len());
            phases.insert(at, Phase { name: "calibration".into(), ms });
        }
        taken.sample.before_ms = Some(before_ms);
        Ok(taken)
    })
}

/// Ends this process where the other end of stdin is closed.
fn end_with_stdin() -> Result<()> {
    let wait = || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        std::process::exit(143);
    };
    thread::Builder::new().name("stdin".into()).spawn(wait).context("cannot start a thread")?;
    Ok(())
}

/// Starts the program once more, with its caches in `caches`, and waits for what it measured.
///
/// # Errors
/// Whatever the new process says, and an answer that is none.
pub fn spawn(
    args: &BenchArgs,
    draft: Option<&str>,
    request: &GenerateRequest,
    start: StartState,
    caches: &Path,
) -> Result<(Sample, u64)> {
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let load = &args.load;
    let mut command = Command::new(program);
    command.args(["bench-start", "--offline", "--model", &load.model, "--draft", draft.unwrap_or("none")]);
    command.args(["--dtype", Dtype::from(load.dtype).name()]);
    if let Some(device) = load.device {
        command.args(["--device", &device.to_string()]);
    }
    if let Some(profile) = load.profile {
        command.args(["--profile", if profile == KernelSetArg::Gpu { "gpu" } else { "cpu" }]);
    }
    super::caches::point_to(&mut command, caches);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ask = serde_json::to_string(&Ask { request: request.clone(), start })? + "\n";
    command.arg("--spawned-ms").arg(unix_ms().to_string());
    let mut child = command.spawn().context("cannot start this program again")?;
    // A process that fails early has closed its stdin; its message says more than that.
    let mut stdin = child.stdin.take();
    let written = stdin.as_mut().map(|stdin| stdin.write_all(ask.as_bytes()));
    let output = finished(child).context("the started process was lost")?;
    drop(stdin);
    if !output.status.success() && interrupt::cancelled() {
        return Err(Stop::Interrupted.into());
    }
    let measured = answer(&output).with_context(|| format!("a {} start failed", start.name()))?;
    written.transpose().context("cannot hand the request to the started process")?;
    Ok(measured)
}

/// Waits for `child`, which a signal to this process ends too.
fn finished(mut child: Child) -> io::Result<Output> {
    let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if interrupt::cancelled() {
            child.kill()?;
        }
        thread::sleep(LOOK_EVERY);
    };
    let text = |reader: JoinHandle<Vec<u8>>| reader.join().unwrap_or_default();
    Ok(Output { status, stdout: text(stdout), stderr: text(stderr) })
}

/// Reads a pipe to its end, on a thread of its own: a full one would hold up who writes.
fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// What the process measured, or why it did not.
fn answer(output: &Output) -> Result<(Sample, u64)> {
    match serde_json::from_slice(&output.stdout) {
        Ok(Answer::Measured { sample, weights_bytes }) => Ok((*sample, weights_bytes)),
        Ok(Answer::Failed(failure)) => Err(Elsewhere(failure).into()),
        Err(_) => bail!("it ended with {} and said: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use understory_protocol::FailureKind;

    use super::*;

    /// Searching stderr for the message fails this: the kind, and with it the advice, would be lost.
    #[test]
    fn a_failed_start_keeps_its_kind() {
        let kind = FailureKind::OutOfDeviceMemory { asked_bytes: 8, allocated_bytes: 4 };
        let failed = Answer::Failed(kind.clone().with("no memory"));
        let said = |stdout: Vec<u8>| Output { status: ExitStatus::default(), stdout, stderr: b"killed\n".into() };
        let error = answer(&said(serde_json::to_vec(&failed).unwrap())).err().unwrap();
        assert_eq!(exit::failure(&error), kind.with("no memory"));
        assert!(exit::told(&error).contains("--dtype f16"));
        let error = answer(&said(Vec::new())).err().unwrap();
        assert!(exit::told(&error).contains("killed"), "{error}");
    }
}
