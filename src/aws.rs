//! The only room that names `aws_sdk_*`. Everything that enters or leaves it is a `domain` type.

mod allowed;
pub mod cloudwatch;
mod convert;
mod credentials;
pub mod ec2;
mod error;
mod http;
mod lab_detector;
pub mod pace;
mod pages;
mod poll;
mod process;
mod progress;
pub mod session;
pub mod ssm;
mod ssm_retry;
