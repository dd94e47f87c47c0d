//! A failure as the page tells it: what happened, in the engine's words, and what to do about it, in terms of this page's
//! controls. What to do follows from the failure's kind, never from its words.

use std::borrow::Cow;

use understory_protocol::{Failure, FailureKind};

use super::webgpu;

/// What went wrong, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub message: String,
    /// what to do about it; may be empty
    pub advice: Cow<'static, str>,
    /// the button beside it
    pub remedy: Option<Remedy>,
}

/// What one button does about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Starts the engine again.
    Restart,
    /// Loads the bundled pair.
    BundledPair,
}

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The engine is gone.
    End,
    /// The models were being loaded.
    Load,
    /// A request to an engine that goes on.
    Request,
}

/// Where the models come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Bundled,
    Hub,
    Folder,
}

/// What advice depends on beside the kind of the failure.
#[derive(Clone, Debug)]
pub struct Circumstances {
    pub moment: Moment,
    pub origin: Origin,
    /// The engine is that of `understory serve`.
    pub is_native: bool,
    /// of this browser
    pub agent: String,
}

impl From<String> for Notice {
    fn from(message: String) -> Self {
        Self { message, advice: "".into(), remedy: None }
    }
}

impl From<&str> for Notice {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

impl Notice {
    pub fn new(failure: Failure, at: &Circumstances) -> Self {
        let Failure { kind, message } = failure;
        let message = match kind {
            // The engine's words name native drivers.
            FailureKind::NoAdapter if !at.is_native => "WebGPU is there, but it offers no adapter.".into(),
            _ => message,
        };
        Self { message, advice: advice(&kind, at), remedy: remedy(&kind, at) }
    }
}

/// What to do about a failure of this kind: the page's one table.
fn advice(kind: &FailureKind, at: &Circumstances) -> Cow<'static, str> {
    use FailureKind as Kind;
    if at.moment == Moment::End && at.is_native {
        return "Nothing of the page is lost. Connect again when that is put right (if understory serve has ended, start \
                it), or choose the engine in this browser."
            .into();
    }
    let fixed = match kind {
        &Kind::PromptTooLong { prompt_tokens, context } => {
            let over = (prompt_tokens + 1).saturating_sub(context);
            let tokens = if over == 1 { "token" } else { "tokens" };
            return format!("That is {over} {tokens} too many: shorten the prompt, or begin a new conversation.")
                .into();
        }
        Kind::FileUnreadable { file } | Kind::FileTruncated { file } => return file_again(file, at).into(),
        Kind::NoAdapter if !at.is_native => webgpu::advice(&at.agent),
        Kind::NoAdapter => {
            "The computer that runs understory serve has no usable driver for its GPU. Connect again when it has one, or \
             choose the engine in this browser."
        }
        Kind::NoSuchAdapter { .. } | Kind::DeviceRefused => {
            "Close other tabs and programs that use the GPU, then start the engine again."
        }
        Kind::DeviceLost => {
            "Nothing of the page is lost. Start the engine again; if the device is lost again, close other tabs and \
             programs that use it, or choose a smaller model under Models."
        }
        Kind::OutOfDeviceMemory { .. } if at.moment == Moment::Load => {
            "Under Models, choose a smaller model, “none” under Draft, or weights in f16 (“Weights in f32” off). Other \
             tabs and programs use the same memory."
        }
        Kind::OutOfDeviceMemory { .. } => {
            "Shorten the prompt or ask for fewer “new tokens” (Sampling and length). Other tabs and programs use the same \
             memory."
        }
        Kind::DeviceUnfit => "The device cannot run this model: choose a smaller one under Models.",
        Kind::FileInvalid => match at.origin {
            Origin::Hub => {
                "Under Models, delete the model from “Kept in this browser” and load it again; if its files stay so, \
                 choose another one."
            }
            Origin::Folder => "Copy the model's files anew, all from one model, and choose them again under Models.",
            Origin::Bundled => bundled_again(at),
        },
        Kind::ModelUnsupported => {
            "Under Models, choose another model, or the same one with weights of a type that is known."
        }
        Kind::F16Overflow => "Under Models, switch “Weights in f32 instead of f16” on and load the model again.",
        Kind::PairMismatch => "Under Models, choose “none” under Draft, or a draft of the target's own family.",
        Kind::ChatTemplate => {
            "Clear the system message where the template takes none, or switch Chat off to send the text as it is."
        }
        Kind::NothingLoaded => "Load a model under Models.",
        Kind::EmptyPrompt => "Write at least one word.",
        Kind::NanLogits => {
            "Under Models, load it with “Weights in f32 instead of f16” on; if it is so again, its files are damaged: \
             delete them there and load them anew."
        }
        Kind::Download => match at.origin {
            Origin::Hub => {
                "See that repository, revision, endpoint and access token under Models are right, and load again: what came \
                 so far is kept. Or go on with the bundled pair."
            }
            Origin::Folder => {
                "Under Models, choose a folder with one model, or a GGUF file (of a split model, all of its files). Or go on \
                 with the bundled pair."
            }
            Origin::Bundled => bundled_again(at),
        },
        Kind::Crashed => {
            "Nothing of the page is lost. Start the engine again; if it ends again, another tab may be using up the memory \
             of the device."
        }
        Kind::Protocol => "Load the page again: it and its engine may be of different versions.",
        // The message says what is expected, or nothing can be done.
        Kind::BadParameter { .. } | Kind::BadToken { .. } => "",
        _ => match (at.moment, at.origin) {
            (Moment::Request, _) => "",
            (_, Origin::Bundled) => bundled_again(at),
            _ => "Choose again under Models, or go on with the bundled pair.",
        },
    };
    fixed.into()
}

