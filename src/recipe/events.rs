//! The line protocol FF1, as the use cases call it. The types and the parser live on the pure floor,
//! because the state machine judges with them.

pub use crate::domain::trace::{Line, Malformed, ScriptError, Trace, TraceEvent, parse};
