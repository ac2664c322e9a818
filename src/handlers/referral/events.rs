//! What happens in a boot that an upstream decided is told there.
//!
//! | event | is told |
//! |---|---|
//! | a script with assignments of an upstream, the begin of one | before the machine goes on; if it cannot be, it does not |
//! | an image that did not load, an installer's end | to the upstream that decided; an error is the machine's to repeat |
//! | a script without assignments, a file that was sent | in the background, for the upstream's history |
//! | an installer's end in a boot that began before this server started, or at another one | in the background, to every upstream of the handler, until each has taken it |
//!
//! The last one cannot be waited for: such a boot may be none of theirs, and a report that has nothing to do with them
//! must not fail because they are down. An upstream takes what it does not know without harm, and what it is told twice
//! as once.
//!
//! **Invariant**: what waits in the background is bounded; what finds no place is dropped and counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tracing::{debug, warn};

use super::{ReferralHandler, answer};
use crate::boot::BootRequest;
use crate::decision::{BootEvent, HandlerError};
use crate::upstream::{Owner, Upstream, UpstreamError};

/// Reports that may wait.
const WAITING_MAX: usize = 1024;
/// Reports that are under way at a time.
const UNDER_WAY_MAX: usize = 16;
/// How often the end of an installation is told again that nobody took, ...
const TRIES_MAX: u32 = 12;
/// ... after this time, then twice that, and so on up to ten minutes.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const WAIT_MAX: Duration = Duration::from_secs(600);

/// Bounds what is told in the background.
pub(super) struct Background {
    waiting: Arc<Semaphore>,
    under_way: Arc<Semaphore>,
}

impl Default for Background {
    fn default() -> Self {
        Background {
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            under_way: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
        }
    }
}

impl Background {
    /// Tells an upstream, soon; again and again where it matters.
    fn tell(&self, upstream: Upstream, request: BootRequest, event: BootEvent, tries: u32) {
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else { return upstream.count_dropped() };
        let under_way = Arc::clone(&self.under_way);
        tokio::spawn(async move {
            let mut wait = FIRST_WAIT;
            for _ in 0..tries {
                // It is fair: what was first comes first.
                let turn = under_way.acquire().await;
                let told = upstream.report(&request, &event).await;
                drop(turn);
                match told {
                    Ok(()) | Err(UpstreamError::Refused { .. } | UpstreamError::Rejected { .. }) => break,
                    Err(error) => debug!(upstream = upstream.name(), event = event.name(), %error, "not told"),
                }
                tokio::time::sleep(if tries > 1 { wait } else { Duration::ZERO }).await;
                wait = (wait * 2).min(WAIT_MAX);
            }
            drop(place);
        });
    }
}

impl ReferralHandler {
    /// Tells who decided what happened, where the machine waits for it.
    pub(super) async fn forward(&self, request: &BootRequest, event: &BootEvent) -> Result<(), HandlerError> {
        match event {
            BootEvent::Offered { images, assignments } => {
                let mut by_upstream: BTreeMap<&str, Vec<String>> = BTreeMap::new();
                for (upstream, theirs) in assignments.iter().filter_map(|id| answer::assignment(id, &self.name)) {
                    by_upstream.entry(upstream).or_default().push(theirs.to_owned());
                }
                if by_upstream.is_empty() {
                    self.notice(request, event);
                    return Ok(());
                }
                for (name, assignments) in by_upstream {
                    let event = BootEvent::Offered { images: images.clone(), assignments };
                    self.told(request, name, &event).await?;
                    self.keep(request, name);
                }
                Ok(())
            }
            BootEvent::Started { image, assignment } => match answer::assignment(assignment, &self.name) {
                Some((name, theirs)) => {
                    let event = BootEvent::Started { image: image.clone(), assignment: theirs.to_owned() };
                    self.told(request, name, &event).await
                }
                None => Ok(()),
            },
            BootEvent::LoadFailed { .. } => match self.owner(request) {
                Owner::Upstream(name) => self.told(request, &name, event).await,
                Owner::Other | Owner::Unknown => Ok(()),
            },
            BootEvent::Done | BootEvent::Failed { .. } => match self.owner(request) {
                Owner::Upstream(name) => self.told(request, &name, event).await,
                Owner::Other => Ok(()),
                Owner::Unknown => {
                    self.tell_all(request, event);
                    Ok(())
                }
            },
            BootEvent::FileSent { .. } | BootEvent::Person { .. } => {
                self.notice(request, event);
                Ok(())
            }
        }
    }

    /// Takes note of what nobody waits for, and tells it in the background.
    pub(super) fn notice(&self, request: &BootRequest, event: &BootEvent) {
        let Owner::Upstream(name) = self.owner(request) else {
            return self.upstreams.boots().seen(&self.name, request.session);
        };
        let event = match event {
            BootEvent::Offered { .. } => {
                self.keep(request, &name);
                event.clone()
            }
            BootEvent::FileSent { file, octets, elapsed, by } => {
                let file = answer::file(file, &name).unwrap_or(file).to_owned();
                BootEvent::FileSent { file, octets: *octets, elapsed: *elapsed, by: *by }
            }
            BootEvent::Person { .. } => event.clone(),
            _ => return,
        };
        if let Some(upstream) = self.upstreams.get(&name) {
            self.background.tell(upstream.clone(), request.clone(), event, 1);
        }
    }

    /// Tells one upstream, and waits until it has taken it.
    async fn told(&self, request: &BootRequest, name: &str, event: &BootEvent) -> Result<(), HandlerError> {
        let upstream = self.named(name)?;
        self.upstreams.boots().remember(&self.name, request.session, name);
        upstream.report(request, event).await.map_err(|error| match error {
            UpstreamError::Refused { problem, .. } => HandlerError::refused(problem),
            error => HandlerError::new(error.to_string()),
        })
    }

    fn tell_all(&self, request: &BootRequest, event: &BootEvent) {
        let upstreams = self.rules.upstreams.iter().filter_map(|name| self.upstreams.get(name));
        for upstream in upstreams.filter(|upstream| upstream.has_files()) {
            let (session, event_name) = (request.session, event.name());
            warn!(%session, upstream = upstream.name(), event = event_name, "a boot that began elsewhere ends here");
            self.background.tell(upstream.clone(), request.clone(), event.clone(), TRIES_MAX);
        }
    }

    fn owner(&self, request: &BootRequest) -> Owner {
        self.upstreams.boots().owner(&self.name, request.session)
    }

    fn keep(&self, request: &BootRequest, upstream: &str) {
        if self.upstreams.is_live() {
            self.memory.handed_out(request, upstream);
        }
    }
}
