//! This host's interfaces and addresses, as a socket's task knows them.
//!
//! **Invariant**: a snapshot, at most [`AGE_MAX`] old; an interface that is new is looked up when its first packet comes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;

use crate::net::interfaces::Interfaces;

/// How old the snapshot may be.
const AGE_MAX: Duration = Duration::from_secs(10);

/// The snapshot.
#[derive(Debug, Default)]
pub(super) struct Host {
    interfaces: Interfaces,
    names: HashMap<u32, Arc<str>>,
    read_at: Option<Instant>,
}

impl Host {
    /// Looks again when the snapshot is old.
    pub(super) fn refresh(&mut self, now: Instant) {
        self.read_if_older(AGE_MAX, now);
    }

    /// Looks again when the interface is not known: a VLAN that was just made.
    pub(super) fn know(&mut self, ifindex: u32, now: Instant) {
        if ifindex != 0 && !self.names.contains_key(&ifindex) {
            self.read_if_older(Duration::ZERO, now);
            // Gone again already: its other packets cost no look each.
            self.names.entry(ifindex).or_default();
        }
    }

    /// Whether an address is one of ours.
    pub(super) fn has(&self, address: Ipv4Addr) -> bool {
        self.interfaces.with_address(IpAddr::V4(address)).is_some()
    }

    /// The interface's name; empty when it is not known.
    pub(super) fn name(&self, ifindex: u32) -> Arc<str> {
        self.names.get(&ifindex).cloned().unwrap_or_default()
    }

    /// The address by which a client on this interface, and in the subnet of that address, should know us.
    pub(super) fn server_address(&self, ifindex: u32, on_subnet: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        self.interfaces.server_address(ifindex, on_subnet)
    }

    fn read_if_older(&mut self, age: Duration, now: Instant) {
        if self.read_at.is_some_and(|at| now.duration_since(at) < age) {
            return;
        }
        self.read_at = Some(now);
        match Interfaces::read() {
            Ok(interfaces) => {
                let named = interfaces.list.iter().map(|one| (one.index, Arc::from(one.name.as_str())));
                self.names = named.collect();
                self.interfaces = interfaces;
            }
            Err(error) => warn!(%error, "cannot list this host's interfaces; the last list stays in use"),
        }
    }
}
