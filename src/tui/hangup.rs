//! A terminal that has gone away, noticed at its descriptor.
//!
//! crossterm reads such a terminal over and over and does not come back (its issue 793): whoever polls its stream stands
//! still, so that not even `SIGHUP` is looked at, and one processor is busy for as long as jobs go on without a screen.
//! A thread of our own waits for the hang-up, and gives standard input to something that is silent.

use std::io::{self, stdin};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::sync::oneshot;

/// Ends when the terminal at standard input has hung up, which is from then on a descriptor on which nothing is
/// ever to be read. Whether a `SIGHUP` comes too makes no difference.
///
/// # Errors
/// No descriptor or no thread is to be had.
pub fn hang_up() -> io::Result<impl Future<Output = ()>> {
    let terminal = stdin().as_fd().try_clone_to_owned()?;
    let (silent, other_end) = UnixStream::pair()?;
    silent.set_nonblocking(true)?;
    let (tell, told) = oneshot::channel();
    thread::Builder::new()
        .name("hang-up".to_owned())
        .spawn(move || {
            // A hang-up is reported whatever is asked for.
            let mut watched = [PollFd::new(&terminal, PollFlags::empty())];
            let gone = loop {
                match poll(&mut watched, None) {
                    Err(Errno::INTR) => {}
                    ended => break ended.map(drop),
                }
            };
            if let Err(error) = gone.and_then(|()| rustix::stdio::dup2_stdin(&silent)) {
                tracing::warn!(%error, "a terminal that goes away would not be noticed");
                return;
            }
            // Were it closed, there would be an end to be read.
            std::mem::forget(other_end);
            let _ = tell.send(());
        })?;
    Ok(async {
        if told.await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
