//! `understory models --catalogue`: models worth trying, and which of them are in the cache.

use anyhow::{Context, Result};
use serde::Serialize;
use understory_protocol::catalogue::CatalogueModel;
use understory_protocol::figures;

use crate::hub::{self, HubName};
use crate::output::{self, Console};

/// The file that the page fetches.
const CATALOGUE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/catalogue.json"));

/// The pair of the closing line.
const EXAMPLE: &str = "HuggingFaceTB/SmolLM2-360M-Instruct-GGUF/smollm2-360m-instruct-q8_0.gguf";

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    model: CatalogueModel,
    /// All of its files are in the hub's cache.
    cached: bool,
}

pub fn run(json: bool, console: &Console) -> Result<()> {
    let models: Vec<CatalogueModel> = serde_json::from_str(CATALOGUE).context("the catalogue")?;
    let cache = hub::cache_from_env()?;
    let is_cached =
        |model: &CatalogueModel| HubName::parse(&model.id).is_some_and(|name| hub::is_cached(&cache, &name));
    let rows: Vec<Row> = models.into_iter().map(|model| Row { cached: is_cached(&model), model }).collect();
    if json {
        return output::json(&rows);
    }
    output::text(&output::columns("<<>><<<<", &table(&rows)))?;
    if let Some((target, draft)) = pair(&rows, EXAMPLE) {
        console
            .note(&format!("\na pair: understory generate --model {target} --draft {draft} \"Why is the sky blue?\""));
    }
    Ok(())
}

/// The names of a target and its draft.
fn pair<'a>(rows: &'a [Row], target: &str) -> Option<(&'a str, &'a str)> {
    let row = rows.iter().find(|row| row.model.id == target)?;
    Some((&row.model.id, row.model.draft.as_deref()?))
}

/// The name stands last: it is the longest, and what a narrow terminal wraps.
fn table(rows: &[Row]) -> Vec<Vec<String>> {
    let heading =
        ["TITLE", "FORMAT", "SIZE", "MEMORY", "LICENCE", "DRAFT", "STATE", "NAME"].map(str::to_owned).to_vec();
    let title_of = |id: &str| rows.iter().find(|row| row.model.id == id).map(|row| row.model.title.clone());
    let line = |Row { model, cached }: &Row| {
        let about = if model.exact { "" } else { "about " };
        let state = match (cached, model.gated) {
            (true, _) => "in the cache",
            (false, true) => "gated",
            (false, false) => "",
        };
        vec![
            model.title.clone(),
            format!("{} {}", model.format, model.dtype),
            format!("{about}{}", figures::bytes(model.download_bytes)),
            figures::binary_bytes(model.memory_bytes),
            model.licence.clone(),
            model.draft.as_deref().and_then(title_of).unwrap_or_default(),
            state.into(),
            model.id.clone(),
        ]
    };
    std::iter::once(heading).chain(rows.iter().map(line)).collect()
}
