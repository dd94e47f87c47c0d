//! `models/catalogue.json` against the architectures that the program knows: what an entry says of its model is true as
//! far as arithmetic can tell, and the program takes its name.

use understory_lab::position::kv_bytes_per_token;
use understory_lab::predict::{models, parameters};
use understory_model::config::ModelConfig;
use understory_model::quantised::BlockType;
use understory_model::repository::HubName;
use understory_protocol::KvDtype;
use understory_protocol::catalogue::{CONTEXT, CatalogueModel};

fn all() -> Vec<CatalogueModel> {
    serde_json::from_str(include_str!("../../../models/catalogue.json")).unwrap()
}

fn config(model: &CatalogueModel) -> ModelConfig {
    let shape = models::model(&model.shape).unwrap();
    shape.unwrap_or_else(|| panic!("{}: there is no shape {}", model.id, model.shape)).config().unwrap()
}

/// A name with a space or a part too many fails this, and a GGUF repository without one of its models.
#[test]
fn every_id_is_a_name_that_the_program_takes() {
    for model in all() {
        let name = HubName::parse(&model.id).unwrap_or_else(|| panic!("{} is no model's name", model.id));
        assert_eq!(name.to_string(), model.id);
        assert_eq!(name.repo, model.repository());
        assert_eq!(name.gguf.is_some(), model.format == "GGUF", "{}", model.id);
        assert!(["GGUF", "safetensors"].contains(&model.format.as_str()), "{}", model.id);
    }
}

/// A number copied from another model, or a family under another name, fails this.
#[test]
fn architectures_are_those_of_the_shapes() {
    for model in all() {
        let config = config(&model);
        assert_eq!(model.family, config.family.model_type(), "{}", model.id);
        assert_eq!(model.parameters, parameters(&config), "{}", model.id);
        assert_eq!(model.kv_bytes, CONTEXT * kv_bytes_per_token(&config, KvDtype::F32), "{}", model.id);
        assert!(config.max_position_embeddings as u64 >= CONTEXT, "{}", model.id);
    }
}

/// A type that is not read (Q3_K, IQ4_XS) fails this.
#[test]
fn types_are_read_by_the_loader() {
    for model in all() {
        let of = model.dtype.trim_end_matches("_M");
        let is_read = match model.format.as_str() {
            "GGUF" => BlockType::ALL.into_iter().any(|known| known.name() == of),
            _ => ["f32", "f16", "bf16"].contains(&of),
        };
        assert!(is_read, "{}: {}", model.id, model.dtype);
    }
}

/// A size of another file, or one that is called exact and is an estimate, fails this.
#[test]
fn sizes_are_those_of_the_weights() {
    for model in all() {
        let config = config(&model);
        let halves = 2 * model.parameters;
        // Causal masks of GPT-NeoX, a byte for each pair of positions, and tied heads that some repositories store too.
        let masks = match model.family.as_str() {
            "gpt_neox" => (config.n_layers() * config.max_position_embeddings.pow(2)) as u64,
            _ => 0,
        };
        let head = (2 * config.vocab_size * config.hidden_size) as u64;
        let bytes = model.download_bytes;
        match (model.format.as_str(), model.exact) {
            ("GGUF", exact) => {
                let bits = 8.0 * bytes as f64 / model.parameters as f64;
                assert!(exact && (4.5..9.0).contains(&bits), "{}: {bits} bits a weight", model.id);
            }
            (_, true) => {
                let header = [halves, halves + head].map(|data| bytes.checked_sub(data));
                let fits = header.into_iter().flatten().any(|header| (1..100_000).contains(&header));
                assert!(fits, "{}: {bytes} bytes", model.id);
            }
            (_, false) => assert_eq!(bytes, halves + masks, "{}", model.id),
        }
    }
}

/// The engine refuses a pair whose ids mean other tokens. Of one family, the rows of the embedding tell SmolLM2 from Llama.
#[test]
fn a_draft_has_the_vocabulary_of_its_target() {
    let models = all();
    let mut pairs = 0;
    for model in &models {
        let Some(draft) = models.iter().find(|other| Some(&other.id) == model.draft.as_ref()) else { continue };
        assert_eq!(config(draft).vocab_size, config(model).vocab_size, "{}", model.id);
        pairs += 1;
    }
    assert!(pairs >= 9, "{pairs} pairs");
}
