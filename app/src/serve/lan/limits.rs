//! How often somebody may ask: token buckets.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Uploads with the right code, of all devices together.
const UPLOADS: Rate = Rate { burst: 20, every: Duration::from_secs(3) };
/// Wrong codes from one address. The code is not to be guessed anyway; this bounds the noise.
const WRONG: Rate = Rate { burst: 5, every: Duration::from_secs(12) };
/// Addresses with wrong codes that are told apart; those beyond share one bucket.
const MOST_ADDRESSES: usize = 1024;

/// `burst` at once, and one more with each `every`.
#[derive(Clone, Copy)]
struct Rate {
    burst: u32,
    every: Duration,
}

pub struct Limits {
    uploads: Bucket,
    wrong: HashMap<IpAddr, Bucket>,
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

impl Limits {
    pub fn new(now: Instant) -> Self {
        Self { uploads: Bucket::new(UPLOADS, now), wrong: HashMap::new() }
    }

    /// Whether `peer` may show a code; if not, when it may again.
    pub fn may_try(&self, peer: IpAddr, now: Instant) -> Result<(), Duration> {
        self.wrong.get(&self.key(peer)).map_or(Ok(()), |bucket| bucket.ready(now))
    }

    /// `peer` showed a wrong code, or none.
    pub fn was_wrong(&mut self, peer: IpAddr, now: Instant) {
        self.wrong.retain(|_, bucket| bucket.full_at > now);
        let key = self.key(peer);
        self.wrong.entry(key).or_insert_with(|| Bucket::new(WRONG, now)).take(now);
    }

    /// Counts an upload, unless there were too many; then, when there may be one.
    pub fn upload(&mut self, now: Instant) -> Result<(), Duration> {
        self.uploads.ready(now)?;
        self.uploads.take(now);
        Ok(())
    }

    fn key(&self, peer: IpAddr) -> IpAddr {
        let key = match peer.to_canonical() {
            // A device has as many addresses as it likes within its network of IPv6.
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
            v4 @ IpAddr::V4(_) => v4,
        };
        let known = self.wrong.contains_key(&key) || self.wrong.len() < MOST_ADDRESSES;
        if known { key } else { Ipv6Addr::UNSPECIFIED.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tried and caught: one more than the burst. A bucket for each address of a device, or one for all, fails this too.
    #[test]
    fn buckets_empty_and_fill_again() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut limits = Limits::new(start);
        for now in [after(3600), after(7200)] {
            for _ in 0..UPLOADS.burst {
                limits.upload(now).unwrap();
            }
            assert_eq!(limits.upload(now), Err(UPLOADS.every));
            limits.upload(now + UPLOADS.every).unwrap();
        }

        let (one, other) = ("2001:db8::1", "192.168.0.7");
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for _ in 0..WRONG.burst {
            assert_eq!(limits.may_try(address(one), start), Ok(()));
            limits.was_wrong(address(one), start);
        }
        assert_eq!(limits.may_try(address(one), start), Err(WRONG.every));
        assert!(limits.may_try(address("2001:db8::2"), start).is_err(), "the same device");
        assert!(limits.may_try(address("2001:db8:0:1::1"), start).is_ok());
        assert!(limits.may_try(address(other), start).is_ok());
        assert!(limits.may_try(address(one), start + WRONG.every).is_ok());
    }

    #[test]
    fn addresses_are_remembered_within_bounds() {
        let now = Instant::now();
        let mut limits = Limits::new(now);
        for n in 0..4 * MOST_ADDRESSES as u32 {
            limits.was_wrong(IpAddr::from((0x0a00_0000 + n).to_be_bytes()), now);
        }
        assert!(limits.wrong.len() <= MOST_ADDRESSES + 1);
        limits.was_wrong(IpAddr::from([192, 168, 0, 7]), now + WRONG.every * 10_000);
        assert_eq!(limits.wrong.len(), 1, "full buckets are forgotten");
    }
}
