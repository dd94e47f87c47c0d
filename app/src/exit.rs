//! How the program ends: exit statuses and the one message that goes with them.

use std::fmt;
use std::process::ExitCode;

use understory_protocol::{Error, Failure, FailureKind};

use crate::output;

/// An end that is not simply a failure of the work.
#[derive(Debug)]
pub enum Stop {
    /// The command line asks for something that cannot be; found after clap was done with it.
    Usage(String),
    /// The reader of stdout is gone: nobody to tell.
    StdoutClosed,
    /// Ctrl-C, after what was made so far was delivered.
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

/// Says what went wrong and gives the exit status: 1 failure, 2 usage, 130 interrupted, 141 stdout closed (the
/// statuses that a shell shows for SIGINT and SIGPIPE).
pub fn report(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<Stop>() {
        Some(Stop::StdoutClosed) => ExitCode::from(141),
        Some(Stop::Interrupted) => ExitCode::from(130),
        Some(Stop::Usage(message)) => {
            output::error(&format!("{message}\n\nFor more information, try '--help'."));
            ExitCode::from(2)
        }
        None => {
            let advice = known(error).and_then(advice).map_or_else(String::new, |advice| format!("\n{advice}"));
            output::error(&format!("{}{advice}", chain(error)));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes in one line; a cause that the message already quotes is not repeated.
pub fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The engine's error behind `error`, if there is one.
fn known(error: &anyhow::Error) -> Option<&Error> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

/// As it goes to a page: the kind, and the message with its causes.
pub fn failure(error: &anyhow::Error) -> Failure {
    known(error).map_or(FailureKind::Other, FailureKind::from).with(chain(error))
}

/// What somebody at a terminal can do about it.
fn advice(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::NoAdapter { .. } => {
            "Install a Vulkan driver (Debian, Ubuntu without a GPU: `apt-get install mesa-vulkan-drivers`), or run on a \
             machine with Metal or DX12."
        }
        Error::NoSuchAdapter { .. } => "`understory devices` lists the adapters.",
        Error::DeviceLost { .. } => "Run again, or choose another adapter with --device.",
        Error::OutOfDeviceMemory { .. } => "Use --dtype f16, a smaller model or a shorter --max-new-tokens.",
        Error::Truncated { .. } => "Download the file again.",
        Error::F16Overflow { .. } => "Load the model with --dtype f32.",
        Error::NanLogits { .. } => "If the model was loaded with --dtype f16, try --dtype f32.",
        Error::PairMismatch { .. } => "Use a draft of the target's own family, or none (--draft none).",
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
        let lost = understory_protocol::Error::DeviceLost { doing: "generating", reason: "reset".into() };
        let error = anyhow::Error::from(lost).context("cannot go on");
        assert!(known(&error).and_then(advice).is_some_and(|advice| advice.contains("--device")));
        let failure = failure(&error);
        assert_eq!(failure.kind, FailureKind::DeviceLost);
        assert!(!failure.message.contains("--"), "{}", failure.message);
    }

    #[test]
    fn a_cause_is_named_once() {
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let quoting = understory_protocol::Error::Io { path: "a.json".into(), source };
        assert_eq!(chain(&anyhow::Error::from(quoting)), "cannot read a.json: no such file");
        let plain: anyhow::Result<()> = Err(anyhow::anyhow!("inner")).context("outer");
        assert_eq!(chain(&plain.unwrap_err()), "outer: inner");
    }
}
