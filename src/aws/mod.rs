//! The only room that names `aws_sdk_*`. Everything that enters or leaves it is a `domain` type.

mod allowed;
mod ask;
pub mod cloudwatch;
mod convert;
mod credentials;
pub mod ec2;
mod error;
mod http;
pub mod pace;
mod pages;
mod poll;
mod process;
mod progress;
pub mod session;
pub mod ssm;
mod whose;
