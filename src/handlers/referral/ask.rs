//! Asks one upstream after the other, in bounded time.
//!
//! Each gets its own limit, and at most what is left. The next one is asked beside one that said nothing for as long as
//! it was to be waited for; the first answer counts. Questions only read, so that asking two costs nothing but the
//! question.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use super::choice::Candidate;
use crate::config::Style;
use crate::upstream::Upstream;

/// Who answered, what, and how long it took.
pub(super) struct Asked<A> {
    pub(super) candidate: Candidate,
    pub(super) answer: A,
    pub(super) took: Duration,
}

/// Who did not, and why.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) upstream: Upstream,
    pub(super) why: String,
}

/// The first answer, or why there is none. `patience_with` an upstream is how long it is waited for before the next one is
/// asked as well.
pub(super) async fn first<'a, A>(
    candidates: &'a [Candidate],
    until: Instant,
    patience_with: impl Fn(&Upstream) -> Duration,
    ask: impl Fn(&'a Candidate, Duration) -> BoxFuture<'a, Result<A, String>>,
) -> Result<Asked<A>, Vec<Failure>> {
    let left = || until.saturating_duration_since(Instant::now());
    let started = |candidate: &'a Candidate| {
        let (asked, begun) = (ask(candidate, left()), Instant::now());
        async move { (candidate, asked.await, begun.elapsed()) }
    };
    let (mut asked, mut failures) = (FuturesUnordered::new(), Vec::new());
    let mut waiting = candidates.iter();
    let mut patience = until;
    loop {
        // Machines are handed over to another only when those who are asked have failed.
        let next_may_join = waiting.as_slice().first().is_some_and(|next| next.style == Style::Ask);
        if asked.is_empty() || (next_may_join && Instant::now() >= patience) {
            match waiting.next() {
                Some(candidate) => {
                    let share = u32::try_from(waiting.len() + 1).unwrap_or(1);
                    patience = Instant::now() + patience_with(&candidate.upstream).min(left() / share);
                    asked.push(started(candidate));
                }
                None if asked.is_empty() => return Err(failures),
                None => {}
            }
        }
        let next_may_join = waiting.as_slice().first().is_some_and(|next| next.style == Style::Ask);
        tokio::select! {
            Some((candidate, result, took)) = asked.next(), if !asked.is_empty() => match result {
                Ok(answer) => return Ok(Asked { candidate: candidate.clone(), answer, took }),
                Err(why) => failures.push(Failure { upstream: candidate.upstream.clone(), why }),
            },
            () = sleep_until(patience), if next_may_join => {}
        }
    }
}

/// All reasons in one text.
pub(super) fn reasons(failures: &[Failure]) -> String {
    failures.iter().map(|failure| failure.why.as_str()).collect::<Vec<_>>().join("; ")
}
