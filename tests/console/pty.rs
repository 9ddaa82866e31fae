//! The program in a real pseudo-terminal, as a person meets it. Output is drained on a thread of its
//! own into a VT parser; the tests wait for what is on the screen, never for time.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails the test"
)]

use std::io::{Read, Write};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// Far beyond anything that a healthy run takes; reaching it is a failure, not a measurement.
const PATIENCE: Duration = Duration::from_secs(90);

struct Console {
    child: Box<dyn Child + Send + Sync>,
    _master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    raw: Vec<u8>,
    _state: tempfile::TempDir,
}

impl Console {
    fn start(rows: u16, cols: u16, args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::start_program(env!("CARGO_BIN_EXE_freezeframe"), rows, cols, args, env)
    }

    fn start_program(
        program: &str,
        rows: u16,
        cols: u16,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        let state = tempfile::tempdir().unwrap();
        let pty = native_pty_system()
            .openpty(PtySize {
                rows,
                cols,
                pixel_width: 0,
                pixel_height: 0,
            })
            .unwrap();
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.env_clear();
        command.env("TERM", "xterm-256color");
        command.env("PATH", "/usr/bin:/bin");
        command.env("HOME", state.path());
        command.env("FREEZEFRAME_STATE_DIR", state.path());
        for (key, value) in env {
            command.env(key, value);
        }
        let child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);
        let mut reader = pty.master.try_clone_reader().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0_u8; 8192];
            while let Ok(n) = reader.read(&mut buffer) {
                if n == 0 || sender.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        let keys = pty.master.take_writer().unwrap();
        Self {
            child,
            _master: pty.master,
            keys,
            output,
            screen: vt100::Parser::new(NonZero::new(rows).unwrap(), NonZero::new(cols).unwrap(), 0),
            raw: Vec::new(),
            _state: state,
        }
    }

    fn contents(&self) -> String {
        self.screen.screen().contents()
    }

    /// Waits until the screen fulfils a condition.
    fn until(&mut self, what: &str, met: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.contents();
            if met(&now) {
                return now;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => {
                    self.screen.process(&bytes);
                    self.raw.extend(bytes);
                }
                Err(error) => panic!(
                    "waiting for {what}: {error}; the screen is:\n{}",
                    self.contents()
                ),
            }
        }
    }

    /// Waits until the program has written this.
    fn until_raw(&mut self, bytes: &str) {
        while !String::from_utf8_lossy(&self.raw).contains(bytes) {
            let more = self.output.recv_timeout(PATIENCE).unwrap();
            self.screen.process(&more);
            self.raw.extend(more);
        }
    }

    fn see(&mut self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text))
    }

    /// Presses Esc and waits until what it closes is gone: Esc and the next key in one read would be Alt and that key.
    fn escape(&mut self, closes: &str) {
        self.press("\u{1b}");
        self.until(&format!("{closes} to go"), |screen| {
            !screen.contains(closes)
        });
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits for the end; returns the exit code.
    fn ended(mut self) -> (u32, String, Vec<u8>) {
        loop {
            match self.output.recv_timeout(PATIENCE) {
                Ok(bytes) => {
                    self.screen.process(&bytes);
                    self.raw.extend(bytes);
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let _ = self.child.kill();
                    panic!(
                        "the program does not end; the screen is:\n{}",
                        self.contents()
                    );
                }
            }
        }
        let code = self.child.wait().unwrap().exit_code();
        let contents = self.contents();
        (code, contents, self.raw)
    }
}

/// What every end must have undone: the alternate screen left, the cursor shown, paste mode off.
fn given_back(raw: &[u8]) {
    let text = String::from_utf8_lossy(raw);
    for (on, off) in [
        ("\u{1b}[?1049h", "\u{1b}[?1049l"),
        ("\u{1b}[?2004h", "\u{1b}[?2004l"),
        ("\u{1b}[?25l", "\u{1b}[?25h"),
    ] {
        let (last_on, last_off) = (text.rfind(on), text.rfind(off));
        assert!(last_off > last_on, "{on:?} was not undone by {off:?}");
    }
}

#[test]
fn filter_mark_snapshot_watch_verdict_quit() {
    let mut console = Console::start(24, 80, &["--lab"], &[]);
    console.see("Fleet");
    console.see("online");
    console.see("LAB");
    console.press("/tag:ConsistentSnapshot=linux-mysql agent=online");
    console.until("narrowed rows", |s| {
        s.contains("linux-mysql") && !s.contains("WindowsVSS")
    });
    console.press("\r");
    console.press(" ");
    console.see("1 marked");
    console.press("a");
    console.see("napshot");
    console.press("s");
    console.see("[> Start <]");
    console.press("\r");
    // The lane: phases go by, the verdict stays.
    console.until("a phase under way", |s| {
        [
            "preflight",
            "quiescing",
            "MAY BE FROZEN",
            "FROZEN",
            "frozen",
            "snapshotting",
            "thawing",
            "completing",
        ]
        .iter()
        .any(|phase| s.contains(phase))
    });
    console.until("the verdict", |s| {
        s.contains("✔") && s.contains("application")
    });
    console.press("?");
    console.see("Help:");
    console.escape("Help:");
    console.press(":q\r");
    let (code, _, raw) = console.ended();
    assert_eq!(code, 0);
    given_back(&raw);
}

