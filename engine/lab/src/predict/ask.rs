//! From what a page asks to all that it shows: the prediction, speculation where there is a draft, and the curves that
//! measured points are drawn over. The figures are those of the command line for the same sizes.

use understory_protocol::{
    Case, Error, MeasuredRequest, PassTiling, Precision, PredictRequest, PredictedDevice, PredictedModel, Result,
};

use super::device;
use super::models::{self, ModelShape};
use super::operators::Pass;
use super::prediction::prefill;
use super::roofline::PassCost;
use super::{Acceptance, DeviceProfile, Prediction, Speculation, SpeculationCase, predict, speculate, validate};
use crate::predict::local_fit::{self, Fitted, fit_here};

/// Passes of a prompt at most: a page waits for the answer.
const MOST_PASSES: usize = 4096;
/// Points of a curve over tokens.
const SAMPLES: usize = 32;
/// Keys before the rows of [`Curves::verify`], as where the engine measures them.
const VERIFY_KEYS: usize = 254;

/// The models that requests mean by "loaded", and the device that they are loaded on.
#[derive(Clone, Debug)]
pub struct LoadedModels {
    pub target: ModelShape,
    pub draft: Option<ModelShape>,
    pub dtype: Precision,
    pub tiling: PassTiling,
    /// for people
    pub device: String,
}

/// Answers requests, and keeps the last fit, which takes longer than the rest.
#[derive(Default)]
pub struct Predictor {
    loaded: Option<LoadedModels>,
    fitted: Option<(Vec<MeasuredRequest>, Fitted)>,
}

/// A point of a curve: x, milliseconds or what else y is.
pub type Point = (f64, f64);

/// Predicted curves around a case; x is whole.
#[derive(Clone, Debug, Default)]
pub struct Curves {
    /// a decode step's milliseconds over the keys that it sees
    pub step: Vec<Point>,
    /// TTFT in milliseconds over the tokens of the prompt; empty where it is not known
    pub ttft: Vec<Point>,
    /// tokens a second of decoding over sequences at once, and whether their memory fits, as far as it is known
    pub batch: Vec<(Point, Option<bool>)>,
    /// milliseconds of a pass over so many rows of a tree, with the wait for it
    pub verify: Vec<Point>,
}

/// All that a page shows.
#[derive(Clone, Debug)]
pub struct Answer {
    pub model: ModelShape,
    pub draft: Option<ModelShape>,
    pub profile: DeviceProfile,
    pub case: Case,
    pub prediction: Prediction,
    pub speculation: Option<Speculation>,
    pub curves: Curves,
    /// of the model, where it is the loaded target and the case one sequence on one device
    pub measured: Vec<MeasuredRequest>,
    pub verify_ms: Vec<(usize, f64)>,
    /// how the weights of the loaded models are stored
    pub loaded_dtype: Option<Precision>,
    /// where the device is the one at hand
    pub fitted: Option<Fitted>,
    /// why the device at hand cannot be predicted for, if it cannot
    pub not_here: Option<String>,
}

impl Predictor {
    pub fn loaded(&self) -> Option<&LoadedModels> {
        self.loaded.as_ref()
    }

    /// Other models were loaded, or none.
    pub fn set_loaded(&mut self, loaded: Option<LoadedModels>) {
        *self = Self { loaded, fitted: None };
    }

    /// # Errors
    /// [`Error::BadParameter`] for names that are not known and sizes that cannot be, [`Error::NothingLoaded`] where a
    /// loaded model is meant.
    pub fn ask(&mut self, request: &PredictRequest) -> Result<Answer> {
        let PredictRequest { model, draft, acceptance, device, case, measured, verify_ms } = request;
        let shape = self.shape(model)?;
        let draft = draft.as_ref().map(|draft| self.shape(draft)).transpose()?;
        validate(case, &shape.config)?;
        let (profile, fitted) = match device {
            PredictedDevice::Named(name) => (named(name)?, None),
            PredictedDevice::Here => {
                let fitted = self.fit(measured)?;
                (fitted.profile.clone(), Some(fitted))
            }
        };
        let chunk = case.chunk.or(profile.chunk).unwrap_or(case.input);
        if case.input.div_ceil(chunk) > MOST_PASSES {
            let expected = "no fewer than a 4096th of the prompt's tokens here";
            return Err(Error::BadParameter { name: "chunk", value: chunk.to_string(), expected });
        }
        let prediction = predict(&shape.config, &profile, case)?;
        let speculation = match &draft {
            Some(draft) => {
                let acceptance = Acceptance::new(acceptance.clone(), None)?;
                let what = SpeculationCase { acceptance, draft_load_ms: 0.0 };
                Some(speculate((&shape.config, &draft.config), &profile, case, &prediction, &what)?)
            }
            None => None,
        };
        let is_loaded = *model == PredictedModel::Target && case.batch == 1 && case.tensor_parallel == 1;
        Ok(Answer {
            curves: curves(&shape, &profile, case, &prediction)?,
            model: shape,
            draft,
            profile,
            case: *case,
            prediction,
            speculation,
            measured: if is_loaded { measured.clone() } else { Vec::new() },
            verify_ms: if is_loaded { verify_ms.clone() } else { Vec::new() },
            loaded_dtype: self.loaded.as_ref().map(|loaded| loaded.dtype),
            fitted,
            not_here: self.not_here(measured),
        })
    }

