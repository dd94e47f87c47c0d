//! Models worth trying: what `models/catalogue.json` holds. The program has the file inside it, the page fetches it.
//!
//! Nothing here promises that a model runs: [`Fit`] compares estimates with what a front end knows of its device.

use serde::{Deserialize, Serialize};

/// Tokens of context that [`CatalogueModel::kv_bytes`] is stated for.
pub const CONTEXT: u64 = 2048;
/// Scratch buffers, kernels and what a driver adds, in bytes.
const OVERHEAD_BYTES: u64 = 64 << 20;

/// An entry of the catalogue: one model in one format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueModel {
    /// as `--model` and the page's *Repository* take it
    pub id: String,
    pub title: String,
    /// architecture, as `config.json` names it
    pub family: String,
    /// its name in `understory predict`
    pub shape: String,
    /// a shared embedding counted once
    pub parameters: u64,
    /// `GGUF` or `safetensors`
    pub format: String,
    /// of most weights in the files
    pub dtype: String,
    /// of the files that hold the weights; the tokenizer of a model in safetensors adds 2 to 35 MB
    pub download_bytes: u64,
    /// `download_bytes` is the files' size; otherwise it is computed from the architecture
    pub exact: bool,
    /// K and V of [`CONTEXT`] tokens in f32, computed from the architecture
    pub kv_bytes: u64,
    /// what [`memory_bytes`] gives
    pub memory_bytes: u64,
    /// SPDX identifier, or the usual name where there is none
    pub licence: String,
    /// The hub gives it only to accounts that have accepted the licence.
    pub gated: bool,
    /// id of a smaller entry with the same tokenizer
    pub draft: Option<String>,
    /// of the one file that holds the weights, where it is known
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl CatalogueModel {
    /// `owner/name`, whose page on the hub has the licence.
    pub fn repository(&self) -> &str {
        let end = self.id.match_indices(['/', ':', '@']).nth(1);
        end.and_then(|(at, _)| self.id.get(..at)).unwrap_or(&self.id)
    }
}

/// Memory that a model takes on the device, in bytes: its files, a tenth of them for padding and buffers of a pass, the KV
/// cache, and 64 MiB.
pub fn memory_bytes(download_bytes: u64, kv_bytes: u64) -> u64 {
    download_bytes + download_bytes / 10 + kv_bytes + OVERHEAD_BYTES
}

/// What a front end knows of its device, in bytes; `None`: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// memory that is there, if not more
    pub at_least: Option<u64>,
    /// memory beyond which there is none
    pub at_most: Option<u64>,
    /// for files that are still to come
    pub storage: Option<u64>,
}

/// Whether a model fits a device, as far as can be told before it is loaded. Its largest tensor decides nothing: the engine
/// divides a matrix that no buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    Probably,
    TooLittleMemory,
    TooLittleStorage,
    Unknown,
}

impl Fit {
    /// `kept`: the model's files are here already.
    pub fn of(model: &CatalogueModel, kept: bool, room: &Room) -> Self {
        if room.at_most.is_some_and(|most| most < model.memory_bytes) {
            Self::TooLittleMemory
        } else if !kept && room.storage.is_some_and(|storage| storage < model.download_bytes) {
            Self::TooLittleStorage
        } else if room.at_least.is_some_and(|least| least >= model.memory_bytes) {
            Self::Probably
        } else {
            Self::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<CatalogueModel> {
        serde_json::from_str(include_str!("../../../models/catalogue.json")).unwrap()
    }

    fn by_id<'a>(models: &'a [CatalogueModel], id: &str) -> &'a CatalogueModel {
        models.iter().find(|model| model.id == id).unwrap_or_else(|| panic!("there is no {id}"))
    }

    /// A figure that is changed alone fails this.
    #[test]
    fn memory_follows_the_formula() {
        assert_eq!(memory_bytes(1_000_000_005, 7), 1_000_000_005 + 100_000_000 + 7 + 64 * 1024 * 1024);
        for model in all() {
            assert_eq!(model.memory_bytes, memory_bytes(model.download_bytes, model.kv_bytes), "{}", model.id);
        }
    }

    /// Two entries of one id would be one card twice. A name alone is a model in two formats, of one entry each.
    #[test]
    fn ids_are_unique_and_so_are_titles_of_a_format() {
        let models = all();
        for (nth, model) in models.iter().enumerate() {
            let same = |other: &&CatalogueModel| {
                other.id == model.id || (&other.title, &other.format) == (&model.title, &model.format)
            };
            assert!(!models[..nth].iter().any(|other| same(&other)), "{}", model.id);
        }
    }

    /// A draft that is gone, larger than its target, of another family or in another format fails this.
    #[test]
    fn a_draft_is_a_smaller_entry_of_the_same_family() {
        let models = all();
        for model in &models {
            let Some(draft) = &model.draft else { continue };
            let draft = by_id(&models, draft);
            assert!(draft.parameters < model.parameters && draft.download_bytes < model.download_bytes, "{}", model.id);
            assert_eq!((&draft.family, &draft.format), (&model.family, &model.format), "{}", model.id);
        }
    }

    #[test]
    fn licences_and_checksums_are_well_formed() {
        for model in all() {
            let known = ["Apache-2.0", "Llama 3.2 Community License", "Gemma Terms of Use"];
            assert!(known.contains(&model.licence.as_str()), "{}: {}", model.id, model.licence);
            let is_digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
            assert!(model.sha256.is_none_or(|hash| hash.len() == 64 && hash.chars().all(is_digit)), "{}", model.id);
            assert!(!model.gated || model.licence != "Apache-2.0", "{}", model.id);
        }
    }

    /// The file's name in place of the repository's leads to a page that is not there.
    #[test]
    fn a_repository_is_the_owner_and_the_name() {
        let mut model = all().remove(0);
        for id in ["o/n", "o/n/FILE.gguf", "o/n/d/FILE.gguf", "o/n:Q4_K_M", "o/n:Q4_K_M@v1", "o/n@v1"] {
            model.id = id.into();
            assert_eq!(model.repository(), "o/n", "{id}");
        }
    }

    /// Calling what is not known a fit, or asking for room for files that are here, fails this.
    #[test]
    fn a_fit_is_told_only_from_what_is_known() {
        let model = &all()[0];
        let (memory, download) = (model.memory_bytes, model.download_bytes);
        let of = |kept, at_least, at_most, storage| Fit::of(model, kept, &Room { at_least, at_most, storage });
        assert_eq!(of(false, None, None, None), Fit::Unknown);
        assert_eq!(of(false, Some(memory - 1), None, Some(download)), Fit::Unknown);
        assert_eq!(of(false, Some(memory), None, None), Fit::Probably);
        assert_eq!(of(false, Some(memory), Some(memory), Some(download)), Fit::Probably);
        assert_eq!(of(false, None, Some(memory - 1), None), Fit::TooLittleMemory);
        assert_eq!(of(false, Some(memory), None, Some(download - 1)), Fit::TooLittleStorage);
        assert_eq!(of(true, Some(memory), None, Some(0)), Fit::Probably);
    }
}
