//! How often somebody may ask: token buckets.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::serve::net::Peer;

/// Uploads with the right code, of all devices together.
const UPLOADS: Rate = Rate { burst: 20, every: Duration::from_secs(3) };
/// Wrong codes of one peer. The code is not to be guessed anyway (see [`pairing`](super::pairing)); this bounds the noise.
const WRONG: Rate = Rate { burst: 5, every: Duration::from_secs(12) };
/// Wrong codes of all peers together.
const ALL_WRONG: Rate = Rate { burst: 60, every: Duration::from_secs(1) };
/// Peers with wrong codes that are told apart; those beyond have the bucket of all alone.
const MOST_PEERS: usize = 1024;

/// `burst` at once, and one more with each `every`.
#[derive(Clone, Copy)]
struct Rate {
    burst: u32,
    every: Duration,
}

/// What was asked so far.
pub struct Attempts {
    uploads: Bucket,
    wrong: HashMap<Peer, Bucket>,
    all_wrong: Bucket,
}

struct Bucket {
    rate: Rate,
    /// when it will be full again
    full_at: Instant,
}

impl Bucket {
    fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, full_at: now }
    }

    /// Whether there is something to take; if not, how long that will be.
    fn ready(&self, now: Instant) -> Result<(), Duration> {
        let missing = self.full_at.saturating_duration_since(now);
        let most = self.rate.every * (self.rate.burst - 1);
        if missing <= most { Ok(()) } else { Err(missing - most) }
    }

    fn take(&mut self, now: Instant) {
        self.full_at = self.full_at.max(now) + self.rate.every;
    }
}

impl Attempts {
    pub fn new(now: Instant) -> Self {
        Self { uploads: Bucket::new(UPLOADS, now), wrong: HashMap::new(), all_wrong: Bucket::new(ALL_WRONG, now) }
    }

    /// Counts a wrong code of `peer`, or a missing one, unless there were too many; then, when there may be one.
    pub fn wrong(&mut self, peer: Peer, now: Instant) -> Result<(), Duration> {
        self.all_wrong.ready(now)?;
        self.wrong.retain(|_, bucket| bucket.full_at > now);
        if self.wrong.contains_key(&peer) || self.wrong.len() < MOST_PEERS {
            let own = self.wrong.entry(peer).or_insert_with(|| Bucket::new(WRONG, now));
            own.ready(now)?;
            own.take(now);
        }
        self.all_wrong.take(now);
        Ok(())
    }

    /// Counts an upload, unless there were too many; then, when there may be one.
    pub fn upload(&mut self, now: Instant) -> Result<(), Duration> {
        self.uploads.ready(now)?;
        self.uploads.take(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::of(text.parse().unwrap())
    }

    /// Tried and caught: one more than the burst. A bucket for each address of a device, or one for all, fails this too.
    #[test]
    fn buckets_empty_and_fill_again() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut attempts = Attempts::new(start);
        for now in [after(3600), after(7200)] {
            for _ in 0..UPLOADS.burst {
                attempts.upload(now).unwrap();
            }
            assert_eq!(attempts.upload(now), Err(UPLOADS.every));
            attempts.upload(now + UPLOADS.every).unwrap();
        }

        let one = peer("2001:db8::1");
        for _ in 0..WRONG.burst {
            assert_eq!(attempts.wrong(one, start), Ok(()));
        }
        assert_eq!(attempts.wrong(one, start), Err(WRONG.every));
        assert!(attempts.wrong(peer("2001:db8::2"), start).is_err(), "the same device");
        assert!(attempts.wrong(peer("2001:db8:0:1::1"), start).is_ok());
        assert!(attempts.wrong(peer("192.168.0.7"), start).is_ok());
        assert!(attempts.wrong(one, start + WRONG.every).is_ok());
    }

    /// Wrong codes that count for uploads fail the end: the right code would wait for them.
    #[test]
    fn peers_are_remembered_within_bounds_and_bounded_together() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now);
        let of = |n: u32| Peer::of((0x0a00_0000 + n).to_be_bytes().into());
        let counted = (0..4 * MOST_PEERS as u32).filter(|&n| attempts.wrong(of(n), now).is_ok()).count();
        assert_eq!(counted, ALL_WRONG.burst as usize);
        for n in 0..4 * MOST_PEERS as u32 {
            let _ = attempts.wrong(of(n), now + ALL_WRONG.every * n);
        }
        assert!(attempts.wrong.len() <= MOST_PEERS);
        assert_eq!(attempts.wrong(of(7), now + WRONG.every * 10_000), Ok(()));
        assert_eq!(attempts.wrong.len(), 1, "full buckets are forgotten");
        assert_eq!(attempts.upload(now), Ok(()));
    }
}
