//! `strftime_now` of chat templates: today's date in the system prompt. In UTC, since no clock that we reach on
//! every target knows its time zone.

use web_time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// 1970-01-01 was a Thursday.
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

pub(super) fn strftime_now(format: String) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    strftime(&format, now.as_secs())
}

/// The common conversions of C's `strftime`; others stay as they are.
fn strftime(format: &str, unix_seconds: u64) -> String {
    let (days, seconds) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let hour12 = (hour + 11) % 12 + 1;
    let (month_name, day_name) = (MONTHS[month as usize - 1], DAYS[(days % 7) as usize]);
    let mut out = String::new();
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut conversion = rest.next();
        // `%-d`: no padding
        let padded = conversion != Some('-');
        if !padded {
            conversion = rest.next();
        }
        let number = |value: u64| if padded { format!("{value:02}") } else { value.to_string() };
        out.push_str(&match conversion {
            Some('Y') => year.to_string(),
            Some('y') => number(year % 100),
            Some('m') => number(month),
            Some('d') => number(day),
            Some('H') => number(hour),
            Some('I') => number(hour12),
            Some('M') => number(minute),
            Some('S') => number(second),
            Some('p') => (if hour < 12 { "AM" } else { "PM" }).into(),
            Some('B') => month_name.into(),
            Some('b' | 'h') => month_name[..3].into(),
            Some('A') => day_name.into(),
            Some('a') => day_name[..3].into(),
            Some('F') => format!("{year}-{month:02}-{day:02}"),
            Some('T') => format!("{hour:02}:{minute:02}:{second:02}"),
            Some('%') => "%".into(),
            Some(other) => format!("%{}{other}", if padded { "" } else { "-" }),
            None => "%".into(),
        });
    }
    out
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01: years that begin in March end with the
/// leap day (H. Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::strftime;

    /// As Python's `datetime.fromtimestamp(s, UTC).strftime(..)` prints them.
    #[test]
    fn dates_are_pythons() {
        let format = "%A %a %d %-d %B %b %m %Y %y %H:%M:%S %I %p %F %T %% %q";
        assert_eq!(
            strftime(format, 0),
            "Thursday Thu 01 1 January Jan 01 1970 70 00:00:00 12 AM 1970-01-01 00:00:00 % %q"
        );
        assert_eq!(
            strftime(format, 1_709_211_599),
            "Thursday Thu 29 29 February Feb 02 2024 24 12:59:59 12 PM 2024-02-29 12:59:59 % %q"
        );
        assert_eq!(
            strftime(format, 4_107_542_400),
            "Monday Mon 01 1 March Mar 03 2100 00 00:00:00 12 AM 2100-03-01 00:00:00 % %q"
        );
    }
}