    fn shape(&self, model: &PredictedModel) -> Result<ModelShape> {
        let loaded = self.loaded.as_ref();
        match model {
            PredictedModel::Named(name) => {
                let found =
                    models::model(name)?.ok_or_else(|| unknown("model", name, "a name of the list of shapes"))?;
                found.shape()
            }
            PredictedModel::Target => Ok(loaded.ok_or(Error::NothingLoaded)?.target.clone()),
            PredictedModel::Draft => loaded.and_then(|loaded| loaded.draft.clone()).ok_or(Error::NothingLoaded),
        }
    }

    fn fit(&mut self, measured: &[MeasuredRequest]) -> Result<Fitted> {
        let loaded = self.loaded.as_ref().ok_or(Error::NothingLoaded)?;
        if local_fit::missing(measured).is_some() {
            let expected = "one that was measured: four prompt lengths or more, the longest eight times the shortest";
            return Err(unknown("device", "this device", expected));
        }
        if let Some((_, fitted)) = self.fitted.as_ref().filter(|(of, _)| of == measured) {
            return Ok(fitted.clone());
        }
        let device = (loaded.device.as_str(), loaded.tiling);
        let fitted = fit_here((&loaded.target.config, loaded.dtype), device, measured);
        self.fitted = Some((measured.to_vec(), fitted.clone()));
        Ok(fitted)
    }

    fn not_here(&self, measured: &[MeasuredRequest]) -> Option<String> {
        match self.loaded {
            Some(_) => local_fit::missing(measured),
            None => Some("no model is loaded, so this device cannot be measured".into()),
        }
    }
}

fn unknown(name: &'static str, value: &str, expected: &'static str) -> Error {
    Error::BadParameter { name, value: value.into(), expected }
}

fn named(name: &str) -> Result<DeviceProfile> {
    device::device(name)?.ok_or_else(|| unknown("device", name, "a name of the list of devices"))
}

fn curves(model: &ModelShape, profile: &DeviceProfile, case: &Case, prediction: &Prediction) -> Result<Curves> {
    let config = &model.config;
    let numerics = super::numerics(case, profile);
    let most = config.max_position_embeddings;
    let step = |keys: usize, batch| PassCost::of(config, profile, &numerics, &Pass::step(keys, batch)).time_ms;
    let sync_ms = profile.sync_us.unwrap_or(0.0) / 1e3;
    // What is asked for in the middle of both.
    let keys = up_to((2 * prediction.decode_context).max(512).min(most));
    let inputs = up_to((2 * case.input).max(256).min(most));
    let ttft = |input: usize| prefill(config, profile, &Case { input, ..*case }).time_ms + sync_ms;
    let mut batches: Vec<usize> = (0..9).map(|power| 1 << power).chain([case.batch]).collect();
    batches.sort_unstable();
    batches.dedup();
    let mut batch = Vec::new();
    for sequences in batches {
        let other = predict(config, profile, &Case { batch: sequences, ..*case })?;
        if let Some(rate) = other.decode_tokens_per_s {
            batch.push(((sequences as f64, rate), other.memory.fits));
        }
    }
    let verify = |rows: usize| {
        let pass = Pass { rows, base: VERIFY_KEYS.min(most.saturating_sub(rows)), batch: 1, head_rows: rows };
        PassCost::of(config, profile, &numerics, &pass).time_ms + sync_ms
    };
    let at = |x: usize, y: f64| (x as f64, y);
    Ok(Curves {
        step: keys.into_iter().map(|keys| at(keys, step(keys, case.batch))).collect(),
        ttft: match prediction.ttft_ms {
            Some(_) => inputs.into_iter().map(|input| at(input, ttft(input))).collect(),
            None => Vec::new(),
        },
        batch,
        verify: [1, 2, 4, 8, 16, 24, 32, 48, 64].map(|rows| at(rows, verify(rows))).into(),
    })
}

/// Whole numbers from 1 to `most`, evenly spaced.
fn up_to(most: usize) -> Vec<usize> {
    let mut all: Vec<usize> =
        std::iter::once(1).chain((1..=SAMPLES).map(|nth| (nth * most).div_ceil(SAMPLES))).collect();
    all.dedup();
    all
}

#[cfg(test)]
mod tests;
