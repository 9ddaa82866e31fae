//! The connections of a served lab: so many and no more. When all places are taken, the one that has waited longest
//! without a request gives up its place, so that clients that only hold connections open keep nobody out.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use tokio_util::sync::CancellationToken;

/// All open connections.
#[derive(Debug, Default, Clone)]
pub(super) struct Connections(Arc<Mutex<Books>>);

#[derive(Debug, Default)]
struct Books {
    last: u64,
    open: BTreeMap<u64, State>,
}

#[derive(Debug)]
struct State {
    close: CancellationToken,
    /// When it began to wait for a request, as a number that grows; `None` while one is answered.
    waiting: Option<u64>,
}

/// One connection's place; dropping it frees it.
#[derive(Debug)]
pub(super) struct Place {
    books: Arc<Mutex<Books>>,
    number: u64,
    /// Cancelled when another connection needs the place.
    pub close: CancellationToken,
}

/// A request that is being answered: as long, nobody takes the place.
#[derive(Debug)]
pub(super) struct Busy {
    books: Arc<Mutex<Books>>,
    number: u64,
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock()
}

impl Connections {
    /// A place for one more; `None` when every one of `most` is answering a request.
    pub(super) fn admit(&self, most: usize) -> Option<Place> {
        let mut books = lock(&self.0);
        if books.open.len() >= most {
            let (number, _) = books
                .open
                .iter()
                .filter_map(|(number, state)| Some((*number, state.waiting?)))
                .min_by_key(|(_, since)| *since)?;
            if let Some(state) = books.open.remove(&number) {
                state.close.cancel();
            }
        }
        books.last += 1;
        let (number, close) = (books.last, CancellationToken::new());
        let state = State {
            close: close.clone(),
            waiting: Some(number),
        };
        books.open.insert(number, state);
        Some(Place {
            books: Arc::clone(&self.0),
            number,
            close,
        })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        lock(&self.0).open.len()
    }
}

impl Place {
    /// A request has come.
    pub(super) fn busy(&self) -> Busy {
        if let Some(state) = lock(&self.books).open.get_mut(&self.number) {
            state.waiting = None;
        }
        Busy {
            books: Arc::clone(&self.books),
            number: self.number,
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut books = lock(&self.books);
        books.last += 1;
        let now = books.last;
        if let Some(state) = books.open.get_mut(&self.number) {
            state.waiting = Some(now);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.books).open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p30_the_longest_waiting_connection_makes_room_and_a_busy_one_never() {
        let all = Connections::default();
        let first = all.admit(2).unwrap();
        let second = all.admit(2).unwrap();
        let answering = first.busy();
        let third = all.admit(2).unwrap();
        assert!(second.close.is_cancelled() && !first.close.is_cancelled());
        let also = third.busy();
        assert!(all.admit(2).is_none(), "all are answering");
        drop(also);
        drop(answering);
        // The third has waited longer than the first now.
        let fourth = all.admit(2).unwrap();
        assert!(third.close.is_cancelled() && !first.close.is_cancelled());
        drop((first, second, third, fourth));
        assert_eq!(all.len(), 0);
    }
}
