//! Which addresses are the public internet, by IANA's special-purpose registries (RFC 6890 and its updates), and ranges
//! that an operator writes. Owns the judgement of an address. Never enters: names.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address that hides an IPv4 one (`::ffff:a.b.c.d`) as that one.
pub fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Why an address is not dialled unless it is allowed; `None` for the public internet.
pub fn refusal(address: IpAddr) -> Option<&'static str> {
    match unmapped(address) {
        IpAddr::V4(v4) => refusal_v4(v4),
        IpAddr::V6(v6) => refusal_v6(v6),
    }
}

fn refusal_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = address.octets();
    Some(match (a, b, c) {
        (0, ..) => "is of 0.0.0.0/8, this host (RFC 791)",
        (127, ..) => "is a loopback address",
        (169, 254, _) => "is link-local; cloud metadata services live there",
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => "is of a private range (RFC 1918)",
        (100, 64..=127, _) => "is of the shared range of carriers (RFC 6598)",
        (192, 0, 0) => "is of an IETF protocol range (RFC 6890)",
        (192, 0, 2) | (198, 51, 100) | (203, 0, 113) => "is of a documentation range (RFC 5737)",
        (198, 18..=19, _) => "is of the benchmarking range (RFC 2544)",
        (192, 88, 99) => "is of the retired 6to4 relay range (RFC 7526)",
        (224..=239, ..) => "is a multicast address",
        (240..=255, ..) => "is reserved or the broadcast address",
        _ => return None,
    })
}

fn refusal_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    // Addresses that carry an IPv4 one are judged by it: a gateway would dial that one.
    let embedded = match segments {
        // NAT64 (RFC 6052).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => Some(join(high, low)),
        // IPv4-compatible (RFC 4291, retired), but for :: and ::1.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 || low > 1 => Some(join(high, low)),
        _ => None,
    };
    if let Some(v4) = embedded {
        return refusal_v4(v4).or(Some("carries an IPv4 address, which a gateway would dial"));
    }
    Some(match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => "is the unspecified address",
        [0, 0, 0, 0, 0, 0, 0, 1] => "is the loopback address",
        [0x64, 0xff9b, 1, ..] => "is of the local NAT64 range (RFC 8215)",
        [0x100, 0, 0, 0, ..] => "is of the discard range (RFC 6666)",
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => "is of a documentation range (RFC 3849, 9637)",
        [0x2001, 0..=0x1ff, ..] => "is of an IETF protocol range (RFC 2928; Teredo too)",
        [0xfc00..=0xfdff, ..] => "is a unique local address (RFC 4193)",
        [0xfe80..=0xfebf, ..] => "is link-local",
        [0xfec0..=0xfeff, ..] => "is site-local (RFC 3879)",
        [0xff00..=0xffff, ..] => "is a multicast address",
        [0x2000..=0x3fff, ..] => return None,
        _ => "is outside the global unicast range",
    })
}

fn join(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

/// Addresses with a common prefix, such as `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    address: IpAddr,
    prefix_bits: u8,
}

/// Text that is neither an address nor a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeParseError;

impl fmt::Display for RangeParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("reading a range of addresses: write an address, or a range such as 10.0.0.0/8")
    }
}

impl Range {
    /// Whether `address` lies inside. The two families are apart.
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = u32::from(self.prefix_bits);
        match (self.address, unmapped(address)) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let difference = u32::from(own) ^ u32::from(other);
                difference.checked_shr(32 - bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let difference = u128::from(own) ^ u128::from(other);
                difference.checked_shr(128 - bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Range {
    type Err = RangeParseError;

    fn from_str(text: &str) -> Result<Range, RangeParseError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| RangeParseError)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| RangeParseError)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = bits.unwrap_or(most);
        if prefix_bits > most {
            return Err(RangeParseError);
        }
        Ok(Range { address, prefix_bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_their_prefix_says() {
        for (range, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("192.168.1.7", "192.168.1.7", true),
            ("192.168.1.7", "192.168.1.6", false),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
            ("::/0", "fe80::1", true),
        ] {
            let range: Range = range.parse().unwrap();
            assert_eq!(range.contains(address.parse().unwrap()), inside, "{address}");
        }
        for bad in ["10.0.0.0/33", "10.0.0/8", "a", "", "::/129", "10.0.0.0/-1"] {
            assert_eq!(bad.parse::<Range>(), Err(RangeParseError), "{bad}");
        }
    }
}
