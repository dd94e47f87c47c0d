//! The code that lets a device send a report: 128 bits from the system, anew with each run of the program. It stands in
//! the fragment of the URL, which browsers send to no server, and so in no log.
//!
//! The right code is taken at once, however many wrong ones came before, from the same address or from others: a device
//! behind the router of an attacker is not locked out. That is safe because the code is not to be guessed. There are 2^128
//! codes. A server that did nothing else could compare fewer than 2^30 a second, and a year has fewer than 2^25 seconds; so
//! an attacker with a whole year finds the code with a probability below 2^-73. The limits of wrong codes (see
//! [`limits`](super::limits)) bound what they cost: beyond them an answer waits, and nothing is written to the terminal.

use anyhow::{Result, anyhow};
use axum::http::{HeaderMap, header};
use subtle::ConstantTimeEq;
use tokio_rustls::rustls::crypto::ring;

pub struct Code(String);

impl Code {
    /// # Errors
    /// Where the system has no random numbers.
    pub fn new() -> Result<Self> {
        let mut bytes = [0; 16];
        let random = ring::default_provider().secure_random;
        random.fill(&mut bytes).map_err(|_| anyhow!("the system gives no random numbers for a pairing code"))?;
        Ok(Self(super::hex(&bytes)))
    }

    /// The page's address with the code, for one who is to have it.
    pub fn url(&self, authority: &str) -> String {
        format!("https://{authority}/#bench?pair={}", self.0)
    }

    /// Whether a request shows it: `Authorization: Bearer CODE`. How long this takes does not tell how much was right.
    pub fn is_shown(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        shown.is_some_and(|shown| shown.ct_eq(self.0.as_bytes()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_code_is_right() {
        let code = Code::new().unwrap();
        assert_eq!(code.0.len(), 32);
        assert_ne!(code.0, Code::new().unwrap().0);
        let shows = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            code.is_shown(&headers)
        };
        assert!(shows(&format!("Bearer {}", code.0)));
        assert!(!code.is_shown(&HeaderMap::new()));
        for wrong in ["", "Bearer ", &code.0, &format!("Bearer {}", &code.0[..31]), &format!("Bearer {}0", code.0)] {
            assert!(!shows(wrong), "{wrong}");
        }
    }
}
