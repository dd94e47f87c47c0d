//! How hard the processor works, as browsers tell that have compute pressure (Chromium).

use std::cell::Cell;
use std::rc::Rc;

use js_sys::{Array, Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;

/// Ascending (Compute Pressure Level 1, W3C).
const STATES: [&str; 4] = ["nominal", "fair", "serious", "critical"];
const INTERVAL_MS: u32 = 1000;

/// Listens while it lives.
pub struct Pressure {
    /// index in [`STATES`]
    worst: Rc<Cell<Option<usize>>>,
    observer: JsValue,
    _heard: Closure<dyn FnMut(Array)>,
}

impl Pressure {
    /// `None`: this browser does not tell.
    pub fn listen() -> Option<Self> {
        let constructor: Function = get(&js_sys::global(), "PressureObserver")?.dyn_into().ok()?;
        let worst = Rc::new(Cell::new(None));
        let seen = worst.clone();
        let heard = Closure::<dyn FnMut(Array)>::new(move |records: Array| {
            let states = records.iter().filter_map(|record| get(&record, "state")?.as_string());
            let known = states.filter_map(|state| STATES.iter().position(|known| *known == state));
            seen.set(known.max().max(seen.get()));
        });
        let observer = Reflect::construct(&constructor, &Array::of1(heard.as_ref())).ok()?;
        let options = Object::new();
        Reflect::set(&options, &"sampleInterval".into(), &INTERVAL_MS.into()).ok()?;
        let observe: Function = get(&observer, "observe")?.dyn_into().ok()?;
        let begun: Promise = observe.call2(&observer, &"cpu".into(), &options).ok()?.dyn_into().ok()?;
        // Where a policy refuses, nothing is heard.
        wasm_bindgen_futures::spawn_local(async move { drop(wasm_bindgen_futures::JsFuture::from(begun).await) });
        Some(Self { worst, observer, _heard: heard })
    }

    /// The worst state so far; `None`: none was told.
    pub fn worst(&self) -> Option<String> {
        self.worst.get().map(|state| STATES[state].into())
    }
}

impl Drop for Pressure {
    fn drop(&mut self) {
        if let Some(Ok(disconnect)) = get(&self.observer, "disconnect").map(JsCast::dyn_into::<Function>) {
            let _ = disconnect.call0(&self.observer);
        }
    }
}

fn get(of: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(of, &name.into()).ok().filter(|value| !value.is_undefined())
}
