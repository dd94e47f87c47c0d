//! Who is at the other end of a connection, as far as limits tell peers apart.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The length of the network that one device of IPv6 has to itself, in bits (RFC 6177).
const NETWORK_BITS: u32 = 64;

/// What shares a limit: an address of IPv4, also where it comes mapped into IPv6 (`::ffff:a.b.c.d`), or a /64 network of
/// IPv6. Within its /64 a device takes as many addresses as it likes, so single ones would be no limit. The price is that
/// neighbours on one link share it, `fe80::/64` included; hence no limit of a peer may shut anybody out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(IpAddr);

impl Peer {
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::MAX << (Ipv6Addr::BITS - NETWORK_BITS);
                Ipv6Addr::from_bits(address.to_bits() & network).into()
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(network) => write!(f, "{network}/{NETWORK_BITS}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Peer;

    /// Addresses compared as they are fail the second half: a device of IPv6 would have 2^64 limits to itself.
    #[test]
    fn a_network_of_ipv6_is_one_peer_and_an_address_of_ipv4_is_one() {
        let peer = |text: &str| Peer::of(text.parse().unwrap());
        assert_ne!(peer("192.168.0.7"), peer("192.168.0.8"));
        assert_eq!(peer("::ffff:192.168.0.7"), peer("192.168.0.7"));
        assert_ne!(peer("::ffff:192.168.0.7"), peer("::ffff:192.168.0.8"));

        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:2:3:4"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_eq!(peer("fe80::1"), peer("fe80::2"));
        assert_eq!(peer("2001:db8::7").to_string(), "2001:db8::/64");
        assert_eq!(peer("::ffff:10.0.0.1").to_string(), "10.0.0.1");
    }
}
