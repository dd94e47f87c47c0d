//! Ctrl-C, and the signals by which a system asks a program to end: they end a generation, not the program, where there is
//! something to keep.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

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

/// What asked for the end, with its number on Unix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[cfg_attr(not(unix), allow(dead_code, reason = "Windows has Ctrl-C alone"))]
pub enum Signal {
    /// the terminal is gone
    Hangup = 1,
    /// Ctrl-C
    Interrupt = 2,
    Terminate = 15,
}

static MODE: AtomicU8 = AtomicU8::new(Mode::Exit as u8);
static CANCELLED: AtomicBool = AtomicBool::new(false);
static SIGNAL: AtomicU8 = AtomicU8::new(Signal::Interrupt as u8);
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Sets what Ctrl-C does and forgets an earlier one. The first call takes the signals over; until then they end the
/// process as usual.
pub fn set_mode(mode: Mode) -> Result<()> {
    static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
    CANCELLED.store(false, Ordering::SeqCst);
    MODE.store(mode as u8, Ordering::SeqCst);
    let installed = INSTALLED.get_or_init(|| listen().map_err(|error| error.to_string()));
    installed.clone().map_err(anyhow::Error::msg).context("cannot listen for Ctrl-C")
}

/// Whether Ctrl-C was pressed, or another signal came, since the mode was set.
pub fn cancelled() -> bool {
    CANCELLED.load(Ordering::SeqCst)
}

/// The name of the last signal, and the exit status that a shell shows for it.
pub fn last() -> (&'static str, u8) {
    match SIGNAL.load(Ordering::SeqCst) {
        1 => ("SIGHUP", 129),
        15 => ("SIGTERM", 143),
        _ => ("Ctrl-C", 130),
    }
}

/// A folder for the time of this program, which is removed with this value, and by a signal that ends the program.
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// # Errors
    /// Where there is something of this name, or nothing can be made there.
    pub fn make(path: PathBuf) -> io::Result<Self> {
        let mut folders = folders();
        fs::create_dir(&path)?;
        folders.push(path.clone());
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        folders().retain(|folder| *folder != self.0);
    }
}

fn folders() -> MutexGuard<'static, Vec<PathBuf>> {
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hears the signals from now on, on a thread of their own.
fn listen() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _within = runtime.enter();
        Signals::listen()?
    };
    let hear = move || {
        runtime.block_on(async {
            loop {
                on_signal(signals.next().await);
            }
        })
    };
    std::thread::Builder::new().name("signals".into()).spawn(hear)?;
    Ok(())
}

fn on_signal(signal: Signal) {
    SIGNAL.store(signal as u8, Ordering::SeqCst);
    let mode = MODE.load(Ordering::SeqCst);
    let again = CANCELLED.swap(true, Ordering::SeqCst);
    if mode == Mode::Prompt as u8 && signal == Signal::Interrupt {
        crate::output::hint("\n(Ctrl-D or /exit leaves)\n> ");
    } else if mode != Mode::Generating as u8 || again {
        // Held until the end, so that no folder is made meanwhile.
        let folders = folders();
        for folder in folders.iter() {
            let _ = fs::remove_dir_all(folder);
        }
        std::process::exit(last().1.into());
    }
}

/// The signals that end a program.
#[cfg(unix)]
pub struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    /// Within a runtime of tokio.
    pub fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: hangup_ends().then(|| signal(SignalKind::hangup())).transpose()?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Signal {
        let Self { interrupt, terminate, hangup } = self;
        let hung_up = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => Signal::Interrupt,
            _ = terminate.recv() => Signal::Terminate,
            _ = hung_up => Signal::Hangup,
        }
    }
}

/// False where the signal is ignored, as under `nohup`, and has to stay so; and where the system does not say: there it
/// does what it did.
#[cfg(unix)]
fn hangup_ends() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 0)
}

#[cfg(not(unix))]
pub struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    pub async fn next(&mut self) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::Interrupt,
            Err(_) => std::future::pending().await,
        }
    }
}
