//! What a request asks for, as the forms have it: text until it is sent.

use std::collections::BTreeMap;
use std::fmt::Display;

use leptos::prelude::*;
use serde::Serialize;
use understory_protocol::{ChatMessage, Error, GenerateRequest, Method, Prompt, Sampling, Schedule, out_of_range};

use crate::platform::typed::Typed;
use crate::wording::definitions::{self as d, Definition};

/// A number that can be typed; its label is the definition's name.
#[derive(Clone, Copy)]
pub struct Field {
    pub definition: &'static Definition,
    pub value: RwSignal<String>,
    pub step: &'static str,
}

impl Field {
    pub fn new(definition: &'static Definition, default: impl Display, step: &'static str) -> Self {
        Self { definition, value: RwSignal::new(default.to_string()), step }
    }

    pub fn read<T: Typed>(self) -> Result<T, String> {
        let text = self.value.get();
        let (name, kind) = (self.definition.name, if self.step == "1" { "a whole number" } else { "a number" });
        T::read(text.trim()).ok_or_else(|| format!("{name} = \"{text}\": expected {kind}"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodKind {
    Auto,
    Ar,
    Linear,
    Tree,
    DynaTree,
    Heuristic,
    Confidence,
    Lookup,
}

impl MethodKind {
    pub const ALL: [MethodKind; 8] = [
        MethodKind::Auto,
        MethodKind::Ar,
        MethodKind::Linear,
        MethodKind::Tree,
        MethodKind::DynaTree,
        MethodKind::Heuristic,
        MethodKind::Confidence,
        MethodKind::Lookup,
    ];

    pub fn label(self) -> &'static str {
        match self {
            MethodKind::Auto => "auto",
            MethodKind::Ar => "ar (plain decoding)",
            MethodKind::Linear => "linear",
            MethodKind::Tree => "tree",
            MethodKind::DynaTree => "dynatree",
            MethodKind::Heuristic => "assisted, heuristic",
            MethodKind::Confidence => "assisted, confidence",
            MethodKind::Lookup => "lookup",
        }
    }

    /// Without a draft model there is nothing to do for it.
    pub fn needs_draft(self) -> bool {
        !matches!(self, MethodKind::Auto | MethodKind::Ar | MethodKind::Lookup)
    }

    pub fn about(self) -> &'static str {
        match self {
            MethodKind::Auto => {
                "The best tree for what passes cost on this device, looked-up paths included; none where it would lose."
            }
            MethodKind::Ar => "One token after the other, nothing guessed: what every method is measured against.",
            MethodKind::Linear => "A chain of fixed length, guessed by the draft model.",
            MethodKind::Tree => "A tree of fixed depth and branching; improbable paths end early.",
            MethodKind::DynaTree => {
                "A tree that branches where the draft is unsure; its depth follows the last rounds."
            }
            MethodKind::Heuristic => {
                "A chain that grows after a round that accepted all of it and shrinks after one that did not."
            }
            MethodKind::Confidence => "A chain that ends where the draft model is no longer sure.",
            MethodKind::Lookup => "What followed the last occurrence of the last tokens; no draft model.",
        }
    }
}

#[derive(Clone, Copy)]
pub struct Settings {
    pub prompt: RwSignal<String>,
    /// Through the model's chat template, as a turn of a conversation.
    pub chat: RwSignal<bool>,
    /// what the model is told before the first turn; nothing where it is empty
    pub system: RwSignal<String>,
    /// what is set of the chat template's switches; the others are as the template has them
    pub switches: RwSignal<BTreeMap<String, bool>>,
    pub kind: RwSignal<MethodKind>,
    pub ignore_eos: RwSignal<bool>,
    pub max_new_tokens: Field,
    k: Field,
    depth: Field,
    branch: Field,
    tau: Field,
    budget: Field,
    start: Field,
    most: Field,
    threshold: Field,
    ngram: Field,
    looked_up: Field,
    temperature: Field,
    top_k: Field,
    top_p: Field,
    min_p: Field,
    repetition: Field,
    seed: Field,
}

impl Settings {
    /// The engine's own defaults.
    pub fn new() -> Self {
        let sampling = Sampling::default();
        let this = Self {
            prompt: RwSignal::new("Once upon a time".into()),
            chat: RwSignal::new(false),
            system: RwSignal::new(String::new()),
            switches: RwSignal::new(BTreeMap::new()),
            kind: RwSignal::new(MethodKind::Auto),
            ignore_eos: RwSignal::new(false),
            max_new_tokens: Field::new(&d::MOST_NEW, 128, "1"),
            k: Field::new(&d::K, "", "1"),
            depth: Field::new(&d::DEPTH, "", "1"),
            branch: Field::new(&d::BRANCH, "", "1"),
            tau: Field::new(&d::TAU, "", "any"),
            budget: Field::new(&d::BUDGET, "", "1"),
            start: Field::new(&d::START, "", "1"),
            most: Field::new(&d::MOST, "", "1"),
            threshold: Field::new(&d::THRESHOLD, "", "any"),
            ngram: Field::new(&d::NGRAM, "", "1"),
            looked_up: Field::new(&d::LOOKED_UP, "", "1"),
            temperature: Field::new(&d::TEMPERATURE, sampling.temperature, "any"),
            top_k: Field::new(&d::TOP_K, sampling.top_k, "1"),
            top_p: Field::new(&d::TOP_P, sampling.top_p, "any"),
            min_p: Field::new(&d::MIN_P, sampling.min_p, "any"),
            repetition: Field::new(&d::REPETITION, sampling.repetition_penalty, "any"),
            seed: Field::new(&d::SEED, sampling.seed, "1"),
        };
        for method in [Method::LINEAR, Method::TREE, Method::HEURISTIC, Method::CONFIDENCE, Method::LOOKUP] {
            this.fill(method);
        }
        this
    }

    fn fill(self, method: Method) {
        let set = |field: Field, value: &dyn Display| field.value.set(value.to_string());
        match method {
            Method::Ar | Method::DynaTree | Method::Auto => {}
            Method::Linear { k } => set(self.k, &k),
            Method::Tree { depth, branch, tau, budget } => {
                set(self.depth, &depth);
                set(self.branch, &branch);
                set(self.tau, &tau);
                set(self.budget, &budget);
            }
            Method::Assisted { schedule: Schedule::Heuristic { start } } => set(self.start, &start),
            Method::Assisted { schedule: Schedule::Confidence { most, threshold } } => {
                set(self.most, &most);
                set(self.threshold, &threshold);
            }
            Method::Lookup { ngram, tokens } => {
                set(self.ngram, &ngram);
                set(self.looked_up, &tokens);
            }
        }
    }

    /// The parameters of the chosen method.
    pub fn method_fields(self) -> Vec<Field> {
        match self.kind.get() {
            MethodKind::Auto | MethodKind::Ar | MethodKind::DynaTree => vec![],
            MethodKind::Linear => vec![self.k],
            MethodKind::Tree => vec![self.depth, self.branch, self.tau, self.budget],
            MethodKind::Heuristic => vec![self.start],
            MethodKind::Confidence => vec![self.most, self.threshold],
            MethodKind::Lookup => vec![self.ngram, self.looked_up],
        }
    }

    pub fn sampling_fields(self) -> [Field; 6] {
        [self.temperature, self.top_k, self.top_p, self.min_p, self.repetition, self.seed]
    }

    /// # Errors
    /// What is wrong with a parameter, for people.
    pub fn method(self) -> Result<Method, String> {
        let method = match self.kind.get() {
            MethodKind::Auto => Method::Auto,
            MethodKind::Ar => Method::Ar,
            MethodKind::DynaTree => Method::DynaTree,
            MethodKind::Linear => Method::Linear { k: self.k.read()? },
            MethodKind::Tree => Method::Tree {
                depth: self.depth.read()?,
                branch: self.branch.read()?,
                tau: self.tau.read()?,
                budget: self.budget.read()?,
            },
            MethodKind::Heuristic => Method::Assisted { schedule: Schedule::Heuristic { start: self.start.read()? } },
            MethodKind::Confidence => Method::Assisted {
                schedule: Schedule::Confidence { most: self.most.read()?, threshold: self.threshold.read()? },
            },
            MethodKind::Lookup => Method::Lookup { ngram: self.ngram.read()?, tokens: self.looked_up.read()? },
        };
        method.validate().map_err(words)?;
        Ok(method)
    }

    /// `turns` after the system message, for the model's chat template.
    pub fn conversation(self, turns: &[ChatMessage]) -> Prompt {
        #[derive(Serialize)]
        struct Conversation<'a> {
            messages: Vec<&'a ChatMessage>,
            chat_template_kwargs: BTreeMap<String, bool>,
        }
        let system = ChatMessage { role: "system".into(), content: self.system.get_untracked() };
        let first = (!system.content.trim().is_empty()).then_some(&system);
        let messages = first.into_iter().chain(turns).collect();
        let conversation = Conversation { messages, chat_template_kwargs: self.switches.get_untracked() };
        Prompt::Conversation(serde_json::to_string(&conversation).unwrap_or_default())
    }

    /// The request for `prompt`, with the chosen method.
    ///
    /// # Errors
    /// What is wrong with a parameter, for people.
    pub fn request(self, prompt: Prompt) -> Result<GenerateRequest, String> {
        let sampling = Sampling {
            temperature: self.temperature.read()?,
            top_k: self.top_k.read()?,
            top_p: self.top_p.read()?,
            min_p: self.min_p.read()?,
            repetition_penalty: self.repetition.read()?,
            seed: self.seed.read()?,
        };
        sampling.validate().map_err(words)?;
        let max_new_tokens = self.max_new_tokens.read()?;
        if max_new_tokens == 0 {
            return Err("new tokens = 0 is out of range: expected at least 1".into());
        }
        Ok(GenerateRequest {
            prompt,
            max_new_tokens,
            ignore_eos: self.ignore_eos.get(),
            stop: vec![],
            sampling,
            method: self.method()?,
            synthetic_acceptance: None,
            trace: false,
        })
    }
}

/// What is wrong with a parameter. The words of every other error are a hundredth of the page, and none of them can be
/// meant here.
fn words(error: Error) -> String {
    match error {
        Error::BadParameter { name, value, expected } => out_of_range(name, &value, expected),
        _ => String::new(),
    }
}
