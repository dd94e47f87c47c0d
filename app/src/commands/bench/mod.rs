//! `understory bench`: a scenario measured on this device, and the report of it.

mod caches;
pub mod environment;
mod explain;
mod measure;
mod plan;
mod sample;
pub mod start;

use std::path::Path;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, bail};
use understory_lab::environment::{clock_step_ms, iso, run_id};
use understory_lab::experiment::When;
use understory_lab::report::{Flag, FlagKind, Model, Models, Phase, Report, StartState};
use understory_lab::scenario::Scenario;
use understory_model::fingerprints;
use understory_protocol::Method;

use self::measure::MeasuredRuns;
use super::{Loaded, load};
use crate::cli::BenchArgs;
use crate::collection::{self, Added, Collection};
use crate::exit::{Stop, chain, usage};
use crate::models::find;
use crate::output::{self, Console};
use crate::outputs::Outputs;
use crate::report::{Folder, terminal};
use crate::{calibration, interrupt, methods};

pub fn run(args: &BenchArgs, console: &Console) -> Result<()> {
    if let Some(name) = &args.explain {
        return output::text(&explain::text(name)?);
    }
    let draft = methods::draft(&args.draft, &args.load.model);
    let scenario = plan::scenario(args, draft.as_deref())?;
    // A minute of measuring is not lost to a folder that cannot be written.
    let folder = args.out.as_deref().map(Folder::make).transpose()?;
    let open = || Collection::open(&collection::place(args.db.as_deref())?);
    let mut collection = args.save.then(open).transpose()?;
    let draft = draft.filter(|_| scenario.methods.iter().any(takes_draft));
    console.note(&format!("{}: {}", scenario.name, scenario.purpose));
    let (report, failure) = pollster::block_on(report(args, &scenario, draft.as_deref(), console))?;
    let mut outputs = Outputs::default();
    outputs.attempt(match args.json {
        true => output::json(&report),
        false => output::text(&terminal::text(&report)),
    });
    if let Some(collection) = &mut collection
        && outputs.attempt(save(collection, &report))
    {
        console.note(&format!("saved: {}", report.run_id));
    }
    match (&folder, args.json) {
        (Some(folder), _) => {
            if folder.write(&report, &mut outputs) {
                console.note(&format!("\nreport: {}", folder.page().display()));
            }
        }
        (None, false) if !args.save => console.note("\n--out DIR keeps this as a report with charts and raw data"),
        (None, _) => {}
    }
    outputs.end(failure.map_or(Ok(()), Err))
}

fn save(collection: &mut Collection, report: &Report) -> Result<()> {
    let saved = collection.add(report, &serde_json::to_string(report)?).context("cannot save the report")?;
    match saved {
        Added::New | Added::Known(_) => Ok(()),
        Added::Conflict => bail!("cannot save the report: the collection holds another with the id {}", report.run_id),
    }
}

/// What `method` runs with where there is a draft model.
fn takes_draft(method: &Method) -> bool {
    method.needs_draft() || *method == Method::Auto
}

/// Measures, and says what there is to know. The error is of a run that failed or was interrupted after others were
/// measured; where there is none, the report is whole.
async fn report(
    args: &BenchArgs,
    scenario: &Scenario,
    draft: Option<&str>,
    console: &Console,
) -> Result<(Report, Option<anyhow::Error>)> {
    let before = environment::Before::now();
    let clock_step_ms = clock_step_ms();
    let model = models(args, draft, console)?;
    let mut loaded = load(&args.load, draft, console).await?;
    let loading = Phase::loading(loaded.engine.phases_mut());
    let mut costs = None;
    if scenario.methods.iter().any(|&method| method != Method::Ar) {
        costs = Some(calibration::calibrate(&mut loaded.engine, false).await?.costs);
    }

    let started_at = SystemTime::now();
    let clock = Instant::now();
    let MeasuredRuns { cases, weights_bytes, failure, caches_kept } =
        measure::all(args, scenario, draft, &mut loaded, console).await?;
    let took_ms = clock.elapsed().as_secs_f64() * 1e3;

    let site = environment::site(before, (loaded.device(), loaded.profile), clock_step_ms, args.label.as_deref());
    let nonce = format!("{} {:?}", std::process::id(), std::env::current_dir().ok());
    let when = When { run_id: run_id(started_at, &scenario.name, &nonce), started_at: iso(started_at), took_ms };
    let model = with_bytes(model, &loaded, weights_bytes);
    let mut report = Report::concluded(scenario, site, when, model, costs, cases);
    report.loading = loading;
    if let Some(error) = &failure {
        report.flags.push(report.partial(scenario, &why(error)));
    }
    report.flags.extend(caches_kept.map(|detail| Flag { kind: FlagKind::CachesKept, detail }));
    Ok((report, failure))
}

fn why(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Stop>() {
        Some(Stop::Interrupted) => format!("interrupted by {}", interrupt::last().0),
        _ => format!("a run failed: {}", chain(error)),
    }
}

/// A model's name without where it lies: the last part of a folder's name, or of a file's without its ending.
fn id(label: &str) -> String {
    let path = Path::new(label);
    match path.canonicalize() {
        Ok(file) if path.is_file() => {
            let name = file.file_name().map_or(label.into(), |name| name.to_string_lossy());
            understory_model::gguf::model_name(&name).into()
        }
        Ok(folder) if path.is_dir() => folder.file_name().map_or(label.into(), |name| name.to_string_lossy().into()),
        _ => label.into(),
    }
}

/// Identities of the models, from their files.
fn models(args: &BenchArgs, draft: Option<&str>, console: &Console) -> Result<Models> {
    let dtype = args.load.options().dtype;
    let of = |name: &str| -> Result<Model> {
        let found = find(name, args.load.offline, console)?;
        Ok(Model {
            id: id(&found.label),
            hash: fingerprints::weights(found.files.as_ref())?,
            tokenizer_hash: fingerprints::tokenizer(found.files.as_ref())?,
            dtype,
            weight_types: Vec::new(),
            weights_bytes: None,
            parameters: None,
        })
    };
    Ok(Models { target: of(&args.load.model)?, draft: draft.map(of).transpose()? })
}

fn with_bytes(mut models: Models, loaded: &Loaded, weights_bytes: Option<u64>) -> Models {
    models.target.weights_bytes = weights_bytes;
    models.target.dtype = loaded.dtype;
    models.target.weight_types = loaded.engine.weight_types().into_iter().map(str::to_owned).collect();
    models
}

/// Whether a start of this kind is a process of its own.
fn is_start(state: StartState) -> bool {
    state != StartState::Warm
}

/// A usage error where the front end cannot make `state`.
fn check_state(state: StartState) -> Result<()> {
    match state {
        StartState::FirstVisit => Err(usage("first_visit is a state of the page: use cold")),
        _ => Ok(()),
    }
}
