//! The page: what a person sees of the engine, which runs in a worker of its own (`web/worker`) or behind a socket.
//! Nothing here computes on a model; the types of `understory_protocol` are all that it knows of the engine.
//!
//! *Architecture Invariant:* the modules are layers, and each knows those beneath it alone (`layers` tests it):
//!
//! | layer | what it is |
//! |---|---|
//! | `app` | the frame around the views |
//! | `views` | one module a view |
//! | `components` | pieces that several views use, charts among them |
//! | `state` | what outlives a change of view, and what can be done with it |
//! | `connection` | the engine, wherever it runs: requests out, replies in |
//! | `platform` | what the browser offers: storage, files, the address, the clock |
//! | `wording` | what is said: definitions, figures, advice; no DOM, tested on the host |

#[cfg(target_family = "wasm")]
mod app;
#[cfg(target_family = "wasm")]
mod components;
#[cfg(target_family = "wasm")]
mod connection;
#[cfg(test)]
mod layers;
#[cfg(target_family = "wasm")]
mod platform;
#[cfg(target_family = "wasm")]
mod state;
#[cfg(target_family = "wasm")]
mod views;
// Only its tests use it elsewhere.
#[cfg_attr(not(target_family = "wasm"), allow(dead_code, unused_imports))]
mod wording;

#[cfg(target_family = "wasm")]
#[wasm_bindgen::prelude::wasm_bindgen(start)]
fn start() {
    app::mount();
}
