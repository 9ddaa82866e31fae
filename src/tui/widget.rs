//! Parts that screens are made of.

pub mod details;
pub mod dialog;
pub mod evidence;
pub mod form;
pub mod header;
pub mod held;
pub mod table;
pub mod text;

pub mod chart;
pub mod filter_line;
pub mod lane;
pub mod scroll;
pub mod timeline;
pub mod trouble;
