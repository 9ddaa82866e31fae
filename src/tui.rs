//! The console: keys become actions, the app answers with effects, and what is known is drawn.

pub mod action;
pub mod app;
pub mod contract;
pub mod effect;
pub mod event_loop;
pub mod executor;
pub mod hangup;
pub mod keymap;
pub mod message;
pub mod model;
pub mod screen;
pub mod style;
pub mod terminal;
pub mod widget;
