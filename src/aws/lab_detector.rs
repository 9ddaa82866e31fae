//! Whether a lab answers. Every answer of one says so itself, in a header that AWS does not send; where even one
//! answer does not, whatever service it came from, the session is not a lab's and is never called one again.

use std::sync::Arc;

use parking_lot::Mutex;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// The header of a lab's answers; its value names the runtime.
pub(super) const MARK: &str = "x-freezeframe-lab";
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

/// Header by which a lab that takes its own key alone says which file has it.
pub(super) const KEY_FILE: &str = "x-freezeframe-lab-key-file";
/// The header in which a lab says where its instances are: `eu-central-1 14`.
const HOME: &str = "x-freezeframe-lab-home";

/// Where a lab's instances are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LabHome {
    /// The one region that is not empty.
    pub(super) region: String,
    /// How many there are.
    pub(super) instances: usize,
}

impl LabHome {
    fn parse(text: &str) -> Option<Self> {
        let (region, count) = text.split_once(' ')?;
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (region.len() <= 32 && region.bytes().all(plain)).then_some(())?;
        Some(Self {
            region: region.to_owned(),
            instances: count.parse().ok()?,
        })
    }
}

/// What the answers of one session have said. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Whose {
    heard: Arc<Mutex<Heard>>,
    home: Arc<Mutex<Option<LabHome>>>,
}

impl Whose {
    /// The runtime of the lab that gave every answer so far.
    pub(super) fn lab(&self) -> Option<&'static str> {
        match *self.heard.lock() {
            Heard::Lab(runtime) => Some(runtime),
            Heard::Nothing | Heard::Aws => None,
        }
    }

    /// Where the instances of that lab are, as its last answer said.
    pub(super) fn home(&self) -> Option<LabHome> {
        self.lab()?;
        let home = self.home.lock();
        home.clone()
    }

    fn hear_home(&self, text: Option<&str>) {
        let mut home = self.home.lock();
        *home = text.and_then(LabHome::parse);
    }

    fn hear(&self, mark: Option<&str>) {
        let runtime = mark.and_then(|mark| RUNTIMES.into_iter().find(|known| *known == mark));
        let mut heard = self.heard.lock();
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
        let headers = context.response().headers();
        self.hear(headers.get(MARK));
        self.hear_home(headers.get(HOME));
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

    #[test]
    fn only_a_lab_says_where_its_instances_are() {
        let home = |mark: Option<&str>, text: Option<&str>| {
            let whose = Whose::default();
            whose.hear(mark);
            whose.hear_home(text);
            whose.home().map(|home| (home.region, home.instances))
        };
        let there = Some(("eu-central-1".to_owned(), 14));
        assert_eq!(home(Some("simulated"), Some("eu-central-1 14")), there);
        assert_eq!(home(None, Some("eu-central-1 14")), None);
        for odd in [
            "",
            "eu-central-1",
            "eu-central-1 many",
            "EU 1",
            "\u{1b}[31m 1",
            "a b 1",
        ] {
            assert_eq!(home(Some("simulated"), Some(odd)), None, "{odd}");
        }
        assert_eq!(home(Some("simulated"), None), None);
    }
}
