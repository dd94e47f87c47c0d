//! The last generation, or the one under way: its events reach the page once a frame, its text a screen reader once a
//! sentence.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;
use understory_protocol::{ChatMessage, Event, GenerateRequest, Generation, Method, Prompt};

use super::announcer::Announcer;
use super::run::Run;
use super::session::Session;
use super::settings::{MethodKind, Settings};
use crate::platform::{clock, visibility};
use crate::wording::format;
use crate::wording::notice::Notice;

#[derive(Clone, Copy)]
pub struct Live {
    pub session: Session,
    pub settings: Settings,
    pub announcer: Announcer,
    pub run: RwSignal<Run>,
    /// what was said before, with a model that has a chat template
    pub conversation: RwSignal<Vec<ChatMessage>>,
    /// why the last request has no result
    pub problem: RwSignal<Option<Notice>>,
    /// the page's clock while something runs, in milliseconds
    pub now_ms: RwSignal<f64>,
    /// Tokens are tinted by where they came from.
    pub tint: RwSignal<bool>,
}

impl Live {
    pub fn new(session: Session, settings: Settings, announcer: Announcer) -> Self {
        Self {
            session,
            settings,
            announcer,
            run: RwSignal::new(Run::default()),
            conversation: RwSignal::new(vec![]),
            problem: RwSignal::new(None),
            now_ms: RwSignal::new(0.0),
            tint: RwSignal::new(true),
        }
    }

    /// Settings and conversation follow what the models can do.
    pub fn follow_models(self) {
        Effect::new(move |before: Option<Option<(String, Vec<String>)>>| {
            let loaded = self.session.loaded;
            // Two folders may have one name.
            let target = loaded
                .with(|loaded| loaded.as_ref().map(|loaded| (loaded.target.clone(), loaded.template_switches.clone())));
            let has_template = loaded.with(|loaded| loaded.as_ref().is_some_and(|loaded| loaded.has_chat_template));
            if target.is_none() {
                return before.flatten();
            }
            if before.flatten() != target {
                self.conversation.set(vec![]);
                self.settings.switches.set(BTreeMap::new());
                self.problem.set(None);
                self.settings.chat.set(has_template);
            }
            if !has_template {
                self.settings.chat.set(false);
            }
            if self.session.has_no_draft() && self.settings.kind.get_untracked().needs_draft() {
                self.settings.kind.set(MethodKind::Auto);
            }
            target
        });
    }

    /// Starts what the settings ask for; what is wrong with them becomes the problem.
    pub fn start(self) {
        let chat = self.settings.chat.get_untracked();
        let text = self.settings.prompt.get_untracked();
        // The system message stands among the settings, so that a changed one applies from the next turn on.
        let turns = chat.then(|| {
            let user = ChatMessage { role: "user".into(), content: text.clone() };
            self.conversation.get_untracked().into_iter().chain([user]).collect::<Vec<_>>()
        });
        let prompt = match &turns {
            Some(turns) => self.settings.conversation(turns),
            None => Prompt::Text(text.clone()),
        };
        match self.settings.request(prompt) {
            Ok(request) => {
                self.problem.set(None);
                spawn_local(self.generate(request, text, turns));
            }
            Err(message) => self.problem.set(Some(message.into())),
        }
    }

    /// Nothing was said yet.
    pub fn new_conversation(self) {
        self.conversation.set(vec![]);
        self.run.set(Run::default());
    }

    /// `turns`: the conversation, where the request goes on with one; `text`: what was written.
    async fn generate(self, request: GenerateRequest, text: String, turns: Option<Vec<ChatMessage>>) {
        // Plain decoding has no rounds to show.
        let request = GenerateRequest { trace: request.method != Method::Ar, ..request };
        let is_chat = turns.is_some();
        let prompt = if is_chat { String::new() } else { text };
        if let Some(turns) = turns {
            self.conversation.set(turns);
            self.settings.prompt.set(String::new());
        }
        self.run.set(Run::new(prompt, self.session.engine(), clock::now_ms()));
        self.announcer.say("Generating.");
        let frames = Frames::new(self);
        let ticking = self.tick();
        let outcome = self.session.generate(request, |event| frames.push(event)).await;
        frames.flush();
        if let Some(ticking) = ticking {
            ticking.clear();
        }
        match outcome {
            Ok(generation) => self.finish(&frames, generation, is_chat),
            Err(ended) => {
                if let Some(notice) = self.session.explain(ended) {
                    if is_chat {
                        self.take_back();
                    }
                    self.problem.set(Some(notice));
                }
            }
        }
    }

