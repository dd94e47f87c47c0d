//! `understory predict`: what a model would cost on a device, from its shape and the device's figures.

mod made_up;
mod measured;
mod shapes;
mod table;

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use understory_lab::predict::models::{self, ModelShape};
use understory_lab::predict::{
    Acceptance, DeviceProfile, Prediction, Speculation, SpeculationCase, device, parameters, predict, speculate,
    validate,
};
use understory_protocol::Case;
use understory_protocol::definitions::prediction::{METRICS, explain};

use crate::cli::PredictArgs;
use crate::exit::usage;
use crate::files;
use crate::input;
use crate::models::BUNDLED;
use crate::output::{self, Console};
use crate::outputs::Outputs;
use measured::{ProfileCalibration, Typical};

/// A model in the `--json` report.
#[derive(Serialize)]
struct Model<'a> {
    name: &'a str,
    source: &'a str,
    parameters: u64,
}

impl<'a> Model<'a> {
    fn of(shape: &'a ModelShape) -> Self {
        Self { name: &shape.label, source: &shape.source, parameters: parameters(&shape.config) }
    }
}

/// The `--json` report.
#[derive(Serialize)]
struct Report<'a> {
    model: Model<'a>,
    draft: Option<Model<'a>>,
    device: &'a DeviceProfile,
    case: &'a Case,
    #[serde(flatten)]
    prediction: &'a Prediction,
    speculation: Option<&'a Speculation>,
    /// what was measured for the profile, and with --check for its errors
    calibration: Option<&'a ProfileCalibration>,
    /// with the disturbance of the calibration
    typical: Option<Typical>,
}

pub fn run(args: &PredictArgs, console: &Console) -> Result<()> {
    if let Some(metric) = &args.explain {
        return explain_metric(metric);
    }
    if args.list_models {
        return list_models(args.json);
    }
    if args.list_devices {
        return list_devices(args.json);
    }
    let model = shapes::find(&args.model)?;
    let draft = args.draft.as_deref().map(shapes::find).transpose().context("--draft")?;
    let case = case(args);
    validate(&case, &model.config).map_err(|error| usage(error.to_string()))?;
    let what = acceptance(args)?;
    let (profile, calibration) = profile(args, console)?;
    let prediction = predict(&model.config, &profile, &case)?;
    let speculation = match (&draft, &what) {
        (Some(draft), Some(what)) => {
            let pair = (&model.config, &draft.config);
            Some(speculate(pair, &profile, &case, &prediction, what).context("--draft")?)
        }
        _ => None,
    };
    let (model_row, draft_row) = (Model::of(&model), draft.as_ref().map(Model::of));
    let typical = calibration.as_ref().map(|of| of.disturbance.typical(&prediction));
    let mut outputs = Outputs::default();
    if args.json {
        outputs.attempt(output::json(&Report {
            model: model_row,
            draft: draft_row,
            device: &profile,
            case: &case,
            prediction: &prediction,
            speculation: speculation.as_ref(),
            calibration: calibration.as_ref(),
            typical,
        }));
    } else {
        let mut text = table::prediction(&model, &profile, &case, &prediction);
        if let (Some(draft), Some(speculation)) = (&draft, &speculation) {
            text += &table::speculation(&draft.label, speculation, &prediction);
        }
        if let (Some(calibration), Some(typical)) = (&calibration, typical) {
            text += &table::calibration(calibration, typical);
        }
        outputs.attempt(output::text(&text));
    }
    if let Some(file) = &args.save_profile {
        let json = serde_json::to_string_pretty(&profile)? + "\n";
        if outputs.attempt(files::write(file, &json)) {
            console.note(&format!("profile written to {}", file.display()));
        }
    }
    outputs.end(Ok(()))
}

fn case(args: &PredictArgs) -> Case {
    Case {
        dtype: args.dtype.into(),
        input: args.input,
        output: args.output,
        batch: args.batch,
        chunk: args.chunk,
        tensor_parallel: args.tensor_parallel,
        lora: args.lora,
    }
}

fn acceptance(args: &PredictArgs) -> Result<Option<SpeculationCase>> {
    let Some(by_depth) = &args.acceptance else { return Ok(None) };
    let acceptance = Acceptance::new(by_depth.clone(), args.rank_acceptance.clone());
    let acceptance = acceptance.map_err(|error| usage(error.to_string()))?;
    Ok(Some(SpeculationCase { acceptance, draft_load_ms: args.draft_load_ms }))
}

/// The device that `args` name, or this one as it was measured.
fn profile(args: &PredictArgs, console: &Console) -> Result<(DeviceProfile, Option<ProfileCalibration>)> {
    if args.calibrated {
        let (profile, calibration) = measured::calibrate(args, console)?;
        return Ok((profile, Some(calibration)));
    }
    let Some(name) = &args.device else {
        return Err(usage("which device? Give --device with a name of --list-devices, or --calibrated for this one"));
    };
    let path = Path::new(name);
    let mut profile = match device::device(name)? {
        Some(profile) => profile,
        None if path.is_file() => DeviceProfile::from_json(name, &input::text_file(path)?)?,
        None => bail!("there is no device `{name}`: expected a name of --list-devices, or a JSON file in their format"),
    };
    if let Some((compute, memory)) = args.efficiency {
        profile.efficiency.compute = compute;
        profile.efficiency.memory = memory;
        profile.efficiency.attention = None;
        profile.sources.insert("efficiency".into(), "given with --efficiency".into());
    }
    Ok((profile, None))
}

fn explain_metric(metric: &str) -> Result<()> {
    match explain(metric) {
        Some(definition) => output::text(&format!("{metric}: {}\n", definition.text)),
        None => {
            let known: Vec<&str> = METRICS.iter().map(|definition| definition.id).collect();
            Err(usage(format!("`{metric}` is not a figure of predict; known: {}", known.join(", "))))
        }
    }
}

fn list_models(json: bool) -> Result<()> {
    let named = models::models()?.into_iter().map(|model| model.name);
    let all = named.chain(BUNDLED.iter().map(|model| model.name.to_owned()));
    let shapes = all.map(|name| shapes::find(&name)).collect::<Result<Vec<_>>>()?;
    if json {
        return output::json(&shapes.iter().map(Model::of).collect::<Vec<_>>());
    }
    output::text(&table::models(&shapes))
}

fn list_devices(json: bool) -> Result<()> {
    let devices = device::devices()?;
    if json {
        return output::json(&devices);
    }
    output::text(&table::devices(&devices))
}
