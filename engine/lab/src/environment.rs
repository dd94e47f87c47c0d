//! What any build of the engine can tell of a measurement's surroundings: the date, a name for a run, the step of its
//! clock. What only a system or a browser knows comes from the front ends.

use jiff::Timestamp;
use web_time::{Instant, SystemTime, UNIX_EPOCH};

use understory_protocol::hash;

/// The smallest step of the clock that was seen.
pub fn clock_step_ms() -> Option<f64> {
    let steps = (0..2000).filter_map(|_| {
        let begin = Instant::now();
        (0..1000).map(|_| begin.elapsed()).find(|step| !step.is_zero())
    });
    steps.min().map(|step| step.as_secs_f64() * 1e3)
}

/// RFC 3339 in UTC, to the second: `2026-11-22T12:00:00Z`. What lies outside of the calendar is its beginning, 1970.
pub fn iso(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let moment = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    moment.unwrap_or_default().to_string()
}

/// Time, scenario, and a few digits for two runs that began in the same second: `nonce` has to differ between processes.
pub fn run_id(time: SystemTime, scenario: &str, nonce: &str) -> String {
    let nanos = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let digits = hash::of_text(&format!("{nanos} {nonce}"));
    format!("{}-{scenario}-{}", iso(time).replace(':', "-"), &digits[..8])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |seconds| iso(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(at(1_767_225_599), "2025-12-31T23:59:59Z");
        assert_eq!(at(u64::MAX / 2), at(0), "no date");
    }
}
