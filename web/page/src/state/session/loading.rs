//! From a choice of models to an engine that is ready, and to knowing what their passes cost, for which nobody waits.

use leptos::prelude::*;
use leptos::task::spawn_local;
use understory_protocol::{Costs, LoadRequest, Loaded, Phases, Progress, Reply, Request};

use super::super::choice::ModelChoice;
use super::{Ended, Session, Stage, unexpected};
use crate::platform::{clock, storage};
use crate::wording::notice::Moment;

/// How far loading is.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadStep {
    /// the draft model's turn
    pub draft: bool,
    /// `None`: files are on their way
    pub progress: Option<Progress>,
}

/// Costs, and whether they are those of an earlier visit.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownCosts {
    pub costs: Costs,
    pub kept: bool,
}

/// Moments of the engine's last start, in milliseconds on the page's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct StartMoments {
    /// A worker was asked for.
    pub begun_ms: f64,
    /// its first message
    pub ready_ms: f64,
    pub loaded_ms: f64,
    /// what the worker says of the time between
    pub loading: Phases,
}

impl Session {
    /// Loads other models in place of those that are loaded.
    pub fn change(self, choice: ModelChoice) {
        self.choice.set(choice);
        if self.crashed.get_value() || self.client.with_value(Option::is_none) {
            return self.start();
        }
        self.forget();
        spawn_local(self.load());
    }

    /// Nothing is loaded any more.
    pub(super) fn forget(self) {
        self.loaded.set(None);
        self.costs.set(None);
        self.learning.set(false);
        self.history.forget();
    }

    /// Measures anew what passes cost.
    pub fn measure(self) {
        spawn_local(async move {
            let measured = self.calibrate().await;
            self.settle(&measured);
            if let Err(Ended::Failed(failure)) = measured {
                self.fail("What passes cost could not be measured", self.notice(failure, Moment::End));
            }
        });
    }

    pub(super) async fn load(self) {
        if let Some(problem) = self.missing() {
            return self.stage.set(Stage::Failed(problem));
        }
        match self.load_choice().await {
            Ok(()) => self.stage.set(Stage::Ready),
            Err(Ended::Failed(failure)) => {
                self.fail("The model could not be loaded", self.notice(failure, Moment::Load));
            }
            Err(Ended::Gone) => {}
        }
    }

    async fn load_choice(self) -> Result<(), Ended> {
        let mut step = LoadStep { draft: false, progress: None };
        self.stage.set(Stage::Loading(step.clone()));
        let ModelChoice { target, draft, dtype, hub } = self.choice.get_untracked();
        let request = LoadRequest { target, draft, dtype, kv_dtype: None, profile: None, adapter: None, hub };
        let reply = self
            .ask(Request::Load(request), &mut |reply| {
                if let Reply::Progress(progress) = reply {
                    // The target's pipelines are the last of it: weights after them are the draft's.
                    let after_pipelines = matches!(step.progress, Some(Progress::Pipelines { .. }));
                    step.draft |= after_pipelines && matches!(progress, Progress::Upload { .. });
                    step.progress = Some(progress);
                    self.stage.set(Stage::Loading(step.clone()));
                }
            })
            .await?;
        let Reply::Loaded(loaded) = reply else { return Err(unexpected()) };
        self.moments.update_value(|moments| {
            (moments.loaded_ms, moments.loading) = (clock::now_ms(), loaded.phases_ms);
        });
        let key = loaded.calibration_key.clone();
        self.loaded.set(Some(*loaded));
        let kept = storage::costs(&key);
        self.learning.set(kept.is_none());
        spawn_local(self.learn(key, kept));
        Ok(())
    }

    /// Hands the costs that are kept for `calibration_key` to the engine, or has it measure them beside other requests.
    async fn learn(self, calibration_key: String, cached: Option<Costs>) {
        let kept = cached.is_some();
        let reply = self.query(Request::Calibrate { cached, in_background: true }).await;
        // Other models may be loaded by now, or costs be measured that were asked for.
        let is_current =
            |loaded: &Option<Loaded>| loaded.as_ref().is_some_and(|loaded| loaded.calibration_key == calibration_key);
        if !self.loaded.with_untracked(is_current) {
            return;
        }
        self.learning.set(false);
        if let Ok(Reply::Costs(costs)) = reply {
            self.know(calibration_key, costs, kept);
        }
    }

    fn know(self, calibration_key: String, costs: Costs, kept: bool) {
        storage::keep_costs(calibration_key, costs.clone());
        self.costs.set(Some(KnownCosts { costs, kept }));
    }

    /// Has the engine measure; what comes of it is kept for the next visit.
    async fn calibrate(self) -> Result<(), Ended> {
        self.stage.set(Stage::Calibrating);
        let reply = self.ask(Request::Calibrate { cached: None, in_background: false }, &mut |_| {}).await?;
        let Reply::Costs(costs) = reply else { return Err(unexpected()) };
        if let Some(key) = self.loaded.with_untracked(|loaded| loaded.as_ref().map(|l| l.calibration_key.clone())) {
            self.know(key, costs, false);
        }
        Ok(())
    }
}
