//! Which machines get the candidate's answers.
//!
//! **Invariant**: a machine is chosen by what its first packet says, and keeps what was chosen to the end of its boot; a
//! larger percentage chooses the machines of a smaller one, and more.

use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use ipnet::IpNet;
use moka::sync::Cache;
use uuid::Uuid;

use crate::boot::{BootRequest, HardwareAddress, SessionId};
use crate::config::ScriptSection;

/// Boots whose choice is remembered at a time.
const BOOTS_MAX: u64 = 100_000;
/// A boot without a question for so long is over.
const IDLE: Duration = Duration::from_secs(30 * 60);

/// Chooses machines.
pub(super) struct Canary {
    /// Of the 2^32 numbers that machines are hashed to, so many of the lowest are chosen.
    chosen_below: u64,
    seed: String,
    networks: Vec<IpNet>,
    sites: Vec<String>,
    groups: Vec<String>,
    addresses: Vec<HardwareAddress>,
    uuids: Vec<Uuid>,
    of_boot: Cache<SessionId, bool>,
}

impl Canary {
    /// As a section says; none where it chooses no machine.
    pub(super) fn of(section: &ScriptSection) -> Option<Canary> {
        let machines = || section.canary_machines.iter();
        section.has_canary().then(|| Canary {
            chosen_below: (section.canary_percent.clamp(0.0, 100.0) / 100.0 * NUMBERS as f64).round() as u64,
            seed: section.canary_seed.clone(),
            networks: section.canary_networks.clone(),
            sites: section.canary_sites.clone(),
            groups: section.canary_groups.clone(),
            addresses: machines().filter_map(|machine| machine.parse().ok()).collect(),
            uuids: machines().filter_map(|machine| machine.parse().ok()).collect(),
            of_boot: Cache::builder().max_capacity(BOOTS_MAX).time_to_idle(IDLE).build(),
        })
    }

    /// Whether a machine gets the candidate's answers in this boot. The later questions of a boot know more than the
    /// first one, or less: they are answered like it.
    pub(super) fn has(&self, request: &BootRequest) -> bool {
        if let Some(chosen) = self.of_boot.get(&request.session) {
            return chosen;
        }
        let chosen = self.chooses(request);
        if self.may_change(request) {
            self.of_boot.insert(request.session, chosen);
        }
        chosen
    }

    /// Whether a later question of the boot may lead to another choice: its place is said in other ways then, and a UUID
    /// may be told later, but stays.
    fn may_change(&self, request: &BootRequest) -> bool {
        let by_place = !self.networks.is_empty() || !self.sites.is_empty() || !self.groups.is_empty();
        by_place || request.client.uuid().is_none()
    }

    fn chooses(&self, request: &BootRequest) -> bool {
        let client = &request.client;
        let uuid = client.uuid();
        let is_named = self.addresses.contains(&client.hardware) || uuid.is_some_and(|uuid| self.uuids.contains(&uuid));
        let place = request.network.subnet_address();
        is_named
            || place.is_some_and(|place| self.networks.iter().any(|network| network.contains(&place.to_canonical())))
            || self.sites.iter().any(|site| **site == *request.network.site)
            || self.has_group(request)
            || number(&self.seed, client.hardware, uuid) < self.chosen_below
    }

    /// The groups of a machine are a column of the row that a handler before found.
    fn has_group(&self, request: &BootRequest) -> bool {
        if self.groups.is_empty() {
            return false;
        }
        let groups = request.record.as_ref().and_then(|record| record.text("groups")).unwrap_or_default();
        groups.split_whitespace().any(|group| self.groups.iter().any(|chosen| chosen == group))
    }
}

/// How many numbers there are.
const NUMBERS: u64 = 1 << 32;

/// The number of a machine: always the same for the same seed. A machine with a UUID has it by whatever adapter it boots.
fn number(seed: &str, hardware: HardwareAddress, uuid: Option<Uuid>) -> u64 {
    let mut hash = Context::new(&SHA256);
    hash.update(seed.as_bytes());
    hash.update(&[0]);
    match &uuid {
        Some(uuid) => hash.update(uuid.as_bytes()),
        None => hash.update(hardware.octets()),
    }
    let digest = hash.finish();
    digest.as_ref().iter().take(4).fold(0, |number, octet| number << 8 | u64::from(*octet))
}

#[cfg(test)]
#[path = "canary_tests.rs"]
mod tests;
