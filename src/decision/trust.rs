//! How far the keys of a machine can be trusted, before anybody decides by them.
//!
//! A UUID may be a vendor's placeholder, and a MAC address that of an adapter which goes from hand to hand: the site says
//! so, or it was seen. One that comes with another UUID may be that of a machine whose board was replaced; with a third
//! one, or with the first one again, it is shared.
//!
//! **Invariant**: what is learnt only takes trust away, and only from a MAC address; it is bounded in number and time.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use uuid::Uuid;

use crate::boot::keys::{SharedMacs, is_mac, is_uuid, read_uuid, swapped};
use crate::boot::{BootRequest, HardwareAddress, Identity, KeyTrust, MachineId};

/// What the site says of keys: `[identity]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRules {
    shared_macs: SharedMacs,
    ignored_uuids: Vec<Uuid>,
}

impl KeyRules {
    /// Reads the lists: MAC addresses or beginnings of them, and UUIDs.
    ///
    /// # Errors
    /// For a text that is none.
    pub fn read<'a>(
        shared_macs: impl IntoIterator<Item = &'a str>,
        ignored_uuids: impl IntoIterator<Item = &'a str>,
    ) -> Result<KeyRules, String> {
        let shared_macs = SharedMacs::read(shared_macs)?;
        let uuid = |text: &str| text.trim().parse().map_err(|_| format!("`{}` is no UUID", crate::nearest::cut(text)));
        let ignored_uuids = ignored_uuids.into_iter().map(uuid).collect::<Result<_, _>>()?;
        Ok(KeyRules { shared_macs, ignored_uuids })
    }

    fn uuid(&self, request: &BootRequest) -> (KeyTrust, Option<Uuid>) {
        let sent = request.client.machine_id.map(MachineId::uuid);
        let good = sent.filter(is_uuid).or_else(|| request.machine.get("uuid").and_then(read_uuid));
        match good {
            Some(uuid) if self.ignored_uuids.contains(&uuid) => (KeyTrust::Placeholder, None),
            Some(uuid) => (KeyTrust::Good, Some(uuid)),
            None if sent.is_some() || request.machine.get("uuid").is_some() => (KeyTrust::Placeholder, None),
            None => (KeyTrust::Absent, None),
        }
    }
}

/// With which UUIDs MAC addresses were seen of late.
#[derive(Clone)]
pub(super) struct Learnt(Cache<HardwareAddress, Seen>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// These, each a while: the last one is that of now.
    Uuids(Arc<[Uuid]>),
    Shared,
}

impl Default for Learnt {
    fn default() -> Self {
        Learnt(Cache::builder().max_capacity(MACS_MAX).time_to_idle(LEARNT_FOR).build())
    }
}

impl Learnt {
    /// Takes note of a MAC address with a UUID; whether several machines were seen with it.
    pub(super) fn see(&self, mac: HardwareAddress, uuid: Option<Uuid>) -> bool {
        // Firmware and iPXE do not always agree on the order of its bytes.
        let uuid = uuid.map(|uuid| uuid.min(swapped(&uuid)));
        let known = self.0.get(&mac);
        let next = match (&known, uuid) {
            (Some(Seen::Shared), _) => return true,
            (_, None) => return false,
            (None, Some(uuid)) => Seen::Uuids([uuid].into()),
            (Some(Seen::Uuids(before)), Some(uuid)) => match before.iter().position(|known| *known == uuid) {
                Some(at) if at + 1 == before.len() => return false,
                Some(_) => Seen::Shared,
                None if before.len() >= OWNERS_MAX => Seen::Shared,
                None => Seen::Uuids(before.iter().copied().chain([uuid]).collect()),
            },
        };
        let is_shared = next == Seen::Shared;
        self.0.insert(mac, next);
        is_shared
    }
}

