//! Several outputs of one result, such as a table, a row of the collection and files: each is tried, whatever became of the
//! others, so that no measurement is lost to a full disk or a closed pipe.

use anyhow::{Error, Result};

use crate::exit::{Stop, told};
use crate::output;

/// The outputs so far.
#[derive(Default)]
pub struct Outputs {
    failures: Vec<Error>,
}

impl Outputs {
    /// Makes one, and keeps what went wrong for the end. Whether it was made.
    pub fn attempt(&mut self, made: Result<()>) -> bool {
        made.map_err(|error| self.failures.push(error)).is_ok()
    }

    /// What the command ends with: its own `result`, unless an output failed. Every failure is told.
    pub fn end(self, result: Result<()>) -> Result<()> {
        let Self { mut failures } = self;
        failures.extend(result.err());
        // That nobody reads any more, or that the run was cut short, is said by the status alone, where nothing failed.
        let failed = |error: &Error| !matches!(error.downcast_ref(), Some(Stop::StdoutClosed | Stop::Interrupted));
        if failures.iter().any(failed) {
            failures.retain(failed);
        }
        let Some(last) = failures.pop() else { return Ok(()) };
        failures.iter().filter(|error| failed(error)).for_each(|error| output::error(&told(error)));
        Err(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_output_counts_more_than_an_interruption() {
        let end = |failures: Vec<Error>, result| Outputs { failures }.end(result);
        assert!(end(Vec::new(), Ok(())).is_ok());
        let stop = |stop: Stop| Error::from(stop);
        let kept = end(vec![stop(Stop::StdoutClosed)], Ok(())).unwrap_err();
        assert!(matches!(kept.downcast_ref(), Some(Stop::StdoutClosed)));
        let disk = end(vec![stop(Stop::StdoutClosed), Error::msg("disk")], Err(stop(Stop::Interrupted))).unwrap_err();
        assert_eq!(disk.to_string(), "disk");
        let interrupted = end(vec![stop(Stop::StdoutClosed)], Err(stop(Stop::Interrupted))).unwrap_err();
        assert!(interrupted.is::<Stop>());
    }
}
