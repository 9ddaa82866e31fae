//! Files that people write: configuration, themes, worlds, certificates, tokens. They are small and there at once; what
//! never ends or never answers (a device, a pipe that nobody writes to) is refused instead of waited for.

use std::fs::OpenOptions;
use std::io::{Error, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Most bytes of such a file: 1 MiB.
pub const MOST: usize = 1 << 20;
/// How long a pipe may take to begin, and to go on: `--config <(program)` is one.
const PATIENCE: Duration = Duration::from_secs(5);

/// The bytes of a file.
///
/// # Errors
/// Whatever the system answers; more than [`MOST`] bytes; a pipe that nobody writes to for five seconds.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, Error> {
    read_within(path, PATIENCE)
}

/// The text of a file.
///
/// # Errors
/// As [`read_bytes`], and text that is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, Error> {
    String::from_utf8(read_bytes(path)?)
        .map_err(|e| Error::new(ErrorKind::InvalidData, format!("it is not UTF-8: {e}")))
}

fn read_within(path: &Path, patience: Duration) -> Result<Vec<u8>, Error> {
    // Opening a pipe that nobody writes to would wait for a writer.
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblock)
        .open(path)?;
    let silent = || {
        Error::new(
            ErrorKind::TimedOut,
            format!("nothing came from it within {} s", patience.as_secs()),
        )
    };
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    let mut until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(&file, PollFlags::IN)];
        let wait = Timespec::try_from(left).map_err(|e| Error::other(e.to_string()))?;
        match poll(&mut fds, Some(&wait)) {
            Ok(0) => return Err(silent()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        match file.read(&mut chunk) {
            Ok(0) => return Ok(bytes),
            Ok(n) => {
                bytes.extend_from_slice(chunk.get(..n).unwrap_or_default());
                if bytes.len() > MOST {
                    return Err(Error::new(
                        ErrorKind::FileTooLarge,
                        format!("it has more than {MOST} bytes"),
                    ));
                }
                until = Instant::now() + patience;
            }
            Err(e) if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&e.kind()) => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn what_never_ends_or_never_answers_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let endless = read_bytes(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(endless.kind(), ErrorKind::FileTooLarge, "{endless}");
        assert!(read_bytes(Path::new("/dev/null")).unwrap().is_empty());
        assert!(read_bytes(dir.path()).is_err());
        let absent = read_bytes(&dir.path().join("none")).unwrap_err();
        assert_eq!(absent.kind(), ErrorKind::NotFound);
        let full = dir.path().join("full");
        std::fs::write(&full, vec![b'x'; MOST]).unwrap();
        assert_eq!(read_bytes(&full).unwrap().len(), MOST);
        std::fs::write(&full, vec![b'x'; MOST + 1]).unwrap();
        assert!(read_bytes(&full).is_err());
        std::fs::write(&full, b"\xff").unwrap();
        assert_eq!(read_text(&full).unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn a_pipe_is_read_to_its_end_and_a_silent_one_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let silent = read_within(&pipe, Duration::from_millis(1)).unwrap_err();
        assert_eq!(silent.kind(), ErrorKind::TimedOut, "{silent}");
        let writer = {
            let pipe = pipe.clone();
            std::thread::spawn(move || {
                let mut to = OpenOptions::new().write(true).open(pipe).unwrap();
                to.write_all(b"[default]\n").unwrap();
                to.write_all(b"region = x\n").unwrap();
            })
        };
        let text = read_within(&pipe, Duration::from_secs(600)).unwrap();
        writer.join().unwrap();
        assert_eq!(text, b"[default]\nregion = x\n");
    }
}
