//! This host: MTU, clock, disks.
//!
//! **Invariant**: looks and measures; writes nothing.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::{Found, Patient, shown};
use crate::config::Config;
use crate::net::interfaces::{ETHERNET_MTU, Interface, Interfaces};

/// Octets of IPv4, UDP and TFTP before the data.
const TFTP_HEADERS: u32 = 32;

pub(super) fn mtu(patient: &Patient) -> Found {
    let mut found = Found::default();
    let names = &patient.config.server.interfaces;
    let interfaces = Interfaces::read().unwrap_or_default();
    let serves = |interface: &&Interface| {
        let is_named = names.is_empty() || names.contains(&interface.name);
        is_named && interface.is_up && !interface.is_loopback && !interface.addresses.is_empty()
    };
    for interface in interfaces.list.iter().filter(serves) {
        judge_mtu(interface, patient.config.tftp.blksize_max, &mut found);
    }
    if found.len() == 0 {
        found.skipped("no interface beside loopback is up and has an address");
    }
    found
}

fn judge_mtu(interface: &Interface, blksize_max: u16, found: &mut Found) {
    let Interface { name, mtu, .. } = interface;
    let datagram = u32::from(blksize_max) + TFTP_HEADERS;
    let text = format!("{name}: MTU {mtu}, TFTP blocks up to {blksize_max} octets");
    match () {
        () if *mtu > ETHERNET_MTU && datagram > ETHERNET_MTU => found.warn(
            format!("{text}: longer than what machines with an MTU of {ETHERNET_MTU} receive"),
            "write `[tftp] blksize_max = 1468`; firmware has no larger MTU than Ethernet's (PXE-E35)",
        ),
        () if *mtu < ETHERNET_MTU => found.warn(
            format!("{text}: less than Ethernet's {ETHERNET_MTU}"),
            format!(
                "TFTP blocks are cut to {} here; what machines send in full packets may be lost on the way: let the tunnel or \
                 VPN have an MTU of {ETHERNET_MTU}, or clamp TCP's MSS",
                mtu.saturating_sub(TFTP_HEADERS)
            ),
        ),
        () => found.ok(text),
    }
}

/// Before this no server of this version ran.
const EARLIEST: &str = "2026-01-01T00:00:00Z";

pub(super) fn clock(patient: &Patient) -> Found {
    let mut found = Found::default();
    let state = &patient.config.server.state;
    let newest = [patient.config.file.clone(), state.join("ca.pem"), state.join("server.pem")]
        .iter()
        .filter_map(|file| Some((file.clone(), std::fs::metadata(file).ok()?.modified().ok()?)))
        .max_by_key(|(_, modified)| *modified);
    judge_clock(SystemTime::now(), newest, &mut found);
    found
}

fn judge_clock(now: SystemTime, newest: Option<(PathBuf, SystemTime)>, found: &mut Found) {
    const SLACK: Duration = Duration::from_secs(600);
    let words = |time: SystemTime| Timestamp::try_from(time).map_or_else(|_| "?".into(), |time| format!("{time:.0}"));
    let earliest: SystemTime = EARLIEST.parse().map_or(SystemTime::UNIX_EPOCH, |earliest: Timestamp| earliest.into());
    let remedy = "set the clock (`timedatectl`), and let it follow a time server: rules that go by time, certificates of \
                  upstreams and assignments depend on it";
    match newest.filter(|(_, modified)| now + SLACK < *modified) {
        _ if now < earliest => found.fail(format!("the clock says {}, which is long ago", words(now)), remedy),
        Some((file, modified)) => found.fail(
            format!("the clock says {}, but {} was written {}", words(now), shown(&file), words(modified)),
            remedy,
        ),
        None => found.ok(format!("the clock says {}", words(now))),
    }
}

/// What a folder must have left, in octets and in parts of a hundred.
const FAIL_BELOW: (u64, u64) = (64 << 20, 1);
const WARN_BELOW: (u64, u64) = (1 << 30, 5);

pub(super) fn disk(patient: &Patient) -> Found {
    let mut found = Found::default();
    for (key, folder) in folders(&patient.config) {
        judge_disk(key, &folder, &mut found);
    }
    found
}

/// Folders that the server writes to, with their keys.
fn folders(config: &Config) -> Vec<(&'static str, PathBuf)> {
    let mut folders = vec![("server.state", config.server.state.clone())];
    if !config.upstreams.is_empty() || !config.storages.is_empty() {
        folders.push(("cache.folder", config.cache.folder.clone()));
    }
    folders
}