    /// A turn that got no answer is the prompt again.
    fn take_back(self) {
        if let Some(turn) = self.conversation.try_update(Vec::pop).flatten() {
            self.settings.prompt.set(turn.content);
        }
    }

    fn finish(self, frames: &Frames, generation: Generation, is_chat: bool) {
        let rest = frames.unsaid();
        let (tokens, tpot) = (format::count(generation.token_ids.len(), "token"), generation.metrics.tpot_ms);
        let finished = format!("{rest} Finished: {tokens}, {} a token.", format::duration(tpot));
        self.announcer.say(finished.trim_start());
        if is_chat {
            let answer = ChatMessage { role: "assistant".into(), content: generation.text.clone() };
            self.conversation.update(|turns| turns.push(answer));
        }
        self.run.update(|run| {
            run.hidden = visibility::hidden_since(run.submitted_ms);
            run.generation = Some(generation);
        });
    }

    /// Ten times a second, the page's clock.
    fn tick(self) -> Option<IntervalHandle> {
        self.now_ms.set(clock::now_ms());
        set_interval_with_handle(move || self.now_ms.set(clock::now_ms()), Duration::from_millis(100)).ok()
    }

    /// The first frame paints the text that was just set; the second begins when that is done.
    fn note_paint(self) {
        let submitted_ms = self.run.with_untracked(|run| run.submitted_ms);
        request_animation_frame(move || {
            request_animation_frame(move || {
                let now_ms = clock::now_ms();
                self.run.update(|run| {
                    // Another run may have begun meanwhile.
                    if run.submitted_ms == submitted_ms {
                        run.paint_ttft_ms = Some(now_ms - submitted_ms);
                    }
                });
            });
        });
    }

    fn text(self) -> String {
        self.run.with_untracked(|run| run.tokens.iter().map(|token| token.text.as_str()).collect())
    }
}

/// Events that wait for the next frame.
#[derive(Clone)]
struct Frames {
    live: Live,
    waiting: Rc<RefCell<Vec<Event>>>,
    scheduled: Rc<Cell<bool>>,
    /// bytes of the text that were announced
    said: Rc<Cell<usize>>,
}

impl Frames {
    fn new(live: Live) -> Self {
        Self { live, waiting: Rc::default(), scheduled: Rc::default(), said: Rc::default() }
    }

    fn push(&self, event: Event) {
        self.waiting.borrow_mut().push(event);
        if !self.scheduled.replace(true) {
            let this = self.clone();
            request_animation_frame(move || this.flush());
        }
    }

    /// Brings what waits to the page.
    fn flush(&self) {
        self.scheduled.set(false);
        let events = self.waiting.take();
        if events.is_empty() {
            return;
        }
        let live = self.live;
        let had_text = live.run.with_untracked(has_text);
        live.run.update(|run| events.into_iter().for_each(|event| run.take(event)));
        if !had_text && live.run.with_untracked(has_text) {
            live.note_paint();
        }
        self.say();
    }

    /// Announces the sentences that are complete.
    fn say(&self) {
        let text = self.live.text();
        let new = text.get(self.said.get()..).unwrap_or_default();
        let end = sentences_end(new);
        if end > 0 {
            self.live.announcer.say(new[..end].trim());
            self.said.set(self.said.get() + end);
        }
    }

    /// The text after the last sentence announced.
    fn unsaid(&self) -> String {
        self.live.text().get(self.said.get()..).unwrap_or_default().trim().into()
    }
}

fn has_text(run: &Run) -> bool {
    run.tokens.iter().any(|token| !token.text.is_empty())
}

/// Bytes up to the end of the last sentence that is surely complete: white space follows it.
fn sentences_end(text: &str) -> usize {
    let ends = text.char_indices().zip(text.chars().skip(1));
    let is_end = |&((_, c), next): &((usize, char), char)| {
        (matches!(c, '.' | '!' | '?' | '"' | '”') && next.is_whitespace()) || c == '\n'
    };
    ends.filter(is_end).map(|((at, c), _)| at + c.len_utf8()).last().unwrap_or(0)
}
