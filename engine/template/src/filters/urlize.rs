//! `urlize`: addresses in a text as links.

use crate::args::{Args, flag, integer};
use crate::error::{Result, runtime};
use crate::interpreter::Interpreter;
use crate::repr::to_str;
use crate::unicode::is_space;
use crate::value::Value;

use super::html::escaped;

struct Link {
    /// attributes behind the address
    attributes: String,
    longest: Option<usize>,
}

pub(super) fn urlize(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let names = ["trim_url_limit", "nofollow", "target", "rel", "extra_schemes"];
    let [longest, nofollow, target, rel, schemes] = args.bind("urlize", names, 0)?;
    let given = |value: Option<Value>| value.filter(|value| !matches!(value, Value::None));
    let longest = given(longest).map(|longest| integer(&longest, "urlize")).transpose()?.map(crate::args::length);
    let rel = given(rel);
    let mut parts: Vec<&str> = rel.as_ref().and_then(Value::as_str).unwrap_or_default().split_whitespace().collect();
    if flag(nofollow.as_ref()) {
        parts.push("nofollow");
    }
    parts.push("noopener");
    parts.sort_unstable();
    parts.dedup();
    let budget = &interpreter.budget;
    let mut attributes = format!(" rel=\"{}\"", escaped(budget, &parts.join(" "))?);
    if let Some(target) = given(target) {
        let target = to_str(budget, &target)?;
        attributes += &format!(" target=\"{}\"", escaped(budget, target.as_str().unwrap_or_default())?);
    }
    let schemes = match given(schemes) {
        Some(schemes) => interpreter.iterate(&schemes)?,
        None => Vec::new(),
    };
    let schemes: Vec<&str> = schemes.iter().filter_map(Value::as_str).collect();
    if let Some(wrong) = schemes.iter().find(|scheme| !is_scheme(scheme)) {
        return runtime(format!("'{wrong}' is not a valid URI scheme prefix."));
    }
    let link = Link { attributes, longest };
    let budget = &interpreter.budget;
    let text = to_str(budget, &value)?;
    let text = escaped(budget, text.as_str().unwrap_or_default())?;
    let mut out = String::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let word = rest.find(is_space).unwrap_or(rest.len());
        budget.step(10 + word as u64 / 4)?;
        let linked = link.word(&rest[..word], &schemes);
        let space = rest[word..].find(|c| !is_space(c)).unwrap_or(rest.len() - word);
        budget.alloc(linked.len() + space)?;
        out.push_str(&linked);
        out.push_str(&rest[word..word + space]);
        rest = &rest[word + space..];
    }
    budget.marked(out, interpreter.autoescape)
}

fn is_scheme(scheme: &str) -> bool {
    let Some((name, rest)) = scheme.split_once(':') else { return false };
    name.chars().count() >= 2
        && name.chars().all(|c| c.is_alphanumeric() || "_.+-".contains(c))
        && matches!(rest, "" | "/" | "//")
}

impl Link {
    fn word(&self, word: &str, schemes: &[&str]) -> String {
        let mut start = 0;
        while let Some(open) = ["(", "<", "&lt;"].into_iter().find(|open| word[start..].starts_with(*open)) {
            start += open.len();
        }
        let (head, rest) = word.split_at(start);
        let mut end = rest.len();
        while let Some(close) =
            [")", ">", ".", ",", "\n", "&gt;"].into_iter().find(|close| rest[..end].ends_with(*close))
        {
            end -= close.len();
        }
        let (middle, tail) = rest.split_at(end);
        let (mut middle, mut tail) = (middle.to_owned(), tail);
        for (open, close) in [("(", ")"), ("<", ">"), ("&lt;", "&gt;")] {
            let opened = middle.matches(open).count();
            if opened <= middle.matches(close).count() {
                continue;
            }
            for _ in 0..opened.min(tail.matches(close).count()) {
                let Some(at) = tail.find(close) else { break };
                let (moved, left) = tail.split_at(at + close.len());
                middle.push_str(moved);
                tail = left;
            }
        }
        let mail = middle.strip_prefix("mailto:");
        let linked = if is_address(&middle) {
            let scheme = if middle.starts_with("https://") || middle.starts_with("http://") { "" } else { "https://" };
            format!("<a href=\"{scheme}{middle}\"{}>{}</a>", self.attributes, self.trimmed(&middle))
        } else if let Some(mail) = mail.filter(|mail| is_mail(mail)) {
            format!("<a href=\"{middle}\">{mail}</a>")
        } else if !middle.starts_with("www.") && !middle.starts_with('@') && !middle.contains(':') && is_mail(&middle) {
            format!("<a href=\"mailto:{middle}\">{middle}</a>")
        } else if schemes.iter().any(|scheme| middle != *scheme && middle.starts_with(scheme)) {
            format!("<a href=\"{middle}\"{}>{middle}</a>", self.attributes)
        } else {
            middle
        };
        format!("{head}{linked}{tail}")
    }

    fn trimmed(&self, text: &str) -> String {
        match self.longest.and_then(|longest| text.char_indices().nth(longest)) {
            Some((at, _)) => format!("{}...", &text[..at]),
            None => text.to_owned(),
        }
    }
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || "_%-".contains(c)
}

/// A web address: with a scheme or `www.` any host, else one under a well-known top-level domain.
fn is_address(text: &str) -> bool {
    let lower = text.to_lowercase();
    let scheme = ["https://", "http://"].into_iter().find_map(|scheme| lower.strip_prefix(scheme));
    let rest = scheme.or_else(|| lower.strip_prefix("www.")).unwrap_or(&lower);
    let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let mut host = &rest[..host_end];
    if scheme.is_some() && host.starts_with('[') {
        return host.find(']').is_some_and(|end| {
            host[1..end].contains(':') && host[1..end].chars().all(|c| c.is_ascii_hexdigit() || c == ':')
        });
    }
    if let Some((name, port)) = host.rsplit_once(':') {
        if port.is_empty() || port.len() > 5 || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return false;
        }
        host = name;
    }
    let labels: Vec<&str> = host.split('.').collect();
    let Some((top, below)) = labels.split_last() else { return false };
    if below.iter().any(|label| label.is_empty() || !label.chars().all(is_name_char)) {
        return false;
    }
    if scheme.is_some() || lower.starts_with("www.") {
        let idna = top.strip_prefix("xn--").is_some_and(|rest| (2..=59).contains(&rest.chars().count()));
        let domain = (2..=63).contains(&top.len()) && top.bytes().all(|byte| byte.is_ascii_lowercase());
        let number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        return idna || domain || scheme.is_some() && labels.len() == 4 && labels.iter().all(number);
    }
    let known = matches!(*top, "com" | "net" | "int" | "edu" | "gov" | "org" | "info" | "mil");
    known && !below.is_empty() && below.iter().all(|label| (2..=63).contains(&label.chars().count()))
}

fn is_mail(text: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices('@').any(|(at, _)| {
        let (name, host) = (&text[..at], &text[at + 1..]);
        let Some((host, top)) = host.rsplit_once('.') else { return false };
        !name.is_empty()
            && host.starts_with(word)
            && host.chars().all(|c| word(c) || ".-".contains(c))
            && !top.is_empty()
            && top.chars().all(word)
    })
}
