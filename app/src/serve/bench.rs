//! A scenario measured by this computer's engine for a page: what the machine says of itself comes from here.

use anyhow::Result;
use understory_protocol::{BenchRequest, Reply};
use understory_session::{Session, Watch};

use crate::commands::bench::environment::{self, Before};

/// A page on another tab or computer does not slow this one down.
struct Here<'a> {
    stopped: &'a dyn Fn() -> bool,
}

impl Watch for Here<'_> {
    fn stopped(&self) -> bool {
        (self.stopped)()
    }

    fn hidden(&self) -> Option<bool> {
        None
    }

    fn load(&self) -> Option<f64> {
        environment::load()
    }

    /// Browsers tell it.
    fn pressure(&self) -> Option<String> {
        None
    }
}

pub async fn bench(
    session: &mut Session,
    request: &BenchRequest,
    stopped: &dyn Fn() -> bool,
    emit: &mut dyn FnMut(Reply),
) -> Result<Reply> {
    let before = Before::now();
    let label = request.label.as_deref();
    let site = |adapter: &_, kernels, step| environment::site(before, (adapter, kernels), step, label);
    Ok(session.bench(request, site, &Here { stopped }, emit).await?)
}
