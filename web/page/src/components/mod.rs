//! Pieces that several views use. What they show comes as properties or from the context, [`crate::state::Page`].

pub mod ask;
pub mod charts;
pub mod chat_options;
pub mod composer;
pub mod dialog;
pub mod document;
pub mod engine;
pub mod field;
pub mod figures;
pub mod folder_picker;
pub mod model_cards;
pub mod problem;
pub mod status;
pub mod table;
pub mod text;
pub mod update;