/// Whoever serves a lab is told by its answers, not by how the console was started.
#[test]
fn a_served_lab_is_marked_as_one() {
    use std::io::BufRead as _;
    let home = tempfile::tempdir().unwrap();
    let mut lab = std::process::Command::new(env!("CARGO_BIN_EXE_freezeframe"))
        .args(["lab", "serve", "--port", "0"])
        .env("FREEZEFRAME_STATE_DIR", home.path())
        .env("HOME", home.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(lab.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let url = line.split_whitespace().find(|w| w.starts_with("http://"));
    let mut console = Console::start(
        24,
        80,
        &[
            "--endpoint-url",
            url.unwrap_or_default(),
            "--region",
            "eu-central-1",
        ],
        &[
            ("AWS_ACCESS_KEY_ID", "AKIALAB"),
            ("AWS_SECRET_ACCESS_KEY", "lab"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ],
    );
    console.see("online");
    console.see("LAB·simulated");
    console.press(":q\r");
    let (code, _, _) = console.ended();
    let _ = lab.kill();
    let _ = lab.wait();
    assert_eq!(code, 0);
}

#[test]
fn a_read_only_console_refuses_to_start_a_run() {
    let mut console = Console::start(40, 120, &["--lab", "--read-only"], &[("NO_COLOR", "1")]);
    console.see("online");
    console.see("READ-ONLY");
    console.press(" a");
    console.see("read-only");
    console.press("s");
    console.escape("Actions");
    console.press(":q\r");
    let (code, _, raw) = console.ended();
    assert_eq!(code, 0);
    given_back(&raw);
    // NO_COLOR: no colour is ever set.
    let text = String::from_utf8_lossy(&raw);
    for colour in ["[38;5;", "[38;2;", "[48;5;", "[48;2;"] {
        let at = text
            .find(colour)
            .map(|at| text[at..].chars().take(24).collect::<String>());
        assert_eq!(at, None, "a colour with NO_COLOR");
    }
}

#[test]
fn the_terminal_is_given_back_on_term_and_hup() {
    for signal in ["TERM", "HUP"] {
        let mut console = Console::start(24, 80, &["--lab"], &[]);
        console.see("online");
        let pid = console.child.process_id().unwrap();
        let sent = std::process::Command::new("kill")
            .args([format!("-{signal}"), pid.to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
        let (_, _, raw) = console.ended();
        given_back(&raw);
    }
}

#[test]
fn one_by_one_does_not_panic() {
    let mut console = Console::start(1, 1, &["--lab"], &[]);
    // Keys pressed before raw mode would be taken by the line discipline.
    console.until_raw("\u{1b}[?2004h");
    for key in [
        "j", "2", "3", "4", "5", "1", "?", "q", "/", "x", "\r", ":q\r",
    ] {
        console.press(key);
    }
    let (code, contents, _) = console.ended();
    assert_eq!(code, 0, "{contents}");
}

#[test]
fn nothing_hostile_in_the_fleet_reaches_the_terminal() {
    let mut console = Console::start(50, 200, &["--lab"], &[]);
    console.see("online");
    for screen in ["2", "3", "1"] {
        console.press(screen);
        console.until("the next screen", |s| s.contains("Fleet"));
    }
    console.press("?");
    console.see("Help:");
    console.escape("Help:");
    console.press(":q\r");
    let (_, _, raw) = console.ended();
    let text = String::from_utf8(raw).expect("the console writes UTF-8");
    // OSC is used for nothing but the clipboard, which nobody asked for here; DCS, APC, PM, SOS never.
    for bad in [
        "\u{1b}]", "\u{1b}P", "\u{1b}_", "\u{1b}^", "\u{1b}X", "\u{9b}", "\u{202e}", "\u{200b}",
    ] {
        assert!(!text.contains(bad), "{bad:?} reached the terminal");
    }
}

/// Set for the child of the test below, which is this very program.
const PANIC: &str = "FREEZEFRAME_TEST_PANIC";

/// Does nothing but in that child: takes the terminal and panics.
#[test]
fn child_that_panics_on_its_terminal() {
    if std::env::var_os(PANIC).is_some() {
        let _taken = freezeframe::tui::terminal::take().unwrap();
        panic!("on purpose");
    }
}

#[test]
fn the_terminal_is_given_back_on_panic_before_the_message() {
    let me = std::env::current_exe().unwrap();
    let args = [
        "--exact",
        "pty::child_that_panics_on_its_terminal",
        "--nocapture",
    ];
    let child = Console::start_program(me.to_str().unwrap(), 24, 80, &args, &[(PANIC, "1")]);
    let (code, contents, raw) = child.ended();
    assert_ne!(code, 0);
    given_back(&raw);
    // On the screen that the shell shows again, not on the one that went away.
    assert!(contents.contains("on purpose"), "{contents}");
    let text = String::from_utf8_lossy(&raw);
    assert!(text.find("\u{1b}[?1049l") < text.find("on purpose"));
}
