//! What the session does while nobody asks for anything: kernels that were put off, and a calibration in the background.

use understory_protocol::{Costs, FailureKind, Reply};
use understory_session::Session;

use crate::post;

#[derive(Default)]
pub struct Learning {
    /// A calibration was asked for.
    asked: bool,
    /// the request that is still to be answered
    id: Option<u64>,
}

impl Learning {
    /// Begins for the request `id`, with costs that are kept.
    pub fn begin(&mut self, id: u64, session: &mut Session, cached: Option<Costs>) {
        *self = Self { asked: true, id: Some(id) };
        match session.begin_learning(cached) {
            // What is left to do with kept costs needs no answer.
            Ok(Some(costs)) => self.answer(Reply::Costs(costs)),
            Ok(None) => {}
            Err(error) => self.answer(Reply::Failed((&error).into())),
        }
    }

    /// Something else takes its place.
    pub fn leave(&mut self) {
        self.answer(Reply::Failed(FailureKind::Other.with("it was given up for another request")));
        self.asked = false;
    }

    /// Takes a step; whether there was one.
    pub async fn go_on(&mut self, session: &mut Session) -> bool {
        if !self.asked {
            // What is wrong with a kernel is said by the request that needs it.
            return matches!(session.compile_one().await, Ok(true));
        }
        match session.learn_one().await {
            Ok(true) => return true,
            Ok(false) => self.answer(match session.costs() {
                Some(costs) => Reply::Costs(costs),
                None => Reply::Failed(FailureKind::Other.with("it cannot be measured what passes cost")),
            }),
            Err(error) => self.answer(Reply::Failed((&error).into())),
        }
        self.asked = false;
        false
    }

    fn answer(&mut self, reply: Reply) {
        if let Some(id) = self.id.take() {
            post(id, reply);
        }
    }
}
