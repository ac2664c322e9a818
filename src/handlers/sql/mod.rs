//! The `sql` handler: a database knows the machines and what they boot.
//!
//! It asks for the rows that may be the machine (`source`), says which one it is (`identity`), asks for its images
//! (`rows`), and offers them (`menu`). The rows come from the queries of the site's configuration on a database of its
//! own, or from the store.
//!
//! **Invariant**: questions only read. A machine is never guessed, a row that makes no sense costs itself only, and what
//! is remembered of a database that does not answer starts nothing that is done once.

mod answer;
mod build;
#[cfg(test)]
mod identity_tests;
mod menu;
mod own;
mod parameters;
mod queries;
mod rows;
mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tracing::{debug, info, warn};

use crate::boot::{BootImage, BootImages, BootRequest, Line, Record, Value, Verdict};
use crate::config::{Ambiguous, NoImage, UnknownMachine};
use crate::decision::{Answer, BootEvent, HandlerError, RequestHandler};
use crate::pace::Pace;

pub use build::Checked;
pub use parameters::reference;

use super::identity::{Candidate, Identity, Key, resolve};
use crate::boot::keys::{Claims, SharedMacs};
use answer::{Permission, Who, permission};
use menu::{Offer, Style};
use parameters::Facts;
use rows::Described;
use source::{Asked, Source};

/// A [`RequestHandler`] that asks a database.
pub struct SqlHandler {
    name: String,
    source: Arc<dyn Source>,
    rules: Rules,
    /// What is logged: machines that somebody makes up must not fill the disk with it.
    pace: Pace,
}

/// What the configuration says beside the queries.
#[derive(Clone, Debug)]
struct Rules {
    unknown: UnknownMachine,
    no_image: NoImage,
    ambiguous: Ambiguous,
    shared_macs: SharedMacs,
    style: Style,
    allow_boot_limit: Duration,
    boot_images_limit: Duration,
}

/// Lines that the handler logs in one second.
const LOG_LINES_PER_SECOND_MAX: u64 = 500;
/// Rows of one answer that are logged when they make no sense.
const DROPPED_SHOWN_MAX: usize = 5;

impl SqlHandler {
    async fn who(&self, asked: &Asked<'_>) -> Result<Who, HandlerError> {
        let found = self.source.machines(asked).await?;
        let read = rows::candidates(found.records);
        self.tell_dropped(asked.request, &read.dropped);
        let resolved = resolve(asked.claims, &read.list);
        Ok(Who { resolved, candidates: read.list, age: found.age })
    }

    /// The images of a machine, or of one that is not known. Those of remembered rows are told as such.
    async fn images(
        &self,
        asked: &Asked<'_>,
        machine: Option<&Candidate>,
        is_stale: bool,
    ) -> Result<BootImages, HandlerError> {
        let found = self.source.images(asked, machine).await?;
        let is_stale = is_stale || found.age.is_some();
        let (mut offers, mut dropped) = (Vec::new(), Vec::new());
        for record in &found.records {
            match self.offer(asked, record).await {
                Ok(Some(offer)) if is_stale && offer.image.assignment.is_some() => {
                    dropped.push(format!(
                        "image `{}`: it is done once, and the row is a remembered one; it waits for the database",
                        offer.image.id
                    ));
                }
                Ok(Some(offer)) => offers.push(offer),
                Ok(None) => {}
                Err(problem) => dropped.push(problem),
            }
        }
        let (images, left_out) = menu::images(offers, &self.rules.style);
        dropped.extend(left_out);
        self.tell_dropped(asked.request, &dropped);
        match is_stale {
            true => Ok(images.with_notice([Line::clean(STALE)])),
            false => Ok(images),
        }
    }

