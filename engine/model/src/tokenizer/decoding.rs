//! From the spelling of tokens to text: the decoders of a tokenizer, one after the other, with a bound on what they make.

use tokenizers::decoders::strip::Strip;
use tokenizers::{Decoder, DecoderWrapper};

use super::limits::grew_too_much;

/// Decoders in the order in which they run. `None`: the tokens with spaces between them.
pub(super) struct Decoders(pub Option<Vec<DecoderWrapper>>);

impl Decoders {
    pub fn any(&self, is: fn(&DecoderWrapper) -> bool) -> bool {
        self.0.iter().flatten().any(is)
    }

    /// # Errors
    /// The library's, or that the text grew beyond all measure.
    pub fn decode(&self, mut tokens: Vec<String>) -> Result<String, String> {
        let Some(decoders) = &self.0 else { return Ok(tokens.join(" ")) };
        let bytes = |tokens: &[String]| tokens.iter().map(String::len).sum::<usize>();
        let given = bytes(&tokens);
        for decoder in decoders {
            // Some count down from the last token.
            if tokens.is_empty() {
                break;
            }
            tokens = match decoder {
                DecoderWrapper::Strip(strip) => tokens.iter().map(|token| stripped(strip, token)).collect(),
                decoder => decoder.decode_chain(tokens).map_err(|error| error.to_string())?,
            };
            if grew_too_much(given, bytes(&tokens)) {
                return Err("its decoders make too much text of its tokens".into());
            }
        }
        Ok(tokens.concat())
    }
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
        let json = r#"{"type":"Replace","pattern":{"String":"a"},"content":"aa"}"#;
        let double = || serde_json::from_str::<DecoderWrapper>(json).unwrap();
        assert!(Decoders(Some((0..40).map(|_| double()).collect())).decode(vec!["a".into()]).is_err());
        assert_eq!(Decoders(Some(vec![double(), double()])).decode(vec!["ab".into()]).unwrap(), "aaaab");
    }
}
