//! A connection that ends: when nothing moves for too long, when its seat is needed, and last of all in good order. The
//! kernel resets a connection that is closed with bytes unread, and a reset takes with it the answer that the peer has not
//! read yet. So this side ends its own direction first, and reads on for a moment.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::deadlines::Deadlines;
use super::seats::Seats;

/// What is read and dropped at the end, in bytes: more than any message that is refused for its length.
const MOST_DROPPED: usize = 64 << 20;

/// A connection's seat, as long as it has one.
pub struct Seat {
    pub id: u64,
    pub seats: Arc<Mutex<Seats>>,
    pub ends: oneshot::Receiver<()>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        locked(&self.seats).leave(self.id);
    }
}

pub struct Stream {
    /// `None` once it is over
    open: Option<(TcpStream, Seat)>,
    still: Pin<Box<Sleep>>,
    deadlines: Deadlines,
    /// The peer has ended its direction, so no byte is left unread.
    ended: bool,
}

impl Stream {
    pub fn new(stream: TcpStream, seat: Seat, deadlines: Deadlines) -> Self {
        Self { open: Some((stream, seat)), still: Box::pin(sleep(deadlines.still)), deadlines, ended: false }
    }

    /// What `io` does, unless the connection is over.
    fn drive<T>(
        &mut self,
        cx: &mut Context<'_>,
        io: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Some((stream, seat)) = &mut self.open else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        };
        if Pin::new(&mut seat.ends).poll(cx).is_ready() {
            self.open = None;
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let done = io(Pin::new(stream), cx);
        match &done {
            Poll::Ready(Ok(_)) => {
                locked(&seat.seats).moved(seat.id, std::time::Instant::now());
                self.still.as_mut().reset(Instant::now() + self.deadlines.still);
            }
            Poll::Ready(Err(_)) => self.open = None,
            Poll::Pending if self.still.as_mut().poll(cx).is_ready() => {
                self.open = None;
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            Poll::Pending => {}
        }
        done
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some((stream, seat)) = self.open.take()
            && !self.ended
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(last_words(stream, seat, self.deadlines.last_words));
        }
    }
}

/// Ends this side's direction, and drops what still comes until the peer ends its own.
async fn last_words(mut stream: TcpStream, mut seat: Seat, patience: Duration) {
    let drop_rest = async {
        poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await?;
        let (mut left, mut bytes) = (MOST_DROPPED, vec![0; 16 << 10]);
        while left > 0 {
            stream.readable().await?;
            match stream.try_read(&mut bytes) {
                Ok(0) => break,
                Ok(read) => left = left.saturating_sub(read),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        io::Result::Ok(())
    };
    let mut drop_rest = pin!(timeout(patience, drop_rest));
    poll_fn(|cx| match Pin::new(&mut seat.ends).poll(cx) {
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => drop_rest.as_mut().poll(cx).map(drop),
    })
    .await;
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = self.drive(cx, |stream, cx| stream.poll_read(cx, buffer));
        if matches!(read, Poll::Ready(Ok(()))) && buffer.filled().len() == before && buffer.remaining() > 0 {
            self.ended = true;
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.drive(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.drive(cx, |stream, cx| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// A flush moves nothing: there is no buffer between this and the kernel.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.open {
            Some((stream, _)) => Pin::new(stream).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

pub fn locked(seats: &Mutex<Seats>) -> MutexGuard<'_, Seats> {
    seats.lock().unwrap_or_else(PoisonError::into_inner)
}
