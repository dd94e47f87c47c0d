//! Reports that a person gathered to compare. A worker of its own reads them: that needs no GPU, waits for no
//! generation, and what is in a stranger's file stays away from the page.

use std::cell::RefCell;
use std::rc::Rc;

use leptos::prelude::*;
use leptos::task::spawn_local;
use understory_protocol::{
    Compared, Contents, LoadedReport, MAX_LINK_CHARS, MAX_REPORT_BYTES, Reply, ReportInput, Request,
};
use wasm_bindgen_futures::JsFuture;
use web_sys::File;

use crate::connection::{Client, Place};
use crate::platform::route::Route;
use crate::platform::storage;
use crate::wording::format;
use crate::wording::notice::Notice;

/// Reports side by side at most.
const MOST: usize = 26;

thread_local! {
    static READER: RefCell<Option<Rc<Client>>> = const { RefCell::new(None) };
}

#[derive(Clone, Debug, PartialEq)]
pub struct ReportEntry {
    pub id: u64,
    pub input: ReportInput,
    /// `None`: not yet
    pub loaded: Option<LoadedReport>,
}

#[derive(Clone, Copy)]
pub struct ReportLoader {
    /// in their order; the first report is the one that others are compared with
    pub entries: RwSignal<Vec<ReportEntry>>,
    pub html: RwSignal<Option<String>>,
    pub problem: RwSignal<Option<Notice>>,
    /// of this device's last report
    pub own: RwSignal<Option<String>>,
    last_id: StoredValue<u64>,
    /// the last time that the reports were read
    asked: StoredValue<u64>,
}

impl ReportLoader {
    pub fn new() -> Self {
        let loader = Self {
            entries: RwSignal::new(vec![]),
            html: RwSignal::new(None),
            problem: RwSignal::new(None),
            own: RwSignal::new(None),
            last_id: StoredValue::new(0),
            asked: StoredValue::new(0),
        };
        loader.take_link();
        let _ = window_event_listener_untyped("hashchange", move |_| loader.take_link());
        loader
    }

    /// Takes the report that the address holds, if it holds one.
    fn take_link(self) {
        if let Some(packed) = Route::Compare.parameter("report") {
            let contents = Contents::Link(packed.chars().take(MAX_LINK_CHARS + 1).collect());
            self.add(vec![ReportInput { name: "the link".into(), contents }]);
        }
    }

    /// Puts reports behind those that are there, but for those that are there already.
    pub fn add(self, inputs: Vec<ReportInput>) {
        self.problem.set(None);
        self.entries.update(|entries| {
            for input in inputs {
                if entries.iter().any(|entry| entry.input.contents == input.contents) {
                    continue;
                }
                if entries.len() == MOST {
                    let message = format!("{}: {MOST} reports are here already; remove some", input.name);
                    self.problem.set(Some(message.into()));
                    break;
                }
                self.last_id.update_value(|id| *id += 1);
                entries.push(ReportEntry { id: self.last_id.get_value(), input, loaded: None });
            }
        });
        self.load();
    }

    /// Reads files, and adds those that can be reports; others are named.
    pub fn add_files(self, files: Vec<(String, File)>) {
        spawn_local(async move {
            let (mut inputs, mut refused) = (vec![], vec![]);
            for (name, file) in files {
                if file.size() > MAX_REPORT_BYTES as f64 {
                    let size = format::bytes(file.size() as u64);
                    refused
                        .push(format!("{name} has {size}; a report has at most {}.", format::bytes(MAX_REPORT_BYTES)));
                    continue;
                }
                match JsFuture::from(file.text()).await.ok().and_then(|text| text.as_string()) {
                    Some(text) => inputs.push(ReportInput { name, contents: Contents::Json(text) }),
                    None => refused.push(format!("{name} cannot be read.")),
                }
            }
            self.add(inputs);
            if !refused.is_empty() {
                self.problem.set(Some(refused.join(" ").into()));
            }
        });
    }

    /// Adds this device's last report.
    pub fn add_own(self) {
        if let Some((run_id, text)) = storage::report() {
            self.own.set(Some(run_id));
            self.add(vec![ReportInput { name: "this device's report".into(), contents: Contents::Json(text) }]);
        }
    }

    pub fn remove(self, id: u64) {
        self.entries.update(|entries| entries.retain(|entry| entry.id != id));
        self.load();
    }

    /// Makes a report the one that others are compared with.
    pub fn make_first(self, id: u64) {
        self.entries.update(|entries| {
            if let Some(at) = entries.iter().position(|entry| entry.id == id) {
                entries[..=at].rotate_right(1);
            }
        });
        self.load();
    }

    /// Has the worker read all of them.
    fn load(self) {
        self.asked.update_value(|asked| *asked += 1);
        let asked = self.asked.get_value();
        let (ids, reports): (Vec<u64>, Vec<ReportInput>) =
            self.entries.with_untracked(|entries| entries.iter().map(|entry| (entry.id, entry.input.clone())).unzip());
        if reports.is_empty() {
            self.html.set(None);
            return;
        }
        let own = storage::report().map(|(run_id, _)| run_id);
        self.own.set(own.clone());
        spawn_local(async move {
            let answer = ask(Request::Compare { reports, own }).await;
            // The list may have changed meanwhile.
            if self.asked.get_value() != asked {
                return;
            }
            match answer {
                Ok(Compared { looked, html, problem }) => {
                    self.entries.update(|entries| {
                        for (id, loaded) in ids.into_iter().zip(looked) {
                            if let Some(entry) = entries.iter_mut().find(|entry| entry.id == id) {
                                entry.loaded = Some(loaded);
                            }
                        }
                    });
                    self.html.set(html);
                    if let Some(problem) = problem {
                        self.problem.set(Some(problem.into()));
                    }
                }
                Err(message) => self.problem.set(Some(message.into())),
            }
        });
    }
}

async fn ask(request: Request) -> Result<Compared, String> {
    let known = READER.with_borrow(Clone::clone);
    let client = match known {
        Some(client) => client,
        None => {
            let crash = |_| READER.set(None);
            let (client, mut ready) = Client::start(Place::Browser, crash)?;
            let client = Rc::new(client);
            READER.set(Some(client.clone()));
            ready.recv().await.map_err(|_| "the worker that reads reports did not start; load the page again")?;
            client
        }
    };
    let (_, mut replies) = client.ask(request);
    match replies.recv().await {
        Ok(Reply::Compared(compared)) => Ok(compared),
        Ok(Reply::Failed(failure)) => Err(failure.message),
        Ok(_) => Err("the worker replied to something else".into()),
        Err(_) => Err("the worker that reads reports ended: one of them may be too much for this browser".into()),
    }
}
