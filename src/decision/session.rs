//! Boot sessions: what ties the DISCOVER, the loader, the script and the images of one boot together.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use aws_lc_rs::rand;
use jiff::{SignedDuration, Timestamp};
use moka::ops::compute::Op;

use crate::boot::{Client, HardwareAddress, Machine, MachineId, Network, SessionId, Stage};

use super::flight::Slot;
use super::grant::Held;
use super::token::{TokenContent, TokenError, TokenKey};

/// How far a boot has come, as far as this server can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Progress {
    /// A DISCOVER came.
    Discovered,
    /// It was answered.
    Offered,
    /// A boot loader was fetched to its end.
    LoaderFetched,
    /// A boot script was handed out.
    ScriptServed,
    /// A file of an image was fetched to its end.
    ImageFetched,
}

/// One boot of one machine.
pub struct Session {
    id: SessionId,
    started: Timestamp,
    client: ArcSwap<Client>,
    /// Where DHCP saw it: what a relay agent says of a client's place is not known by TFTP and HTTP.
    place: ArcSwap<Network>,
    machine: Mutex<Arc<Machine>>,
    /// The image that was chosen in the menu of the firmware.
    choice: ArcSwapOption<Arc<str>>,
    /// What its token says, when the session was taken up by one.
    pub(super) token_allows: Option<bool>,
    /// When its firmware was last given a menu, in Unix seconds; 0 when something of it was chosen since.
    menu_at: AtomicU32,
    xid: AtomicU32,
    /// The largest TFTP block that the client can take; 0 when nothing is known.
    blksize_max: AtomicU16,
    progress: AtomicU8,
    /// Whether its iPXE was given a newer one.
    is_replaced: AtomicBool,
    pub(super) verdict: Slot,
    pub(super) images: Slot,
    /// Who is at the machine, as far as that was verified.
    pub(super) person: Mutex<Held>,
}

impl Session {
    fn new(id: SessionId, client: Client, xid: u32, started: Timestamp) -> Session {
        Session {
            id,
            started,
            client: ArcSwap::from_pointee(client),
            place: ArcSwap::default(),
            token_allows: None,
            machine: Mutex::default(),
            choice: ArcSwapOption::default(),
            menu_at: AtomicU32::new(0),
            xid: AtomicU32::new(xid),
            blksize_max: AtomicU16::new(0),
            progress: AtomicU8::new(Progress::Discovered as u8),
            is_replaced: AtomicBool::new(false),
            verdict: Slot::default(),
            images: Slot::default(),
            person: Mutex::default(),
        }
    }

    /// The session's id, for logs.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// When its first packet came.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// The client, as its latest packet describes it.
    pub fn client(&self) -> Arc<Client> {
        self.client.load_full()
    }

    /// Where DHCP saw the client; nowhere when it did not come by DHCP.
    pub fn place(&self) -> Arc<Network> {
        self.place.load_full()
    }

    /// Where the client is, with what DHCP knew of its place.
    pub(super) fn placed(&self, network: Network, stage: Stage) -> Network {
        if matches!(stage, Stage::Discover | Stage::BootServer) {
            if **self.place.load() != network {
                self.place.store(Arc::new(network.clone()));
            }
            return network;
        }
        let place = self.place.load();
        let interface = if network.interface.is_empty() { place.interface.clone() } else { network.interface };
        let site = if network.site.is_empty() { place.site.clone() } else { network.site };
        Network { interface, site, relay: network.relay.or_else(|| place.relay.clone()), ..network }
    }

