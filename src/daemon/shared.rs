//! What the transports share: the engine, and what the site has to give. A reload swaps the site's part.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use jiff::Timestamp;

use crate::boot::{Architecture, BootDecision, BootImages, FileName, Look, Network, Platform, Verdict};
use crate::cache::Library;
use crate::chainload::{self, ConfigFile, Said, Syntax, Target};
use crate::config::{CompatSection, IpxeScheme, IpxeSection};
use crate::database::Databases;
use crate::decision::{DecisionEngine, Progress, Session};
use crate::files::Content;
use crate::handlers::rollout::Rollouts;
use crate::ipxe::{self, SessionUrls, Word};
use crate::loaders::Loaders;
use crate::net::advertise::Advertise;
use crate::net::interfaces::Interfaces;
use crate::observe::{Funnel, Metrics};
use crate::paths;
use crate::people::People;
use crate::site::{Running, Site};
use crate::store::Store;
use crate::upstream::Upstreams;

use super::beginning::Beginnings;

/// The ports that clients are told, after binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WebPorts {
    /// HTTP.
    pub http: u16,
    /// HTTPS, when it is served.
    pub https: Option<u16>,
}

/// Where clients are told that this server is.
pub(super) struct Told {
    pub(super) ports: WebPorts,
    /// The addresses that are not this host's own.
    pub(super) advertise: Advertise,
    /// The host name in URLs; the address when absent.
    pub(super) name: Option<String>,
    /// Whether the certificate of HTTPS has an EC key, which older builds of iPXE do not know.
    pub(super) has_ec_key: bool,
}

/// What the transports share.
pub(super) struct Shared {
    pub(super) engine: Arc<DecisionEngine>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) site: ArcSwap<SitePart>,
    /// The private CA's certificate (PEM), when there is one.
    pub(super) authority: Option<Bytes>,
    pub(super) has_ec_key: bool,
    /// What boots have begun by other loaders than iPXE.
    pub(super) beginnings: Beginnings,
    ports: WebPorts,
    advertise: Advertise,
    /// The host name in URLs, where it is not the address.
    pub(super) name: Option<String>,
}

/// What a reload replaces.
pub(super) struct SitePart {
    pub(super) databases: Databases,
    pub(super) upstreams: Upstreams,
    /// None where the store's database cannot hold one.
    pub(super) store: Option<Store>,
    pub(super) loaders: Loaders,
    pub(super) images: Library,
    pub(super) people: Arc<People>,
    pub(super) rollouts: Rollouts,
    pub(super) ipxe_scheme: IpxeScheme,
    /// What UEFI HTTP Boot is told to use, and the host name in its URLs.
    http_boot: (IpxeScheme, Option<String>),
    /// Whether machines may come without having asked DHCP.
    pub(super) has_entry: bool,
    /// The front doors of other servers.
    pub(super) compat: CompatSection,
    /// Whether the loaders have paths that need no session.
    pub(super) plain_loaders: bool,
    /// How menus look that do not say it.
    pub(super) look: Option<Look>,
    /// What an iPXE must be able to do that we did not load.
    pub(super) newer: IpxeSection,
}

impl SitePart {
    /// The part of a site that transports need.
    pub(super) fn of(site: Site) -> SitePart {
        let Site { config, databases, upstreams, loaders, images, people, rollouts, .. } = site;
        let store = Store::on(databases.store().clone()).ok();
        let (ipxe_scheme, has_entry) = (config.https.ipxe, config.http.entry);
        let http_boot = (config.https.http_boot, config.https.http_boot_name);
        let (plain_loaders, compat, look) = (config.loaders.plain_paths, config.compat, config.menu.look());
        let newer = config.loaders.ipxe;
        SitePart {
            databases,
            upstreams,
            store,
            loaders,
            images,
            people,
            rollouts,
            ipxe_scheme,
            http_boot,
            has_entry,
            compat,
            plain_loaders,
            look,
            newer,
        }
    }

    /// What goes on when the site is made anew.
    pub(super) fn running(&self) -> Running<'_> {
        let SitePart { databases, upstreams, images, rollouts, .. } = self;
        Running { databases, upstreams, images, rollouts }
    }
}

