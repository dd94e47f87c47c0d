//! Who may ask. A browser lets any site send requests to this computer, also under a name of the site's own that leads
//! here (DNS rebinding). So a request must name this server by one of its own names, and one that a page makes must
//! come from a page that was served here.

use axum::http::{HeaderMap, StatusCode, header};
use understory_protocol::foreign::shown;

/// The names under which this server may be addressed.
pub struct Names {
    /// what `--host` says, which may be a name of the network
    host: String,
    /// Any address is one: which of them lead here is not known, and no rebinding comes under an address.
    remote: bool,
}

impl Names {
    pub fn new(host: &str, remote: bool) -> Self {
        Self { host: host.to_ascii_lowercase(), remote }
    }

    /// # Errors
    /// The status and the words to refuse the request with.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), (StatusCode, String)> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(header::HOST).unwrap_or_default().to_ascii_lowercase();
        if !self.knows(name_of(&host)) {
            let message = format!(
                "this server does not answer to the name `{}`; open it under the address that `understory serve` printed\n",
                shown(&host)
            );
            return Err((StatusCode::MISDIRECTED_REQUEST, message));
        }
        match headers.get(header::ORIGIN) {
            None => Ok(()),
            Some(_) if text(header::ORIGIN).is_some_and(|origin| is_same(origin, &host)) => Ok(()),
            Some(origin) => {
                let origin = shown(&format!("{origin:?}"));
                let message = format!("a page of {origin} may not use this server: expected one that it served\n");
                Err((StatusCode::FORBIDDEN, message))
            }
        }
    }

    /// Ports are not compared: behind a forwarded one (`ssh -L`) the browser knows another.
    fn knows(&self, name: &str) -> bool {
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let address = bare.parse::<std::net::IpAddr>().ok();
        name == "localhost"
            || name == self.host
            || address.is_some_and(|address| self.remote || address.is_loopback())
            || address.is_some() && bare == self.host
    }
}

/// `Host` without the port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    }
}

/// Whether `Origin` is the site that `Host` names. The scheme may differ: something may speak TLS before this server.
fn is_same(origin: &str, host: &str) -> bool {
    origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(names: &Names, host: Option<&str>, origin: Option<&str>) -> u16 {
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
            if let Some(value) = value {
                headers.insert(name, value.parse().unwrap());
            }
        }
        names.check(&headers).map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    /// Tried and caught: `starts_with` for the name, a missing name let through, origins compared by their end.
    #[test]
    fn only_its_own_names_are_answered() {
        let names = Names::new("127.0.0.1", false);
        for host in ["127.0.0.1:8190", "localhost:8190", "LOCALHOST", "[::1]:8190", "localhost:9000"] {
            assert_eq!(status(&names, Some(host), None), 200, "{host}");
        }
        let others = ["evil.example:8190", "127.0.0.1.evil.example", "localhost.evil.example", "192.168.0.7:8190", ""];
        for host in others {
            assert_eq!(status(&names, Some(host), None), 421, "{host}");
        }
        assert_eq!(status(&names, None, None), 421);
    }

    #[test]
    fn the_network_may_use_addresses_and_the_given_name() {
        let names = Names::new("Box.Example", true);
        for host in ["192.168.0.7:8190", "box.example:8190", "[fe80::1]:8190", "localhost"] {
            assert_eq!(status(&names, Some(host), None), 200, "{host}");
        }
        assert_eq!(status(&names, Some("other.example:8190"), None), 421);
    }

    #[test]
    fn a_page_must_come_from_here() {
        let names = Names::new("127.0.0.1", false);
        let from = |origin| status(&names, Some("localhost:8190"), Some(origin));
        assert_eq!(from("http://localhost:8190"), 200);
        assert_eq!(from("https://LOCALHOST:8190"), 200);
        for origin in
            ["http://localhost:3000", "http://evil.example", "null", "http://evil.localhost:8190", "localhost"]
        {
            assert_eq!(from(origin), 403, "{origin}");
        }
    }
}
