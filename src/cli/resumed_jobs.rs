//! Jobs that an earlier process left open, in words: where they stand, and what is said while they are resumed.

use std::collections::{HashMap, HashSet};

use crate::domain::ids::JobId;
use crate::domain::job::{JobView, Phase};

/// What to do where nobody could confirm a job's thaw.
pub(super) fn unconfirmed_thaw(view: &JobView) -> String {
    let job = &view.spec.job;
    format!(
        "{}: THAW UNCONFIRMED\n  next: `freezeframe jobs abort --job {job}` thaws and asks again; where that proves \
         nothing, look at the instance, then `freezeframe jobs thawed --job {job}` confirms the thaw",
        who(view)
    )
}

/// The instance, and its name if it has one.
pub(super) fn who(view: &JobView) -> String {
    let name = &view.spec.instance_name;
    let instance = &view.spec.instance;
    if name.is_empty() || name == instance.as_str() {
        instance.to_string()
    } else {
        format!("{instance} {name}")
    }
}

/// How far AWS has copied its set.
pub(super) fn copying(view: &JobView) -> String {
    format!("copying {} %", view.progress())
}

/// What was said so far of jobs that are resumed.
#[derive(Default)]
pub(super) struct ResumedJobs {
    /// Jobs of which only the copying was left.
    copied: HashSet<JobId>,
    said: HashMap<JobId, String>,
}

impl ResumedJobs {
    /// These are open, and stand so before anything is done for them.
    pub(super) fn before<'a>(&mut self, open: impl Iterator<Item = &'a JobView>) {
        let only = open.filter(|view| view.only_copies());
        self.copied.extend(only.map(|view| view.spec.job.clone()));
    }

    /// The line to say about that view, if it brings anything new.
    pub(super) fn line(&mut self, view: &JobView) -> Option<String> {
        let line = self.words(view);
        let old = self.said.insert(view.spec.job.clone(), line.clone());
        (old.as_ref() != Some(&line)).then_some(line)
    }

    fn words(&self, view: &JobView) -> String {
        let who = format!("job {} on {}", view.spec.job, view.spec.instance);
        if let Some(doing) = &view.waiting {
            return format!("{who}: {doing}");
        }
        if self.copied.contains(&view.spec.job)
            && !view.thaw_unconfirmed
            && !view.has_pending_labels()
        {
            if view.only_copies() {
                return format!("{who}: still {}", copying(view));
            }
            if let (Phase::Done, Some(verdict)) = (view.phase, view.verdict) {
                return format!("{who}: copied, {verdict}");
            }
        }
        let what = if view.thaw_unconfirmed {
            let job = &view.spec.job;
            format!(
                "THAW UNCONFIRMED; `freezeframe jobs abort --job {job}` asks again, `freezeframe jobs thawed --job \
                 {job}` confirms the thaw once you have looked at the instance"
            )
        } else if view.has_pending_labels() {
            "its labels could not be written yet; they are on record, and the next start tries again"
                .to_owned()
        } else if let (Phase::Done, Some(verdict)) = (view.phase, view.verdict) {
            let made = if view.set.is_empty() {
                "; no snapshot was made"
            } else {
                ""
            };
            format!("thawed and settled, {verdict}{made}")
        } else if view.phase == Phase::Completing {
            format!("thawed and labelled; {}", copying(view))
        } else {
            "nothing is frozen; it is looked at again at the next start".to_owned()
        };
        format!("resumed {who}, left open by an earlier console: {what}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::job::{Member, Verdict};
    use crate::sample;

    fn view(phase: Phase) -> JobView {
        let mut view = sample::view("j-1", phase);
        view.verdict = (phase == Phase::Done).then_some(Verdict::Application);
        let member: Member = serde_json::from_value(json!({
            "snapshot": "snap-1", "volume": "vol-1", "device": "/dev/sdf", "level": "application",
            "reason": "", "progress": 40, "volume_gib": 8,
        }))
        .unwrap();
        view.set.push(member);
        view
    }

    #[test]
    fn what_is_done_is_said_before_it_is_done_and_once() {
        let mut said = ResumedJobs::default();
        said.before([&view(Phase::Quiescing)].into_iter());
        let mut thawing = view(Phase::Quiescing);
        thawing.waiting = Some("thawing it first".into());
        assert_eq!(
            said.line(&thawing).unwrap(),
            "job j-1 on i-1: thawing it first"
        );
        assert_eq!(said.line(&thawing), None);
        assert_eq!(
            said.line(&view(Phase::Completing)).unwrap(),
            "resumed job j-1 on i-1, left open by an earlier console: thawed and labelled; copying 40 %"
        );
    }

    #[test]
    fn what_only_copies_is_not_resumed_again_and_again() {
        let mut said = ResumedJobs::default();
        let mut copies = view(Phase::Completing);
        said.before([&copies].into_iter());
        assert_eq!(
            said.line(&copies).unwrap(),
            "job j-1 on i-1: still copying 40 %"
        );
        assert_eq!(said.line(&copies), None);
        copies.set[0].progress = 70;
        assert!(said.line(&copies).unwrap().ends_with("copying 70 %"));
        assert_eq!(
            said.line(&view(Phase::Done)).unwrap(),
            "job j-1 on i-1: copied, application"
        );
    }

    #[test]
    fn a_state_says_whether_anybody_is_needed() {
        assert_eq!(view(Phase::Completing).listed_state(true), "copying");
        assert_eq!(view(Phase::Completing).listed_state(false), "completing");
        assert_eq!(view(Phase::Thawing).listed_state(true), "abandoned");
        assert_eq!(view(Phase::Done).listed_state(false), "done");
    }
}
