//! Writing: text and JSON to stdout, everything else to stderr, tables and progress bars.
//!
//! This is the border at which text that somebody else wrote (names of a report, of tensors, a server's words) loses what a
//! terminal would take as a command. It stays as it is only where that was asked for: what a model generates and JSON, while
//! stdout is no terminal.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tracing_subscriber::EnvFilter;
use understory_protocol::{Progress, foreign};

pub use understory_protocol::foreign::harmless;

use crate::exit::Stop;

/// Characters of a cell of a table at most.
const MOST_IN_CELL: usize = 500;

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

    /// What this program draws itself, on stderr, unless `--quiet`.
    pub fn picture(&self, text: &str) {
        if !self.quiet {
            picture(text);
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

/// Writes text for people to stdout and flushes.
///
/// # Errors
/// [`Stop::StdoutClosed`] where the reader is gone.
pub fn text(text: &str) -> Result<()> {
    write(io::stdout().lock(), &harmless(text))
}

/// As [`text`], for what a model wrote: byte for byte where stdout is no terminal.
///
/// # Errors
/// [`Stop::StdoutClosed`] where the reader is gone.
pub fn generated(text: &str) -> Result<()> {
    if stdout_is_terminal() { write(io::stdout().lock(), &printable(text)) } else { write(io::stdout().lock(), text) }
}

/// `text` as it may go to a terminal, which may keep its tabs; Windows' line ends become plain ones.
fn printable(text: &str) -> String {
    let lines = text.replace('\r', "");
    lines.split('\t').map(harmless).collect::<Vec<_>>().join("\t")
}

/// Text of this program's own with ANSI styles, which are left out where stdout is no terminal or `NO_COLOR` is set.
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

/// One JSON value on one line of stdout.
pub fn json(value: &impl Serialize) -> Result<()> {
    json_text(&serde_json::to_string(value).context("cannot write the report as JSON")?)
}

/// A line of JSON that is text already.
pub fn json_text(json: &str) -> Result<()> {
    let line = format!("{json}\n");
    if stdout_is_terminal() { write(io::stdout().lock(), &escaped(&line)) } else { write(io::stdout().lock(), &line) }
}

/// The same JSON, with escapes for what is a command to a terminal.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            // Between values; within a text it is an escape already.
            '\r' => {}
            c if harmless(c.encode_utf8(&mut [0; 4])) == "?" && c != '?' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// The one message of a failure, of a readable length.
pub fn error(message: &str) {
    hint(&format!("error: {}\n", foreign::message(message)));
}

/// Writes to stderr. A closed stderr is no reason to fail (`eprintln!` would panic).
pub fn hint(text: &str) {
    picture(&harmless(text));
}

/// As [`hint`], for what this program draws itself, with ANSI styles.
pub fn picture(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// Lines of the log on their way to stderr: an event may quote what a file or a server said.
struct Log;

impl Write for Log {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        hint(&format!("{}\n", foreign::message(text.trim_end_matches('\n'))));
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
        .with_writer(|| Log)
        .with_ansi(false)
        .log_internal_errors(false)
        .init();
}

/// Rows as text in columns: `<` in `align` for left, `>` for right. The first row is the heading.
pub fn columns(align: &str, rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.add_rows(rows.iter().map(|row| row.iter().map(|text| cell(text))));
    for (column, side) in table.column_iter_mut().zip(align.chars()) {
        column.set_padding((0, 2));
        column.set_cell_alignment(if side == '>' { CellAlignment::Right } else { CellAlignment::Left });
    }
    table.trim_fmt() + "\n"
}

/// One line of a length that leaves the table one.
fn cell(text: &str) -> String {
    let mut rest = text.chars();
    let kept: String = rest.by_ref().take(MOST_IN_CELL).collect();
    let cut = if rest.next().is_some() { "…" } else { "" };
    format!("{}{cut}", harmless(&kept).replace('\n', "?"))
}

#[cfg(test)]
mod tests {
    use super::{MOST_IN_CELL, columns, escaped, printable};

    /// A cell that is left as it is moves the cursor, or makes a row of its own.
    #[test]
    fn cells_stay_in_their_row() {
        let rows = [vec!["a\u{1b}[2J\nb\u{202e}".to_owned(), "x".repeat(10_000)]];
        let table = columns("<<", &rows);
        assert!(table.starts_with("a?[2J?b?  x") && table.ends_with("x…\n"), "{table}");
        assert!(table.chars().count() < MOST_IN_CELL + 20);
    }

    /// A model may write escape sequences; to a file they go as they are, to a terminal they do not. Line by line: a
    /// carriage return alone would hide what stands before it.
    #[test]
    fn generated_text_gives_a_terminal_no_orders() {
        assert_eq!(printable("a\tb\r\nc\u{1b}]0;title\u{7}\u{9b}2J\u{202e}d"), "a\tb\nc?]0;title??2J?d");
    }

    /// The values are the same: other characters, or `?` in their place, fail this.
    #[test]
    fn json_for_a_terminal_says_the_same() {
        let value = serde_json::json!({"label": "a\u{202e}b\u{9b}2J ?\u{7f} \u{1b}"});
        let shown = escaped(&value.to_string());
        assert!(shown.is_ascii() && !shown.contains('\u{7f}'), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

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