    /// What the machine last reported of itself.
    pub fn machine(&self) -> Arc<Machine> {
        Arc::clone(&self.machine.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps what the machine reports of itself.
    pub fn set_machine(&self, machine: &Machine) {
        let mut known = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        if **known != *machine {
            *known = Arc::new(machine.clone());
        }
    }

    /// The image that was chosen in the menu of the firmware. The token does not carry it: where another server goes on, or
    /// this one was restarted in between, the images are offered in a menu.
    pub fn choice(&self) -> Option<Arc<str>> {
        self.choice.load().as_deref().cloned()
    }

    /// Keeps what was chosen in the menu of the firmware; nothing when it is shown again.
    pub fn choose(&self, image: Option<&str>) {
        if image.is_some() || self.choice.load().is_some() {
            self.choice.store(image.map(|image| Arc::new(Arc::from(image))));
        }
    }

    /// Notes that the firmware was given a menu, or that a line of it was chosen.
    pub fn at_menu(&self, since: Option<Timestamp>) {
        self.menu_at.store(since.map_or(0, unix_seconds), Ordering::Relaxed);
    }

    /// Whether the firmware was given a menu a short while ago, and nothing of it was chosen but the own disk.
    pub fn is_at_menu(&self, now: Timestamp) -> bool {
        let since = self.menu_at.load(Ordering::Relaxed);
        since != 0 && unix_seconds(now).saturating_sub(since) <= AT_MENU_S
    }

    /// The largest TFTP block that the client can take, in octets, where that is known.
    pub fn blksize_max(&self) -> Option<u16> {
        Some(self.blksize_max.load(Ordering::Relaxed)).filter(|octets| *octets > 0)
    }

    /// Keeps what the rules or a quirk say of TFTP blocks.
    pub fn limit_blksize(&self, octets: Option<u16>) {
        self.blksize_max.store(octets.unwrap_or(0), Ordering::Relaxed);
    }

    /// Notes that the boot has come this far; `true` when it is news.
    pub fn advance(&self, to: Progress) -> bool {
        self.progress.fetch_max(to as u8, Ordering::Relaxed) < to as u8
    }

    /// Whether the boot has come this far.
    pub fn has_reached(&self, progress: Progress) -> bool {
        self.progress.load(Ordering::Relaxed) >= progress as u8
    }

    /// Notes that the iPXE of this boot is given a newer one; `true` the first time. A second time would go on for ever.
    pub fn replace_ipxe(&self) -> bool {
        !self.is_replaced.swap(true, Ordering::Relaxed)
    }

    /// Whether the iPXE of this boot was given a newer one.
    pub fn has_newer_ipxe(&self) -> bool {
        self.is_replaced.load(Ordering::Relaxed)
    }

    /// Whether this packet belongs to the boot. The firmware's DISCOVER after its loader was fetched, and iPXE's after
    /// its script was served, come from a machine that was restarted. Another UUID behind the same address is another
    /// machine with the same USB adapter.
    fn continues(&self, client: &Client, xid: u32, stage: Stage, now: Timestamp) -> bool {
        if let (Some(one), Some(other)) = (self.client.load().machine_id, client.machine_id)
            && one != other
        {
            return false;
        }
        if stage != Stage::Discover {
            return true;
        }
        // No boot lasts so long before its script, but a machine may ask all night.
        if now.duration_since(self.started) > DISCOVERING_MAX {
            return false;
        }
        // A packet may come by two ways. Later it is firmware that has one transaction id for all its boots.
        let is_young = now.duration_since(self.started) <= REPEATED_MAX;
        if is_young && self.xid.load(Ordering::Relaxed) == xid {
            return true;
        }
        let end = if client.is_ipxe() { Progress::ScriptServed } else { Progress::LoaderFetched };
        !self.has_reached(end)
    }

    /// Takes over what a later packet says; the machine id stays when the packet has none.
    fn update(&self, client: &Client, xid: u32, stage: Stage) {
        if stage == Stage::Discover {
            self.xid.store(xid, Ordering::Relaxed);
        }
        let known = self.client.load();
        if **known == *client {
            return;
        }
        let mut client = client.clone();
        client.machine_id = client.machine_id.or(known.machine_id);
        // The request on 4011 comes from the firmware, or from an iPXE that already introduced itself.
        if stage != Stage::Discover {
            client.ipxe = client.ipxe.or_else(|| known.ipxe.clone());
        }
        self.client.store(Arc::new(client));
    }
}

/// The sessions of the last minutes, bounded in number.
pub struct Sessions {
    /// The present boot of each machine.
    by_hardware: moka::sync::Cache<HardwareAddress, Arc<Session>>,
    /// Those that were taken up by a token.
    resumed: moka::sync::Cache<SessionId, Arc<Session>>,
    /// Those that site servers ask for, by the site and what it calls them.
    of_sites: moka::sync::Cache<SiteBoot, Arc<Session>>,
    /// Those whose client was last seen at an address.
    by_address: moka::sync::Cache<IpAddr, Arc<Session>>,
    pub(super) key: TokenKey,
}

/// A boot at a site: a site that calls the boots of two machines the same means two.
type SiteBoot = (Arc<str>, SessionId, HardwareAddress);

/// For so long firmware that was given a menu is on its way to the disk that was chosen, and tries HTTP Boot before it.
const AT_MENU_S: u32 = 600;
/// A boot without a packet for this long is over; its token still opens it.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// A DISCOVER this long after the first begins another boot.
const DISCOVERING_MAX: SignedDuration = SignedDuration::from_hours(1);
/// For so long after the first, a DISCOVER with the same transaction id belongs to the same boot, however far that is.
const REPEATED_MAX: SignedDuration = SignedDuration::from_secs(60);

impl Sessions {
    /// Room for this many sessions; beyond it the least used are forgotten, and found again by their tokens.
    pub fn new(key: TokenKey, capacity: u64) -> Sessions {
        Sessions {
            by_hardware: moka::sync::Cache::builder().max_capacity(capacity).time_to_idle(IDLE).build(),
            resumed: moka::sync::Cache::builder().max_capacity(capacity).time_to_idle(IDLE).build(),
            of_sites: moka::sync::Cache::builder().max_capacity(capacity).time_to_idle(IDLE).build(),
            by_address: moka::sync::Cache::builder().max_capacity(capacity).time_to_live(IDLE).build(),
            key,
        }
    }

    /// The session that a DHCP packet continues, else a new one.
    pub fn for_packet(&self, client: &Client, xid: u32, stage: Stage, now: Timestamp) -> Arc<Session> {
        if let Some(session) = self.by_hardware.get(&client.hardware)
            && session.continues(client, xid, stage, now)
        {
            session.update(client, xid, stage);
            return session;
        }
        let result = self.by_hardware.entry(client.hardware).and_compute_with(|entry| match entry {
            Some(entry) if entry.value().continues(client, xid, stage, now) => Op::Nop,
            _ => Op::Put(Arc::new(self.begin(client.clone(), xid, now))),
        });
        match result.into_entry() {
            Some(entry) => entry.into_value(),
            None => Arc::new(self.begin(client.clone(), xid, now)),
        }
    }

    /// A session that is kept nowhere: for dry runs.
    pub fn begin(&self, client: Client, xid: u32, now: Timestamp) -> Session {
        let mut id = [0; 6];
        if rand::fill(&mut id).is_err() {
            // Ids need to differ, not to be secret: the token's signature is what cannot be guessed.
            id.copy_from_slice(&now.as_nanosecond().to_be_bytes()[10..]);
        }
        Session::new(SessionId(id), client, xid, now)
    }

    /// The token of a session, for the paths that the client is told; a secret. It is good from now on for
    /// [`TokenKey::LIFETIME_S`], and says whether the machine was allowed to boot when it was given out.
    pub fn token(&self, session: &Session, is_allowed: bool, now: Timestamp) -> String {
        let client = session.client.load();
        self.key.seal(&TokenContent {
            session: session.id,
            hardware: client.hardware,
            architecture: client.architecture,
            machine_id: client.machine_id,
            is_allowed,
            issued: unix_seconds(now),
        })
    }

    /// The session of a token. One that this server has forgotten, or another server began, is taken up again.
    ///
    /// # Errors
    /// When the token is forged or too old.
    pub fn resume(&self, token: &str, now: Timestamp) -> Result<Arc<Session>, TokenError> {
        let content = self.key.open(token, unix_seconds(now))?;
        let known = self.by_hardware.get(&content.hardware).or_else(|| self.resumed.get(&content.session));
        if let Some(session) = known.filter(|session| session.id == content.session) {
            return Ok(session);
        }
        // Not in the place of a newer boot of the same machine.
        Ok(self.resumed.get_with(content.session, || {
            let mut client = Client::new(content.hardware, content.architecture);
            client.machine_id = content.machine_id;
            let mut session = Session::new(content.session, client, 0, now);
            session.token_allows = Some(content.is_allowed);
            session.advance(Progress::Offered);
            Arc::new(session)
        }))
    }

    /// The session of a boot that this site server calls so. Its own id follows from the site's name, the site server's id
    /// and the client's address, by the key of the tokens: it is the same on every server that has the key, and a site
    /// can name neither a boot of another site nor one of ours.
    pub fn for_site(&self, site: &Arc<str>, id: SessionId, client: &Client, now: Timestamp) -> Arc<Session> {
        let boot: SiteBoot = (Arc::clone(site), id, client.hardware);
        let begin = |machine_id: Option<MachineId>| {
            let (hardware, machine_id) =
                (client.hardware.octets(), machine_id.map(MachineId::wire).unwrap_or_default());
            let own = self.key.id_of(&[site.as_bytes(), &[0], &id.0, hardware, &machine_id].concat());
            let session = Session::new(own, client.clone(), 0, now);
            session.place.store(Arc::new(Network { site: Arc::clone(site), ..Network::default() }));
            Arc::new(session)
        };
        let session = self.of_sites.get_with(boot.clone(), || begin(None));
        let known = session.client();
        match (known.machine_id, client.machine_id) {
            // Another machine behind the same adapter: nothing of the other one holds for it.
            (Some(one), Some(other)) if one != other => {
                let session = begin(client.machine_id);
                self.of_sites.insert(boot, Arc::clone(&session));
                session
            }
            _ => {
                let machine_id = client.machine_id.or(known.machine_id);
                let client = Client { machine_id, ..client.clone() };
                if *known != client {
                    session.client.store(Arc::new(client));
                }
                session
            }
        }
    }

    /// The client of a session is at this address: it said so by DHCP, or came from there with the session's token.
    pub fn note_address(&self, session: &Arc<Session>, address: IpAddr) {
        let address = address.to_canonical();
        if address.is_unspecified() || self.by_address.get(&address).is_some_and(|known| Arc::ptr_eq(&known, session)) {
            return;
        }
        self.by_address.insert(address, Arc::clone(session));
    }

    /// The boot whose client was last seen at this address, in the last half hour. It names a boot, and proves nothing: for
    /// files that are no secret, of loaders that forget the token they came by.
    pub fn of_address(&self, address: IpAddr) -> Option<Arc<Session>> {
        let session = self.by_address.get(&address.to_canonical())?;
        // The machine may have been started again since, and be on its way to the same address.
        let newer = self.by_hardware.get(&session.client().hardware).filter(|newer| newer.started > session.started);
        Some(newer.unwrap_or(session))
    }

    /// The present boot of the machine with this hardware address. As for [`Sessions::of_address`], it proves nothing.
    pub fn of_hardware(&self, hardware: HardwareAddress) -> Option<Arc<Session>> {
        self.by_hardware.get(&hardware)
    }

    /// About how many sessions are known.
    pub fn count(&self) -> u64 {
        self.by_hardware.entry_count() + self.of_sites.entry_count()
    }
}

pub(super) fn unix_seconds(now: Timestamp) -> u32 {
    u32::try_from(now.as_second()).unwrap_or(0)
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
