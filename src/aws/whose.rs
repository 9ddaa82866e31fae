//! Whether a lab answers. Every answer of one says so itself, in a header that AWS does not send; where even one
//! answer does not, whatever service it came from, the session is not a lab's and is never called one again.

use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// The header of a lab's answers; its value names the runtime.
const MARK: &str = "x-freezeframe-lab";
/// What may stand there. Anything else is not a lab that we know.
const RUNTIMES: [&str; 2] = ["simulated", "real"];

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Heard {
    #[default]
    Nothing,
    /// From every answer so far.
    Lab(&'static str),
    /// From at least one answer: it is none.
    Aws,
}

/// What the answers of one session have said. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Whose(Arc<Mutex<Heard>>);

impl Whose {
    /// The runtime of the lab that gave every answer so far.
    pub(super) fn lab(&self) -> Option<&'static str> {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Heard::Lab(runtime) => Some(runtime),
            Heard::Nothing | Heard::Aws => None,
        }
    }

    fn hear(&self, mark: Option<&str>) {
        let runtime = mark.and_then(|mark| RUNTIMES.into_iter().find(|known| *known == mark));
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *heard = match (*heard, runtime) {
            (Heard::Nothing, Some(runtime)) => Heard::Lab(runtime),
            (Heard::Lab(before), Some(runtime)) if before == runtime => Heard::Lab(runtime),
            _ => Heard::Aws,
        };
    }
}

impl Intercept for Whose {
    fn name(&self) -> &'static str {
        "Whose"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.hear(context.response().headers().get(MARK));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(marks: &[Option<&str>]) -> Option<&'static str> {
        let whose = Whose::default();
        for mark in marks {
            whose.hear(*mark);
        }
        whose.lab()
    }

    #[test]
    fn only_what_every_answer_says_is_believed() {
        let lab = Some("simulated");
        assert_eq!(after(&[]), None);
        assert_eq!(after(&[lab, lab]), lab);
        assert_eq!(after(&[Some("real")]), Some("real"));
        // One answer of AWS's, first, last or between: never a lab again.
        for marks in [
            &[None][..],
            &[lab, None],
            &[None, lab],
            &[lab, None, lab],
            &[lab, Some("real"), lab],
            &[Some("Amazon EC2")],
        ] {
            assert_eq!(after(marks), None, "{marks:?}");
        }
    }
}
