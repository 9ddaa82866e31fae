//! The program as it is started: its command line as scripts meet it, and the life of its jobs.

mod cli;
mod life;
