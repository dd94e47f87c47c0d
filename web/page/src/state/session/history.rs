//! What plain requests to the loaded target took: what predictions for this device are fitted to.

use leptos::prelude::*;
use understory_protocol::{Generation, MeasuredRequest as RequestTimes};

/// Times of requests that are kept, the newest ones.
const MOST: usize = 64;

#[derive(Clone, Copy)]
pub struct RequestHistory {
    pub times: RwSignal<Vec<RequestTimes>>,
}

impl RequestHistory {
    pub fn new() -> Self {
        Self { times: RwSignal::new(vec![]) }
    }

    /// Keeps what a request took, if it was a plain one; `reused` tokens of its prompt were in the KV cache.
    pub fn note(self, generation: &Generation, reused: usize) {
        let metrics = &generation.metrics;
        let (None, Some(tpot_ms)) = (&generation.speculation, metrics.tpot_ms) else { return };
        let (input, output) = (generation.prompt_token_ids.len(), generation.token_ids.len());
        let ttft_ms = metrics.engine_ttft_ms.filter(|_| reused == 0);
        self.times.update(|all| {
            all.push(RequestTimes { input, output, ttft_ms, tpot_ms });
            let too_many = all.len().saturating_sub(MOST);
            all.drain(..too_many);
        });
    }

    pub fn forget(self) {
        self.times.set(vec![]);
    }
}
