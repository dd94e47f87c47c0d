//! Addresses, and the rules of going from one to another.

use hyper::Uri;
use hyper::http::uri::Scheme;
use understory_protocol::foreign::shown;

/// An address of HTTP or HTTPS, with a host and without a user's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(Uri);

impl Address {
    /// # Errors
    /// Why `text` is no address, as a clause. The text is not in it: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|_| "is no address; expected https://HOST")?;
        let is_known = [Some(&Scheme::HTTPS), Some(&Scheme::HTTP)].contains(&uri.scheme());
        let host = uri.host().unwrap_or_default();
        if !is_known || host.is_empty() {
            return Err("is no address of HTTP; expected https://HOST".into());
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("holds a user's name; expected https://HOST without one".into());
        }
        Ok(Self(uri))
    }

    pub fn uri(&self) -> &Uri {
        &self.0
    }

    fn is_https(&self) -> bool {
        self.0.scheme() == Some(&Scheme::HTTPS)
    }

    fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    /// Whether scheme, host and port are the same: what credentials belong to.
    pub fn has_origin_of(&self, other: &Self) -> bool {
        let host = |address: &Self| address.0.host().unwrap_or_default().to_ascii_lowercase();
        self.is_https() == other.is_https() && self.port() == other.port() && host(self) == host(other)
    }

    /// Where a redirect to `location` leads.
    ///
    /// # Errors
    /// Why it is not followed, as a clause about the server.
    pub fn follow(&self, location: &str) -> Result<Self, String> {
        let next = Self::parse(&self.resolved(location))
            .map_err(|reason| format!("it redirects to what {reason}: `{}`", shown(without_query(location))))?;
        if self.is_https() && !next.is_https() {
            let host = shown(next.0.host().unwrap_or_default());
            return Err(format!("it redirects from https to http, to `{host}`"));
        }
        Ok(next)
    }

    /// `location` as an absolute address (RFC 3986, section 5.2, whose dot segments servers resolve themselves).
    fn resolved(&self, location: &str) -> String {
        let scheme = self.0.scheme_str().unwrap_or_default();
        let origin = format!("{scheme}://{}", self.0.authority().map_or("", |authority| authority.as_str()));
        let is_scheme = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
        };
        let path = self.0.path();
        if location.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme)) {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            origin + location
        } else if location.starts_with('?') {
            origin + path + location
        } else {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{origin}{folder}/{location}")
        }
    }
}

/// Queries of stores hold signatures.
fn without_query(address: &str) -> &str {
    address.split(['?', '#']).next().unwrap_or_default()
}

/// One component of a path or a query, with what has a meaning there escaped.
pub fn escaped(component: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    component.bytes().map(|b| if is_plain(b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    /// Comparing hosts alone fails this, and so does comparing texts.
    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let hub = address("https://hub.example/base");
        for same in ["https://hub.example", "https://HUB.example:443/x?y"] {
            assert!(address(same).has_origin_of(&hub), "{same}");
        }
        for other in
            ["http://hub.example", "https://hub.example:8443", "https://hub.example.evil", "http://hub.example:443"]
        {
            assert!(!address(other).has_origin_of(&hub), "{other}");
        }
    }

    #[test]
    fn redirects_are_relative_to_where_they_come_from() {
        let from = address("https://hub.example/o/n/resolve/main/a?x=1");
        for (location, expected) in [
            ("/api/b?y", "https://hub.example/api/b?y"),
            ("b", "https://hub.example/o/n/resolve/main/b"),
            ("?z", "https://hub.example/o/n/resolve/main/a?z"),
            ("//store.example/b", "https://store.example/b"),
            ("https://store.example:8443/b", "https://store.example:8443/b"),
        ] {
            assert_eq!(from.follow(location), Ok(address(expected)), "{location}");
        }
    }

    #[test]
    fn redirects_elsewhere_than_to_http_and_down_to_it_are_refused() {
        let https = address("https://hub.example/a");
        for location in [
            "http://hub.example/a",
            "file:///etc/passwd",
            "ftp://x/y",
            "javascript:x",
            "https://u:p@x/",
            "https:///x",
            "a b",
        ] {
            assert!(https.follow(location).is_err(), "{location}");
        }
        assert!(address("http://hub.example/a").follow("https://hub.example/a").is_ok());
        let long = https.follow(&format!("ftp://x/\u{1b}{}?secret", "y".repeat(9999))).unwrap_err();
        assert!(long.len() < 400 && !long.contains(['\u{1b}']) && !long.contains("secret"), "{long}");
    }

    #[test]
    fn components_are_escaped() {
        assert_eq!(escaped("refs/pr/1"), "refs%2Fpr%2F1");
        assert_eq!(escaped("model-1.safetensors~_"), "model-1.safetensors~_");
        assert_eq!(escaped("ä ?#%"), "%C3%A4%20%3F%23%25");
    }
}