/// What can be said of a request's keys, by what the site says and what was learnt.
pub(super) fn trusts(request: &BootRequest, rules: &KeyRules, learnt: &Learnt) -> Identity {
    let mac = request.client.hardware;
    let (uuid_trust, uuid) = rules.uuid(request);
    let mut identity = Identity { uuid_trust, ..Identity::default() };
    if uuid_trust == KeyTrust::Placeholder {
        identity.why.push("its UUID is one that many machines have".to_owned());
    }
    identity.mac_trust = if !is_mac(&mac) {
        KeyTrust::Placeholder
    } else if rules.shared_macs.covers(&mac) {
        identity.why.push(format!("{mac} is an adapter that machines share, by [identity]"));
        KeyTrust::Shared
    } else if learnt.see(mac, uuid) {
        identity.why.push(format!("{mac} came with several UUIDs of late"));
        KeyTrust::Shared
    } else {
        KeyTrust::Good
    };
    identity
}

/// The most MAC addresses that are remembered.
const MACS_MAX: u64 = 100_000;
/// How long one is remembered that is not seen again.
const LEARNT_FOR: Duration = Duration::from_secs(14 * 24 * 3600);
/// UUIDs that may follow each other: a board is replaced, and an adapter wanders.
const OWNERS_MAX: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::{Architecture, Client, SessionId, Stage};

    fn request(mac: u8, uuid: Option<u128>) -> BootRequest {
        let mut client = Client::new([0x52, 0x54, 0, 0, 0, mac].into(), Architecture::X64_UEFI);
        client.machine_id = uuid.map(|uuid| MachineId::from_uuid(Uuid::from_u128(uuid)));
        BootRequest::new(SessionId([0; 6]), Stage::Discover, client, jiff::Timestamp::UNIX_EPOCH)
    }

    const A: u128 = 0x4c4c4544_0057_5810_804a_c3c04f463701;
    const B: u128 = 0x4c4c4544_0057_5810_804a_c3c04f463702;
    const C: u128 = 0x4c4c4544_0057_5810_804a_c3c04f463703;

    #[test]
    fn an_adapter_that_wanders_is_shared_and_a_new_board_is_not() {
        let check = |uuids: &[u128], expect: KeyTrust| {
            let learnt = Learnt::default();
            let all: Vec<_> = uuids
                .iter()
                .map(|uuid| trusts(&request(1, Some(*uuid)), &KeyRules::default(), &learnt).mac_trust)
                .collect();
            assert_eq!(all.last(), Some(&expect), "{uuids:x?}");
            let none = trusts(&request(1, None), &KeyRules::default(), &learnt);
            assert_eq!((none.uuid_trust, none.mac_trust), (KeyTrust::Absent, expect));
            let other = trusts(&request(2, Some(uuids[0])), &KeyRules::default(), &learnt);
            assert_eq!(other.mac_trust, KeyTrust::Good);
        };
        check(&[A, A, A], KeyTrust::Good);
        check(&[A, A, B, B, B], KeyTrust::Good);
        check(&[A, B, A], KeyTrust::Shared);
        check(&[A, B, C], KeyTrust::Shared);
        check(&[A, B, A, A, A], KeyTrust::Shared);
        let turned = swapped(&Uuid::from_u128(A)).as_u128();
        check(&[A, turned, A, turned], KeyTrust::Good);
    }

    #[test]
    fn what_the_site_says_and_what_vendors_leave_counts() {
        let rules = KeyRules::read(["52:54:00:00:00:07"], [Uuid::from_u128(B).to_string().as_str()]).unwrap();
        let trust = |mac, uuid| {
            let identity = trusts(&request(mac, uuid), &rules, &Learnt::default());
            (identity.uuid_trust, identity.mac_trust, identity.why.len())
        };
        assert_eq!(trust(1, Some(A)), (KeyTrust::Good, KeyTrust::Good, 0));
        assert_eq!(trust(7, Some(B)), (KeyTrust::Placeholder, KeyTrust::Shared, 2));
        assert_eq!(trust(1, Some(0)), (KeyTrust::Placeholder, KeyTrust::Good, 1));
        assert_eq!(trust(1, Some(0x03000200_0400_0500_0006_000700080009)), (KeyTrust::Placeholder, KeyTrust::Good, 1));
        assert_eq!(trust(1, None), (KeyTrust::Absent, KeyTrust::Good, 0));
        assert!(KeyRules::read(["x"], []).is_err() && KeyRules::read([], ["x"]).is_err());
    }
}
