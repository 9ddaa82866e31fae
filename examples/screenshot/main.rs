//! A picture of the program's own screen: runs it in a pseudo-terminal, presses keys, writes the screen as SVG.
//!
//! ```text
//! cargo build && cargo run --example screenshot -- --out screen.svg see:shop-db-1 press:4 see:Jobs -- --lab
//! ```
//!
//! Steps are carried out in their order: `see:A&&B` waits until the screen shows both texts at once, `press:KEYS`
//! presses keys (`<Enter>`, `<Esc>`, `<Tab>`, `<Space>` by name). The picture is the screen after the last step. What
//! stands behind `--` goes to freezeframe, which is taken from the same target directory. `docs/images/make` has the
//! commands for the pictures that the repository keeps.

mod svg;

use std::env;
use std::error::Error;
use std::io::{Read, Write};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use clap::Parser;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// A step that is not done after this long is a failure.
const PATIENCE: Duration = Duration::from_secs(120);

/// A screen that did not change for this long is drawn to its end.
const STILL: Duration = Duration::from_millis(25);

#[derive(Parser)]
struct Args {
    /// Where the picture goes
    #[arg(long)]
    out: PathBuf,
    /// Width in columns
    #[arg(long, default_value_t = NonZero::<u16>::MIN.saturating_add(99))]
    columns: NonZero<u16>,
    /// Height in rows
    #[arg(long, default_value_t = NonZero::<u16>::MIN.saturating_add(23))]
    rows: NonZero<u16>,
    /// What the picture shows, for those who cannot see it
    #[arg(long, default_value = "A screen of freezeframe")]
    title: String,
    /// Steps: see:TEXT&&TEXT, press:KEYS
    #[arg(required = true, value_parser = step)]
    steps: Vec<Step>,
    /// Arguments of freezeframe
    #[arg(last = true)]
    arguments: Vec<String>,
}

#[derive(Clone)]
enum Step {
    See(Vec<String>),
    Press(String),
}

fn step(text: &str) -> Result<Step, String> {
    match text.split_once(':') {
        Some(("see", texts)) => Ok(Step::See(texts.split("&&").map(str::to_owned).collect())),
        Some(("press", keys)) => Ok(Step::Press(
            keys.replace("<Enter>", "\r")
                .replace("<Esc>", "\u{1b}")
                .replace("<Tab>", "\t")
                .replace("<Space>", " "),
        )),
        _ => Err("a step is see:TEXT or press:KEYS".to_owned()),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let mut console = Console::start(&args)?;
    let done = args.steps.iter().try_for_each(|step| match step {
        Step::See(texts) => console.see(texts),
        Step::Press(keys) => console.press(keys),
    });
    let picture = svg::draw(console.screen.screen(), &args.title);
    // Also after a failure: a real lab that is killed leaves its loop devices behind.
    let stopped = console.stop();
    done?;
    std::fs::write(&args.out, picture)?;
    stopped
}

struct Console {
    child: Box<dyn Child + Send + Sync>,
    _terminal: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    _home: tempfile::TempDir,
}

impl Console {
    fn start(args: &Args) -> Result<Self, Box<dyn Error>> {
        let home = tempfile::tempdir()?;
        let pty = native_pty_system().openpty(PtySize {
            rows: args.rows.get(),
            cols: args.columns.get(),
            pixel_width: 0,
            pixel_height: 0,
        })?;
        // target/debug/examples/screenshot stands beside target/debug/freezeframe.
        let program = env::current_exe()?
            .parent()
            .and_then(|examples| examples.parent())
            .map(|debug| debug.join("freezeframe"))
            .filter(|program| program.exists())
            .ok_or("there is no freezeframe in this target directory; run cargo build first")?;
        let mut command = CommandBuilder::new(program);
        command.args(&args.arguments);
        command.cwd(env::current_dir()?);
        command.env_clear();
        command.env("TERM", "xterm-256color");
        command.env("COLORTERM", "truecolor");
        command.env("PATH", env::var_os("PATH").unwrap_or_default());
        command.env("HOME", home.path());
        command.env("FREEZEFRAME_STATE_DIR", home.path());
        let child = pty.slave.spawn_command(command)?;
        drop(pty.slave);
        let mut reader = pty.master.try_clone_reader()?;
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0_u8; 8192];
            while let Ok(n) = reader.read(&mut buffer) {
                if n == 0 || sender.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            child,
            keys: pty.master.take_writer()?,
            _terminal: pty.master,
            output,
            screen: vt100::Parser::new(args.rows, args.columns, 0),
            _home: home,
        })
    }

    /// Waits until all texts are on a screen that is drawn to its end.
    fn see(&mut self, texts: &[String]) -> Result<(), Box<dyn Error>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.screen.screen().contents();
            let met = texts.iter().all(|text| shown.contains(text.as_str()));
            let wait = if met {
                STILL
            } else {
                deadline.saturating_duration_since(Instant::now())
            };
            match self.output.recv_timeout(wait) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(RecvTimeoutError::Timeout) if met => return Ok(()),
                Err(error) => {
                    return Err(
                        format!("waiting for {texts:?}: {error}; the screen is:\n{shown}").into(),
                    );
                }
            }
        }
    }

    fn press(&mut self, keys: &str) -> Result<(), Box<dyn Error>> {
        self.keys.write_all(keys.as_bytes())?;
        Ok(self.keys.flush()?)
    }

    /// Leaves as a person does who does not wait: ctrl-c, and again where the program asks.
    fn stop(mut self) -> Result<(), Box<dyn Error>> {
        let ctrl_c = "\u{3}";
        self.press(ctrl_c)?;
        let deadline = Instant::now() + PATIENCE;
        let mut again = false;
        loop {
            if !again && self.screen.screen().contents().contains("Stay") {
                again = true;
                self.press(ctrl_c)?;
            }
            match self
                .output
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(bytes) => self.screen.process(&bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    self.child.kill()?;
                    return Err("freezeframe did not end".into());
                }
            }
        }
        self.child.wait()?;
        Ok(())
    }
}
