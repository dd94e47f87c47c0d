//! How the program ends: exit statuses and the one message that goes with them.

use std::fmt;
use std::process::ExitCode;

use understory_protocol::{Error, Failure, FailureKind, foreign};

use crate::hub::Unavailable;
use crate::{interrupt, output};

/// An end that is not simply a failure of the work.
#[derive(Debug)]
pub enum Stop {
    /// The command line asks for something that cannot be; found after clap was done with it.
    Usage(String),
    /// The reader of stdout is gone: nobody to tell.
    StdoutClosed,
    /// Ctrl-C or another signal that asks for the end, after what was made so far was delivered.
    Interrupted,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Usage(message) => f.write_str(message),
            Stop::StdoutClosed => f.write_str("standard output is closed"),
            Stop::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Stop {}

/// A usage error with the message `text`.
pub fn usage(text: impl Into<String>) -> anyhow::Error {
    Stop::Usage(text.into()).into()
}

/// Says what went wrong and gives the exit status: 1 failure, 2 usage, 130 interrupted, 143 terminated, 129 the terminal
/// gone, 141 stdout closed (the statuses that a shell shows for SIGINT, SIGTERM, SIGHUP and SIGPIPE).
pub fn report(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<Stop>() {
        Some(Stop::StdoutClosed) => ExitCode::from(141),
        Some(Stop::Interrupted) => ExitCode::from(interrupt::last().1),
        Some(Stop::Usage(message)) => {
            output::error(&format!("{message}\n\nFor more information, try '--help'."));
            ExitCode::from(2)
        }
        None => {
            output::error(&told(error));
            ExitCode::FAILURE
        }
    }
}

/// An error for somebody at a terminal: what happened in one line, and below it what to do, where that is known. Every
/// error that is not the program's last word goes through here too.
pub fn told(error: &anyhow::Error) -> String {
    match advice(error) {
        Some(advice) => format!("{}\n{advice}", chain(error)),
        None => chain(error),
    }
}

/// The error and its causes in one line of a readable length; a cause that the message already quotes is not repeated.
pub fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    foreign::message(&text)
}

/// A failure of another process of this program.
#[derive(Debug)]
pub struct Elsewhere(pub Failure);

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Elsewhere {}

/// What kind of failure is behind `error`.
fn kind(error: &anyhow::Error) -> FailureKind {
    let kind = |cause: &(dyn std::error::Error + 'static)| {
        let engine = cause.downcast_ref::<Error>().map(FailureKind::from);
        let elsewhere = || cause.downcast_ref::<Elsewhere>().map(|Elsewhere(failure)| failure.kind.clone());
        engine.or_else(elsewhere).or_else(|| cause.is::<Unavailable>().then_some(FailureKind::Download))
    };
    error.chain().find_map(kind).unwrap_or(FailureKind::Other)
}

/// As it goes to a page: the kind, and the message with its causes. A download's advice goes with it, since it is about
/// this computer and not about the browser.
pub fn failure(error: &anyhow::Error) -> Failure {
    let message = match unavailable(error) {
        Some(Unavailable { advice: Some(advice), .. }) => format!("{}. {advice}", chain(error)),
        _ => chain(error),
    };
    kind(error).with(message)
}

fn unavailable(error: &anyhow::Error) -> Option<&Unavailable> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

/// What somebody at a terminal can do about it.
fn advice(error: &anyhow::Error) -> Option<&str> {
    Some(match kind(error) {
        FailureKind::Download => return unavailable(error)?.advice.as_deref(),
        FailureKind::NoAdapter => {
            "Install a Vulkan driver (Debian, Ubuntu without a GPU: `apt-get install mesa-vulkan-drivers`), or run on a \
             machine with Metal or DX12."
        }
        FailureKind::NoSuchAdapter { .. } => "`understory devices` lists the adapters.",
        FailureKind::DeviceLost => {
            "Run again, or choose another adapter with --device (`understory devices` lists them)."
        }
        FailureKind::OutOfDeviceMemory { .. } => "Use --dtype f16, a smaller model or a shorter --max-new-tokens.",
        FailureKind::DeviceUnfit => {
            "Use a smaller model, or choose another adapter with --device (`understory devices` lists them)."
        }
        FailureKind::FileTruncated { .. } => "Download the file again.",
        FailureKind::F16Overflow => "Load the model with --dtype f32.",
        FailureKind::PromptTooLong { .. } => "Shorten the prompt, or use a model with a longer context.",
        FailureKind::ChatTemplate => "--raw sends a prompt as it is, without the model's chat template.",
        FailureKind::NanLogits => "If the model was loaded with --dtype f16, try --dtype f32.",
        FailureKind::PairMismatch => "Use a draft of the target's own family, or none (--draft none).",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    /// A message that is searched for words instead of a kind fails this: the context hides none of it.
    #[test]
    fn advice_and_kind_are_found_behind_a_context() {
        let lost = || understory_protocol::Error::DeviceLost { doing: "generating", reason: "reset".into() };
        let here = anyhow::Error::from(lost()).context("cannot go on");
        // As a start of `bench` reports it, from a process of its own.
        let elsewhere = anyhow::Error::from(Elsewhere(failure(&lost().into()))).context("a cold start failed");
        for error in [here, elsewhere] {
            let (first, second) = told(&error).split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
            assert!(first.ends_with(&lost().to_string()) && second.starts_with("Run again"), "{first}\n{second}");
            let failure = failure(&error);
            assert_eq!(failure.kind, FailureKind::DeviceLost);
            assert!(!failure.message.contains("--"), "{}", failure.message);
        }
    }

    /// A page cannot know this computer's variables, so its message has the advice.
    #[test]
    fn a_download_brings_its_own_advice() {
        let failed = Unavailable { what: "cannot reach the hub".into(), advice: Some("Check HF_ENDPOINT.".into()) };
        let error = anyhow::Error::from(failed).context("the draft model");
        assert_eq!(told(&error), "the draft model: cannot reach the hub\nCheck HF_ENDPOINT.");
        let failure = failure(&error);
        assert_eq!(failure.kind, FailureKind::Download);
        assert_eq!(failure.message, "the draft model: cannot reach the hub. Check HF_ENDPOINT.");
    }

    #[test]
    fn a_cause_is_named_once() {
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let quoting = understory_protocol::Error::Io { path: "a.json".into(), source };
        assert_eq!(chain(&anyhow::Error::from(quoting)), "cannot read a.json: no such file");
        let plain: anyhow::Result<()> = Err(anyhow::anyhow!("inner")).context("outer");
        assert_eq!(chain(&plain.unwrap_err()), "outer: inner");
        // A message that quotes a file may be as long as that, and give a terminal orders.
        let long = anyhow::anyhow!("{}", "\u{1b}[2J\u{202e}".repeat(1 << 20)).context("outer");
        assert!(told(&long).len() < 10_000 && told(&long).starts_with("outer: ?[2J??[2J?"), "{}", told(&long));
    }
}
