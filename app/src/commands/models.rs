//! `understory models`: what there is to run, what is worth trying, and what a model is.

mod catalogue;
mod show;

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;
use understory_protocol::figures;

use crate::cli::{ModelsAction, ModelsArgs};
use crate::hub;
use crate::models::BUNDLED;
use crate::output::{self, Console};

/// A model at hand.
#[derive(Serialize)]
struct Row {
    /// as `--model` takes it
    name: String,
    /// `bundled` or `hub`
    source: &'static str,
    architecture: Option<String>,
    bytes: u64,
    /// of a hub model
    commit: Option<String>,
    folder: Option<PathBuf>,
    /// needed files that are not in the cache; empty = ready
    missing: Vec<String>,
}

pub fn run(args: &ModelsArgs, console: &Console) -> Result<()> {
    if let Some(ModelsAction::Show(args)) = &args.action {
        return show::run(args, console);
    }
    if args.catalogue {
        return catalogue::run(args.list.json, console);
    }
    let mut rows: Vec<Row> = BUNDLED.iter().map(bundled).collect();
    let cache = hub::cache_from_env()?;
    rows.extend(hub::list(&cache).into_iter().map(|model| Row {
        name: model.name,
        source: "hub",
        architecture: model.architecture,
        bytes: model.bytes,
        commit: Some(model.commit),
        folder: Some(model.folder),
        missing: model.missing,
    }));
    if args.list.json {
        return output::json(&rows);
    }
    output::text(&output::columns("<<><", &table(&rows)))?;
    console.note(&format!("cache: {}", cache.display()));
    Ok(())
}

fn bundled(model: &understory_model::files::StaticFiles) -> Row {
    let config = model.files.iter().find(|(name, _)| *name == "config.json");
    Row {
        name: model.name.into(),
        source: "bundled",
        architecture: config.and_then(|(_, bytes)| hub::model_type(bytes)),
        bytes: model.files.iter().map(|(_, bytes)| bytes.len() as u64).sum(),
        commit: None,
        folder: None,
        missing: Vec::new(),
    }
}

fn table(rows: &[Row]) -> Vec<Vec<String>> {
    let heading = ["NAME", "ARCHITECTURE", "SIZE", "STATE"].map(str::to_owned).to_vec();
    let line = |row: &Row| {
        let state = match (row.source, row.missing.as_slice()) {
            ("bundled", _) => "bundled".to_owned(),
            (_, []) => "in the hub's cache".to_owned(),
            (_, missing) => format!("incomplete, {} missing", missing.join(", ")),
        };
        let architecture = row.architecture.clone().unwrap_or_else(|| "?".into());
        vec![row.name.clone(), architecture, figures::bytes(row.bytes), state]
    };
    std::iter::once(heading).chain(rows.iter().map(line)).collect()
}
