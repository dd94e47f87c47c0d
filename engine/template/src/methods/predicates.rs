//! `str.isalpha` and its like.

use crate::unicode::{decimal_value, is_cased, is_digit, is_numeric, is_printable, is_space, is_titlecase};

/// `None`: no such method.
pub(super) fn holds(text: &str, name: &str) -> Option<bool> {
    let all = |is: fn(char) -> bool| !text.is_empty() && text.chars().all(is);
    let alphanumeric = |c: char| c.is_alphabetic() || is_numeric(c) || is_digit(c);
    Some(match name {
        "isalnum" => all(alphanumeric),
        "isalpha" => all(|c| c.is_alphabetic() && !c.is_numeric()),
        "isascii" => text.is_ascii(),
        "isdecimal" => all(|c| decimal_value(c).is_some()),
        "isdigit" => all(is_digit),
        "isidentifier" => {
            let mut chars = text.chars();
            let starts = chars.next().is_some_and(|c| c == '_' || c.is_alphabetic());
            starts && chars.all(|c| c == '_' || c.is_alphabetic() || decimal_value(c).is_some())
        }
        "islower" => is_case(text, char::is_lowercase),
        "isupper" => is_case(text, char::is_uppercase),
        "isnumeric" => all(is_numeric),
        "isprintable" => text.chars().all(is_printable),
        "isspace" => all(is_space),
        "istitle" => is_title(text),
        _ => return None,
    })
}

/// All letters that have a case have this one, and there are some.
fn is_case(text: &str, is: fn(char) -> bool) -> bool {
    text.chars().any(is_cased) && text.chars().filter(|c| is_cased(*c)).all(is)
}

fn is_title(text: &str) -> bool {
    let (mut within, mut any) = (false, false);
    for c in text.chars() {
        if c.is_uppercase() || is_titlecase(c) {
            if within {
                return false;
            }
            any = true;
        } else if c.is_lowercase() && !within {
            return false;
        }
        within = is_cased(c);
    }
    any
}
