//! How the program ends: exit statuses and the one message that goes with them.

use std::fmt;
use std::process::ExitCode;

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
            output::error(&chain(error));
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

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::chain;

    #[test]
    fn a_cause_is_named_once() {
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let quoting = understory_protocol::Error::Io { path: "a.json".into(), source };
        assert_eq!(chain(&anyhow::Error::from(quoting)), "cannot read a.json: no such file");
        let plain: anyhow::Result<()> = Err(anyhow::anyhow!("inner")).context("outer");
        assert_eq!(chain(&plain.unwrap_err()), "outer: inner");
    }
}
