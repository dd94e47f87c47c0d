//! From the spelling of tokens to text: the decoders of a tokenizer, one after the other, with a bound on what they make.

use tokenizers::decoders::strip::Strip;
use tokenizers::tokenizer::pattern::Pattern;
use tokenizers::{Decoder, DecoderWrapper};

use super::limits::grew_too_much;
use super::pattern::{self, Timed};

/// Decoders in the order in which they run. `None`: the tokens with spaces between them.
pub(super) struct Decoders(pub Option<Vec<Step>>);

pub(super) enum Step {
    Library(DecoderWrapper),
    /// every match by this text
    Replace(Timed, String),
}

impl Decoders {
    pub fn any(&self, is: fn(&DecoderWrapper) -> bool) -> bool {
        self.0.iter().flatten().any(|step| matches!(step, Step::Library(decoder) if is(decoder)))
    }

    /// # Errors
    /// The library's, or that the text grew beyond all measure.
    pub fn decode(&self, mut tokens: Vec<String>) -> Result<String, String> {
        let Some(steps) = &self.0 else { return Ok(tokens.join(" ")) };
        let bytes = |tokens: &[String]| tokens.iter().map(String::len).sum::<usize>();
        let given = bytes(&tokens);
        pattern::begin(given);
        for step in steps {
            // Some count down from the last token.
            if tokens.is_empty() {
                break;
            }
            tokens = match step {
                Step::Library(DecoderWrapper::Strip(strip)) => {
                    Ok(tokens.iter().map(|token| stripped(strip, token)).collect())
                }
                Step::Library(decoder) => decoder.decode_chain(tokens),
                Step::Replace(pattern, by) => tokens.iter().map(|token| replaced(pattern, by, token)).collect(),
            }
            .map_err(|error| error.to_string())?;
            if grew_too_much(given, bytes(&tokens)) {
                return Err("its decoders make too much text of its tokens".into());
            }
        }
        Ok(tokens.concat())
    }
}

fn replaced(pattern: &Timed, by: &str, token: &str) -> tokenizers::Result<String> {
    let part = |((start, end), matched)| if matched { by } else { &token[start..end] };
    Ok(pattern.find_matches(token)?.into_iter().map(part).collect())
}

/// `token` without up to `start` of `content` at its start and up to `stop` at its end. The library's own looks beyond the
/// beginning of a token that is shorter, or that consists of `content`.
fn stripped(strip: &Strip, token: &str) -> String {
    let mut rest = token;
    for _ in 0..strip.start {
        let Some(shorter) = rest.strip_prefix(strip.content) else { break };
        rest = shorter;
    }
    for _ in 0..strip.stop {
        let Some(shorter) = rest.strip_suffix(strip.content) else { break };
        rest = shorter;
    }
    rest.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The library panics on the last three.
    #[test]
    fn strip_takes_what_is_there() {
        let strip = |token| stripped(&Strip::new(' ', 1, 2), token);
        assert_eq!(["  a   ", " a", "a  ", " ", "   ", ""].map(strip), [" a ", "a", "a", "", "", ""]);
    }

    /// Each of the 40 doubles the text. Without a bound this fills the memory.
    #[test]
    fn decoders_that_double_a_text_come_to_an_end() {
        let component = serde_json::json!({ "pattern": { "String": "a" } });
        let double = || Step::Replace(Timed::of(component.as_object().unwrap()).unwrap(), "aa".into());
        assert!(Decoders(Some((0..40).map(|_| double()).collect())).decode(vec!["a".into()]).is_err());
        assert_eq!(Decoders(Some(vec![double(), double()])).decode(vec!["ab".into()]).unwrap(), "aaaab");
    }
}
