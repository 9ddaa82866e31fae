//! Which labs have something on this machine: one file each below `/run`, with the lab's state directory in it, from
//! before anything is made until all is undone. A lab that was killed leaves its file, and the next lab to start, in
//! whatever directory, takes away what the dead one left. Whether a lab is dead is said by the lock in its state
//! directory, which the kernel lets go with the process.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::record::{self, Record};
use super::{make_private, store};
use crate::runtime::RuntimeError;

/// Gone with the machine's next start, as all is that it tells of.
const DIRECTORY: &str = "/run/freezeframe-labs";

fn file_of(state_dir: &Path) -> PathBuf {
    let digest = Sha256::digest(state_dir.as_os_str().as_bytes());
    let name: String = digest.iter().take(8).map(|b| format!("{b:02x}")).collect();
    Path::new(DIRECTORY).join(name)
}

/// Says that a lab is about to make something.
pub(super) fn enter(state_dir: &Path) -> Result<(), RuntimeError> {
    make_private(Path::new(DIRECTORY))?;
    let file = file_of(state_dir);
    fs::write(&file, state_dir.as_os_str().as_bytes())
        .map_err(|error| format!("{}: {error}", file.display()))
}

/// Says that all is undone.
pub(super) fn leave(state_dir: &Path) {
    // One that stays is found to tell of nothing by the next sweep.
    fs::remove_file(file_of(state_dir)).ok();
}

/// Takes away what dead labs left. What cannot be taken away now (somebody still holds it) is left to the next sweep:
/// that is no reason for a new lab not to start.
pub(super) fn sweep() {
    if make_private(Path::new(DIRECTORY)).is_err() {
        return;
    }
    let Ok(entries) = fs::read_dir(DIRECTORY) else {
        return;
    };
    for file in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let Ok(text) = fs::read(&file) else { continue };
        let state_dir = PathBuf::from(OsString::from_vec(text));
        match sweep_one(&state_dir) {
            Ok(true) => leave(&state_dir),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(directory = %state_dir.display(), %error, "what a killed lab left could not be taken away");
            }
        }
    }
}

/// False when that lab is alive.
fn sweep_one(state_dir: &Path) -> Result<bool, RuntimeError> {
    if !state_dir.is_dir() {
        // Nothing can be mounted where there is no directory; loop devices know their files by name all the same.
        for (device, file) in super::machine::loops_on(state_dir) {
            super::machine::detach_loop(&device, &file)?;
        }
        return Ok(true);
    }
    make_private(state_dir)?;
    let lock = File::create(state_dir.join("lock")).map_err(|error| error.to_string())?;
    if lock.try_lock().is_err() {
        return Ok(false);
    }
    record::clean(state_dir, Record::load(state_dir))?;
    debug_assert!(!store::image(state_dir).exists());
    Ok(true)
}
