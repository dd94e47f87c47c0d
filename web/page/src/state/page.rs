//! Everything that views and components share.

use leptos::prelude::*;

use super::announcer::Announcer;
use super::bench::Bench;
use super::catalogue::Catalogue;
use super::comparison::ComparisonRuns;
use super::live::Live;
use super::model_form::ModelForm;
use super::prediction::PredictForm;
use super::report_loader::ReportLoader;
use super::session::Session;
use super::settings::Settings;
use super::starts::Starts;
use crate::platform::offline::Offline;
use crate::wording::definitions::Definition;

/// The context that the frame provides.
#[derive(Clone, Copy)]
pub struct Page {
    pub session: Session,
    pub settings: Settings,
    pub models: ModelForm,
    pub catalogue: Catalogue,
    pub live: Live,
    pub comparison: ComparisonRuns,
    pub starts: Starts,
    pub prediction: PredictForm,
    pub bench: Bench,
    pub reports: ReportLoader,
    pub offline: Offline,
    pub announcer: Announcer,
    /// the definition on show
    pub asked: RwSignal<Option<&'static Definition>>,
}

impl Page {
    pub fn new() -> Self {
        let (session, settings, announcer, offline) =
            (Session::new(), Settings::new(), Announcer::new(), Offline::new());
        let live = Live::new(session, settings, announcer);
        let models = ModelForm::new(session);
        Self {
            session,
            settings,
            models,
            catalogue: Catalogue::new(session, models),
            live,
            comparison: ComparisonRuns::new(live),
            starts: Starts::new(session, offline, announcer),
            prediction: PredictForm::new(session),
            bench: Bench::new(session, announcer),
            reports: ReportLoader::new(),
            offline,
            announcer,
            asked: RwSignal::new(None),
        }
    }

    /// Starts the engine, and goes on with what the page was loaded again for.
    pub fn begin(self) {
        leptos::task::spawn_local(self.starts.go_on());
        self.session.begin();
        self.live.follow_models();
    }
}
