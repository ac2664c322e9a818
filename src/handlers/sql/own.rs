//! Rows from the store, which needs no queries.

use std::time::Duration;

use async_trait::async_trait;

use crate::boot::Record;
use crate::database::Rows;
use crate::decision::{BootEvent, HandlerError};
use crate::store::{Keys, LoopGuard, Store, StoreError};

use super::build::Checked;
use super::source::{Asked, BETWEEN, Source};
use crate::boot::keys::swapped;
use crate::handlers::identity::Candidate;

/// The store, and how often it may offer one assignment.
pub(super) struct Own {
    pub(super) store: Store,
    pub(super) guard: LoopGuard,
}

/// What the store says no to is a refusal: it knows, and asking again does not help.
fn refused(error: StoreError) -> HandlerError {
    match error {
        StoreError::Spent { .. } | StoreError::Held { .. } | StoreError::NotFound { .. } => {
            HandlerError::refused(error.to_string())
        }
        error => failed(error),
    }
}

pub(super) fn failed(error: StoreError) -> HandlerError {
    HandlerError::new(error.to_string())
}

#[async_trait]
impl Source for Own {
    async fn machines(&self, asked: &Asked<'_>) -> Result<Rows, HandlerError> {
        let claims = asked.claims;
        let serial = claims.serial.as_ref().and(asked.request.machine.get("serial")).map(str::to_owned);
        let first = Keys { uuid: claims.uuid, serial, mac: claims.mac, sysmac: claims.sysmac };
        let mut found = self.store.candidates(&first, asked.left()).await.map_err(failed)?;
        // What the first question did not ask for: the NIC as iPXE sees it, and a UUID that was written down in the
        // other byte order, which counts where there is no right one.
        let mac = claims.mac_ipxe.filter(|mac| claims.mac != Some(*mac));
        let uuid = claims.uuid.as_ref().map(swapped).filter(|_| found.records.is_empty());
        if mac.is_some() || uuid.is_some() {
            let second = Keys { uuid, mac, ..Keys::default() };
            let more = self.store.candidates(&second, asked.left()).await.map_err(failed)?;
            found.records.extend(more.records);
            found.age = found.age.max(more.age);
        }
        Ok(found)
    }

    async fn images(&self, asked: &Asked<'_>, machine: Option<&Candidate>) -> Result<Rows, HandlerError> {
        match machine {
            Some(machine) => self.store.images_of(&machine.id, asked.request.session, asked.left()).await,
            None => self.store.unknown_images(asked.left()).await,
        }
        .map_err(failed)
    }

    async fn described(&self, image: &str, asked: &Asked<'_>) -> Result<Option<Record>, HandlerError> {
        described(&self.store, image, asked).await
    }

    async fn happened(&self, asked: &Asked<'_>, event: &BootEvent) -> Result<(), HandlerError> {
        let (session, now) = (asked.request.session, asked.request.now);
        match event {
            BootEvent::Offered { assignments, .. } => {
                for id in assignments.iter().filter(|id| is_own(id)) {
                    self.store.offered(id, session, now, self.guard, asked.left()).await.map_err(refused)?;
                }
            }
            BootEvent::Started { assignment, .. } if is_own(assignment) => {
                self.store.started(assignment, session, now, asked.left()).await.map_err(refused)?;
            }
            BootEvent::LoadFailed { image, error } => {
                self.store.load_failed(session, image, *error, now, asked.left()).await.map_err(failed)?;
            }
            BootEvent::Done => drop(self.store.done(session, now, asked.left()).await.map_err(failed)?),
            BootEvent::Failed { reason } => {
                self.store.failed(session, reason.as_str(), now, asked.left()).await.map_err(failed)?;
            }
            BootEvent::Started { .. } | BootEvent::FileSent { .. } | BootEvent::Person { .. } => {}
        }
        Ok(())
    }

    async fn check(&self, _limit: Duration) -> Checked {
        Checked::default()
    }

    fn assignment(&self, id: &str) -> Result<String, String> {
        Ok(id.to_owned())
    }
}

/// Assignments of other handlers begin with the handler's name.
fn is_own(assignment: &str) -> bool {
    !assignment.contains(BETWEEN)
}

/// The row of an image in a store.
pub(super) async fn described(store: &Store, image: &str, asked: &Asked<'_>) -> Result<Option<Record>, HandlerError> {
    let found = store.image_row(image, asked.left()).await.map_err(failed)?;
    Ok(found.records.into_iter().next())
}