impl Shared {
    pub(super) fn new(
        engine: Arc<DecisionEngine>,
        metrics: Arc<Metrics>,
        site: SitePart,
        authority: Option<Bytes>,
        told: Told,
    ) -> Shared {
        let Told { ports, advertise, name, has_ec_key } = told;
        let (site, beginnings) = (ArcSwap::from_pointee(site), Beginnings::default());
        Shared { engine, metrics, site, authority, has_ec_key, beginnings, ports, advertise, name }
    }

    /// How a client that reached us at `server` is to know us.
    pub(super) fn known_by(&self, session: &Session, server: IpAddr, client: IpAddr) -> IpAddr {
        let place = session.place();
        let (server, client) = (server.to_canonical(), client.to_canonical());
        let network =
            Network { relay: place.relay.clone(), server: Some(server), client: Some(client), ..Network::default() };
        self.advertised(server, &place.interface, network.subnet_address())
    }

    /// How a client of which nothing else is known is to know us.
    pub(super) fn known_by_anybody(&self, server: IpAddr, client: IpAddr) -> IpAddr {
        self.advertised(server.to_canonical(), "", Some(client.to_canonical()))
    }

    /// The address for a client of this subnet. Where no DHCP packet told the interface, it is that of the address which
    /// was asked.
    fn advertised(&self, server: IpAddr, interface: &str, on_subnet: Option<IpAddr>) -> IpAddr {
        if self.advertise.is_empty() {
            return server;
        }
        if !interface.is_empty() {
            return self.advertise.instead_of(server, interface, on_subnet);
        }
        let interfaces = Interfaces::read().unwrap_or_default();
        let name = interfaces.with_address(server).map_or("", |found| found.name.as_str());
        self.advertise.instead_of(server, name, on_subnet)
    }

    /// `http://10.0.0.2`, or with the host name of the site, and with the port where it is another than usual.
    pub(super) fn origin(&self, server: IpAddr, secure: bool) -> String {
        self.origin_as(self.name.as_deref(), server, secure)
    }

    fn origin_as(&self, name: Option<&str>, server: IpAddr, secure: bool) -> String {
        let (scheme, usual, port) = match self.ports.https.filter(|_| secure) {
            Some(port) => ("https", 443, port),
            None => ("http", 80, self.ports.http),
        };
        match name {
            Some(name) => paths::origin_of(scheme, usual, name, port),
            None => paths::origin(scheme, usual, SocketAddr::new(server.to_canonical(), port)),
        }
    }

    /// The start of the session's URLs: `http://10.0.0.2/b/<token>/`.
    fn base(&self, session: &Session, is_allowed: bool, server: IpAddr, secure: bool) -> String {
        format!("{}/{}", self.origin(server, secure), self.path(session, is_allowed, ""))
    }

    /// The path of something in a session, with a fresh token that carries the verdict.
    pub(super) fn path(&self, session: &Session, is_allowed: bool, rest: &str) -> String {
        paths::session_path(&self.engine.sessions().token(session, is_allowed, Timestamp::now()), rest)
    }

    /// The URL of something in a session.
    pub(super) fn url(&self, session: &Session, is_allowed: bool, server: IpAddr, secure: bool, rest: &str) -> String {
        self.base(session, is_allowed, server, secure) + rest
    }

    /// The URL of something in an allowed session, as UEFI HTTP Boot is told. Firmware does not say whether it can speak
    /// HTTPS, nor whether it was given a DNS server: the site says what its machines can do. EDK2 passes over a proxy's
    /// offer with a name where the DHCP server named no DNS server, so that the name in other URLs does not count here.
    pub(super) fn http_boot_url(&self, session: &Session, server: IpAddr, rest: &str) -> String {
        let site = self.site.load();
        let (scheme, name) = &site.http_boot;
        let origin = self.origin_as(name.as_deref(), server, *scheme == IpxeScheme::Https);
        format!("{origin}/{}{rest}", self.path(session, true, ""))
    }

