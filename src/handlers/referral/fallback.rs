//! What a machine gets when no upstream answers.
//!
//! | `on_error` | *may I boot?* | *what do I boot?* |
//! |---|---|---|
//! | `next` | the next handler is asked | the next handler is asked |
//! | `local` | yes, so that the screen can say why | its own disk |
//! | `last_known` | what was last decided; an error when nothing was | what was last decided, but nothing that is done once |
//! | `retry` | yes, so that the screen can say why | a screen that says why, counts down, and asks again |
//!
//! A machine that the upstream last refused stays refused, whichever of them it is but `next`.

use std::time::Duration;

use jiff::Timestamp;
use tracing::warn;

use super::ReferralHandler;
use super::ask::{Failure, reasons};
use crate::boot::{BootImage, BootImages, BootRequest, ImageKind, Line, Verdict};
use crate::config::ReferralError;
use crate::decision::{Answer, HandlerError};
use crate::upstream::UpstreamState;

/// Lines that the handler logs in one second.
const LOG_LINES_PER_SECOND_MAX: u64 = 100;

impl ReferralHandler {
    /// A verdict without an upstream.
    pub(super) async fn verdict_without(
        &self,
        request: &BootRequest,
        failures: &[Failure],
    ) -> Result<Answer<Verdict>, HandlerError> {
        let why = reasons(failures);
        let on_error = self.rules.on_error;
        if on_error == ReferralError::Next {
            return Ok(Answer::Explained {
                given: None,
                why: format!("on_error = \"next\": {why}"),
                known: None,
                account: None,
            });
        }
        let known = self.memory.verdict(request).await;
        let known = known.filter(|known| self.is_young(request.now, known.decided));
        if let Some(known) = known.filter(|known| on_error == ReferralError::LastKnown || !known.answer.allows()) {
            let age = age(request.now, known.decided);
            self.tell(request, &why, Some(known.decided));
            let why = format!("last known, decided {age} ago by upstream {}: {why}", known.upstream);
            return Ok(Answer::Explained { given: Some(known.answer), why, known: None, account: None });
        }
        if on_error == ReferralError::LastKnown {
            let message = format!("{why}; and nothing that was decided for this machine before can stand in");
            return Err(HandlerError::new(message));
        }
        self.tell(request, &why, None);
        let why = format!("so that the screen can say: {why}");
        Ok(Answer::Explained { given: Some(Verdict::allow()), why, known: None, account: None })
    }

    /// Images without an upstream.
    pub(super) async fn images_without(&self, request: &BootRequest, failures: &[Failure]) -> Answer<BootImages> {
        let why = reasons(failures);
        let silent = silent(failures);
        let (given, then, decided) = match self.rules.on_error {
            ReferralError::Next => {
                return Answer::Explained {
                    given: None,
                    why: format!("on_error = \"next\": {why}"),
                    known: None,
                    account: None,
                };
            }
            ReferralError::Local => (BootImages::none(), "This machine starts from its own disk.".to_owned(), None),
            ReferralError::Retry => {
                let seconds = self.rules.retry_wait.as_secs();
                (retry(self.rules.retry_wait), format!("It is asked again in {seconds} s."), None)
            }
            ReferralError::LastKnown => self.last_known(request).await,
        };
        self.tell(request, &why, decided);
        let why = match decided {
            Some(decided) => format!("last known, decided {} ago: {why}", age(request.now, decided)),
            None => format!("{}: {why}", then.trim_end_matches('.').to_lowercase()),
        };
        let mut notice = vec![silent, Line::clean(&then)];
        notice.extend(given.notice().iter().cloned());
        let given = match BootImages::new(given.images().to_vec(), given.menu().cloned()) {
            Ok(images) => images.with_notice(notice),
            Err(_) => BootImages::none().with_notice(notice),
        };
        Answer::Explained { given: Some(given), why, known: None, account: None }
    }

    async fn last_known(&self, request: &BootRequest) -> (BootImages, String, Option<Timestamp>) {
        let Some(known) = self.memory.images(request).await else {
            let then = "Nothing is known of earlier decisions: this machine starts from its own disk.";
            return (BootImages::none(), then.into(), None);
        };
        let age = age(request.now, known.decided);
        if !self.is_young(request.now, known.decided) {
            let then = format!("What it last decided is {age} old: this machine starts from its own disk.");
            return (BootImages::none(), then, None);
        }
        let images = known.answer.without_assignments();
        let then = match known.answer.assignments().next() {
            None => format!("This is what it last decided, {age} ago."),
            Some(_) => format!("This is what it last decided, {age} ago; what is to be installed waits."),
        };
        (images, then, Some(known.decided))
    }

    fn is_young(&self, now: Timestamp, decided: Timestamp) -> bool {
        now.duration_since(decided).unsigned_abs() <= self.rules.last_known_for
    }

    fn tell(&self, request: &BootRequest, error: &str, decided: Option<Timestamp>) {
        if !self.pace.take(request.now.as_second(), LOG_LINES_PER_SECOND_MAX).is_free {
            return;
        }
        let (handler, session, mac) = (&self.name, request.session, request.client.hardware);
        match decided {
            Some(decided) => {
                let age_s = request.now.duration_since(decided).as_secs();
                warn!(%handler, %session, %mac, error, age_s, "no upstream answers; what it last decided stands in");
            }
            None => warn!(%handler, %session, %mac, error, on_error = ?self.rules.on_error, "no upstream answers"),
        }
    }
}

/// The image whose script asks again.
fn retry(wait: Duration) -> BootImages {
    let title = Line::clean("Asking again");
    let image = BootImage {
        id: "retry".into(),
        title,
        assignment: None,
        verify: None,
        choice: Default::default(),
        kind: ImageKind::Retry { wait },
    };
    BootImages::new(vec![image], None).unwrap_or_default()
}

/// Who does not answer, and since when.
fn silent(failures: &[Failure]) -> Line {
    let Some(failure) = failures.first() else { return Line::clean("No boot server is configured.") };
    let name = failure.upstream.name();
    Line::clean(&match failure.upstream.state() {
        UpstreamState::Down { since, error } => {
            format!("The boot server {name} does not answer since {since:.0}: {error}")
        }
        UpstreamState::Untried | UpstreamState::Up => {
            format!("The boot server {name} does not answer: {}", failure.why)
        }
    })
}

/// A time that has passed, in words.
fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_in_words() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        for (seconds, expect) in [
            (-5, "0 seconds"),
            (1, "1 second"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (7200, "2 hours"),
            (172_800, "2 days"),
        ] {
            assert_eq!(age(at(1_000_000 + seconds), at(1_000_000)), expect);
        }
    }
}
