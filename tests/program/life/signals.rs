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
        assert!(!open && view["thaw_unconfirmed"] == false, "{view:#}");
        promised(&served, &instance, "crash");
    }
}

/// The program on a terminal.
pub(super) struct Terminal {
    child: Box<dyn portable_pty::Child + Send + Sync>,
    master: Option<Box<dyn portable_pty::MasterPty + Send>>,
    keys: Option<Box<dyn std::io::Write + Send>>,
    said: Arc<Mutex<Vec<u8>>>,
    /// Set when the terminal is to go away: the reader has a descriptor of it too.
    going: Arc<AtomicBool>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Terminal {
    pub(super) fn start(home: &Home, args: &[&str]) -> Self {
        Self::start_under(home, &[], args)
    }

    /// The same, started by another program.
    fn start_under(home: &Home, starter: &[&str], args: &[&str]) -> Self {
        let size = PtySize {
            rows: 40,
            cols: 120,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pty = native_pty_system().openpty(size).unwrap();
        let plain = home.command(args);
        let mut words: Vec<&std::ffi::OsStr> = starter.iter().map(std::ffi::OsStr::new).collect();
        words.push(plain.get_program());
        words.extend(plain.get_args());
        let mut command = CommandBuilder::new(words[0]);
        command.args(&words[1..]);
        command.env_clear();
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

    pub(super) fn press(&mut self, keys: &str) {
        let to = self.keys.as_mut().unwrap();
        to.write_all(keys.as_bytes()).unwrap();
        to.flush().unwrap();
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap()).into_owned()
    }

    /// Ends the program where it stands.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(super) async fn hear(&self, text: &str) {
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

/// In a session of its own a console is told by nobody that its terminal is gone: it has to see that for itself.
#[tokio::test(flavor = "multi_thread")]
async fn p21_a_console_ends_with_its_terminal_although_no_signal_says_so() {
    let served = served(1).await;
    let home = Home::new(&served);
    let mut terminal = Terminal::start_under(&home, &["setsid", "--wait"], &[]);
    terminal.hear("online").await;
    terminal.going.store(true, Ordering::SeqCst);
    drop(terminal.keys.take());
    drop(terminal.master.take());
    let reader = terminal.reader.take().unwrap();
    until("the terminal to go", || reader.is_finished()).await;
    // The starter is hung up on; the console's own end is that nobody has its journal open any more.
    let journal = home.state().join("journal.sqlite");
    until("the console's end", || !is_open_anywhere(&journal)).await;
}

/// Set for the child of the test below, which is this very program.
const WATCHES: &str = "FREEZEFRAME_TEST_WATCHES";

/// Does nothing but in that child: reads keys until its terminal is gone, and tells by its exit code whether
/// somebody still does.
#[test]
fn child_that_watches_its_terminal() {
    use std::io::Write as _;
    if std::env::var_os(WATCHES).is_none() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _kept = runtime.enter();
    let hangs_up = tokio::signal::unix::SignalKind::hangup();
    let _kept = tokio::signal::unix::signal(hangs_up).unwrap();
    let (_terminal, _given_back) = freezeframe::tui::terminal::take().unwrap();
    std::thread::spawn(|| while crossterm::event::read().is_ok() {});
    let said = runtime.spawn(async {
        loop {
            let _ = std::io::stdout().write_all(b"watching");
            let _ = std::io::stdout().flush();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    runtime.block_on(freezeframe::tui::hangup::hang_up().unwrap());
    said.abort();
    let ticks = || -> u64 {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let fields: Vec<&str> = fields.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    runtime.block_on(tokio::time::sleep(Duration::from_secs(1)));
    // A hundred of them are a second of one processor.
    std::process::exit(i32::from(ticks() - before > 20));
}

/// Crossterm reads a terminal that is gone for ever, on whatever thread it is asked: a console that was in it
/// never ended, and took a processor with it.
#[tokio::test(flavor = "multi_thread")]
async fn p21_nobody_goes_on_reading_a_terminal_that_is_gone() {
    let served = served(0).await;
    let home = Home::new(&served);
    let me = std::env::current_exe().unwrap();
    let child = format!(
        "{WATCHES}=1 exec {} --exact life::signals::child_that_watches_its_terminal --nocapture",
        me.display()
    );
    let mut terminal = Terminal::start_under(&home, &["sh", "-c", &child], &[]);
    terminal.hear("watching").await;
    terminal.going.store(true, Ordering::SeqCst);
    drop(terminal.keys.take());
    drop(terminal.master.take());
    let reader = terminal.reader.take().unwrap();
    until("the terminal to go", || reader.is_finished()).await;
    assert_eq!(terminal.ended().await, 0, "{}", terminal.said());
}

/// Whether any process has that file open.
fn is_open_anywhere(file: &std::path::Path) -> bool {
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .bytes()
                .all(|b| b.is_ascii_digit())
        })
        .flat_map(|entry| {
            std::fs::read_dir(entry.path().join("fd"))
                .into_iter()
                .flatten()
        })
        .flatten()
        .any(|fd| std::fs::read_link(fd.path()).is_ok_and(|target| target == file))
}

/// The terminal itself goes away: its program has lost its output, its input, and gets `SIGHUP` from the kernel.
#[tokio::test(flavor = "multi_thread")]
async fn p21_a_dropped_terminal_leaves_headless_and_console_jobs_to_their_end() {
    let served = served(2).await;
    for (n, args) in [arguments(&served.id("db-0")), vec![]]
        .into_iter()
        .enumerate()
    {
        let instance = served.id(&format!("db-{n}"));
        let home = Home::new(&served);
        served.fault("CreateSnapshots", FaultKind::Delay(HELD));
        let mut terminal = Terminal::start(&home, &args);
        if args.is_empty() {
            // The console: mark the second server, ask for a snapshot, start it.
            terminal.hear("online").await;
            terminal.press("/db-1");
            terminal.press("\r a");
            terminal.hear("napshot").await;
            terminal.press("s");
            terminal.hear("coordinated").await;
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
