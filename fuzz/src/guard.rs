//! What ends a run that would not end by itself: a limit of memory, and a watch over each input.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// Bytes that all inputs that are tried at a time may hold.
const MOST_BYTES: usize = 2 << 30;
/// What one input may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// The system's allocator, up to a limit: beyond it an allocation fails, which ends the process.
pub struct Bounded(AtomicUsize);

impl Bounded {
    pub const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    fn take(&self, bytes: usize) -> bool {
        let taken = self.0.fetch_add(bytes, Ordering::Relaxed);
        if taken.saturating_add(bytes) <= MOST_BYTES {
            return true;
        }
        self.0.fetch_sub(bytes, Ordering::Relaxed);
        false
    }
}

impl Default for Bounded {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: every call goes to the system's allocator unchanged, or fails as an allocator may.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !self.take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promises are the system's conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !self.take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.0.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Ends the process when an input takes too long, with the name of the file that holds it.
pub struct Watch {
    /// `true` when an input begins, `false` when it ended
    events: Sender<bool>,
}

impl Watch {
    pub fn new(input: &Path) -> Self {
        let (events, heard) = mpsc::channel();
        let input = input.display().to_string();
        thread::spawn(move || {
            while let Ok(begins) = heard.recv() {
                if begins && heard.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout) {
                    eprintln!("an input takes over {} s: {input}", DEADLINE.as_secs());
                    process::abort();
                }
            }
        });
        Self { events }
    }

    pub fn over<T>(&self, run: impl FnOnce() -> T) -> T {
        let _ = self.events.send(true);
        let result = run();
        let _ = self.events.send(false);
        result
    }
}
