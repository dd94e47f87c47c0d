//! How long a server is waited for. An honest one that breaks off is asked again as long as something comes; one that
//! is silent, sends next to nothing, or begins from the start every time is given up within a minute.

use std::time::Duration;

use web_time::Instant;

/// Pauses before a broken transfer is taken up again, while nothing new comes.
const RETRY_AFTER_MS: [u64; 4] = [100, 400, 1500, 3000];
/// Bytes that come in a window, or the server is too slow to go on with.
const LEAST_BYTES: u64 = 50 << 10;

/// Bounds of waiting for a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// for a connection
    pub connect: Duration,
    /// without a byte
    pub idle: Duration,
    /// without a byte, over all attempts
    pub patience: Duration,
    /// in which fifty kilobytes come, over all attempts
    pub window: Duration,
}

impl Limits {
    /// Without a byte from a server.
    pub const IDLE: Duration = Duration::from_secs(30);

    /// All bounds in proportion to that of one wait.
    pub fn with_idle(idle: Duration) -> Self {
        Self { connect: idle.min(Duration::from_secs(10)), idle, patience: idle * 3 / 2, window: idle * 5 / 3 }
    }
}

/// What is left of it during one transfer.
pub struct Patience {
    limits: Limits,
    /// the most bytes of the file that were here at once
    furthest: u64,
    /// when they were
    progress: Instant,
    /// since then
    failures: usize,
    window: Instant,
    in_window: u64,
}

impl Patience {
    /// At a transfer's start, with `here` bytes of it.
    pub fn new(limits: Limits, here: u64) -> Self {
        let now = Instant::now();
        Self { limits, furthest: here, progress: now, failures: 0, window: now, in_window: 0 }
    }

    /// How long the next wait may be.
    pub fn limit(&self) -> Duration {
        let patience = self.limits.patience.saturating_sub(self.progress.elapsed());
        let limit = self.limits.idle.min(patience);
        if self.in_window < LEAST_BYTES { limit.min(self.left_of_window()) } else { limit }
    }

    fn left_of_window(&self) -> Duration {
        self.limits.window.saturating_sub(self.window.elapsed())
    }

    /// `bytes` more came; now `here` bytes are here.
    ///
    /// # Errors
    /// The server is too slow, as a clause.
    pub fn arrived(&mut self, bytes: usize, here: u64) -> Result<(), String> {
        self.in_window += bytes as u64;
        if here > self.furthest {
            (self.furthest, self.progress, self.failures) = (here, Instant::now(), 0);
        }
        if self.left_of_window().is_zero() {
            if self.in_window < LEAST_BYTES {
                return Err(self.slowness());
            }
            (self.window, self.in_window) = (Instant::now(), 0);
        }
        Ok(())
    }

    /// Why a wait that ended with `reason` ended: with the window, the server is too slow.
    pub fn explained(&self, reason: String) -> String {
        let is_slow = self.left_of_window().is_zero() && (1..LEAST_BYTES).contains(&self.in_window);
        if is_slow { self.slowness() } else { reason }
    }

    fn slowness(&self) -> String {
        format!("too slow: {} bytes in {:.0} s", self.in_window, self.window.elapsed().as_secs_f64())
    }

    /// Whether anything came of this transfer.
    pub fn has_progress(&self) -> bool {
        self.in_window > 0
    }

    /// After a failure: how long to wait before the next attempt. `None`: there is none.
    pub fn pause(&mut self) -> Option<Duration> {
        let pause = Duration::from_millis(*RETRY_AFTER_MS.get(self.failures)?);
        self.failures += 1;
        (pause < self.limit()).then_some(pause)
    }
}

/// First byte and total of a `Content-Range`, `bytes FIRST-LAST/TOTAL`; the total may be unknown.
pub fn content_range(header: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = header.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let total = if total.trim() == "*" { None } else { Some(total.trim().parse().ok()?) };
    let is_one = first <= last && total.is_none_or(|total: u64| last < total);
    is_one.then_some((first, total))
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;

    const IDLE: Duration = Duration::from_millis(60);

    /// Counting all failures of a transfer fails this: a server that breaks off often is asked until the end.
    #[test]
    fn failures_count_since_the_last_new_byte() {
        let mut patience = Patience::new(Limits::with_idle(Duration::from_secs(30)), 0);
        for here in 1..100 {
            assert!(patience.pause().is_some());
            patience.arrived(1, here).unwrap();
        }
        // The same bytes again are nothing new.
        let pauses = std::iter::from_fn(|| {
            patience.arrived(99, 99).unwrap();
            patience.pause()
        });
        assert_eq!(pauses.count(), RETRY_AFTER_MS.len());
    }

    /// An idle limit alone fails this: a byte now and then would keep the transfer alive for ever.
    #[test]
    fn a_trickle_ends_with_the_window() {
        let mut patience = Patience::new(Limits::with_idle(IDLE), 0);
        let start = Instant::now();
        let mut here = 0;
        let said = loop {
            sleep(IDLE / 6);
            here += 1;
            assert!(patience.limit() <= IDLE);
            if let Err(said) = patience.arrived(1, here) {
                break said;
            }
        };
        assert!(start.elapsed() >= IDLE * 5 / 3 && said.contains("bytes in"), "{said}");
        assert!(patience.pause().is_none());
        assert!(patience.explained("silence".into()).contains("bytes in"));
    }

    #[test]
    fn silence_ends_after_all_attempts_together() {
        let patience = Patience::new(Limits::with_idle(IDLE), 0);
        assert!(patience.limit() <= IDLE);
        sleep(IDLE * 3 / 2);
        assert_eq!(patience.limit(), Duration::ZERO);
        assert_eq!(patience.explained("silence".into()), "silence");
    }

    #[test]
    fn ranges_are_read_whole() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for bad in ["bytes 9-5/10", "bytes 5-10/10", "5-9/10", "bytes 5-9", "bytes -9/10", "bytes */10", "bytes 5-9/x"]
        {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }
}
