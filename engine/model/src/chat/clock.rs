//! `strftime_now` of chat templates: today's date in the system prompt, in the user's time zone.

use jiff::civil::DateTime;
use jiff::fmt::strtime::{BrokenDownTime, Config};

/// The local date and time in C's `strftime` notation.
pub(super) fn strftime_now(format: String) -> String {
    strftime(&format, now())
}

#[cfg(not(target_family = "wasm"))]
fn now() -> DateTime {
    jiff::ZonedDateTime::now().datetime()
}

/// A browser knows the current offset from UTC, which is all that the present needs: no time zone database is shipped.
#[cfg(target_family = "wasm")]
fn now() -> DateTime {
    use web_time::{SystemTime, UNIX_EPOCH};
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let offset_minutes = js_sys::Date::new_0().get_timezone_offset();
    local(since_epoch.as_secs() as i64, offset_minutes)
}

/// `unix_seconds` on clocks that are `offset_minutes` behind UTC, as JavaScript counts them.
#[cfg(any(test, target_family = "wasm"))]
fn local(unix_seconds: i64, offset_minutes: f64) -> DateTime {
    let seconds = unix_seconds - (offset_minutes * 60.0) as i64;
    let instant = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    jiff::tz::Offset::UTC.to_datetime(instant)
}

/// Conversions that are unknown stay as they are.
fn strftime(format: &str, at: DateTime) -> String {
    let mut out = String::new();
    let config = Config::new().lenient(true);
    match BrokenDownTime::from(at).format_with_config(&config, format, &mut out) {
        Ok(()) => out,
        Err(_) => format.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Python's `datetime.fromtimestamp(s, UTC).strftime(..)` prints them.
    #[test]
    fn dates_are_pythons() {
        let format = "%A %a %d %-d %B %b %m %Y %y %H:%M:%S %I %p %F %T %% %!";
        let at = |unix_seconds| strftime(format, local(unix_seconds, 0.0));
        assert_eq!(at(0), "Thursday Thu 01 1 January Jan 01 1970 70 00:00:00 12 AM 1970-01-01 00:00:00 % %!");
        assert_eq!(
            at(1_709_211_599),
            "Thursday Thu 29 29 February Feb 02 2024 24 12:59:59 12 PM 2024-02-29 12:59:59 % %!"
        );
        assert_eq!(at(4_107_542_400), "Monday Mon 01 1 March Mar 03 2100 00 00:00:00 12 AM 2100-03-01 00:00:00 % %!");
        assert_eq!(strftime("%", local(0, 0.0)), "%");
    }

    /// `getTimezoneOffset` of India is -330 and of Newfoundland in winter 210. The other sign gives another day.
    #[test]
    fn a_browsers_offset_counts_westwards() {
        let evening = 1_709_233_200; // 2024-02-29 19:00 UTC
        assert_eq!(strftime("%F %T", local(evening, -330.0)), "2024-03-01 00:30:00");
        assert_eq!(strftime("%F %T", local(evening, 210.0)), "2024-02-29 15:30:00");
    }

    /// Two zones that are 26 hours apart never have the same date: as UTC for everybody, they would.
    #[test]
    fn the_present_is_in_the_users_zone() {
        const CHILD: &str = "UNDERSTORY_TEST_PRINTS_DATE";
        if std::env::var_os(CHILD).is_some() {
            println!("today is {}.", strftime_now("%F".into()));
            return;
        }
        let date_in = |zone: &str| {
            let mut child = std::process::Command::new(std::env::current_exe().expect("this test"));
            child.env(CHILD, "1").env("TZ", zone).args(["the_present_is_in_the_users_zone", "--nocapture"]);
            let output = String::from_utf8(child.output().expect("runs").stdout).expect("text");
            let (_, date) = output.split_once("today is ").expect("a date");
            date.split('.').next().expect("its end").to_owned()
        };
        assert_ne!(date_in("EAST-14"), date_in("WEST+12"));
    }
}
