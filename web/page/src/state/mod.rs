//! What outlives a change of view, and what can be done with it. A part knows the parts that it acts on, as copies of
//! their signals; [`Page`] holds them all, and no part knows it.

pub mod announcer;
pub mod bench;
pub mod catalogue;
pub mod choice;
pub mod comparison;
pub mod engines;
pub mod live;
pub mod model_form;
mod page;
pub mod prediction;
pub mod report_loader;
pub mod run;
pub mod session;
pub mod settings;
pub mod starts;

pub use page::Page;
