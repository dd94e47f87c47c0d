//! What waits for the engine's thread, and what that thread does now. Code that a stranger's model drives can hang, and no
//! thread can be ended from outside. So one that goes on with a request that was told to end is given up: a new worker
//! takes the queue over, and the old one, should it ever come back, finds that it is not the worker any more.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use std::time::Instant;

use understory_protocol::Request;

use super::link::Link;
use super::locked;

pub enum Job {
    Request {
        id: u64,
        body: Box<Request>,
        link: Arc<Link>,
    },
    /// The page is gone: so is what it loaded.
    Gone,
}

/// What a worker is to do next.
pub enum Turn {
    Job(Job),
    /// nothing else than what it had put off
    Idle,
    /// to end
    End,
}

/// A request that a worker is at.
pub struct Running {
    pub id: u64,
    pub link: Arc<Link>,
    since: Instant,
}

#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    running: Option<Running>,
    /// the number of the thread whose queue this is; 0 is the first one's
    worker: u64,
    closed: bool,
}

impl Queue {
    /// Whether `job` will be done: not once the queue is closed.
    pub fn push(&self, job: Job) -> bool {
        let mut state = locked(&self.state);
        if !state.closed {
            state.waiting.push_back(job);
            self.changed.notify_all();
        }
        !state.closed
    }

    /// Waits for what `worker` is to do next; `None` where it is to end.
    pub fn next(&self, worker: u64) -> Option<Job> {
        let idle = |state: &mut State| state.worker == worker && !state.closed && state.waiting.is_empty();
        let state = locked(&self.state);
        let mut state = self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        if state.worker != worker || state.closed {
            return None;
        }
        let job = state.waiting.pop_front();
        if let Some(Job::Request { id, link, .. }) = &job {
            state.running = Some(Running { id: *id, link: Arc::clone(link), since: Instant::now() });
        }
        job
    }

    /// What `worker` is to do now, without waiting. Where that is nothing, it is at the request `put_off` until it says
    /// [`Self::done`].
    pub fn turn(&self, worker: u64, (id, link): (u64, &Arc<Link>)) -> Turn {
        let mut state = locked(&self.state);
        if state.worker != worker || state.closed {
            return Turn::End;
        }
        if state.waiting.is_empty() {
            state.running = Some(Running { id, link: Arc::clone(link), since: Instant::now() });
            return Turn::Idle;
        }
        drop(state);
        self.next(worker).map_or(Turn::End, Turn::Job)
    }

    /// `worker` has finished its request; whether it is the worker still.
    pub fn done(&self, worker: u64) -> bool {
        let mut state = locked(&self.state);
        let current = state.worker == worker;
        if current {
            state.running = None;
        }
        current
    }

    pub fn is_worker(&self, worker: u64) -> bool {
        locked(&self.state).worker == worker
    }

    pub fn runs_for(&self, link: &Arc<Link>) -> bool {
        locked(&self.state).running.as_ref().is_some_and(|running| Arc::ptr_eq(&running.link, link))
    }

    /// Takes the queue from a worker that has been at a request for `grace` after that was told to end. The request, and
    /// the number of the next worker.
    pub fn take_from_stuck(&self, grace: Duration) -> Option<(Running, u64)> {
        let mut state = locked(&self.state);
        let running = state.running.as_ref()?;
        let since = running.link.ends_since(running.id)?.max(running.since);
        if since.elapsed() < grace {
            return None;
        }
        let running = state.running.take()?;
        state.worker += 1;
        self.changed.notify_all();
        Some((running, state.worker))
    }

    /// Takes no more, and ends the worker after what it is at; what waited.
    pub fn close(&self) -> VecDeque<Job> {
        let mut state = locked(&self.state);
        state.closed = true;
        self.changed.notify_all();
        std::mem::take(&mut state.waiting)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn request(id: u64, link: &Arc<Link>) -> Job {
        link.expect(id).unwrap();
        Job::Request { id, body: Box::new(Request::Devices), link: Arc::clone(link) }
    }

    fn link() -> Arc<Link> {
        Arc::new(Link::new(mpsc::channel(8).0))
    }

    fn id(job: Option<Job>) -> Option<u64> {
        match job {
            Some(Job::Request { id, .. }) => Some(id),
            _ => None,
        }
    }

    /// Seen to fail here: a request that waits until all that was put off is done.
    #[test]
    fn what_was_put_off_gives_way_to_requests_and_is_watched() {
        let (queue, link) = (Queue::default(), link());
        let put_off = (7, &link);
        link.expect(7).unwrap();
        assert!(matches!(queue.turn(0, put_off), Turn::Idle));
        link.go();
        assert!(queue.take_from_stuck(Duration::ZERO).is_some_and(|(running, worker)| (running.id, worker) == (7, 1)));
        assert!(matches!(queue.turn(0, put_off), Turn::End));
        queue.push(request(2, &link));
        assert!(matches!(queue.turn(1, put_off), Turn::Job(Job::Request { id: 2, .. })));
        queue.close();
        assert!(matches!(queue.turn(1, put_off), Turn::End));
    }

    /// A replacement that loses what waits fails this, and one that lets the old worker answer.
    #[test]
    fn a_worker_that_does_not_end_loses_its_queue() {
        let (queue, link) = (Queue::default(), link());
        queue.push(request(1, &link));
        queue.push(request(2, &link));
        assert_eq!(id(queue.next(0)), Some(1));
        assert!(queue.take_from_stuck(Duration::ZERO).is_none(), "nobody told it to end");
        link.stop(2);
        assert!(queue.take_from_stuck(Duration::ZERO).is_none(), "another was");
        link.stop(1);
        assert!(queue.take_from_stuck(Duration::from_secs(3600)).is_none(), "it has not had its time");
        let (running, worker) = queue.take_from_stuck(Duration::ZERO).unwrap();
        assert_eq!((running.id, worker), (1, 1));
        assert!(!queue.is_worker(0) && !queue.done(0) && queue.next(0).is_none());
        assert_eq!(id(queue.next(1)), Some(2));
        assert!(queue.runs_for(&link) && queue.done(1) && !queue.runs_for(&link));
    }

    #[test]
    fn a_page_that_is_gone_ends_its_request_and_no_other() {
        let (queue, first, second) = (Queue::default(), link(), link());
        queue.push(request(1, &first));
        queue.push(request(1, &second));
        queue.next(0);
        second.go();
        assert!(queue.take_from_stuck(Duration::ZERO).is_none());
        first.go();
        assert!(queue.take_from_stuck(Duration::ZERO).is_some_and(|(running, _)| Arc::ptr_eq(&running.link, &first)));
    }

    #[test]
    fn a_closed_queue_takes_nothing_and_gives_back_what_waited() {
        let (queue, link) = (Queue::default(), link());
        queue.push(request(1, &link));
        assert_eq!(queue.close().len(), 1);
        assert!(!queue.push(request(2, &link)));
        assert!(queue.next(0).is_none());
    }
}
