//! The page: what a person sees of the engine, which runs in a worker of its own (`web/worker`) or behind a socket. Nothing here computes
//! on a model; the types of `understory_protocol` are all that it knows of the engine.
#![cfg(target_family = "wasm")]

mod app;
mod bench;
mod charts;
mod choice;
mod client;
mod comparison;
mod components;
mod definitions;
mod download;
mod engines;
mod folders;
mod format;
mod live;
mod offline;
mod prediction;
mod route;
mod run;
mod session;
mod settings;
mod shelf;
mod starts;
mod storage;
mod support;
mod typed;
mod views;
mod visibility;

use wasm_bindgen::prelude::*;

#[wasm_bindgen(start)]
fn start() {
    app::mount();
}
