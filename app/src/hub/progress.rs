//! What is seen of one file's download: a bar on a terminal, a line elsewhere.

use std::sync::Arc;

use indicatif::ProgressBar;
use understory_protocol::figures;

use super::http::Ends;
use crate::output::{self, Console};

/// Hears, besides the console, how much of a file is here, and says whether it is still wanted.
#[derive(Clone)]
pub struct Observer {
    /// bytes so far, and of the whole
    pub progress: Arc<dyn Fn(u64, u64)>,
    pub ends: Ends,
}

/// One file's download.
pub struct Transfer<'a> {
    bar: ProgressBar,
    file: &'a str,
    console: Console,
    observer: Option<&'a Observer>,
}

impl<'a> Transfer<'a> {
    pub fn new(console: Console, observer: Option<&'a Observer>, file: &'a str) -> Self {
        Self { bar: console.bar(), file, console, observer }
    }

    /// `here` of `total` bytes are here, and more are asked for; the first call announces the file.
    pub fn begin(&self, here: u64, total: u64) {
        if self.bar.length().unwrap_or(0) == 0 {
            if self.bar.is_hidden() {
                self.console.note(&format!("downloading {} ({})", self.file, figures::bytes(total)));
            }
            self.bar.set_style(output::bar_style("{bytes}/{total_bytes} {bytes_per_sec}"));
            self.bar.set_message(self.file.to_owned());
            self.bar.set_length(total.max(1));
        }
        self.bar.set_position(here);
        self.bar.reset_eta();
    }

    /// `bytes` more came; now `here` bytes are here. The observer hears of every hundredth of the file.
    pub fn advance(&self, bytes: usize, here: u64) {
        self.bar.set_position(here);
        let total = self.bar.length().unwrap_or(0);
        let hundredths = |bytes: u64| bytes.saturating_mul(100).checked_div(total);
        if let Some(observer) = &self.observer
            && hundredths(here) != hundredths(here.saturating_sub(bytes as u64))
        {
            (observer.progress)(here, total);
        }
    }
}

impl Drop for Transfer<'_> {
    fn drop(&mut self) {
        self.bar.abandon();
    }
}
