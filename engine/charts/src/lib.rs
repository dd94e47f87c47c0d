//! Charts as SVG text: scales and ticks, axes, lines, points, bars and intervals.
//!
//! A chart takes numbers and labels and knows nothing of what they mean. It is sized in units of its own picture and takes
//! its colours from the document around it: `c0` to `c11` are strokes, `f0` to `f11` fills, `r0` to `r11` rings and
//! `b0` to `b11` the backgrounds of a legend's marks, so light and dark themes are the style sheet's business. Every picture
//! has `role="img"`, a title and a description in words.
//!
//! [`scale`] and [`path`] are plain functions over `f64`, for pictures that are drawn elsewhere.

pub mod path;
pub mod plot;
pub mod rows;
pub mod scale;
mod svg;

pub use svg::{COLOURS, Legend, legend};
