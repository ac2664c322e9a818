//! This host's interfaces and addresses, as a socket's task knows them.
//!
//! Reading them can wait for others: the kernel lists interfaces under a lock that the making and removing of network
//! namespaces holds for long. So it is done aside, and the old list serves meanwhile. Only an interface that is new is
//! waited for.
//!
//! **Invariant**: a snapshot, hardly older than [`AGE_MAX`]; needs a Tokio runtime.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::net::interfaces::Interfaces;

/// How old the snapshot may be.
const AGE_MAX: Duration = Duration::from_secs(10);

/// The snapshot.
#[derive(Debug)]
pub(super) struct Host {
    interfaces: Interfaces,
    names: HashMap<u32, Arc<str>>,
    read_at: Instant,
    /// The next snapshot, under way.
    reading: Option<JoinHandle<io::Result<Interfaces>>>,
}

impl Host {
    /// Looks for the first time.
    pub(super) fn new(now: Instant) -> Host {
        let names = HashMap::new();
        let mut host = Host { interfaces: Interfaces::default(), names, read_at: now, reading: None };
        host.take(Interfaces::read(), now);
        host
    }

    /// Begins to look again when the snapshot is old, and takes over what has been seen.
    pub(super) fn refresh(&mut self, now: Instant) {
        match self.reading.as_mut().map(FutureExt::now_or_never) {
            Some(None) => {}
            Some(Some(read)) => {
                self.reading = None;
                self.take(read.unwrap_or_else(|error| Err(io::Error::other(error))), now);
            }
            None if now.duration_since(self.read_at) >= AGE_MAX => {
                self.reading = Some(tokio::task::spawn_blocking(Interfaces::read));
            }
            None => {}
        }
    }

    /// Looks at once when the interface is not known: a VLAN that was just made.
    pub(super) fn know(&mut self, ifindex: u32, now: Instant) {
        if ifindex != 0 && !self.names.contains_key(&ifindex) {
            self.take(Interfaces::read(), now);
            // Gone again already: its other packets cost no look each.
            self.names.entry(ifindex).or_default();
        }
    }

    /// Whether an address is one of ours.
    pub(super) fn has(&self, address: Ipv4Addr) -> bool {
        self.interfaces.with_address(IpAddr::V4(address)).is_some()
    }

    /// The snapshot.
    pub(super) fn interfaces(&self) -> &Interfaces {
        &self.interfaces
    }

    /// The interface's name; empty when it is not known.
    pub(super) fn name(&self, ifindex: u32) -> Arc<str> {
        self.names.get(&ifindex).cloned().unwrap_or_default()
    }

    /// The address by which a client on this interface, and in the subnet of that address, should know us.
    pub(super) fn server_address(&self, ifindex: u32, on_subnet: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        self.interfaces.server_address(ifindex, on_subnet)
    }

    fn take(&mut self, read: io::Result<Interfaces>, now: Instant) {
        self.read_at = now;
        match read {
            Ok(interfaces) => {
                let named = interfaces.list.iter().map(|one| (one.index, Arc::from(one.name.as_str())));
                self.names = named.collect();
                self.interfaces = interfaces;
            }
            Err(error) => warn!(%error, "cannot list this host's interfaces; the last list stays in use"),
        }
    }
}
