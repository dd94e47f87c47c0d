//! What any build of the engine can tell of a measurement's surroundings: the date, a name for a run, the step of its
//! clock. What only a system or a browser knows comes from the front ends.

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

/// `2026-11-22T12:00:00Z`.
pub fn iso(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days to a date: Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days.
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// Time, scenario, and what tells apart two that began in the same second: `apart` is to differ between processes.
pub fn run_id(time: SystemTime, scenario: &str, apart: &str) -> String {
    let nanos = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let apart = hash::of_text(&format!("{nanos} {apart}"));
    format!("{}-{scenario}-{}", iso(time).replace(':', "-"), &apart[..8])
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
    }
}
