//! How a tokenizer of GPT-2's kind splits a text before its merges, by the name in `tokenizer.ggml.pre`. The table and the
//! expressions are those of `llama-vocab.cpp`; where a `tokenizer.json` of such models composes its text first (NFC), that
//! is done here too.

use serde_json::{Value as Json, json};
use understory_protocol::foreign::shown;

/// The name where a file has none.
pub(super) const WITHOUT_NAME: &str = "default";

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// One after the other.
const DEFAULT: [&str; 4] = [
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    r"[0-9][0-9][0-9]",
];

/// A way to split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PreTokenizer {
    Default,
    Gpt2,
    /// as GPT-2, its text composed: GPT-NeoX, Pythia, OLMo
    NeoX,
    /// as GPT-2, each digit alone
    Digits,
    Llama3,
    Qwen2,
}

const KNOWN: [(PreTokenizer, &[&str]); 6] = [
    (PreTokenizer::Default, &[WITHOUT_NAME]),
    (
        PreTokenizer::Gpt2,
        &["gpt-2", "gpt2", "phi-2", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "gigachat", "mellum", "jais"],
    ),
    (PreTokenizer::NeoX, &["olmo", "mpt"]),
    (PreTokenizer::Digits, &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"]),
    (
        PreTokenizer::Llama3,
        &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "dbrx",
            "smaug-bpe",
        ],
    ),
    (PreTokenizer::Qwen2, &["qwen2", "deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan"]),
];

impl PreTokenizer {
    /// # Errors
    /// What the name is, and which are known.
    pub fn named(name: &str) -> Result<Self, String> {
        let found = KNOWN.iter().find(|(_, names)| names.contains(&name));
        found.map(|(pre, _)| *pre).ok_or_else(|| {
            let known: Vec<&str> = KNOWN.iter().flat_map(|(_, names)| names.iter().copied()).collect();
            format!("the pre-tokenizer `{}` is not known; known: {}", shown(name), known.join(", "))
        })
    }

    /// Whether texts begin with a begin token where the file does not say.
    pub fn begins(self) -> bool {
        self == Self::Llama3
    }

    /// Whether a word that is a token is not taken apart.
    pub fn takes_whole_words(self) -> bool {
        self == Self::Llama3
    }

    pub fn is_composed(self) -> bool {
        matches!(self, Self::NeoX | Self::Qwen2)
    }

    /// As a `tokenizer.json` has it.
    pub fn section(self) -> Json {
        let split = |pattern: &str| json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false });
        let bytes = |use_regex: bool| json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex });
        let parts = match self {
            Self::Default => DEFAULT.into_iter().map(split).chain([bytes(false)]).collect(),
            // Of many words the library's own is quicker.
            Self::Gpt2 | Self::NeoX => vec![bytes(true)],
            Self::Digits => vec![json!({ "type": "Digits", "individual_digits": true }), bytes(true)],
            Self::Llama3 => vec![split(LLAMA3), bytes(false)],
            Self::Qwen2 => vec![split(QWEN2), bytes(false)],
        };
        json!({ "type": "Sequence", "pretokenizers": parts })
    }
}

#[cfg(test)]
mod tests {
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _};

    use super::PreTokenizer;
    use crate::tokenizer::parts;

    /// By hand from the expressions. Digits one by one in Llama 3 or in threes in Qwen2 fail this, as does a contraction in
    /// capitals that GPT-2 keeps together.
    #[test]
    fn texts_are_split_as_the_expressions_say() {
        let text = "It'S 12345\n\n x";
        let pieces = |name: &str| {
            let pre = parts::pre_tokenizers(&PreTokenizer::named(name).unwrap().section()).unwrap();
            let mut split = PreTokenizedString::from(text);
            pre.pre_tokenize(&mut split).unwrap();
            let offsets = split.get_splits(OffsetReferential::Original, OffsetType::Byte).into_iter();
            offsets.map(|(_, (from, to), _)| text[from..to].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(pieces("gpt-2"), ["It", "'", "S", " 12345", "\n\n", " x"]);
        assert_eq!(pieces("olmo"), pieces("gpt-2"));
        assert_eq!(pieces("smollm"), ["It", "'", "S", " ", "1", "2", "3", "4", "5", "\n\n", " x"]);
        assert_eq!(pieces("llama-bpe"), ["It", "'S", " ", "123", "45", "\n\n", " x"]);
        assert_eq!(pieces("qwen2"), ["It", "'S", " ", "1", "2", "3", "4", "5", "\n\n", " x"]);
        assert_eq!(pieces("default"), ["It", "'", "S", " ", "123", "45", "\n\n", " x"]);
    }
}
