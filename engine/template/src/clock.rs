//! `strftime_now`: the present in the user's time zone, in C's notation.

use jiff::Timestamp;
use jiff::civil::{DateTime, ISOWeekDate, Weekday};
use jiff::tz::Offset;

/// A local time and its distance from UTC.
struct Local {
    time: DateTime,
    offset: Offset,
}

/// The local date and time as `format` says.
pub(crate) fn strftime_now(format: &str) -> String {
    strftime(format, &now())
}

#[cfg(not(target_family = "wasm"))]
fn now() -> Local {
    let now = jiff::ZonedDateTime::now();
    Local { time: now.datetime(), offset: now.offset() }
}

/// A browser knows the current offset from UTC, which is all that the present needs: no time zone database is shipped.
#[cfg(target_family = "wasm")]
fn now() -> Local {
    use web_time::{SystemTime, UNIX_EPOCH};
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let offset_minutes = js_sys::Date::new_0().get_timezone_offset();
    local(since_epoch.as_secs() as i64, offset_minutes)
}

/// `unix_seconds` on clocks that are `offset_minutes` behind UTC, as JavaScript counts them.
#[cfg(any(test, target_family = "wasm"))]
fn local(unix_seconds: i64, offset_minutes: f64) -> Local {
    let offset = Offset::from_seconds((-offset_minutes * 60.0) as i32).unwrap_or(Offset::UTC);
    let time = offset.to_datetime(Timestamp::from_second(unix_seconds).unwrap_or_default());
    Local { time, offset }
}

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
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

