//! The page: the engine in a Web Worker behind a leptos interface. Nothing is here yet.