    /// The URLs of an allowed session, for its scripts.
    pub(super) fn urls(&self, session: &Session, server: IpAddr, secure: bool) -> SessionUrls {
        #[expect(
            clippy::expect_used,
            reason = "made of an address or a checked host name, a port and base32 digits only"
        )]
        self.base(session, true, server, secure).parse().expect("a base of our own making")
    }

    /// The URLs of the way in for machines without a session, in the order they are to be tried.
    pub(super) fn entry_urls(&self, server: IpAddr) -> Vec<Word> {
        let schemes: &[bool] = if self.prefers_https() { &[true, false] } else { &[false] };
        let entry = |&secure| Word::new(&format!("{}/{}", self.origin(server, secure), paths::ENTRY));
        schemes.iter().map(entry).collect()
    }

    /// A loader by the path that needs no session, or the script beside it; none where the site does not open it.
    pub(super) fn plain_loader(&self, name: &FileName, server: IpAddr) -> Option<Content> {
        let site = self.site.load();
        if !site.plain_loaders {
            return None;
        }
        if name.as_str() == paths::AUTOEXEC {
            // Nothing is known of who asks; only EFI builds of iPXE look for it.
            let script = ipxe::autoexec_without_session(self.entry_urls(server), Platform::Efi);
            return site.has_entry.then(|| Content::from_bytes(ipxe::render(&script)));
        }
        site.loaders.open(name)
    }

    /// What a configuration file of another loader than iPXE is made for: this client, at this address of ours.
    pub(super) fn chainload(&self, session: &Session, verdict: &Verdict, server: IpAddr, by_http: bool) -> Target {
        let site = self.site.load();
        let menu_program = "menu.c32".parse().ok();
        Target {
            platform: session.client().architecture.platform(),
            local_boot: self.engine.manner_of(session).local_boot,
            server: SocketAddr::new(server.to_canonical(), self.ports.http),
            token: self.engine.sessions().token(session, verdict.allows(), Timestamp::now()),
            by_http,
            urls: self.urls(session, server, false),
            has_menu_program: menu_program.is_some_and(|name| site.loaders.named(&name).is_some()),
        }
    }

    /// The configuration file that is made for a loader which asks for this name. None where the site has one of its own.
    pub(super) fn made_file(&self, name: &FileName) -> Option<ConfigFile> {
        let file = ConfigFile::parse(name)?;
        let own = file.syntax.plainest().parse().ok();
        let is_own = own.is_some_and(|own| self.site.load().loaders.named(&own).is_some());
        (!is_own).then_some(file)
    }

    /// Whether everybody who asks for this name beside a loader gets the same: nothing is made for one machine.
    pub(super) fn is_same_for_all(&self, name: &FileName) -> bool {
        !self.engine.makes_files() && self.made_file(name).is_none()
    }

    /// What of a decision a configuration file offers: what this loader can boot, and nothing that does an assignment once
    /// this boot has begun one.
    pub(super) fn config_images(
        &self,
        syntax: Syntax,
        session: &Session,
        decision: &BootDecision,
        target: &Target,
    ) -> BootImages {
        let images = decision.images.clone().unwrap_or_default();
        let images = chainload::offered(syntax, &images, target);
        if self.beginnings.has_begun(session.id()) { images.without_assignments() } else { images }
    }

    /// What it says by this decision, with these images, once it was noted that they are handed out. None where the machine
    /// shall hear nothing.
    pub(super) fn config_text(
        &self,
        syntax: Syntax,
        session: &Session,
        (decision, images): (&BootDecision, &BootImages),
        target: &Target,
    ) -> Option<String> {
        let said = match &decision.verdict {
            Verdict::Deny { reason } => Said::Denied(reason),
            Verdict::Ignore { .. } => return None,
            Verdict::Allow(_) | Verdict::Refer(_) => Said::Images(images),
        };
        if matches!(said, Said::Images(_)) {
            self.advance(session, Progress::ScriptServed, Funnel::script_served, decision);
        }
        Some(chainload::render(syntax, said, target))
    }

    /// Whether the site wants HTTPS where it can be had.
    pub(super) fn prefers_https(&self) -> bool {
        self.ports.https.is_some() && self.site.load().ipxe_scheme == IpxeScheme::Https
    }

    /// Notes how far a boot has come, and counts it the first time.
    pub(super) fn advance(&self, session: &Session, to: Progress, step: Funnel, decision: &BootDecision) {
        if session.advance(to) {
            let architecture: Architecture = session.client().architecture;
            self.metrics.count_boot(step, architecture, decision.verdict.name());
        }
    }
}
