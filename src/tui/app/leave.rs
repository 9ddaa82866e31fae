//! Whether to leave while something runs. What runs goes on meanwhile, and may end.

use ratatui::Frame;
use ratatui::layout::Rect;

use crate::config::theme::Role;
use crate::tui::action::Action;
use crate::tui::contract::{Reaction, Request, Screen, ScreenContext};
use crate::tui::widget::dialog::{Choice, Question};

const TITLE: &str = "Leave freezeframe?";

/// The question: one while something runs, one while AWS only copies, another once all has ended.
pub struct Leave {
    busy: Question,
    copying: Question,
    idle: Question,
}

impl Leave {
    /// The question; the focus is on staying.
    pub fn new() -> Self {
        let says = |cx: &ScreenContext<'_>| {
            let mut says = vec![(format!("{}.", cx.model.busy().join(", ")), Role::Warn)];
            says.push((
                "ctrl-c again within 2 s thaws and stops this console's jobs, and leaves."
                    .to_owned(),
                Role::Muted,
            ));
            says.extend(elsewhere(cx));
            says
        };
        let busy = vec![
            Choice::safe("Stay"),
            Choice::asks("Leave when all is done", vec![Request::Detach]),
            Choice::asks(
                "Thaw, stop and leave",
                vec![Request::StopAll, Request::Quit],
            ),
        ];
        let only = |cx: &ScreenContext<'_>| {
            let mut says = vec![
                (format!("{}.", cx.model.busy().join(", ")), Role::Text),
                (
                    "Nothing to do: AWS finishes the copy, and any later start of freezeframe records its end and publishes \
                     its metrics."
                        .to_owned(),
                    Role::Muted,
                ),
            ];
            says.extend(elsewhere(cx));
            says
        };
        let copying = vec![
            Choice::safe("Stay"),
            Choice::asks("Leave it to AWS", vec![Request::Quit]),
            Choice::asks("Leave when all is done", vec![Request::Detach]),
        ];
        let ended = |cx: &ScreenContext<'_>| {
            let words = "Everything has ended meanwhile; leaving stops nothing.";
            let mut says = vec![(words.to_owned(), Role::Ok)];
            if let Some(others) = elsewhere(cx) {
                let words = "What this console ran has ended meanwhile; leaving stops nothing.";
                says = vec![(words.to_owned(), Role::Ok), others];
            }
            says
        };
        let idle = vec![
            Choice::safe("Stay"),
            Choice::asks("Leave", vec![Request::Quit]),
        ];
        Self {
            busy: Question::live(TITLE, says, busy),
            copying: Question::live(TITLE, only, copying),
            idle: Question::live(TITLE, ended, idle),
        }
    }

    fn now(&self, cx: &ScreenContext<'_>) -> &Question {
        if cx.model.busy().is_empty() {
            &self.idle
        } else if cx.model.is_left_to_aws() {
            &self.copying
        } else {
            &self.busy
        }
    }
}

/// What goes on whatever is chosen here.
fn elsewhere(cx: &ScreenContext<'_>) -> Option<(String, Role)> {
    cx.model
        .goes_on_elsewhere()
        .map(|words| (words, Role::Text))
}

impl Screen for Leave {
    fn title(&self, _cx: &ScreenContext<'_>) -> String {
        TITLE.to_owned()
    }

    fn purpose(&self) -> &'static str {
        "Whether to stay, to leave when everything has ended, or to thaw and stop first what is more than AWS's copying; \
         Esc stays."
    }

    fn handles(&self, action: Action, cx: &ScreenContext<'_>) -> bool {
        self.now(cx).handles(action, cx)
    }

    fn says(&self, action: Action, cx: &ScreenContext<'_>) -> Option<(&'static str, &'static str)> {
        self.now(cx).says(action, cx)
    }

    fn act(&mut self, action: Action, cx: &ScreenContext<'_>) -> Reaction {
        if cx.model.busy().is_empty() {
            self.idle.act(action, cx)
        } else if cx.model.is_left_to_aws() {
            self.copying.act(action, cx)
        } else {
            self.busy.act(action, cx)
        }
    }

    fn view(&self, frame: &mut Frame<'_>, area: Rect, cx: &ScreenContext<'_>) {
        self.now(cx).view(frame, area, cx);
    }

    fn is_dialog(&self) -> bool {
        true
    }
}
