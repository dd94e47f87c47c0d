//! How long a connection may take for each of its parts.

use std::time::Duration;

/// Each is generous for a phone with a poor connection. Tests have shorter ones.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// from a connection to the end of its TLS handshake
    pub handshake: Duration,
    /// for the whole head of a request, counted from the connection or from the answer before
    pub head: Duration,
    /// for a body, from its head to its end
    pub body: Duration,
    /// between two pieces of a body
    pub piece: Duration,
    /// A connection ends on which nothing was read or written for so long.
    pub still: Duration,
    /// for the peer to read the last answer, after the connection has ended on this side
    pub last_words: Duration,
    /// before a wrong pairing code too many is answered
    pub wrong_code: Duration,
    /// for a page to get the engine: one that is loaded again comes before its former self is gone
    pub turn: Duration,
    /// for a page to take a reply
    pub reply: Duration,
    /// between two questions to a page whether it is there
    pub ping: Duration,
    /// for a page to say anything: it answers those questions
    pub silence: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(10),
            body: Duration::from_secs(60),
            piece: Duration::from_secs(15),
            still: Duration::from_secs(60),
            last_words: Duration::from_secs(5),
            wrong_code: Duration::from_secs(1),
            turn: Duration::from_secs(2),
            reply: Duration::from_secs(30),
            ping: Duration::from_secs(20),
            silence: Duration::from_secs(90),
        }
    }
}
