//! What the browser offers: each module wraps one part of it, and none knows what the page does with it.

pub mod clock;
pub mod download;
pub mod facts;
pub mod files;
pub mod folders;
pub mod offline;
pub mod route;
pub mod storage;
pub mod typed;
pub mod values;
pub mod visibility;
pub mod webgpu;
