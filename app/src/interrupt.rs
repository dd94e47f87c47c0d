//! Ctrl-C: ends a generation, not the program, where there is something to keep.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use anyhow::{Context, Result};

/// What Ctrl-C does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// ends the program
    Exit,
    /// ends the generation; pressed again, the program
    Generating,
    /// reminds of how to leave a conversation
    Prompt,
}

static MODE: AtomicU8 = AtomicU8::new(Mode::Exit as u8);
static CANCELLED: AtomicBool = AtomicBool::new(false);

/// Sets what Ctrl-C does and forgets an earlier one. The first call takes the signal over; until then it ends the
/// process as usual.
pub fn set_mode(mode: Mode) -> Result<()> {
    static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
    CANCELLED.store(false, Ordering::SeqCst);
    MODE.store(mode as u8, Ordering::SeqCst);
    let installed = INSTALLED.get_or_init(|| ctrlc::set_handler(on_interrupt).map_err(|error| error.to_string()));
    installed.clone().map_err(anyhow::Error::msg).context("cannot listen for Ctrl-C")
}

/// Whether Ctrl-C was pressed since the mode was set.
pub fn cancelled() -> bool {
    CANCELLED.load(Ordering::SeqCst)
}

fn on_interrupt() {
    let mode = MODE.load(Ordering::SeqCst);
    let again = CANCELLED.swap(true, Ordering::SeqCst);
    if mode == Mode::Prompt as u8 {
        crate::output::hint("\n(Ctrl-D or /exit leaves)\n> ");
    } else if mode == Mode::Exit as u8 || again {
        std::process::exit(130);
    }
}
