//! Listings that come in pages, of whatever service.

use crate::domain::problem::{Kind, Problem};

/// Pages after which a listing is given up as endless. 100,000 snapshots are 200 pages.
const MAX_PAGES: usize = 2_000;
/// One page: its rows and the token of the next.
pub(super) type Page<T> = (Vec<T>, Option<String>);

/// Walks a listing to its end. A page that fails fails the whole: a part is never taken for all.
pub(super) async fn all_pages<T, F, Fut>(what: &str, mut page: F) -> Result<Vec<T>, Problem>
where
    F: FnMut(Option<String>) -> Fut,
    Fut: Future<Output = Result<Page<T>, Problem>>,
{
    let mut rows = Vec::new();
    let mut token: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let (more, next) = page(token.clone()).await?;
        rows.extend(more);
        match next.filter(|t| !t.is_empty()) {
            None => return Ok(rows),
            Some(next) if token.as_ref() == Some(&next) => {
                return Err(Problem::new(
                    Kind::Malformed,
                    what,
                    "the listing repeats its page token",
                    "try again; the rows read so far are not shown because they may be incomplete",
                ));
            }
            next => token = next,
        }
    }
    Err(Problem::new(
        Kind::Malformed,
        what,
        format!("the listing has more than {MAX_PAGES} pages"),
        "narrow it down with a filter",
    ))
}
