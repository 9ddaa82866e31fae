//! The console: every screen at the sizes that matter, the keys and their effects, and the program in a real
//! pseudo-terminal.

/// One snapshot per size.
macro_rules! shows {
    ($name:literal, $hands:expr) => {
        insta::assert_snapshot!(concat!($name, "_80x24"), $hands.screen(80, 24));
        insta::assert_snapshot!(concat!($name, "_120x40"), $hands.screen(120, 40));
    };
}

mod pty;
mod screens;
mod screens_work;
mod support;