    async fn offer(&self, asked: &Asked<'_>, record: &Record) -> Result<Option<Offer>, String> {
        let mut offer = match rows::offer(record, asked.request.now)? {
            None => return Ok(None),
            Some(Described::Here(offer)) => offer,
            Some(Described::InStore(unfinished)) => {
                let id = unfinished.id.clone();
                let described = self.source.described(&id, asked).await.map_err(|error| error.message)?;
                let row = described.ok_or_else(|| {
                    format!("image `{id}`: the row has no `kind`, and the store has no image of this id; `pointsman image add {id}` makes one")
                })?;
                let image = BootImage::from_row(&id, &row).map_err(|error| format!("image `{id}`: {error}"))?;
                unfinished.with(image)
            }
        };
        if let Some(assignment) = &offer.image.assignment {
            let named = self.source.assignment(assignment);
            offer.image.assignment = Some(named.map_err(|problem| format!("image `{}`: {problem}", offer.image.id))?);
        }
        Ok(Some(offer))
    }

    async fn images_of_known(
        &self,
        asked: &Asked<'_>,
        who: &Who,
        machine: &Candidate,
        keys: &[Key],
    ) -> Result<Answer<BootImages>, HandlerError> {
        // At DHCP it may have been one of several, and allowed for that.
        if let Permission::Given(Verdict::Deny { reason } | Verdict::Ignore { reason }) = permission(machine)? {
            let images = BootImages::none().with_notice([reason]);
            let (why, known) = (format!("{}: it may not boot", who.why()), Some(who.noted(machine, keys)));
            return Ok(Answer::Explained { given: Some(images), why, known, account: None });
        }
        let images = self.images(asked, Some(machine), who.age.is_some()).await?;
        match self.rules.no_image {
            NoImage::Pass if images.images().is_empty() => Ok(Answer::Noted(who.noted(machine, keys))),
            _ => Ok(Answer::Explained {
                given: Some(images),
                why: who.why(),
                known: Some(who.noted(machine, keys)),
                account: None,
            }),
        }
    }

    async fn images_of_unknown(&self, asked: &Asked<'_>, who: &Who) -> Result<Answer<BootImages>, HandlerError> {
        let given = match self.rules.unknown {
            UnknownMachine::Pass => None,
            UnknownMachine::Allow => Some(self.images(asked, None, who.age.is_some()).await?),
            UnknownMachine::Deny | UnknownMachine::Ignore => {
                Some(BootImages::none().with_notice([Line::clean(NOT_KNOWN)]))
            }
        };
        Ok(Answer::Explained { given, why: who.why(), known: None, account: None })
    }

    /// Whether one more line about this request may be logged.
    fn has_room(&self, request: &BootRequest) -> bool {
        self.pace.take(request.now.as_second(), LOG_LINES_PER_SECOND_MAX).is_free
    }

    fn tell_dropped(&self, request: &BootRequest, dropped: &[String]) {
        for (index, problem) in dropped.iter().enumerate() {
            if !self.has_room(request) {
                return;
            }
            let (handler, session, mac) = (&self.name, request.session, request.client.hardware);
            if index == DROPPED_SHOWN_MAX {
                let more = dropped.len() - index;
                return warn!(%handler, %session, %mac, more, "further rows do not count either");
            }
            warn!(%handler, %session, %mac, %problem, "a row of the database does not count");
        }
    }

    fn tell_who(&self, request: &BootRequest, who: &Who, is_settled: bool) {
        if !self.has_room(request) {
            return;
        }
        let (handler, session, mac, why) = (&self.name, request.session, request.client.hardware, who.why());
        if let Some(age) = who.age {
            let age_s = age.as_secs();
            warn!(%handler, %session, %mac, age_s, "the database does not answer; its last answer stands in");
        }
        match who.resolved.identity {
            Identity::Ambiguous(_) if is_settled => {
                warn!(%handler, %session, %mac, candidates = why, "ambiguous: the machine could be one of several");
            }
            Identity::Unknown if !who.resolved.notes.is_empty() => {
                info!(%handler, %session, %mac, "the machine is {why}");
            }
            _ => debug!(%handler, %session, %mac, "the machine is {why}"),
        }
    }
}

