//! No command: the console.

use std::io::IsTerminal as _;

use tokio::sync::mpsc;

use super::after_exit::AfterExit;
use super::args::Global;
use super::progress::TICK;
use super::{exit, session, signals};
use crate::config::theme::Theme;
use crate::domain::problem::{Kind, Problem};
use crate::ops::job::run::new_id;
use crate::tui::app::App;
use crate::tui::effect::Effect;
use crate::tui::event_loop::{self, Outcome};
use crate::tui::executor::Executor;
use crate::tui::style::{Depth, Styles};
use crate::tui::terminal;

/// Effects and messages that may wait in their queues.
const QUEUE: usize = 256;

/// Said to signals after leaving: what ran was told to stop, and what was only being started then was not.
const LEFT: signals::AtSafePoint = signals::AtSafePoint {
    stopping: "stopping: thawing every instance first",
    asking: "what ran was told to stop, and ends by itself; ctrl-c again within 2 s thaws and stops what else there is",
};

pub(super) async fn run(global: &Global) -> Result<u8, Problem> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Problem::new(
            Kind::Usage,
            "open the console",
            "this is not a terminal",
            "run it in one, or use a command: `freezeframe list instances`, `freezeframe snapshot …`, see --help",
        ));
    }
    let theme = Theme::load(&session::configuration(global)?.theme)?;
    let depth = Depth::detect(|name| std::env::var(name).ok());
    let opened = session::open(global).await?;
    let clock = opened.ops.clock;
    let (effects, effects_in) = mpsc::channel(QUEUE);
    let (messages, mut messages_in) = mpsc::channel(QUEUE);
    let executor =
        Executor::new(opened.ops.clone(), messages).with_limits(opened.config.run.clone());
    let stop_all = executor.stop_all_token();
    let executor = tokio::spawn(executor.run(effects_in));
    let failed = |e: std::io::Error| {
        Problem::new(
            Kind::Local,
            "draw on the terminal",
            e.to_string(),
            "check the terminal; TERM must name one",
        )
    };
    let mut left = AfterExit::default();
    let shown = async {
        let (mut terminal, guard) = terminal::take()?;
        let mut app = App::new(Styles::new(theme, depth), new_id)
            .configured(
                opened.ops.recipes.clone(),
                opened.config.snapshot.mode,
                opened.config.snapshot.on_failure,
            )
            .with_policies(opened.config.retention.clone())
            .tagging(opened.config.tagging());
        let outcome = event_loop::run(
            &mut terminal,
            &mut app,
            effects.clone(),
            &mut messages_in,
            || clock.now(),
        )
        .await;
        drop(guard);
        left = AfterExit::of(app.model(), clock.now());
        // Dropped on a terminal that is gone, it would panic over what it cannot print, and take the jobs along.
        if terminal.show_cursor().is_err() {
            std::mem::forget(terminal);
        }
        outcome
    }
    .await;
    if matches!(shown, Ok(Outcome::Terminated)) {
        let all = Effect::StopAll { spare: Vec::new() };
        let _ = effects.send(all).await;
    }
    drop(effects);
    // Without a screen the signals are ours again: a hang-up changes nothing, the others thaw and stop.
    signals::survive_hangup()?;
    let quit = matches!(shown, Ok(Outcome::Quit));
    let watcher = if quit {
        signals::stop_on_signals(stop_all.clone(), LEFT)?
    } else {
        signals::stop_on_signals(stop_all.clone(), signals::OfJobs::unseen())?
    };
    if !executor.is_finished() {
        // On a hang-up nobody reads this, and jobs go on all the same.
        left.print_what_is_under_way(!quit);
    }
    let mut ticks = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            message = messages_in.recv() => match message {
                Some(message) => left.print_message(message, clock.now()),
                None => break,
            },
            _ = ticks.tick() => left.wait(clock.now()),
        }
    }
    let ended = executor.await;
    watcher.abort();
    let unconfirmed = left.end();
    opened.close().await;
    match (shown, ended) {
        (Err(error), _) => Err(failed(error)),
        (_, Err(error)) => Err(Problem::new(
            Kind::Local,
            "finish what was under way",
            error.to_string(),
            "start freezeframe again: it resumes what was left open, thawing first",
        )),
        _ if unconfirmed => Ok(exit::THAW_UNCONFIRMED),
        (Ok(Outcome::Terminated), _) => Ok(exit::INTERRUPTED),
        (Ok(_), _) if stop_all.is_cancelled() => Ok(exit::INTERRUPTED),
        (Ok(_), _) => Ok(exit::OK),
    }
}
