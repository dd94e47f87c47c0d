//! Pieces that several views use.

pub mod ask;
pub mod composer;
pub mod dialog;
pub mod document;
pub mod engine;
pub mod field;
pub mod figures;
pub mod folder_picker;
pub mod status;
pub mod table;
pub mod text;
pub mod update;
