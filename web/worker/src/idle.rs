//! Work for the time in which nobody asks for anything.

use futures_channel::mpsc::UnboundedSender;
use wasm_bindgen::prelude::*;

use crate::{Work, scope};

/// How long nobody asks before that counts as idle: longer than a page takes to send its next request.
pub const PAUSE_MS: i32 = 300;

/// Puts `work` into the queue after a while.
pub fn after(ms: i32, queue: &UnboundedSender<Work>, work: Work) {
    let queue = queue.clone();
    let later = Closure::once_into_js(move || drop(queue.unbounded_send(work)));
    // Without a timer it is done when a request needs it.
    let _ = scope().set_timeout_with_callback_and_timeout_and_arguments_0(later.unchecked_ref(), ms);
}
