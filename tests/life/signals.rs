//! Signals: a hang-up leaves a job running to its end, `SIGTERM` and a meant `ctrl-c` thaw and stop.

use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use freezeframe::lab::FaultKind;
use portable_pty::{CommandBuilder, PtySize, native_pty_system};

use super::served::{Home, Served, served, signal, until};

/// How long the lab takes over `CreateSnapshots`, in its own time, so that a signal meets a frozen instance.
const HELD: Duration = Duration::from_secs(15);

fn arguments(instance: &str) -> Vec<&str> {
    vec!["snapshot", "--instance", instance, "--max-freeze", "600s"]
}

fn promised(served: &Served, instance: &str, level: &str) {
    served.nothing_frozen(instance);
    let made = served.made(instance);
    assert_eq!(made.len(), 3, "{made:?}");
    let best = made.iter().filter(|m| m.level == level).count();
    assert!(best > 0, "{made:?}");
    assert!(made.iter().all(|m| m.level != "pending"), "{made:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p21_a_hangup_with_nobody_reading_leaves_the_job_to_its_end() {
    let served = served(1).await;
    let instance = served.id("db-0");
    let home = Home::new(&served);
    served.fault("CreateSnapshots", FaultKind::Delay(HELD));
    let mut child = home
        .command(&arguments(&instance))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    home.until_phase("snapshotting").await;
    // The SSH session is gone: its pipes are closed, then the signal comes.
    drop((child.stdout.take(), child.stderr.take()));
    signal(child.id(), "HUP");
    signal(child.id(), "HUP");
    let mut status = None;
    until("the end", || {
        status = child.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert_eq!(status.unwrap().code(), Some(0));
    let (view, open) = home.job().unwrap();
    assert!(!open && view["verdict"] == "application", "{view:#}");
    promised(&served, &instance, "application");
}

#[tokio::test(flavor = "multi_thread")]
async fn p21_term_and_an_interrupt_without_a_terminal_thaw_and_stop_with_130() {
    let served = served(2).await;
    for (n, name) in ["TERM", "INT"].into_iter().enumerate() {
        let instance = served.id(&format!("db-{n}"));
        let home = Home::new(&served);
        served.fault("CreateSnapshots", FaultKind::Delay(HELD));
        let running = home.start(&arguments(&instance));
        home.until_phase("snapshotting").await;
        running.signal(name);
        let answer = running.wait().await;
        assert_eq!(answer.code, Some(130), "{name}: {answer:?}");
        assert!(answer.err.contains("thawing"), "{name}: {answer:?}");
        assert_eq!(answer.json()["jobs"][0]["verdict"], "cancelled", "{name}");
        let (view, open) = home.job().unwrap();
        assert!(!open && view["thaw_uncertain"] == false, "{view:#}");
        promised(&served, &instance, "crash");
    }
}

/// The program on a terminal.
struct Terminal {
    child: Box<dyn portable_pty::Child + Send + Sync>,
    master: Option<Box<dyn portable_pty::MasterPty + Send>>,
    keys: Option<Box<dyn std::io::Write + Send>>,
    said: Arc<Mutex<Vec<u8>>>,
    /// Set when the terminal is to go away: the reader has a descriptor of it too.
    going: Arc<AtomicBool>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Terminal {
    fn start(home: &Home, args: &[&str]) -> Self {
        Self::start_under(home, args, true)
    }

    /// `controlling`: whether it is the program's controlling terminal, which sends signals.
    fn start_under(home: &Home, args: &[&str], controlling: bool) -> Self {
        let size = PtySize {
            rows: 40,
            cols: 120,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pty = native_pty_system().openpty(size).unwrap();
        let plain = home.command(args);
        let mut command = CommandBuilder::new(plain.get_program());
        command.args(plain.get_args());
        command.env_clear();
        command.set_controlling_tty(controlling);
        command.env("TERM", "xterm-256color");
        for (key, value) in plain.get_envs() {
            command.env(key, value.unwrap());
        }
        let child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);
        let mut from = pty.master.try_clone_reader().unwrap();
        let said: Arc<Mutex<Vec<u8>>> = Arc::default();
        let going: Arc<AtomicBool> = Arc::default();
        let (sink, leave) = (Arc::clone(&said), Arc::clone(&going));
        let reader = std::thread::spawn(move || {
            let mut buffer = [0_u8; 8192];
            while let Ok(n @ 1..) = from.read(&mut buffer) {
                sink.lock().unwrap().extend(&buffer[..n]);
                if leave.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        Self {
            keys: Some(pty.master.take_writer().unwrap()),
            child,
            master: Some(pty.master),
            said,
            going,
            reader: Some(reader),
        }
    }

    fn press(&mut self, keys: &str) {
        let to = self.keys.as_mut().unwrap();
        to.write_all(keys.as_bytes()).unwrap();
        to.flush().unwrap();
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap()).into_owned()
    }

    async fn hear(&self, text: &str) {
        until(text, || self.said().contains(text)).await;
    }

    async fn ended(&mut self) -> u32 {
        let mut code = None;
        until("the program's end", || {
            code = self.child.try_wait().unwrap().map(|s| s.exit_code());
            code.is_some()
        })
        .await;
        code.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_ctrl_c_asks_and_the_second_within_two_seconds_thaws_and_stops() {
    let served = served(1).await;
    let instance = served.id("db-0");
    let home = Home::new(&served);
    served.fault("CreateSnapshots", FaultKind::Delay(HELD));
    let mut terminal = Terminal::start(&home, &arguments(&instance));
    home.until_phase("snapshotting").await;
    terminal.press("\u{3}");
    terminal.hear("ctrl-c again within 2 s").await;
    let (view, _) = home.job().unwrap();
    assert_eq!(view["phase"], "snapshotting", "asking stops nothing");
    terminal.press("\u{3}");
    assert_eq!(terminal.ended().await, 130, "{}", terminal.said());
    terminal.hear("thawing every instance first").await;
    promised(&served, &instance, "crash");
}

/// The terminal itself goes away: its program has lost its output, its input, and gets `SIGHUP` from the kernel;
/// the last one, whose controlling terminal it is not, gets no signal and has to notice by itself.
#[tokio::test(flavor = "multi_thread")]
async fn p21_a_dropped_terminal_leaves_headless_and_console_jobs_to_their_end() {
    let served = served(3).await;
    for n in 0..3 {
        let instance = served.id(&format!("db-{n}"));
        let args = match n {
            0 => arguments(&instance).to_vec(),
            _ => Vec::new(),
        };
        let home = Home::new(&served);
        served.fault("CreateSnapshots", FaultKind::Delay(HELD));
        let mut terminal = Terminal::start_under(&home, &args, n < 2);
        if args.is_empty() {
            // The console: mark the server, ask for a snapshot, start it.
            terminal.hear("online").await;
            terminal.press(&format!("/db-{n}"));
            terminal.press("\r a");
            terminal.hear("napshot").await;
            terminal.press("s");
            terminal.hear("coordinated").await;
            terminal.press("\x1b[Z");
            terminal.hear("Start <").await;
            terminal.press("\r");
        }
        home.until_phase("snapshotting").await;
        // With the last descriptor of the other end (the reader's, after the next output) the kernel hangs up.
        terminal.going.store(true, Ordering::SeqCst);
        drop(terminal.keys.take());
        drop(terminal.master.take());
        let reader = terminal.reader.take().unwrap();
        until("the terminal to go", || reader.is_finished()).await;
        let code = terminal.ended().await;
        assert_eq!(code, 0, "{n}: {}", terminal.said());
        let (view, open) = home.job().unwrap();
        assert_eq!(view["instance"], instance.as_str());
        assert!(!open && view["verdict"] == "application", "{n}: {view:#}");
        promised(&served, &instance, "application");
    }
}
