//! One module a view.

pub mod device;
pub mod generate;
pub mod models;
pub mod predict;
pub mod side_by_side;
pub mod soon;
pub mod starts;
pub mod tree;
