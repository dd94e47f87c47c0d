//! `understory chat`: a conversation. The engine stays, and with it the KV cache of what was said.

use std::io::{self, BufRead, IsTerminal, Read};
use std::thread;

use anyhow::{Context, Result};
use understory_protocol::{ChatMessage, Error, Event, FinishReason, GenerateRequest, Generation, Method, Prompt};

use super::{Loaded, load_for, sampling};
use crate::cli::ChatArgs;
use crate::conversation::with_template_args;
use crate::exit::told;
use crate::interrupt::{self, Mode};
use crate::methods::{self, Plan};
use crate::output::{self, Console};
use crate::{calibration, input, timings};

pub fn run(args: &ChatArgs, console: &Console) -> Result<()> {
    sampling(&args.run.sampling)?;
    let plan = methods::plan(&args.run)?;
    pollster::block_on(async {
        let mut loaded = load_for(&plan, &args.run.load, console).await?;
        let mut conversation = Conversation::new(&loaded, args.system.as_deref());
        if matches!(conversation, Conversation::Transcript(_)) {
            console.note(&format!(
                "{} has no chat template: it goes on with the text so far, and what you type is added to it \
                 (an empty line just goes on)",
                loaded.label
            ));
        }
        let terminal = io::stdin().is_terminal();
        while let Some(line) = next_line(terminal, &plan, &mut loaded).await? {
            match line.as_str() {
                "/exit" => break,
                "/reset" => {
                    conversation = Conversation::new(&loaded, args.system.as_deref());
                    console.note("(the conversation starts over)");
                }
                line if conversation.accepts(line) => {
                    turn(args, &plan, console, &mut loaded, &mut conversation, line).await?;
                    if plan.method == Method::Auto {
                        calibration::keep(&loaded.engine);
                    }
                }
                _ => {}
            }
        }
        if terminal {
            console.note("");
        }
        Ok(())
    })
}

/// What was said so far.
enum Conversation {
    /// For the model's chat template.
    Messages(Vec<ChatMessage>),
    /// For a model that only continues text.
    Transcript(String),
}

impl Conversation {
    fn new(loaded: &Loaded, system: Option<&str>) -> Self {
        if loaded.engine.chat_template().is_some() {
            Self::Messages(system.map(|text| message("system", text)).into_iter().collect())
        } else {
            Self::Transcript(system.unwrap_or_default().to_owned())
        }
    }

    /// An empty line means nothing to a template; a transcript can go on without new words once it has some.
    fn accepts(&self, line: &str) -> bool {
        match self {
            Self::Messages(_) => !line.trim().is_empty(),
            Self::Transcript(text) => !line.is_empty() || !text.is_empty(),
        }
    }

    /// The prompt that `line` makes of the conversation.
    fn prompt(&self, line: &str) -> Prompt {
        match self {
            Self::Messages(messages) => {
                let mut messages = messages.clone();
                messages.push(message("user", line));
                Prompt::Chat(messages)
            }
            Self::Transcript(text) if text.is_empty() => Prompt::Text(line.to_owned()),
            Self::Transcript(text) if line.is_empty() => Prompt::Text(text.clone()),
            Self::Transcript(text) => Prompt::Text(format!("{text}\n{line}")),
        }
    }

    /// The conversation after `prompt` was answered with `text`.
    fn answered(prompt: Prompt, text: &str) -> Self {
        match prompt {
            Prompt::Chat(mut messages) => {
                messages.push(message("assistant", text));
                Self::Messages(messages)
            }
            Prompt::Text(before) => Self::Transcript(before + text),
            Prompt::Tokens(_) | Prompt::Conversation(_) => unreachable!("a conversation is made of text"),
        }
    }
}

fn message(role: &str, content: &str) -> ChatMessage {
    ChatMessage { role: role.into(), content: content.into() }
}

/// [`read_line`]. While a user types, what `auto` needs to know is learned.
async fn next_line(terminal: bool, plan: &Plan, loaded: &mut Loaded) -> Result<Option<String>> {
    if !terminal || plan.method != Method::Auto || loaded.engine.has_learned() {
        return read_line(terminal);
    }
    let reader = thread::Builder::new().name("stdin".into()).spawn(move || read_line(terminal));
    let reader = reader.context("cannot start a thread")?;
    while !reader.is_finished() {
        match loaded.engine.learn_one().await {
            Ok(true) => {}
            Ok(false) => break,
            // The next answer finds a lost device itself, and needs nothing else of this.
            Err(error) => tracing::info!("nothing will be guessed: {error}"),
        }
    }
    reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// One line from stdin without its end; `None` at the end of the input.
fn read_line(terminal: bool) -> Result<Option<String>> {
    if terminal {
        output::hint("> ");
        interrupt::set_mode(Mode::Prompt)?;
    }
    let mut bytes = Vec::new();
    let mut most = io::stdin().lock().take(input::MOST_BYTES);
    most.read_until(b'\n', &mut bytes).context("cannot read standard input")?;
    interrupt::set_mode(Mode::Exit)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let line = input::utf8(bytes, "the line")?;
    Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned()))
}

/// Answers `line`. A conversation that has outgrown the model's context is said and left as it was.
async fn turn(
    args: &ChatArgs,
    plan: &Plan,
    console: &Console,
    loaded: &mut Loaded,
    conversation: &mut Conversation,
    line: &str,
) -> Result<()> {
    let request = GenerateRequest {
        prompt: with_template_args(conversation.prompt(line), &args.template.args)?,
        max_new_tokens: args.max_new_tokens,
        ignore_eos: false,
        stop: Vec::new(),
        sampling: args.run.sampling.sampling(),
        method: plan.method,
        synthetic_acceptance: plan.synthetic_acceptance,
        trace: false,
    };
    let (generation, reused) = match answer(loaded, &request).await {
        Err(error) if matches!(error.downcast_ref(), Some(Error::PromptTooLong { .. })) => {
            output::error(&format!("{}\nOr start over with /reset.", told(&error)));
            return Ok(());
        }
        answered => answered?,
    };
    output::text("\n")?;
    console.note(&format!("({})", timings::brief(&generation, reused, loaded.engine.config().max_position_embeddings)));
    if generation.finish_reason == FinishReason::Context {
        console.note("(the model's context is full; /reset starts over)");
    }
    *conversation = Conversation::answered(conversation.prompt(line), &generation.text);
    Ok(())
}

/// Streams one answer; also how many tokens of the prompt the KV cache still held.
async fn answer(loaded: &mut Loaded, request: &GenerateRequest) -> Result<(Generation, usize)> {
    let mut reused = 0;
    let mut on_event = |event| match event {
        Event::Started { reused_tokens, .. } => {
            reused = reused_tokens;
            Ok(())
        }
        Event::Emission { text, .. } if !text.is_empty() => output::generated(&text),
        Event::Emission { .. } | Event::Round { .. } => Ok(()),
    };
    let generation = loaded.generate(request, &mut on_event).await?;
    Ok((generation, reused))
}
