//! Assignments through loaders that are not iPXE: what is handed out, and what is begun.
//!
//! ```text
//! configuration file ──► Offered is noted, else the file has no assignment
//!    │
//!    ▼  GRUB has loaded all, or PXELINUX asks for the last file
//! s/<image>/<assignment> ──► Started is noted, else the file is refused and the machine goes to its disk
//!    │
//!    ▼
//! the machine runs the image: from now on no file of this boot has an assignment
//! ```
//!
//! Each of the two is one conditional `UPDATE` that names the boot. Clients ask twice for many reasons: the answer got lost,
//! a ROM looks for the size first and ends with ERROR 8, a loader tries a file again. So the same boot may begin the same
//! again for [`AGAIN_MAX`], from the same address; what is later, or from elsewhere, is another machine that has the same
//! address, or one that was restarted. Such a machine may come without a token, and be taken for the boot that was.
//!
//! A file that gets lost on its way leaves the assignment begun, and nothing installed: that the machine has not got it, a
//! server cannot know by TFTP, where the last packet is never acknowledged by some.
//!
//! **Invariant**: the first octet of what runs the image leaves only after the start was noted durably.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use super::shared::Shared;
use crate::boot::{BootImages, Line, Network, SessionId};
use crate::decision::{BootEvent, HandlerError, Session};
use crate::observe::EventLabel;
use crate::paths::Beginning;

/// How long after it began a boot may say so again.
const AGAIN_MAX: SignedDuration = SignedDuration::from_secs(30);
/// How long it is known that a boot has begun something; longer than any way leads back to it without a token.
const KEPT: Duration = Duration::from_secs(2 * 3600);
/// How many are known.
const KEPT_MAX: u64 = 100_000;

/// What boots have begun, since when, and from where.
pub(super) struct Beginnings(moka::sync::Cache<SessionId, (Beginning, Timestamp, IpAddr)>);

impl Default for Beginnings {
    fn default() -> Self {
        Beginnings(moka::sync::Cache::builder().max_capacity(KEPT_MAX).time_to_live(KEPT).build())
    }
}

impl Beginnings {
    /// Whether this boot has begun something.
    pub(super) fn has_begun(&self, session: SessionId) -> bool {
        self.0.contains_key(&session)
    }

    /// Whether this boot may begin this now.
    fn claim(&self, session: SessionId, beginning: &Beginning, from: IpAddr, now: Timestamp) -> bool {
        let (first, since, by) = self.0.get_with(session, || (beginning.clone(), now, from));
        first == *beginning && by == from && now.duration_since(since) <= AGAIN_MAX
    }
}

impl Shared {
    /// Notes what a configuration file hands out. Assignments of which that cannot be noted are left out, and the screen
    /// says so.
    pub(super) async fn offered(&self, session: &Arc<Session>, network: Network, images: BootImages) -> BootImages {
        let event = |images: &BootImages| BootEvent::Offered {
            images: images.images().iter().map(|image| image.id.clone()).collect(),
            assignments: images.assignments().map(str::to_owned).collect(),
        };
        let mut images = images;
        if images.assignments().next().is_some() {
            let Err(error) = self.report(session, network, &event(&images)).await else { return images };
            let reason = Line::clean(&format!("Left out what this machine was assigned: {error}"));
            images = images.without_assignments().with_notice([reason]);
        }
        self.engine.happened(session, &event(&images), Timestamp::now());
        images
    }

    /// A loader is about to run an image that does an assignment.
    ///
    /// # Errors
    /// A refusal when it must not; another error when nobody can tell, and then it must not either.
    pub(super) async fn begin(
        &self,
        session: &Arc<Session>,
        network: Network,
        beginning: &Beginning,
    ) -> Result<(), HandlerError> {
        let from = network.client.unwrap_or(IpAddr::from([0; 4]));
        if !self.beginnings.claim(session.id(), beginning, from, Timestamp::now()) {
            warn!(
                session = %session.id(), mac = %session.client().hardware, peer = %from, image = beginning.image,
                "not started: this boot has begun already; two machines may have one address"
            );
            return Err(HandlerError::refused("this boot has begun already"));
        }
        let Beginning { image, assignment, .. } = beginning.clone();
        let event = BootEvent::Started { image, assignment };
        self.report(session, network, &event).await?;
        info!(session = %session.id(), mac = %session.client().hardware, ?event, "assignment started");
        Ok(())
    }

    async fn report(&self, session: &Arc<Session>, network: Network, event: &BootEvent) -> Result<(), HandlerError> {
        let reported = self.engine.report(session, network, event, Timestamp::now()).await;
        if let Err(error) = &reported {
            let event = if error.is_refusal { "refused" } else { "not-noted" };
            self.metrics.assignments.get_or_create(&EventLabel { event }).inc();
        }
        reported
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_begins_one_thing_from_one_place_for_a_short_while() {
        let beginnings = Beginnings::default();
        let begin = |image: &str| Beginning { image: image.into(), assignment: "7".into(), file: None };
        let (one, two) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let (session, other) = (SessionId([1; 6]), SessionId([2; 6]));
        let at = |seconds: i64| Timestamp::from_second(1_700_000_000 + seconds).unwrap();
        assert!(!beginnings.has_begun(session));
        assert!(beginnings.claim(session, &begin("a"), one, at(0)));
        assert!(beginnings.has_begun(session) && !beginnings.has_begun(other));
        assert!(beginnings.claim(session, &begin("a"), one, at(30)), "its answer got lost");
        assert!(!beginnings.claim(session, &begin("a"), one, at(31)), "it was restarted");
        assert!(!beginnings.claim(session, &begin("a"), two, at(1)), "another machine");
        assert!(!beginnings.claim(session, &begin("b"), one, at(1)), "another image");
        assert!(beginnings.claim(other, &begin("a"), two, at(1)));
    }
}
