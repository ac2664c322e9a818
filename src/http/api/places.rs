//! How much one site may ask at a time, and how often an address may guess.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::refusal::Refusal;

/// Requests at a time of one site.
const PER_SITE_MAX: usize = 64;
/// Requests at a time in all.
const ALL_MAX: usize = 1024;
/// How long a request waits for a place. A room full of machines asks at once, and each is answered in a moment.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// Attempts of one address in a minute.
const ATTEMPTS_MAX: u32 = 10;
/// Addresses that are remembered.
const ADDRESSES_MAX: u64 = 10_000;

/// The places for requests that are under way.
pub(super) struct Places {
    all: Arc<Semaphore>,
    /// As many as there are sites that ever asked: those that the store has.
    sites: Mutex<HashMap<Arc<str>, Arc<Semaphore>>>,
}

/// A place; given back when it is dropped.
pub(super) struct Place {
    _of_site: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Default for Places {
    fn default() -> Self {
        Places { all: Arc::new(Semaphore::new(ALL_MAX)), sites: Mutex::default() }
    }
}

impl Places {
    /// Takes a place, as soon as there is one.
    pub(super) async fn take(&self, site: &Arc<str>) -> Result<Place, Refusal> {
        let of_site = self.of_site(site);
        let both = async {
            let of_site = of_site.acquire_owned().await.ok()?;
            Some(Place { _of_site: of_site, _of_all: Arc::clone(&self.all).acquire_owned().await.ok()? })
        };
        timeout(WAIT_MAX, both).await.ok().flatten().ok_or(Refusal::Busy)
    }

    fn of_site(&self, site: &Arc<str>) -> Arc<Semaphore> {
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        let of_site = sites.entry(Arc::clone(site)).or_insert_with(|| Arc::new(Semaphore::new(PER_SITE_MAX)));
        Arc::clone(of_site)
    }
}

/// A body that keeps its place until it is sent, or the client goes away.
pub(super) struct Placed {
    pub(super) body: Body,
    pub(super) _place: Place,
}

impl http_body::Body for Placed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Counts attempts by address, for a minute from the first.
pub(super) struct Attempts(moka::sync::Cache<IpAddr, Arc<AtomicU32>>);

impl Default for Attempts {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Attempts(moka::sync::Cache::builder().max_capacity(ADDRESSES_MAX).time_to_live(minute).build())
    }
}

impl Attempts {
    /// Takes one; `false` when there was none left.
    pub(super) fn take(&self, peer: IpAddr) -> bool {
        self.0.get_with(whose(peer), Arc::default).fetch_add(1, Ordering::Relaxed) < ATTEMPTS_MAX
    }

    /// Whether none is left.
    pub(super) fn are_spent(&self, peer: IpAddr) -> bool {
        self.0.get(&whose(peer)).is_some_and(|count| count.load(Ordering::Relaxed) >= ATTEMPTS_MAX)
    }
}

/// The address that attempts count for: whoever has one of IPv6 has all of its network of 64 bits.
fn whose(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_site_does_not_take_the_places_of_another() {
        let places = Places::default();
        let (lyon, oslo): (Arc<str>, Arc<str>) = ("lyon".into(), "oslo".into());
        let mut taken = Vec::new();
        for _ in 0..PER_SITE_MAX {
            taken.push(places.take(&lyon).await.ok().unwrap());
        }
        assert_eq!(places.take(&lyon).await.err(), Some(Refusal::Busy));
        assert!(places.take(&oslo).await.is_ok());
        let (next, ()) = tokio::join!(places.take(&lyon), async { drop(taken.pop()) });
        assert!(next.is_ok(), "a place that is given back is for who waits");
    }

    #[test]
    fn attempts_are_counted_by_address_and_by_network_of_ipv6() {
        let attempts = Attempts::default();
        let peer: IpAddr = "2001:db8::1".parse().unwrap();
        let (neighbor, mapped) = ("2001:db8::2".parse().unwrap(), "::ffff:10.0.0.1".parse().unwrap());
        assert_eq!((0..50).filter(|_| attempts.take(peer)).count(), 10);
        assert!(attempts.are_spent(neighbor) && !attempts.take(neighbor));
        assert!(!attempts.are_spent(mapped) && attempts.take(mapped));
        assert!(attempts.take("10.0.0.2".parse().unwrap()));
    }
}
