//! `understory reports`: the collection, and what goes in and out of it.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use understory_lab::html;
use understory_lab::report::{MAX_BYTES, read};

use crate::cli::{ReportsAction, ReportsArgs};
use crate::collection::{self, Added, Collection, Entry};
use crate::files;
use crate::output::{self, Console, columns};
use crate::outputs::Outputs;
use crate::report::{file, terminal};

pub fn run(args: &ReportsArgs, console: &Console) -> Result<()> {
    let place = collection::place(args.db.as_deref())?;
    if let ReportsAction::Import { files } = &args.action {
        let mut collection = Collection::open(&place)?;
        return files.iter().try_for_each(|path| import(&mut collection, path, console));
    }
    let mut collection = Collection::open_if_there(&place)?;
    match &args.action {
        ReportsAction::Import { .. } => Ok(()),
        ReportsAction::List { json: true } => output::json(&collection.list()?),
        ReportsAction::List { json: false } => list(&collection.list()?, &place, console),
        ReportsAction::Show { id, json, html } => show(&collection, id, *json, html.as_deref(), console),
        ReportsAction::Export { folder } => export(&collection, folder, console),
        ReportsAction::Delete { ids } => {
            let ids = ids.iter().map(|id| collection.find(id)).collect::<Result<Vec<_>>>()?;
            collection.delete(&ids)?;
            ids.iter().for_each(|id| console.note(&format!("deleted: {id}")));
            Ok(())
        }
    }
}

fn list(entries: &[Entry], place: &Path, console: &Console) -> Result<()> {
    if entries.is_empty() {
        console.note(&format!(
            "There are no reports in {} yet: `understory bench --save`, `understory serve --lan` and `understory \
             reports import` put some there.",
            place.display()
        ));
        return Ok(());
    }
    let mut rows = vec![["RUN", "SCENARIO", "DEVICE", "MEASURED", "CAME"].map(String::from).to_vec()];
    rows.extend(entries.iter().map(|entry| {
        let Entry { run_id, scenario, device, started_at, received_at, .. } = entry;
        [run_id, scenario, device, started_at, received_at].map(Clone::clone).to_vec()
    }));
    output::text(&columns("<<<<<", &rows))
}

fn show(collection: &Collection, id: &str, json: bool, html: Option<&Path>, console: &Console) -> Result<()> {
    let run_id = collection.find(id)?;
    let text = collection.json(&run_id)?;
    if json {
        return output::json_text(text.trim_end());
    }
    let report = read(&run_id, text.as_bytes(), MAX_BYTES)?;
    let mut outputs = Outputs::default();
    outputs.attempt(output::text(&terminal::text(&report)));
    if let Some(file) = html
        && outputs.attempt(files::write(file, &html::report::page(&report)))
    {
        console.note(&format!("\npage: {}", file.display()));
    }
    outputs.end(Ok(()))
}

fn import(collection: &mut Collection, path: &Path, console: &Console) -> Result<()> {
    let (report, text) = file::open(path)?;
    let place = path.display();
    let added = collection.add(&report, &text).with_context(|| format!("cannot import {place}"))?;
    match added {
        Added::New => console.note(&format!("imported: {} from {place}", report.run_id)),
        Added::Known(run_id) => console.note(&format!("there already: {run_id}, in {place}")),
        Added::Conflict => bail!(
            "{place}: the collection holds another report with the id {}; one of the two was changed. To take this one, \
             delete that: understory reports delete {0}",
            report.run_id
        ),
    }
    Ok(())
}

fn export(collection: &Collection, folder: &Path, console: &Console) -> Result<()> {
    let entries = collection.list()?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let mut used = HashSet::new();
    for entry in &entries {
        let mut name = file_name(&entry.run_id);
        if !used.insert(name.to_lowercase()) {
            name = format!("{name}-{}", file_name(&entry.sha256.chars().take(16).collect::<String>()));
        }
        files::write(&folder.join(format!("{name}.json")), &collection.json(&entry.run_id)?)?;
    }
    console.note(&format!("reports written to {}: {}", folder.display(), entries.len()));
    Ok(())
}

/// A name for any file system: ASCII letters, digits, `-`, `_` and inner dots, not one of Windows' devices.
fn file_name(run_id: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let name: String = run_id.chars().take(100).map(plain).collect();
    let name = name.trim_matches('.');
    let stem = name.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let numbered = |device: &str| stem.strip_prefix(device).is_some_and(|rest| rest.len() == 1);
    let reserved = ["", "CON", "PRN", "AUX", "NUL"].contains(&&*stem) || numbered("COM") || numbered("LPT");
    if reserved { format!("run-{name}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::file_name;

    /// A run's id is whatever a device sent.
    #[test]
    fn names_stay_in_their_folder() {
        for (run_id, name) in [
            ("2026-11-22T12-00-00Z-quick-0123abcd", "2026-11-22T12-00-00Z-quick-0123abcd"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("C:\\x", "C__x"),
            ("größe", "gr__e"),
            ("..", "run-"),
            (".hidden.", "hidden"),
            ("nul.x", "run-nul.x"),
            ("com1", "run-com1"),
            ("combination", "combination"),
        ] {
            assert_eq!(file_name(run_id), name, "{run_id}");
        }
        assert_eq!(file_name(&"x".repeat(300)).len(), 100);
    }
}
