//! `wordwrap`: lines of a length, broken as Python's `textwrap` breaks them.

use crate::args::{Args, flag, integer_or};
use crate::error::{Result, runtime};
use crate::interpreter::Interpreter;
use crate::methods;
use crate::value::Value;

pub(super) fn wordwrap(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let names = ["width", "break_long_words", "wrapstring", "break_on_hyphens"];
    let [width, long_words, wrap, hyphens] = args.bind("wordwrap", names, 0)?;
    let width = integer_or(width.as_ref(), 79, "wordwrap")?;
    let on = |flag_value: &Option<Value>| flag_value.is_none() || flag(flag_value.as_ref());
    let (long_words, hyphens) = (on(&long_words), on(&hyphens));
    let wrap = wrap.filter(|wrap| !matches!(wrap, Value::None)).unwrap_or_else(|| Value::str("\n"));
    let Some(wrap) = wrap.as_str() else { return runtime("wordwrap: wrapstring is a text") };
    let text = match &value {
        Value::Str(text) => text,
        Value::Undefined(undefined) => return undefined.fail(),
        other => return runtime(format!("wordwrap: a text is expected, not '{}'", other.type_name())),
    };
    let budget = &interpreter.budget;
    budget.alloc_n(text.len(), 24)?;
    let mut out = String::new();
    for (at, line) in methods::lines(text, false).into_iter().enumerate() {
        if width <= 0 {
            return runtime(format!("invalid width {width} (must be > 0)"));
        }
        let chars: Vec<char> = line.chars().collect();
        let width = crate::args::length(width);
        let wrapper = Wrapper { chars: &chars, width, long_words, hyphens };
        let lines = wrapper.lines();
        for (within, line) in lines.iter().enumerate() {
            if at > 0 && within == 0 || within > 0 {
                budget.alloc(wrap.len())?;
                out.push_str(wrap);
            }
            out.extend(*line);
        }
        if lines.is_empty() && at > 0 {
            budget.alloc(wrap.len())?;
            out.push_str(wrap);
        }
    }
    budget.text(out)
}

struct Wrapper<'a> {
    chars: &'a [char],
    width: usize,
    long_words: bool,
    hyphens: bool,
}

/// The white space of `textwrap`, which is ASCII's.
fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_letter(c: char) -> bool {
    is_word(c) && !crate::unicode::is_digit(c)
}

fn is_word_or_mark(c: char) -> bool {
    is_word(c) || "!\"'&.,?".contains(c)
}

impl Wrapper<'_> {
    fn at(&self, at: usize, is: fn(char) -> bool) -> bool {
        self.chars.get(at).copied().is_some_and(is)
    }

    /// Two or more hyphens at `at` with a word behind them: their end.
    fn dash(&self, at: usize) -> Option<usize> {
        let end = at + self.chars[at..].iter().take_while(|c| **c == '-').count();
        (end >= at + 2 && self.at(end, is_word)).then_some(end)
    }

    /// The end of the chunk that starts at `start`: blanks, a dash, or a word up to a place where it may break.
    fn chunk_end(&self, start: usize) -> usize {
        let run = |is: fn(char) -> bool| start + self.chars[start..].iter().take_while(|c| is(**c)).count();
        if is_blank(self.chars[start]) {
            return run(is_blank);
        }
        if !self.hyphens {
            return run(|c| !is_blank(c));
        }
        let before = |at: usize, back: usize, is: fn(char) -> bool| at >= back && self.at(at - back, is);
        if before(start, 1, is_word_or_mark)
            && let Some(end) = self.dash(start)
        {
            return end;
        }
        let mut at = start + 1;
        while at < self.chars.len() && !is_blank(self.chars[at]) {
            if self.chars[at] == '-' {
                let two_letters = before(at, 2, is_letter) && before(at, 1, is_letter);
                let hyphenated =
                    before(at, 3, is_letter) && self.chars[at - 2] == '-' && before(at, 1, is_word_or_mark);
                let next = if self.at(at + 2, |c| c == '-') { at + 3 } else { at + 2 };
                if (two_letters || hyphenated) && self.at(at + 1, is_letter) && self.at(next, is_letter) {
                    return at + 1;
                }
                if before(at, 1, is_word_or_mark) && self.dash(at).is_some() {
                    return at;
                }
            }
            at += 1;
        }
        at
    }

    fn lines(&self) -> Vec<&[char]> {
        let mut chunks = Vec::new();
        let mut at = 0;
        while at < self.chars.len() {
            let end = self.chunk_end(at);
            chunks.push((at, end));
            at = end;
        }
        let blank =
            |(start, end): &(usize, usize)| self.chars[*start..*end].iter().all(|c| crate::unicode::is_space(*c));
        let mut lines: Vec<&[char]> = Vec::new();
        let mut next = 0;
        while next < chunks.len() {
            if !lines.is_empty() && blank(&chunks[next]) {
                next += 1;
            }
            let Some((start, _)) = chunks.get(next).copied() else { break };
            let mut line = Vec::new();
            let mut len = 0;
            while let Some((from, to)) = chunks.get(next).copied().filter(|(from, to)| len + to - from <= self.width) {
                line.push((from, to));
                len += to - from;
                next += 1;
            }
            if let Some((from, to)) = chunks.get(next).copied().filter(|(from, to)| to - from > self.width) {
                if self.long_words {
                    let end = self.broken(from, to, self.width - len);
                    line.push((from, end));
                    chunks[next].0 = end;
                } else if line.is_empty() {
                    line.push((from, to));
                    next += 1;
                }
            }
            line.pop_if(|chunk| blank(chunk));
            if let Some((_, end)) = line.last() {
                lines.push(&self.chars[start..*end]);
            }
        }
        lines
    }

    /// Where a word that is longer than a line breaks with `room` left: behind a hyphen, if there is one.
    fn broken(&self, from: usize, to: usize, room: usize) -> usize {
        if self.hyphens && to - from > room {
            let hyphen = self.chars[from..from + room].iter().rposition(|c| *c == '-');
            if let Some(hyphen) = hyphen.filter(|hyphen| self.chars[from..from + hyphen].iter().any(|c| *c != '-')) {
                return from + hyphen + 1;
            }
        }
        from + room
    }
}
