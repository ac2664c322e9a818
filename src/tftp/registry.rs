//! Which transfers run: the limits on them, and the socket that each client was last served from.
//!
//! **Invariant**: every count is given back when a [`Permit`] is dropped, however the transfer ended; all
//! memory here is bounded by the limits.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Clients whose last socket is remembered after their transfer.
const RECENT_MAX: usize = 4_096;

/// Number of a transfer socket within the server.
pub(super) type SocketId = usize;

#[derive(Debug)]
pub(super) struct Registry {
    transfers_max: usize,
    per_client_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    live: HashMap<SocketAddr, Entry>,
    per_client: HashMap<IpAddr, usize>,
    total: usize,
    recent: HashMap<SocketAddr, SocketId>,
    recent_order: VecDeque<SocketAddr>,
    next_id: u64,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    request: Vec<u8>,
    socket: Option<SocketId>,
    is_heard: Arc<AtomicBool>,
}

/// What is to be done with a request.
#[derive(Debug)]
pub(super) enum Admission {
    /// Serve it.
    New(Permit),
    /// It repeats one that is being opened: nothing to do.
    Opening,
    /// It repeats one that is being served, whose first packet was lost.
    Repeated(SocketId),
    /// There are too many transfers, in all or of this client.
    Full,
}

/// The right to one transfer.
#[derive(Debug)]
pub(super) struct Permit {
    registry: Arc<Registry>,
    /// Unique among all transfers of this server.
    pub(super) id: u64,
    client: SocketAddr,
    is_heard: Arc<AtomicBool>,
    /// The socket that served this very client port before: not to be used again at once, so that late
    /// packets of the old transfer are not taken for the new one's.
    pub(super) avoid: Option<SocketId>,
}

impl Registry {
    pub(super) fn new(transfers_max: usize, per_client_max: usize) -> Arc<Self> {
        Arc::new(Self { transfers_max, per_client_max, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Transfers that hold a permit.
    pub(super) fn total(&self) -> usize {
        self.state().total
    }

    pub(super) fn admit(self: &Arc<Self>, client: SocketAddr, request: &[u8]) -> Admission {
        let mut state = self.state();
        if let Some(entry) = state.live.get(&client)
            && entry.request == request
            && !entry.is_heard.load(Ordering::Relaxed)
        {
            return entry.socket.map_or(Admission::Opening, Admission::Repeated);
        }
        // Another request, or the same from a client that had begun to answer: it has started anew. The
        // old transfer ends by the client's ERROR 5 or by silence; were it ended here, a request that the
        // network delivers twice would break the transfer that runs.
        let of_client = state.per_client.get(&client.ip()).copied().unwrap_or(0);
        if state.total >= self.transfers_max || of_client >= self.per_client_max {
            return Admission::Full;
        }
        let running = state.live.get(&client).and_then(|entry| entry.socket);
        let avoid = running.or_else(|| state.recent.get(&client).copied());
        state.total += 1;
        *state.per_client.entry(client.ip()).or_default() += 1;
        state.next_id += 1;
        let (id, is_heard) = (state.next_id, Arc::new(AtomicBool::new(false)));
        let entry = Entry { id, request: request.to_vec(), socket: None, is_heard: Arc::clone(&is_heard) };
        state.live.insert(client, entry);
        Admission::New(Permit { registry: Arc::clone(self), id, client, is_heard, avoid })
    }
}

impl Permit {
    /// The transfer is served from this socket now.
    pub(super) fn served_from(&self, socket: SocketId) {
        let mut state = self.registry.state();
        if let Some(entry) = state.live.get_mut(&self.client)
            && entry.id == self.id
        {
            entry.socket = Some(socket);
        }
        if state.recent.insert(self.client, socket).is_none() {
            state.recent_order.push_back(self.client);
        }
        if state.recent_order.len() > RECENT_MAX
            && let Some(oldest) = state.recent_order.pop_front()
        {
            state.recent.remove(&oldest);
        }
    }

    /// The client has answered.
    pub(super) fn mark_heard(&self) {
        self.is_heard.store(true, Ordering::Relaxed);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.registry.state();
        state.total = state.total.saturating_sub(1);
        let client = self.client;
        if let Some(count) = state.per_client.get_mut(&client.ip()) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                state.per_client.remove(&client.ip());
            }
        }
        if state.live.get(&client).is_some_and(|entry| entry.id == self.id) {
            state.live.remove(&client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn permit(admission: Admission) -> Permit {
        match admission {
            Admission::New(permit) => permit,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_repeated_request_is_told_from_a_new_one() {
        let registry = Registry::new(10, 10);
        let first = permit(registry.admit(client(1), b"a"));
        assert!(matches!(registry.admit(client(1), b"a"), Admission::Opening));
        first.served_from(7);
        assert!(matches!(registry.admit(client(1), b"a"), Admission::Repeated(7)));
        let other = permit(registry.admit(client(1), b"b"));
        assert_eq!(other.avoid, Some(7));
        other.served_from(8);
        other.mark_heard();
        let anew = permit(registry.admit(client(1), b"b"));
        assert_eq!(anew.avoid, Some(8));
    }

    #[test]
    fn limits_hold_in_all_and_for_each_client_and_are_given_back() {
        let registry = Registry::new(3, 2);
        let a = permit(registry.admit(client(1), b"a"));
        let _b = permit(registry.admit(client(2), b"a"));
        assert!(matches!(registry.admit(client(3), b"a"), Admission::Full));
        let elsewhere = SocketAddr::from(([10, 0, 0, 2], 1));
        let _c = permit(registry.admit(elsewhere, b"a"));
        assert!(matches!(registry.admit(SocketAddr::from(([10, 0, 0, 3], 1)), b"a"), Admission::Full));
        drop(a);
        assert_eq!(registry.total(), 2);
        permit(registry.admit(client(3), b"a"));
        assert_eq!(registry.total(), 2);
    }
}
