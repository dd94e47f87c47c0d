//! Writing: text and JSON to stdout, everything else to stderr, tables and progress bars.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tracing_subscriber::EnvFilter;
use understory_protocol::Progress;

use crate::exit::Stop;

/// What every command knows about how to talk.
#[derive(Clone, Copy, Debug)]
pub struct Console {
    pub quiet: bool,
    /// process start to `main`
    pub process_start_ms: Option<f64>,
}

impl Console {
    /// A line on stderr, unless `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            hint(&format!("{text}\n"));
        }
    }

    /// A bar on stderr; hidden where stderr is not a terminal, and with `--quiet`.
    pub fn bar(&self) -> ProgressBar {
        if self.quiet { ProgressBar::hidden() } else { ProgressBar::new(0) }
    }

    /// Shows the engine's progress on one bar, which is gone once the returned guard is dropped.
    pub fn engine_progress(&self) -> EngineProgress {
        EngineProgress { bar: self.bar(), step: None }
    }
}

/// One bar for the successive steps of the engine.
pub struct EngineProgress {
    bar: ProgressBar,
    step: Option<&'static str>,
}

impl EngineProgress {
    pub fn show(&mut self, progress: Progress) {
        let (step, unit, done, total) = match progress {
            Progress::Fetch { done_bytes, total_bytes } => ("files", "{bytes}/{total_bytes}", done_bytes, total_bytes),
            Progress::Upload { done_bytes, total_bytes } => {
                ("weights", "{bytes}/{total_bytes}", done_bytes, total_bytes)
            }
            Progress::Pipelines { done, total } => ("pipelines", "{pos}/{len}", done as u64, total as u64),
            Progress::Tokens { done, total } => ("tokens", "{pos}/{len}", done as u64, total as u64),
        };
        if self.step != Some(step) {
            self.step = Some(step);
            self.bar.set_style(bar_style(unit));
            self.bar.set_message(step);
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
    }
}

impl Drop for EngineProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A bar with its message, `counts` (an indicatif template) and the time left.
pub fn bar_style(counts: &str) -> ProgressStyle {
    ProgressStyle::with_template(&format!("{{msg}} [{{wide_bar:.dim}}] {counts} {{eta}}"))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// Writes to stdout and flushes.
///
/// # Errors
/// [`Stop::StdoutClosed`] where the reader is gone.
pub fn text(text: &str) -> Result<()> {
    write(io::stdout().lock(), text)
}

/// [`text`] with ANSI styles, which are left out where stdout is no terminal or `NO_COLOR` is set.
///
/// # Errors
/// [`Stop::StdoutClosed`] where the reader is gone.
pub fn styled(text: &str) -> Result<()> {
    write(anstream::AutoStream::auto(io::stdout().lock()), text)
}

fn write(mut stdout: impl Write, text: &str) -> Result<()> {
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Stop::StdoutClosed.into()),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}

/// `text`, which came from somebody else, without what a terminal would take as a command.
pub fn harmless(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n', "?")
}

/// One JSON value on one line of stdout.
pub fn json(value: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_string(value).context("cannot write the report as JSON")?;
    line.push('\n');
    text(&line)
}

pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// The one message of a failure.
pub fn error(message: &str) {
    hint(&format!("error: {message}\n"));
}

/// Writes to stderr as it is. A closed stderr is no reason to fail (`eprintln!` would panic).
pub fn hint(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// Warnings to stderr, more with each `-v`; `RUST_LOG` overrides.
pub fn init_tracing(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .log_internal_errors(false)
        .init();
}

/// Rows as text in columns: `<` in `align` for left, `>` for right. The first row is the heading.
pub fn columns(align: &str, rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.add_rows(rows);
    for (column, side) in table.column_iter_mut().zip(align.chars()) {
        column.set_padding((0, 2));
        column.set_cell_alignment(if side == '>' { CellAlignment::Right } else { CellAlignment::Left });
    }
    table.trim_fmt() + "\n"
}

#[cfg(test)]
mod tests {
    use super::columns;

    /// Counting bytes or characters fails this: a letter may be two characters, and a character two columns.
    #[test]
    fn columns_line_up_on_a_terminal() {
        let rows = [vec!["name", "ms"], vec!["größe", "10"], vec!["gro\u{308}ße", "9.5"], vec!["模型", "1"]];
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|c| (*c).to_owned()).collect()).collect();
        assert_eq!(columns("<>", &rows), "name    ms\ngröße   10\ngro\u{308}ße  9.5\n模型     1\n");
    }

    /// A row may lack cells, and a cell be empty.
    #[test]
    fn short_rows_and_empty_cells_have_no_trailing_blanks() {
        let rows = [vec!["a", "b", "c"], vec!["", "x"], vec![]];
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|c| (*c).to_owned()).collect()).collect();
        assert_eq!(columns("<<<", &rows), "a  b  c\n   x\n\n");
    }
}
