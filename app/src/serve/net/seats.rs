//! Which connections stay: so many in all and so many of one peer. A newcomer is never kept out by those who came before:
//! where there is no room, the connection ends on which nothing has moved for the longest time. Whoever holds connections
//! open to block others loses them first, and a client that sends and reads keeps its own. Only a kept connection is never
//! ended for another: one that has shown a right code or holds the engine.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Instant;

use tokio::sync::oneshot;

use super::peer::Peer;

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub in_all: usize,
    pub of_a_peer: usize,
}

/// The connections of one server.
pub struct Seats {
    limits: Limits,
    taken: HashMap<u64, Seat>,
    last: u64,
}

struct Seat {
    peer: Peer,
    /// when something was last read or written
    moved: Instant,
    kept: bool,
    /// dropped to end the connection
    _stays: oneshot::Sender<()>,
}

impl Seats {
    pub fn new(limits: Limits) -> Self {
        Self { limits, taken: HashMap::new(), last: 0 }
    }

    /// A seat for a connection of `peer`, with what ends when the connection has to. `None` where every seat is kept.
    pub fn admit(&mut self, peer: Peer, now: Instant) -> Option<(u64, oneshot::Receiver<()>)> {
        let full = self.taken.len() >= self.limits.in_all;
        if self.taken.values().filter(|seat| seat.peer == peer).count() >= self.limits.of_a_peer {
            self.evict(Some(peer)).then_some(())?;
        } else if full {
            self.evict(None).then_some(())?;
        }
        let (stays, ends) = oneshot::channel();
        self.last += 1;
        self.taken.insert(self.last, Seat { peer, moved: now, kept: false, _stays: stays });
        Some((self.last, ends))
    }

    pub fn moved(&mut self, id: u64, now: Instant) {
        if let Some(seat) = self.taken.get_mut(&id) {
            seat.moved = now;
        }
    }

    pub fn keep(&mut self, id: u64, kept: bool) {
        if let Some(seat) = self.taken.get_mut(&id) {
            seat.kept = kept;
        }
    }

    pub fn leave(&mut self, id: u64) {
        self.taken.remove(&id);
    }

    /// Ends a connection of `peer`, or one of the peer that has the most: the one that was still for the longest time.
    pub fn evict(&mut self, peer: Option<Peer>) -> bool {
        let mut counts = HashMap::<Peer, usize>::new();
        for seat in self.taken.values() {
            *counts.entry(seat.peer).or_default() += 1;
        }
        let mut may_go: Vec<_> =
            self.taken.iter().filter(|(_, seat)| !seat.kept && peer.is_none_or(|peer| peer == seat.peer)).collect();
        may_go.sort_by_key(|(id, seat)| (Reverse(counts[&seat.peer]), seat.moved, **id));
        let Some(&(&id, _)) = may_go.first() else { return false };
        self.taken.remove(&id);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: Limits = Limits { in_all: 8, of_a_peer: 4 };

    fn peer(n: u8) -> Peer {
        Peer::of([10, 0, 0, n].into())
    }

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn ended(ends: &mut oneshot::Receiver<()>) -> bool {
        ends.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    /// A limit that refuses the newcomer fails this, and so does one that ends the youngest or a moving connection.
    #[test]
    fn the_stillest_connection_of_a_peer_makes_room() {
        let (mut seats, start) = (Seats::new(LIMITS), Instant::now());
        let mut all: Vec<_> = (0..4).map(|n| seats.admit(peer(1), at(start, n)).unwrap()).collect();
        let mut other = seats.admit(peer(2), start).unwrap();
        seats.moved(all[0].0, at(start, 9));
        seats.admit(peer(1), at(start, 10)).unwrap();
        let gone: Vec<bool> = all.iter_mut().map(|(_, ends)| ended(ends)).collect();
        assert_eq!(gone, [false, true, false, false]);
        assert!(!ended(&mut other.1), "another peer's connections are its own");
    }

    /// Ending the stillest of all fails this: it may be the only one of its peer.
    #[test]
    fn the_peer_with_most_connections_makes_room() {
        let (mut seats, start) = (Seats::new(LIMITS), Instant::now());
        let mut alone = seats.admit(peer(1), start).unwrap();
        let mut three: Vec<_> = (0..3).map(|_| seats.admit(peer(2), at(start, 1)).unwrap()).collect();
        let mut four: Vec<_> = (0..4).map(|n| seats.admit(peer(3), at(start, 5 + n)).unwrap()).collect();
        let mut newcomer = seats.admit(peer(4), at(start, 20)).unwrap();
        assert!(ended(&mut four[0].1) && !ended(&mut four[1].1));
        assert!(!ended(&mut alone.1) && !ended(&mut newcomer.1) && !three.iter_mut().any(|(_, ends)| ended(ends)));
    }

    #[test]
    fn a_kept_connection_stays_and_leaves_its_seat() {
        let (mut seats, start) = (Seats::new(LIMITS), Instant::now());
        let mut kept: Vec<_> = (0..4).map(|n| seats.admit(peer(1), at(start, n)).unwrap()).collect();
        for (id, _) in &kept {
            seats.keep(*id, true);
        }
        assert!(seats.admit(peer(1), at(start, 10)).is_none());
        assert!(!kept.iter_mut().any(|(_, ends)| ended(ends)));
        seats.keep(kept[2].0, false);
        seats.admit(peer(1), at(start, 11)).unwrap();
        assert!(ended(&mut kept[2].1));
        seats.leave(kept[0].0);
        seats.admit(peer(1), at(start, 12)).unwrap();
        assert!(!ended(&mut kept[1].1));
    }

    /// Many peers with many connections each never exceed the whole, and the last to come is in.
    #[test]
    fn a_crowd_stays_within_the_limits() {
        let (mut seats, start) = (Seats::new(LIMITS), Instant::now());
        for n in 0..1000 {
            let mut newest = seats.admit(peer((n % 50) as u8), at(start, n)).unwrap();
            assert!(seats.taken.len() <= LIMITS.in_all && !ended(&mut newest.1));
        }
    }
}
