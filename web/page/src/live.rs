//! A generation under way: its events reach the page once a frame, its text a screen reader once a sentence.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;
use understory_protocol::{ChatMessage, Event, GenerateRequest, Generation, Method, Prompt};

use crate::app::Page;
use crate::run::Run;
use crate::session::Ended;
use crate::{format, visibility};

/// Starts what the settings ask for; what is wrong with them becomes the page's problem.
pub fn start(page: Page) {
    let chat = page.settings.chat.get_untracked();
    let text = page.settings.prompt.get_untracked();
    let prompt = if chat {
        let mut turns = page.conversation.get_untracked();
        turns.push(ChatMessage { role: "user".into(), content: text });
        Prompt::Chat(turns)
    } else {
        Prompt::Text(text)
    };
    match page.settings.request(prompt) {
        Ok(request) => {
            page.problem.set(None);
            spawn_local(run(page, request));
        }
        Err(message) => page.problem.set(Some(message)),
    }
}

async fn run(page: Page, request: GenerateRequest) {
    // Plain decoding has no rounds to show.
    let request = GenerateRequest { trace: request.method != Method::Ar, ..request };
    let prompt = match &request.prompt {
        Prompt::Text(text) => text.clone(),
        Prompt::Chat(turns) => {
            page.conversation.set(turns.clone());
            page.settings.prompt.set(String::new());
            String::new()
        }
        Prompt::Tokens(_) => String::new(),
    };
    page.run.set(Run::new(prompt, page.session.engine(), Page::clock()));
    page.announcement.set("Generating.".into());
    let is_chat = matches!(request.prompt, Prompt::Chat(_));
    let frames = Frames::new(page);
    let ticking = tick(page);
    let outcome = page.session.generate(request, |event| frames.push(event)).await;
    frames.flush();
    if let Some(ticking) = ticking {
        ticking.clear();
    }
    match outcome {
        Ok(generation) => finish(page, &frames, generation, is_chat),
        Err(Ended::Failed(message)) => {
            if is_chat {
                take_back(page);
            }
            page.problem.set(Some(message));
        }
        Err(Ended::Gone) => {}
    }
}

/// A turn that got no answer is the prompt again.
fn take_back(page: Page) {
    if let Some(turn) = page.conversation.try_update(Vec::pop).flatten() {
        page.settings.prompt.set(turn.content);
    }
}

fn finish(page: Page, frames: &Frames, generation: Generation, is_chat: bool) {
    let rest = frames.unsaid();
    let (tokens, tpot) = (format::count(generation.token_ids.len(), "token"), generation.metrics.tpot_ms);
    let finished = format!("{rest} Finished: {tokens}, {} a token.", format::duration(tpot));
    page.announcement.set(finished.trim_start().into());
    if is_chat {
        let answer = ChatMessage { role: "assistant".into(), content: generation.text.clone() };
        page.conversation.update(|turns| turns.push(answer));
    }
    page.run.update(|run| {
        run.hidden = visibility::hidden_since(run.submitted_ms);
        run.generation = Some(generation);
    });
}

/// Ten times a second, the page's clock.
fn tick(page: Page) -> Option<IntervalHandle> {
    page.now_ms.set(Page::clock());
    set_interval_with_handle(move || page.now_ms.set(Page::clock()), Duration::from_millis(100)).ok()
}

/// Events that wait for the next frame.
#[derive(Clone)]
struct Frames {
    page: Page,
    waiting: Rc<RefCell<Vec<Event>>>,
    scheduled: Rc<Cell<bool>>,
    /// bytes of the text that were announced
    said: Rc<Cell<usize>>,
}

impl Frames {
    fn new(page: Page) -> Self {
        Self { page, waiting: Rc::default(), scheduled: Rc::default(), said: Rc::default() }
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
        let page = self.page;
        let had_text = page.run.with_untracked(has_text);
        page.run.update(|run| events.into_iter().for_each(|event| run.take(event)));
        if !had_text && page.run.with_untracked(has_text) {
            note_paint(page);
        }
        self.say();
    }

    /// Announces the sentences that are complete.
    fn say(&self) {
        let text = text(self.page);
        let new = text.get(self.said.get()..).unwrap_or_default();
        let end = sentences_end(new);
        if end > 0 {
            self.page.announcement.set(new[..end].trim().into());
            self.said.set(self.said.get() + end);
        }
    }

    /// The text after the last sentence announced.
    fn unsaid(&self) -> String {
        text(self.page).get(self.said.get()..).unwrap_or_default().trim().into()
    }
}

/// The first frame paints the text that was just set; the second begins when that is done.
fn note_paint(page: Page) {
    let submitted_ms = page.run.with_untracked(|run| run.submitted_ms);
    request_animation_frame(move || {
        request_animation_frame(move || {
            let now_ms = Page::clock();
            page.run.update(|run| {
                // Another run may have begun meanwhile.
                if run.submitted_ms == submitted_ms {
                    run.paint_ttft_ms = Some(now_ms - submitted_ms);
                }
            });
        });
    });
}

fn has_text(run: &Run) -> bool {
    run.tokens.iter().any(|token| !token.text.is_empty())
}

fn text(page: Page) -> String {
    page.run.with_untracked(|run| run.tokens.iter().map(|token| token.text.as_str()).collect())
}

/// Bytes up to the end of the last sentence that is surely complete: white space follows it.
fn sentences_end(text: &str) -> usize {
    let ends = text.char_indices().zip(text.chars().skip(1));
    let is_end = |&((_, c), next): &((usize, char), char)| {
        (matches!(c, '.' | '!' | '?' | '"' | '”') && next.is_whitespace()) || c == '\n'
    };
    ends.filter(is_end).map(|((at, c), _)| at + c.len_utf8()).last().unwrap_or(0)
}
