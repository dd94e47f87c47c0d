//! A scenario measured in this worker: what the page and its browser are comes with the request.

use std::cell::Cell;
use std::rc::Rc;

use understory_lab::experiment::Site;
use understory_lab::report::{Adapter, Build, Device, EngineBuild, Runtime, RuntimeKind};
use understory_protocol::{AdapterReport, BenchRequest, Failure, FailureKind, KernelSet, PageFacts, Reply};
use understory_session::{Session, Watch};

use crate::pressure::Pressure;

/// Whether the tab is hidden, as the page says.
#[derive(Clone, Default)]
pub struct Tab(Rc<Seen>);

#[derive(Default)]
struct Seen {
    now: Cell<bool>,
    /// at some moment since somebody asked
    since: Cell<bool>,
}

impl Tab {
    pub fn is_hidden(&self, hidden: bool) {
        self.0.now.set(hidden);
        self.0.since.set(hidden || self.0.since.get());
    }
}

struct Here<'a> {
    stopped: &'a dyn Fn() -> bool,
    tab: &'a Tab,
    pressure: Option<Pressure>,
}

impl Watch for Here<'_> {
    fn stopped(&self) -> bool {
        (self.stopped)()
    }

    fn hidden(&self) -> Option<bool> {
        Some(self.tab.0.since.replace(self.tab.0.now.get()))
    }

    /// No browser tells.
    fn load(&self) -> Option<f64> {
        None
    }

    fn pressure(&self) -> Option<String> {
        self.pressure.as_ref()?.worst()
    }
}

pub async fn bench(
    session: &mut Session,
    request: &BenchRequest,
    tab: &Tab,
    stopped: &dyn Fn() -> bool,
    emit: &mut dyn FnMut(Reply),
) -> Result<Reply, Failure> {
    let page = request.page.clone().ok_or_else(|| FailureKind::Protocol.with("a page has to say what it runs in"))?;
    tab.0.since.set(false);
    tab.is_hidden(page.hidden);
    let label = request.label.clone();
    let site = |adapter: &_, kernels, step| site(page, label, adapter, kernels, step);
    session
        .bench(request, site, &Here { stopped, tab, pressure: Pressure::listen() }, emit)
        .await
        .map_err(Failure::from)
}

fn site(
    page: PageFacts,
    label: Option<String>,
    adapter: &AdapterReport,
    kernels: KernelSet,
    clock_step_ms: Option<f64>,
) -> Site {
    let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let engine = EngineBuild {
        version: env!("CARGO_PKG_VERSION").into(),
        commit: known(env!("UNDERSTORY_COMMIT")),
        dirty: env!("UNDERSTORY_DIRTY").parse().ok(),
        build: Build::THIS,
        wgpu: known(env!("UNDERSTORY_WGPU")),
        burn: None,
        shaders_hash: understory_shaders::hash().into(),
    };
    let adapter = Adapter::new(adapter, kernels);
    let PageFacts { browser, os, cores, isolated, power, hidden: _ } = page;
    let runtime = Runtime {
        kind: RuntimeKind::Browser,
        backend: "webgpu".into(),
        browser,
        isolated,
        timer_resolution_ms: clock_step_ms,
        worker: Some(true),
        visible: None,
    };
    let made = || {
        let parts = [adapter.name.clone(), runtime.browser.as_ref().map(|browser| browser.name.clone())];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { "a browser".into() } else { parts.join(", ") }
    };
    let device = Device {
        label: label.unwrap_or_else(made),
        os,
        cpu: None,
        cpu_cores: cores,
        ram_bytes: None,
        adapter,
        power,
        thermal: None,
        load: None,
        pressure: None,
    };
    Site { engine, runtime, device }
}
