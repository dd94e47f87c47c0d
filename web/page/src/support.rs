//! Whether this browser can run the engine, and what to do where it cannot.

use js_sys::Reflect;
use leptos::prelude::window;

use crate::engines::Place;

/// Why nothing can be generated, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub title: &'static str,
    pub message: String,
    pub advice: &'static str,
    /// Starting the engine anew can help.
    pub restart: bool,
    /// Other models can.
    pub other_models: bool,
}

impl Failure {
    pub fn crashed(message: String) -> Self {
        Self {
            title: "The engine ended unexpectedly",
            message,
            advice: "Nothing of the page is lost. Start the engine again; if it ends again, another tab may be using \
                     up the memory of the device.",
            restart: true,
            other_models: false,
        }
    }

    /// The engine at `place` is gone.
    pub fn ended(place: Place, message: String) -> Self {
        match place {
            Place::Browser => Self::crashed(message),
            Place::Native => Self {
                title: "No connection to the engine of understory serve",
                message,
                advice: "Nothing of the page is lost. Connect again when that is put right (if understory serve has ended, \
                         start it), or choose the engine in this browser.",
                restart: true,
                other_models: false,
            },
        }
    }

    /// Of the bundled pair, or of models that the person chose, by the engine at `place`.
    pub fn not_loaded(place: Place, message: String, is_bundled: bool) -> Self {
        let no_adapter = message.contains("no usable GPU adapter");
        let in_browser = place == Place::Browser;
        let advice = match (no_adapter, is_bundled) {
            (true, _) if in_browser => browser_advice(),
            (false, false) => "Choose again under Models, or go on with the bundled pair.",
            (false, true) if in_browser => {
                "Start the engine again. If the message speaks of a file, see that the models folder lies beside the page."
            }
            _ => {
                "This is what understory serve says. When it is put right, connect again, or choose the engine in this \
                 browser."
            }
        };
        let message = match no_adapter && in_browser {
            true => "WebGPU is there, but it offers no adapter.".into(),
            false => message,
        };
        let restart = is_bundled || no_adapter;
        Self { title: "The model could not be loaded", message, advice, restart, other_models: !restart }
    }
}

/// Whether a request that failed with this message will fail until the engine is started anew.
pub fn needs_restart(message: &str) -> bool {
    message.contains("device was lost")
}

/// `Some`: this browser has no WebGPU for this page.
pub fn missing() -> Option<Failure> {
    let has_gpu = Reflect::get(&window().navigator(), &"gpu".into()).is_ok_and(|gpu| !gpu.is_undefined());
    if has_gpu {
        return None;
    }
    let title = "This browser offers no WebGPU here";
    if !window().is_secure_context() {
        return Some(Failure {
            title,
            message: "WebGPU exists on secure pages only, and this one came over plain HTTP.".into(),
            advice: "Open it over https, or from localhost.",
            restart: false,
            other_models: false,
        });
    }
    let message = "The models run on WebGPU, which is missing or switched off.".into();
    Some(Failure { title, message, advice: browser_advice(), restart: false, other_models: false })
}

/// What switches WebGPU on in this browser.
fn browser_advice() -> &'static str {
    let agent = window().navigator().user_agent().unwrap_or_default();
    let has = |name| agent.contains(name);
    if has("Firefox/") {
        "Firefox has WebGPU on Windows since version 141 and on Macs with Apple silicon since 145. Elsewhere, set \
         dom.webgpu.enabled to true in about:config and load this page again, or use Chrome or Edge."
    } else if has("Android") {
        "Chrome on Android has WebGPU since version 121, on Android 12 or newer with a GPU of Qualcomm or ARM. Update \
         the browser, or open this page on another device."
    } else if has("Chrome/") && has("Linux") {
        "On Linux, open chrome://flags, enable \"Unsafe WebGPU Support\" and \"Vulkan\", and start the browser again. \
         chrome://gpu says what it found."
    } else if has("Chrome/") {
        "See that graphics acceleration is on in the browser's settings (System) and that the browser is up to date; \
         chrome://gpu says why WebGPU is off."
    } else if has("Safari/") {
        "Safari has WebGPU since version 26 (macOS 26, iOS 26, iPadOS 26). On older systems, use a current Chrome or \
         Edge on a Mac."
    } else {
        "Use a current Chrome, Edge, Firefox or Safari."
    }
}
