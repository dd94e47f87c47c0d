//! A report in a link: its JSON, deflated (RFC 1951), as base64 for URLs (RFC 4648, 5). The whole report, since
//! intervals need the runs; what has no room is not put into a link.

use std::io::{Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use understory_protocol::{Error, MAX_LINK_CHARS, Result};

/// What such a part may become: a report has some four bytes for each of a link, what has a hundred is none.
const MOST_BYTES: u64 = 4 << 20;

/// `json` for a link; `None` where it has no room.
pub fn pack(json: &str) -> Option<String> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(json.as_bytes()).ok()?;
    let packed = URL_SAFE_NO_PAD.encode(encoder.finish().ok()?);
    (packed.len() <= MAX_LINK_CHARS).then_some(packed)
}

/// What [`pack`] was given. Nothing large is made before its size is known.
///
/// # Errors
/// [`Error::BadFile`]: too long, cut short, not from here, or larger than any report in a link.
pub fn unpack(name: &str, packed: &str) -> Result<Vec<u8>> {
    let bad = |reason: String| Error::BadFile { file: name.into(), reason };
    if packed.len() > MAX_LINK_CHARS {
        return Err(bad(format!("has {} characters; a report in a link has at most {MAX_LINK_CHARS}", packed.len())));
    }
    let advice = "Copy the whole link again, or ask for the file report.json";
    let bytes = URL_SAFE_NO_PAD
        .decode(packed)
        .map_err(|error| bad(format!("is no link with a report, or was cut short ({error}). {advice}")))?;
    let mut json = Vec::new();
    DeflateDecoder::new(&bytes[..])
        .take(MOST_BYTES + 1)
        .read_to_end(&mut json)
        .map_err(|error| bad(format!("is no link with a report, or was cut short ({error}). {advice}")))?;
    if json.len() as u64 > MOST_BYTES {
        return Err(bad(format!("becomes more than {MOST_BYTES} bytes: no report in a link does")));
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: &str = include_str!("../../../bench/runs/2026-11-22-lavapipe-2core-quick/report.json");

    #[test]
    fn a_quick_report_fits_and_comes_back() {
        let packed = pack(QUICK).expect("a report of `quick` has room in a link");
        assert!(packed.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
        assert_eq!(unpack("link", &packed).unwrap(), QUICK.as_bytes());
    }

    /// Inflating before looking at the size makes gigabytes of the first.
    #[test]
    fn what_is_too_large_or_broken_is_said_to_be() {
        let message = |packed: &str| unpack("link", packed).unwrap_err().to_string();
        let bomb = pack(&" ".repeat(40 << 20)).expect("white space takes no room");
        assert!(message(&bomb).contains("no report in a link does"), "{}", message(&bomb));
        let noise: String = (0..200_000_u64).map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        assert_eq!(pack(&noise), None);
        assert!(message(&"A".repeat(MAX_LINK_CHARS + 1)).contains("at most"));
        assert!(message("not base64!").contains("cut short"));
        // What is missing of a stream is missed by who reads the JSON.
        let packed = pack(QUICK).unwrap();
        assert!(unpack("link", &packed[..packed.len() / 2]).map_or(true, |json| json.len() < QUICK.len()));
    }
}
