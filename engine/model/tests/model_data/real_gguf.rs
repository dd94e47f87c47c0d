//! Published GGUF models: the ids that transformers gives, through the tokenizers in the files.

use std::time::Instant;

use understory_model::chat::{ChatTemplate, Conversation};
use understory_model::config::ModelConfig;
use understory_model::files::FolderFiles;
use understory_model::tokenizer::Tokenizer;
use understory_model::weights::ModelWeights;

use super::gguf_models::real::{self, GEMMA3, Model, SMOLLM2, golden};

fn check(model: &Model) -> Option<(FolderFiles, Tokenizer)> {
    let files = FolderFiles::open(model.get()?).unwrap();
    let start = Instant::now();
    let config = ModelConfig::from_files(&files).unwrap();
    let configured = start.elapsed();
    let tokenizer = Tokenizer::from_files(&files, &config).unwrap();
    let read = start.elapsed();
    let weights = ModelWeights::open(&files, &config).unwrap();
    println!("{}: configuration {configured:?}, with tokenizer {read:?}, all {:?}", model.file, start.elapsed());
    for case in model.golden() {
        let text = case["text"].as_str().unwrap();
        assert_eq!(tokenizer.encode(text, true).unwrap(), real::ids(&case, "token_ids"), "{text}");
    }
    for slot in weights.slots() {
        let mut values = Vec::new();
        weights.read_rows(slot, 0..1, &mut values).unwrap();
        assert!(values.iter().all(|value| value.is_finite()), "{slot:?}");
    }
    Some((files, tokenizer))
}

#[test]
fn smollm2_is_read() {
    let Some((files, tokenizer)) = check(&SMOLLM2) else { return };
    let template = ChatTemplate::from_files(&files).unwrap().unwrap();
    for case in golden("smollm2.chat.json") {
        let messages = case["messages"].as_array().unwrap().iter().map(|message| understory_protocol::ChatMessage {
            role: message["role"].as_str().unwrap().into(),
            content: message["content"].as_str().unwrap().into(),
        });
        let conversation = Conversation::from_messages(&messages.collect::<Vec<_>>(), true).unwrap();
        let text = template.render(&conversation, &|| false).unwrap();
        assert_eq!(tokenizer.encode(&text, false).unwrap(), real::ids(&case, "token_ids"), "{text}");
    }
}

#[test]
fn gemma3_is_read() {
    let Some((files, tokenizer)) = check(&GEMMA3) else { return };
    assert!(ChatTemplate::from_files(&files).unwrap().is_none());
    // What has no token is spelled in bytes.
    let text = " two  spaces\n\t\u{10FFFF}<start_of_turn>";
    let ids = tokenizer.encode(text, false).unwrap();
    assert_eq!(tokenizer.decode(&ids).unwrap(), text.replace("<start_of_turn>", ""));
}