/// What to do about a folder that cannot be written to.
pub const WRITABLE: &str = "name another folder, give it to the server's user (`chown`), or run this as that user";

/// What is not there yet is made by the server, where it may.
fn existing(folder: &Path) -> &Path {
    folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"))
}

/// Whether this user may write to a folder, or make it.
///
/// # Errors
/// Why not, in words.
pub fn may_write(folder: &Path) -> Result<(), String> {
    let existing = existing(folder);
    if !existing.is_dir() {
        return Err(format!("{} is no folder", shown(existing)));
    }
    rustix::fs::access(existing, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
        .map_err(|error| format!("this user may not write there: {error}"))
}

fn judge_disk(key: &str, folder: &Path, found: &mut Found) {
    let text = format!("{key} {}", shown(folder));
    if let Err(why) = may_write(folder) {
        return found.fail(format!("{text}: {why}"), WRITABLE);
    }
    match rustix::fs::statvfs(existing(folder)) {
        Ok(room) => judge_room(
            &text,
            room.f_bavail.saturating_mul(room.f_frsize),
            room.f_blocks.saturating_mul(room.f_frsize),
            found,
        ),
        Err(error) => found.skipped(format!("{text}: its room cannot be measured: {error}")),
    }
}

fn judge_room(text: &str, free: u64, total: u64, found: &mut Found) {
    let percent = free.saturating_mul(100) / total.max(1);
    let text = format!("{text}: {} MiB free ({percent} %)", free >> 20);
    let is_below = |(octets, parts): (u64, u64)| free < octets && percent < parts.max(10) || percent < parts;
    let remedy = "make room: a full disk ends the history, the store and the cache";
    match () {
        () if is_below(FAIL_BELOW) => found.fail(text, remedy),
        () if is_below(WARN_BELOW) => found.warn(text, remedy),
        () => found.ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::super::tests::patient;
    use super::*;

    fn judged(judge: impl FnOnce(&mut Found)) -> Vec<State> {
        let mut found = Found::default();
        judge(&mut found);
        found.states()
    }

    #[test]
    fn blocks_that_machines_cannot_receive_are_warned_of() {
        let interface = |mtu| Interface {
            name: "eth0".into(),
            index: 2,
            mtu,
            addresses: Vec::new(),
            is_loopback: false,
            is_up: true,
        };
        let state = |mtu, blksize| judged(|found| judge_mtu(&interface(mtu), blksize, found));
        assert_eq!(state(1500, 1468), [State::Ok]);
        assert_eq!(state(9000, 1468), [State::Ok]);
        assert_eq!(state(9000, 8192), [State::Warn]);
        assert_eq!(state(1420, 1468), [State::Warn]);
    }

    #[test]
    fn a_clock_that_is_behind_is_a_failure() {
        let at = |text: &str| SystemTime::from(text.parse::<Timestamp>().unwrap());
        let state = |now: &str, newest: Option<&str>| {
            let newest = newest.map(|text| (PathBuf::from("ca.pem"), at(text)));
            judged(|found| judge_clock(at(now), newest, found))
        };
        assert_eq!(state("2026-11-21T10:00:00Z", Some("2026-11-20T10:00:00Z")), [State::Ok]);
        assert_eq!(state("2026-11-19T10:00:00Z", Some("2026-11-20T10:00:00Z")), [State::Fail]);
        assert_eq!(state("1970-01-01T00:05:00Z", None), [State::Fail]);
    }

    #[test]
    fn a_disk_without_room_or_rights_is_told() {
        let state = |free, total| judged(|found| judge_room("x", free, total, found));
        assert_eq!(state(50 << 30, 100 << 30), [State::Ok]);
        assert_eq!(state(500 << 20, 100 << 30), [State::Fail]);
        assert_eq!(state(3 << 30, 100 << 30), [State::Warn]);
        // A small disk that is not full.
        assert_eq!(state(300 << 20, 600 << 20), [State::Ok]);
        assert_eq!(judged(|found| judge_disk("server.state", Path::new("/proc/nosuch"), found)), [State::Fail]);
        let (_folder, patient) = patient("");
        assert_eq!(folders(&patient.config).len(), 1);
        assert_ne!(disk(&patient).states(), [State::Skipped]);
    }
}
