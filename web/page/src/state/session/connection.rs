//! The way to the engine: which one is started, what it is handed, requests and their replies.

use std::rc::Rc;

use leptos::prelude::*;
use leptos::task::spawn_local;
use understory_protocol::{FailureKind, Reply, Request};

use super::{Ended, EngineProblem, Session, Stage, StartMoments};
use crate::connection::{Client, Place, server};
use crate::platform::folders::Folder;
use crate::platform::{clock, storage, webgpu};
use crate::wording::notice::Moment;

impl Session {
    /// Looks which engines there are and starts the one that was chosen last. The browser's, the usual one, starts
    /// without waiting for the answer, if this browser can run it.
    pub fn begin(self) {
        let kept = storage::engine().and_then(|id| Place::from_id(&id));
        let at_once = kept != Some(Place::Native) && webgpu::missing().is_none();
        if at_once {
            self.start();
        }
        spawn_local(async move {
            let info = server::info().await;
            let native = info.is_some() && kept != Some(Place::Browser);
            self.engines.info.set(info);
            if !at_once {
                self.engines.place.set(if native { Place::Native } else { Place::Browser });
                self.start();
            }
        });
    }

    /// Uses the engine at `place`, now and on the next visit.
    pub fn choose_engine(self, place: Place) {
        storage::keep_engine(place.id());
        self.engines.place.set(place);
        self.start();
    }

    /// Starts the chosen engine, in place of the one before, and loads the models of `choice`.
    pub fn start(self) {
        self.forget();
        self.takes_requests.set(false);
        let place = self.engines.place.get_untracked();
        // Without WebGPU the worker still predicts.
        self.stage.set(self.missing().map_or(Stage::Starting, Stage::Failed));
        self.moments.set_value(StartMoments { begun_ms: clock::now_ms(), ..StartMoments::default() });
        self.crashed.set_value(false);
        let crash = move |failure| {
            self.crashed.set_value(true);
            self.takes_requests.set(false);
            let title = match place {
                Place::Browser => "The engine ended unexpectedly",
                Place::Native => "No connection to the engine of understory serve",
            };
            self.fail(title, self.notice(failure, Moment::End));
        };
        match Client::start(place, crash) {
            Ok((client, mut ready)) => {
                self.folders.with_value(|all| all.iter().for_each(|Folder { name, files }| client.hand(name, files)));
                self.client.set_value(Some(Rc::new(client)));
                spawn_local(async move {
                    if ready.recv().await.is_ok() {
                        self.moments.update_value(|moments| moments.ready_ms = clock::now_ms());
                        self.takes_requests.set(true);
                        self.load().await;
                    }
                });
            }
            Err(message) => crash(FailureKind::Crashed.with(message)),
        }
    }

    /// Why the chosen engine cannot run in this browser, if it cannot.
    pub(super) fn missing(self) -> Option<EngineProblem> {
        let in_browser = self.engines.place.get_untracked() == Place::Browser;
        let notice = in_browser.then(webgpu::missing).flatten()?;
        Some(EngineProblem { title: "This browser offers no WebGPU here", notice })
    }

    /// Hands a folder to the worker, in place of the one of the same name.
    pub fn hand(self, folder: Folder) {
        self.client.with_value(|client| {
            if let Some(client) = client {
                client.hand(&folder.name, &folder.files);
            }
        });
        self.folders.update_value(|all| {
            all.retain(|other| other.name != folder.name);
            all.push(folder);
        });
    }

    /// The reply to a request that takes its turn beside what the stage speaks of.
    pub async fn query(self, request: Request) -> Result<Reply, Ended> {
        let asked = self.client.with_value(|client| client.as_ref().map(|client| client.ask(request)));
        let (_, mut replies) = asked.ok_or(Ended::Gone)?;
        match replies.recv().await {
            Ok(Reply::Failed(failure)) => Err(Ended::Failed(failure)),
            Ok(reply) => Ok(reply),
            Err(_) => Err(Ended::Gone),
        }
    }

    /// Tells the engine what it does not ask for.
    pub fn tell(self, request: Request) {
        self.client.with_value(|client| client.as_ref().map(|client| client.tell(request)));
    }

    /// Ends the generation or the scenario under way; what there is of it stays.
    pub fn stop(self) {
        self.client.with_value(|client| {
            if let Some(client) = client {
                client.stop(self.current.get_value());
            }
        });
    }

    /// The last reply to `request`; `during` takes those before it.
    pub(super) async fn ask(self, request: Request, during: &mut dyn FnMut(Reply)) -> Result<Reply, Ended> {
        let asked = self.client.with_value(|client| client.as_ref().map(|client| client.ask(request)));
        let (id, mut replies) = asked.ok_or(Ended::Gone)?;
        self.current.set_value(id);
        while let Ok(reply) = replies.recv().await {
            match reply {
                reply if reply.is_interim() => during(reply),
                Reply::Failed(failure) => return Err(Ended::Failed(failure)),
                last => return Ok(last),
            }
        }
        Err(Ended::Gone)
    }
}
