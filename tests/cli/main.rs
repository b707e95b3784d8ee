//! The command, driven as people drive it: by its arguments, signals, output and exit status.

#![cfg(feature = "cli")]
#![allow(
    clippy::disallowed_methods,
    reason = "the clock, the environment and the files of the tests, not of the library"
)]

#[path = "../scene/mod.rs"]
mod scene;
#[path = "../support/mod.rs"]
mod support;

mod guard;
mod input;
mod life;
mod many;
mod signals;
mod stage;
mod table;
mod terminal;
mod unusable;