/// In the locale C. `_`, `-`, `0` and `^` change the padding and the case as in glibc; a directive that nobody knows
/// stays as it is.
fn strftime(format: &str, at: &Local) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some(percent) = rest.find('%') {
        out.push_str(&rest[..percent]);
        rest = &rest[percent..];
        let flags = rest[1..].chars().take_while(|c| "_-0^#".contains(*c)).count();
        let modifier = usize::from(rest[1 + flags..].starts_with(['E', 'O']));
        let directive = 1 + flags + modifier;
        let Some(c) = rest[directive..].chars().next() else { break };
        let end = directive + c.len_utf8();
        match field(c, at) {
            Some(field) => out.push_str(&field.padded(&rest[1..1 + flags])),
            None => out.push_str(&rest[..end]),
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// What a directive shows.
enum Field {
    Text(String),
    /// with its width and what fills it
    Number(i64, usize, char),
}

impl Field {
    fn padded(self, flags: &str) -> String {
        match self {
            Self::Text(text) if flags.contains('^') => text.to_uppercase(),
            Self::Text(text) => text,
            Self::Number(value, width, fill) => {
                let fill = match flags.chars().rfind(|c| "_-0".contains(*c)) {
                    Some('-') => return value.to_string(),
                    Some('_') => ' ',
                    Some(_) => '0',
                    None => fill,
                };
                if fill == '0' { format!("{value:0width$}") } else { format!("{value:width$}") }
            }
        }
    }
}

fn field(directive: char, at: &Local) -> Option<Field> {
    let time = at.time;
    let text = |text: &str| Some(Field::Text(text.into()));
    let number = |value: i64, width: usize| Some(Field::Number(value, width, '0'));
    let spaced = |value: i64, width: usize| Some(Field::Number(value, width, ' '));
    let all = |format: &str| Some(Field::Text(strftime(format, at)));
    let sunday_based = i64::from(time.weekday().to_sunday_zero_offset());
    let monday_based = i64::from(time.weekday().to_monday_zero_offset());
    let day_of_year = i64::from(time.day_of_year());
    let hour = i64::from(time.hour());
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    let year = i64::from(time.year());
    let iso = ISOWeekDate::from(time.date());
    let day = DAYS[sunday_based as usize];
    let month = MONTHS[time.month() as usize - 1];
    match directive {
        'a' => text(&day[..3]),
        'A' => text(day),
        'b' | 'h' => text(&month[..3]),
        'B' => text(month),
        'c' => all("%a %b %e %H:%M:%S %Y"),
        'C' => number(year.div_euclid(100), 2),
        'd' => number(time.day().into(), 2),
        'D' | 'x' => all("%m/%d/%y"),
        'e' => spaced(time.day().into(), 2),
        // Python's own, which C does not have.
        'f' => number(i64::from(time.subsec_nanosecond()) / 1000, 6),
        'F' => all("%Y-%m-%d"),
        'g' => number(i64::from(iso.year()).rem_euclid(100), 2),
        'G' => Some(Field::Text(iso.year().to_string())),
        'H' => number(hour, 2),
        'I' => number(twelve, 2),
        'j' => number(day_of_year, 3),
        'k' => spaced(hour, 2),
        'l' => spaced(twelve, 2),
        'm' => number(time.month().into(), 2),
        'M' => number(time.minute().into(), 2),
        'n' => text("\n"),
        'p' => text(if hour < 12 { "AM" } else { "PM" }),
        'P' => text(if hour < 12 { "am" } else { "pm" }),
        'r' => all("%I:%M:%S %p"),
        'R' => all("%H:%M"),
        's' => {
            let seconds = at.offset.to_timestamp(time).map(Timestamp::as_second).unwrap_or_default();
            Some(Field::Text(seconds.to_string()))
        }
        'S' => number(time.second().into(), 2),
        't' => text("\t"),
        'T' | 'X' => all("%H:%M:%S"),
        'u' => number(if time.weekday() == Weekday::Sunday { 7 } else { sunday_based }, 1),
        'U' => number((day_of_year + 6 - sunday_based) / 7, 2),
        'V' => number(iso.week().into(), 2),
        'w' => number(sunday_based, 1),
        'W' => number((day_of_year + 6 - monday_based) / 7, 2),
        'y' => number(year.rem_euclid(100), 2),
        'Y' => Some(Field::Number(year, 1, '0')),
        // Python's `datetime.now()` has no zone, and so shows none.
        'z' | 'Z' => text(""),
        '%' => text("%"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Python's `datetime(2024, 2, 29, 13, 5, 9, 123456).strftime(..)` prints them in the locale C. A day of another
    /// week tells `%U`, `%W` and `%V` apart.
    #[test]
    fn dates_are_pythons() {
        let directives = "%a|%A|%w|%d|%-d|%b|%B|%m|%-m|%y|%Y|%H|%I|%-I|%p|%M|%S|%f|%z|%Z|%j|%U|%W|%c|%x|%X|%%|%G|%g|%u|%V|%e|%D|%F|%T|%R|%r|%h|%C|%k|%l|%P|%_d|%^a|%n%t";
        let at = |year, month, day, hour| {
            let date = jiff::civil::date(year, month, day);
            strftime(directives, &Local { time: date.at(hour, 5, 9, 123_456_000), offset: Offset::UTC })
        };
        assert_eq!(
            at(2024, 2, 29, 13),
            "Thu|Thursday|4|29|29|Feb|February|02|2|24|2024|13|01|1|PM|05|09|123456|||060|08|09|Thu Feb 29 13:05:09 2024|02/29/24|13:05:09|%|2024|24|4|09|29|02/29/24|2024-02-29|13:05:09|13:05|01:05:09 PM|Feb|20|13| 1|pm|29|THU|\n\t"
        );
        assert_eq!(
            at(2023, 1, 1, 0),
            "Sun|Sunday|0|01|1|Jan|January|01|1|23|2023|00|12|12|AM|05|09|123456|||001|01|00|Sun Jan  1 00:05:09 2023|01/01/23|00:05:09|%|2022|22|7|52| 1|01/01/23|2023-01-01|00:05:09|00:05|12:05:09 AM|Jan|20| 0|12|am| 1|SUN|\n\t"
        );
    }

    #[test]
    fn what_is_no_directive_stays() {
        let at = local(0, 0.0);
        for text in ["%", "%!", "100%", "%é", "a %-", "%_"] {
            assert_eq!(strftime(text, &at), text);
        }
        assert_eq!(strftime("%s", &at), "0");
    }

    /// `getTimezoneOffset` of India is -330 and of Newfoundland in winter 210. The other sign gives another day.
    #[test]
    fn a_browsers_offset_counts_westwards() {
        let evening = 1_709_233_200; // 2024-02-29 19:00 UTC
        assert_eq!(strftime("%F %T", &local(evening, -330.0)), "2024-03-01 00:30:00");
        assert_eq!(strftime("%F %T %s", &local(evening, 210.0)), "2024-02-29 15:30:00 1709233200");
    }

    /// Two zones that are 26 hours apart never have the same date: as UTC for everybody, they would.
    #[test]
    fn the_present_is_in_the_users_zone() {
        const CHILD: &str = "UNDERSTORY_TEST_PRINTS_DATE";
        if std::env::var_os(CHILD).is_some() {
            println!("today is {}.", strftime_now("%F"));
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
