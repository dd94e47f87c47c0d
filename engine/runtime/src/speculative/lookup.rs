//! The drafter that needs no model: the text's own past. The kernel `accept`, which ends a round, finds where the last
//! tokens occurred before and begins the next round's tree with what followed there.

use understory_speculation::controller::RoundPlan;

use super::drafter::{Drafter, RoundSpec};
use super::verifier::VerifyCosts;
use crate::gpu::Gpu;
use crate::kernels::AcceptParams;

/// Has no state on the host and no dispatch of its own.
pub struct Lookup;

impl Drafter for Lookup {
    /// The chain was found in the round before, and lies in the tree already.
    fn takes_part(&self, _plan: &RoundPlan) -> bool {
        false
    }

    fn set_parameters(&mut self, _gpu: &Gpu, round: &RoundSpec<'_>, costs: &VerifyCosts, accept: &mut AcceptParams) {
        accept.max_match = 0;
        accept.lookup_tokens = 0;
        if let Some(lookup) = &round.next.lookup {
            accept.verify_ms = costs.of(round.next);
            accept.max_match = lookup.max_match as u32;
            accept.min_match = lookup.min_match as u32;
            accept.lookup_tokens = round.cut(lookup.tokens.min(round.next.rule.max_nodes));
            accept.sized = lookup.sized_by_cost.into();
            accept.lookup_log_prob = lookup.log_prob;
        }
    }
}
