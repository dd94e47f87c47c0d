//! The time of an operator and of a pass on a device: `max(flops / rate, bytes / bandwidth)`, what its dispatches cost,
//! and what goes between devices.

use serde::Serialize;
use understory_model::config::ModelConfig;

use super::operators::{Class, Operator, Pass, operators};
use super::{DeviceProfile, Numerics};

/// What takes the most of an operator's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    Compute,
    Memory,
    Dispatch,
    Link,
}

impl Bound {
    pub fn name(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Memory => "memory",
            Self::Dispatch => "dispatch",
            Self::Link => "link",
        }
    }
}

/// Operators of one name together: of all layers and, in a prefill, of all chunks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperatorCost {
    pub name: &'static str,
    pub dispatches: usize,
    pub flops: f64,
    pub weight_bytes: f64,
    pub kv_bytes: f64,
    pub activation_bytes: f64,
    /// FLOP a byte; `None` where nothing is computed
    pub intensity: Option<f64>,
    pub compute_ms: Option<f64>,
    pub memory_ms: f64,
    pub dispatch_ms: f64,
    pub link_ms: f64,
    /// not the sum of those above: what of computing and moving is hidden behind the other does not count
    pub time_ms: f64,
    pub bound: Bound,
}

/// A pass, or several after each other, on one device.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PassCost {
    pub time_ms: f64,
    /// of it what belongs to no operator
    pub pass_ms: f64,
    pub flops: f64,
    pub bytes: f64,
    /// FLOP a byte
    pub intensity: f64,
    pub dispatches: usize,
    /// bytes of activations of the operator with the most
    pub largest_activations_bytes: f64,
    pub operators: Vec<OperatorCost>,
}

/// How fast `profile` computes: `None` counts no time for it.
pub fn cost_of(operator: &Operator, profile: &DeviceProfile, flops_per_s: Option<f64>) -> OperatorCost {
    let share = profile.efficiency.of(operator.class);
    let count = operator.count as f64;
    let bytes = operator.weight_bytes + operator.kv_bytes + operator.activation_bytes;
    let flops = operator.flops + operator.extra_flops;
    let compute_ms = flops_per_s.map(|rate| count * flops / (rate * share.compute) * 1e3);
    let memory_ms = count * bytes / (profile.bandwidth() * share.memory) * 1e3;
    let dispatches = operator.count * operator.dispatches;
    let dispatch_ms = dispatches as f64 * profile.dispatch_us.unwrap_or(0.0) / 1e3;
    let link_ms = match (operator.class, profile.link_gb_s) {
        (Class::Link, Some(link)) => count * operator.link_bytes / (link * 1e9) * 1e3,
        _ => 0.0,
    };
    let (longer, shorter) = match compute_ms {
        Some(compute_ms) => (compute_ms.max(memory_ms), compute_ms.min(memory_ms)),
        None => (memory_ms, 0.0),
    };
    let time_ms = longer + (1.0 - profile.efficiency.overlap) * shorter + dispatch_ms + link_ms;
    let mut cost = OperatorCost {
        name: operator.name,
        dispatches,
        flops: count * operator.flops,
        weight_bytes: count * operator.weight_bytes,
        kv_bytes: count * operator.kv_bytes,
        activation_bytes: count * operator.activation_bytes,
        intensity: None,
        compute_ms,
        memory_ms,
        dispatch_ms,
        link_ms,
        time_ms,
        bound: Bound::Memory,
    };
    cost.judge();
    cost
}

impl OperatorCost {
    /// Sets what follows from the sums.
    fn judge(&mut self) {
        let bytes = self.weight_bytes + self.kv_bytes + self.activation_bytes;
        self.intensity = (self.flops > 0.0 && bytes > 0.0).then(|| self.flops / bytes);
        let parts = [
            (Bound::Memory, self.memory_ms),
            (Bound::Compute, self.compute_ms.unwrap_or(0.0)),
            (Bound::Dispatch, self.dispatch_ms),
            (Bound::Link, self.link_ms),
        ];
        self.bound = parts.into_iter().fold(parts[0], |most, part| if part.1 > most.1 { part } else { most }).0;
    }

    fn add(&mut self, other: &OperatorCost) {
        self.dispatches += other.dispatches;
        self.flops += other.flops;
        self.weight_bytes += other.weight_bytes;
        self.kv_bytes += other.kv_bytes;
        self.activation_bytes += other.activation_bytes;
        self.compute_ms = self.compute_ms.zip(other.compute_ms).map(|(a, b)| a + b);
        self.memory_ms += other.memory_ms;
        self.dispatch_ms += other.dispatch_ms;
        self.link_ms += other.link_ms;
        self.time_ms += other.time_ms;
        self.judge();
    }
}

impl PassCost {
    pub fn of(config: &ModelConfig, profile: &DeviceProfile, numerics: &Numerics, pass: &Pass) -> Self {
        let rate = profile.flops(numerics.weights).map(|(rate, _)| rate);
        let pass_ms = profile.pass_us.unwrap_or(0.0) / 1e3;
        let mut cost = PassCost { time_ms: pass_ms, pass_ms, ..PassCost::default() };
        for operator in operators(config, numerics, pass) {
            cost.largest_activations_bytes = cost.largest_activations_bytes.max(operator.activation_bytes);
            cost.add_operator(&cost_of(&operator, profile, rate));
        }
        cost
    }

    fn add_operator(&mut self, operator: &OperatorCost) {
        self.time_ms += operator.time_ms;
        self.flops += operator.flops;
        self.bytes += operator.weight_bytes + operator.kv_bytes + operator.activation_bytes;
        self.dispatches += operator.dispatches;
        self.intensity = if self.bytes > 0.0 { self.flops / self.bytes } else { 0.0 };
        match self.operators.iter_mut().find(|known| known.name == operator.name) {
            Some(known) => known.add(operator),
            None => self.operators.push(operator.clone()),
        }
    }

    /// What comes after this.
    pub fn then(&mut self, next: &PassCost) {
        for operator in &next.operators {
            self.add_operator(operator);
        }
        self.time_ms += next.pass_ms;
        self.pass_ms += next.pass_ms;
        self.largest_activations_bytes = self.largest_activations_bytes.max(next.largest_activations_bytes);
    }
}