/// How a file that is missing or damaged comes here again.
fn file_again(file: &str, at: &Circumstances) -> String {
    match at.origin {
        Origin::Hub => format!(
            "Under Models, delete the model from “Kept in this browser” and load it again, which downloads {file} anew."
        ),
        Origin::Folder => {
            format!("Copy or download {file} anew, whole, and choose the model again under Models.")
        }
        Origin::Bundled => bundled_again(at).into(),
    }
}

fn bundled_again(at: &Circumstances) -> &'static str {
    if at.is_native {
        "This is what understory serve says. When it is put right, connect again, or choose the engine in this browser."
    } else {
        "Start the engine again; if it fails again, delete the model under Models, which downloads it anew, and see that \
         the models folder lies beside the page."
    }
}

fn remedy(kind: &FailureKind, at: &Circumstances) -> Option<Remedy> {
    use FailureKind as Kind;
    let of_engine = matches!(
        kind,
        Kind::NoAdapter | Kind::NoSuchAdapter { .. } | Kind::DeviceRefused | Kind::DeviceLost | Kind::Crashed
    );
    match (at.moment, at.origin) {
        (Moment::End, _) => Some(Remedy::Restart),
        _ if of_engine => Some(Remedy::Restart),
        (Moment::Load, Origin::Bundled) => Some(Remedy::Restart),
        (Moment::Load, _) => Some(Remedy::BundledPair),
        (Moment::Request, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(moment: Moment, origin: Origin) -> Circumstances {
        Circumstances { moment, origin, is_native: false, agent: "Chrome/140 Linux".into() }
    }

    fn every_kind() -> Vec<FailureKind> {
        use FailureKind as Kind;
        let file = || "model.safetensors".to_owned();
        vec![
            Kind::NoAdapter,
            Kind::NoSuchAdapter { asked: 1, available: 1 },
            Kind::DeviceRefused,
            Kind::DeviceLost,
            Kind::OutOfDeviceMemory { asked_bytes: 1, allocated_bytes: 1 },
            Kind::DeviceUnfit,
            Kind::FileUnreadable { file: file() },
            Kind::FileTruncated { file: file() },
            Kind::FileInvalid,
            Kind::ModelUnsupported,
            Kind::F16Overflow,
            Kind::PairMismatch,
            Kind::ChatTemplate,
            Kind::NothingLoaded,
            Kind::PromptTooLong { prompt_tokens: 300, context: 256 },
            Kind::NanLogits,
            Kind::Download,
            Kind::Crashed,
            Kind::Protocol,
            Kind::Other,
        ]
    }

    /// A kind that the table leaves out fails this, and so does advice in terms of a terminal.
    #[test]
    fn a_load_that_fails_always_has_advice_and_a_button() {
        for origin in [Origin::Bundled, Origin::Hub, Origin::Folder] {
            for is_native in [false, true] {
                for kind in every_kind() {
                    let at = Circumstances { is_native, ..at(Moment::Load, origin) };
                    let notice = Notice::new(kind.clone().with("words"), &at);
                    assert!(!notice.advice.is_empty(), "{kind:?}");
                    assert!(notice.remedy.is_some(), "{kind:?}");
                    assert!(!notice.advice.contains("--") && !notice.advice.contains("apt-get"), "{}", notice.advice);
                }
            }
        }
    }

    /// The same words with another kind are other advice, and other words of one kind are the same: looking into the
    /// message fails this.
    #[test]
    fn advice_follows_the_kind_and_not_the_words() {
        let at = at(Moment::Load, Origin::Folder);
        let words = "no usable GPU adapter; the device was lost";
        let said = |kind: FailureKind, words: &str| Notice::new(kind.with(words), &at);
        assert!(said(FailureKind::PairMismatch, words).advice.contains("“none” under Draft"));
        assert_eq!(said(FailureKind::PairMismatch, words).remedy, Some(Remedy::BundledPair));
        assert!(said(FailureKind::F16Overflow, words).advice.contains("“Weights in f32 instead of f16” on"));
        assert_eq!(said(FailureKind::DeviceLost, "x").advice, said(FailureKind::DeviceLost, words).advice);
        assert_eq!(said(FailureKind::DeviceLost, "x").remedy, Some(Remedy::Restart));
    }

    /// A prompt as long as the context leaves no position for an answer: counting from the context itself fails this.
    #[test]
    fn a_long_prompt_is_told_by_how_much() {
        let at = at(Moment::Request, Origin::Bundled);
        let over = |prompt_tokens| {
            let kind = FailureKind::PromptTooLong { prompt_tokens, context: 256 };
            Notice::new(kind.with("too long"), &at).advice.into_owned()
        };
        assert!(over(256).starts_with("That is 1 token too many"), "{}", over(256));
        assert!(over(300).starts_with("That is 45 tokens too many"), "{}", over(300));
    }

    /// How a file comes here again depends on where it came from.
    #[test]
    fn a_truncated_file_is_brought_again_from_where_it_was() {
        let said = |origin| {
            let kind = FailureKind::FileTruncated { file: "model.safetensors".into() };
            Notice::new(kind.with("too short"), &at(Moment::Load, origin)).advice.into_owned()
        };
        assert!(
            said(Origin::Hub).contains("“Kept in this browser”") && said(Origin::Hub).contains("model.safetensors")
        );
        assert!(said(Origin::Folder).contains("choose the model again"));
        assert!(said(Origin::Bundled).contains("Start the engine again"));
    }

    /// What the forms find wrong themselves is a message alone.
    #[test]
    fn a_request_that_is_refused_offers_no_restart() {
        let at = at(Moment::Request, Origin::Hub);
        let kind = FailureKind::BadParameter { name: "k".into(), value: "64".into(), expected: "1 to 63".into() };
        let notice = Notice::new(kind.with("k = 64 is out of range: expected 1 to 63"), &at);
        assert_eq!(notice, Notice::from("k = 64 is out of range: expected 1 to 63"));
    }
}