/// The value that every query of a site has by this name, NULL where the fact is not known; none when there is no such
/// name. Scripts ask with the same.
pub(super) fn fact(request: &BootRequest, name: &str) -> Option<Value> {
    let claims = Claims::of(request, &SharedMacs::default());
    Facts { request, claims: &claims, is_search: false }.value(name)
}

/// What one machine is told from others by, where nobody knows it: its UUID, else its serial number, else the MAC
/// address of the NIC that asks.
pub(super) fn machine_key(request: &BootRequest) -> String {
    let claims = Claims::of(request, &SharedMacs::default());
    let serial = || claims.serial.as_ref().map(|serial| serial.number().to_owned());
    let uuid = claims.uuid.map(|uuid| uuid.to_string());
    uuid.or_else(serial).unwrap_or_else(|| request.client.hardware.to_string())
}

/// The machine's UUID, when it is its own.
pub(super) fn own_uuid(request: &BootRequest) -> Option<uuid::Uuid> {
    Claims::of(request, &SharedMacs::default()).uuid
}

/// Whether a UUID is one machine's own.
pub(super) use crate::boot::keys::is_uuid;
/// The names of these values.
pub(super) use parameters::names as fact_names;

/// What a machine is told whose database is gone.
const STALE: &str = "The database does not answer: what is to be installed waits.";
/// What a machine is told that nobody knows.
const NOT_KNOWN: &str = "This machine is not in the database";

#[async_trait]
impl RequestHandler for SqlHandler {
    fn name(&self) -> &str {
        &self.name
    }

    async fn allow_boot(&self, request: &BootRequest) -> Result<Answer<Verdict>, HandlerError> {
        let claims = Claims::of(request, &self.rules.shared_macs);
        let asked = Asked::new(request, &claims, self.rules.allow_boot_limit);
        let who = self.who(&asked).await?;
        self.tell_who(request, &who, false);
        let given = match &who.resolved.identity {
            Identity::Known(..) => match who.machine() {
                Some((machine, keys)) => match permission(machine)? {
                    Permission::Pass => return Ok(Answer::Noted(who.noted(machine, keys))),
                    Permission::Given(verdict) => Some(verdict),
                },
                None => None,
            },
            Identity::Unknown => self.rules.unknown.fallback().map(|fallback| fallback.verdict(NOT_KNOWN)),
            Identity::Ambiguous(_) => match self.rules.ambiguous {
                Ambiguous::Pass => return Ok(who.identified(&request.identity)),
                Ambiguous::Local => Some(who.verdict_of_all()?),
            },
        };
        let known = who.machine().map(|(machine, keys)| who.noted(machine, keys));
        Ok(Answer::Explained { given, why: who.why(), known, account: None })
    }

    async fn boot_images(&self, request: &BootRequest) -> Result<Answer<BootImages>, HandlerError> {
        let claims = Claims::of(request, &self.rules.shared_macs);
        let asked = Asked::new(request, &claims, self.rules.boot_images_limit);
        let who = self.who(&asked).await?;
        self.tell_who(request, &who, true);
        if let Some((machine, keys)) = who.machine() {
            return self.images_of_known(&asked, &who, machine, keys).await;
        }
        if who.resolved.identity == Identity::Unknown {
            return self.images_of_unknown(&asked, &who).await;
        }
        let given = match self.rules.ambiguous {
            Ambiguous::Pass => return Ok(who.identified(&request.identity)),
            Ambiguous::Local => Some(BootImages::none().with_notice(who.notice())),
        };
        Ok(Answer::Explained { given, why: who.why(), known: None, account: None })
    }

    async fn boot_event(&self, request: &BootRequest, event: &BootEvent) -> Result<(), HandlerError> {
        let claims = Claims::of(request, &self.rules.shared_macs);
        self.source.happened(&Asked::new(request, &claims, self.rules.boot_images_limit), event).await
    }
}
