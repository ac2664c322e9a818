//! DHCP's questions: is this client answered, and with which file?

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tracing::warn;

use crate::boot::{
    Architecture, BootDecision, BootMenu, Client, FileName, FirmwareHandOver, IpxeOption, Manner, MenuBoots, Outcome,
    Platform, Stage, Verdict,
};
use crate::config::{DeniedFirmware, DhcpSection};
use crate::decision::{Progress, Session};
use crate::dhcp::client::Speaker;
use crate::dhcp::pxe::BootItem;
use crate::dhcp::reply::{Style, Styles, Treatment, answers};
use crate::dhcp::server::{BootAnswers, DhcpAnswer, DhcpDecision, DhcpQuestion};
use crate::loaders;
use crate::observe::Funnel;
use crate::pace::Pace;
use crate::paths;

use super::exchanges::{self, Silence};
use super::shared::Shared;

/// Tells boot clients what to load.
pub(super) struct DhcpAnswers {
    shared: Arc<Shared>,
    /// For the history only: the server writes the packets.
    styles: Styles,
    /// What the site says of all clients.
    usual: Manner,
    /// Whether a machine is answered that no rule knows.
    is_authoritative: bool,
    /// Whether port 4011 is served.
    has_boot_server: bool,
    /// What a denied BIOS gets.
    denied: DeniedFirmware,
    /// Warnings of machines without a loader.
    warnings: Pace,
}

/// Warnings in one second: each packet of such a machine is a reason for one.
const WARNINGS_PER_SECOND_MAX: u64 = 1;
/// What the boot ROM of a Raspberry Pi asks for, whatever it is told.
const RASPBERRY_PI_FILE: &str = "bootcode.bin";
/// EDK2 listens for four seconds to what its SOLICIT brings.
const STANDBY_BY_IPV6: Duration = Duration::from_millis(1_500);
/// iPXE has its number of tries in `secs`, above two bits of its state.
const IPXE_TRIES_SHIFT: u32 = 2;

impl BootAnswers for DhcpAnswers {
    fn answer(self: Arc<Self>, question: DhcpQuestion) -> BoxFuture<'static, DhcpDecision> {
        async move { self.decide(question).await }.boxed()
    }
}

impl DhcpAnswers {
    pub(super) fn new(shared: Arc<Shared>, styles: Styles, section: &DhcpSection) -> DhcpAnswers {
        let delay_ms = u16::try_from(section.response_delay.as_millis()).ok().filter(|delay| *delay > 0);
        let secs_min = Some(section.secs_min).filter(|secs| *secs > 0);
        let usual = Manner { delay_ms, secs_min, ..Manner::default() };
        let DhcpSection { authoritative: is_authoritative, boot_server: has_boot_server, denied, .. } = *section;
        DhcpAnswers { shared, styles, usual, is_authoritative, has_boot_server, denied, warnings: Pace::default() }
    }

    async fn decide(&self, question: DhcpQuestion) -> DhcpDecision {
        let now = Timestamp::now();
        let (client, stage) = (&question.client, question.stage);
        let session = self.shared.engine.session_for(client, question.xid, stage, now);
        let asked = Instant::now();
        let network = question.network.clone();
        if let (Stage::BootServer, Some(address)) = (stage, network.client) {
            self.shared.engine.sessions().note_address(&session, address);
        }
        let decision = self.shared.engine.allow_boot(&session, stage, network, now).await;
        let manner = self.shared.engine.manner(&session, &decision.verdict).or(&self.usual);
        let answer = self.told(&question, &session, &decision, &manner);
        let treatment = self.treatment((&question, &session), &answer, &manner);
        self.shared.engine.exchanged(&session, exchanges::dhcp_port(stage), now, || {
            let usual = manner.style.unwrap_or_else(|| self.styles.of(client.architecture));
            let style = if self.has_boot_server { usual } else { Style::Pxe10 };
            exchanges::dhcp(&question, &decision, &answer, (style, treatment.delay), asked.elapsed())
        });
        let answer = answer.unwrap_or(DhcpAnswer::Silent);
        if answer != DhcpAnswer::Silent {
            self.shared.advance(&session, Progress::Offered, Funnel::offered, &decision);
        }
        DhcpDecision { answer, treatment }
    }

    /// What the client is told, or why it is told nothing. [`crate::dhcp::reply::answers`] is the rule for who is told
    /// anything.
    fn told(
        &self,
        question: &DhcpQuestion,
        session: &Session,
        decision: &BootDecision,
        manner: &Manner,
    ) -> Result<DhcpAnswer, Silence> {
        let DhcpQuestion { client, server, .. } = question;
        let verdict = &decision.verdict;
        let aborts = self.aborts(client, verdict);
        if !aborts && !answers(verdict, speaker(client)) {
            return Err(Silence::Verdict);
        }
        if !self.is_authoritative && !is_own_word(decision) {
            return Err(Silence::NotOurs);
        }
        if let Some(secs_min) = manner.secs_min.filter(|secs_min| stands_by(question, session, *secs_min)) {
            return Err(Silence::StandsBy(secs_min));
        }
        let boot = |file, next_server| DhcpAnswer::Boot { file, next_server };
        if aborts {
            return Ok(boot(self.shared.path(session, false, loaders::ABORT), None));
        }
        if client.is_ipxe() {
            // A denied iPXE gets its script too: that is where it shows why.
            let secure = self.shared.wants_https(session);
            return Ok(boot(self.shared.url(session, verdict.allows(), *server, secure, paths::BOOTSTRAP), None));
        }
        let hand_over = match verdict {
            Verdict::Refer(referral) => &referral.firmware,
            _ => &FirmwareHandOver::Loader,
        };
        match hand_over {
            FirmwareHandOver::Loader => self.loader_or_menu(question, session, verdict, manner),
            FirmwareHandOver::File { server, file } => Ok(boot(file.to_string(), Some(*server))),
            FirmwareHandOver::Url(url) => Ok(boot(url.to_string(), None)),
            FirmwareHandOver::BootServers(servers) => {
                let title = format!("Boot from {}", verdict.reason());
                Ok(DhcpAnswer::BootServers { servers: servers.clone(), title })
            }
            FirmwareHandOver::Silence => Err(Silence::Verdict),
        }
    }

    /// Whether this machine is denied by a program: UEFI would show an error for it.
    fn aborts(&self, client: &Client, verdict: &Verdict) -> bool {
        self.denied == DeniedFirmware::Abort
            && matches!(verdict, Verdict::Deny { .. })
            && client.architecture == Architecture::X86_BIOS
            && speaker(client) == Speaker::Firmware
    }

    /// A loader of ours, or the menu that comes before it.
    fn loader_or_menu(
        &self,
        question: &DhcpQuestion,
        session: &Session,
        verdict: &Verdict,
        manner: &Manner,
    ) -> Result<DhcpAnswer, Silence> {
        let menu = match verdict {
            Verdict::Allow(offer) => offer.menu.as_ref().filter(|_| shows_menus(question)),
            _ => None,
        };
        let file = match (menu, question.chosen) {
            (Some(menu), Some(item)) => self.chosen(question, session, menu, item, manner)?,
            (None, Some(_)) => return Err(Silence::NoSuchLine),
            (Some(menu), None) => {
                session.choose(None);
                session.at_menu(Some(Timestamp::now()));
                return Ok(DhcpAnswer::Menu(menu.clone()));
            }
            // EDK2 leaves its menu by the line of the own disk for the next entry of its boot order: HTTP Boot by this NIC.
            (None, None) if question.client.is_http_boot() && session.is_at_menu(Timestamp::now()) => {
                return Err(Silence::OwnDisk);
            }
            (None, None) => self.loader(question, session, manner.loader.as_ref()).ok_or(Silence::NoLoader)?,
        };
        Ok(DhcpAnswer::Boot { file, next_server: None })
    }

    /// The file of the line that was chosen. An image takes the usual loader, and is kept until that has come so far.
    fn chosen(
        &self,
        question: &DhcpQuestion,
        session: &Session,
        menu: &BootMenu,
        item: BootItem,
        manner: &Manner,
    ) -> Result<String, Silence> {
        let entry = item.entry().and_then(|index| menu.entries().get(index)).ok_or(Silence::NoSuchLine)?;
        let (loader, image) = match &entry.boots {
            MenuBoots::Loader(name) => (Some(name), None),
            MenuBoots::Image(id) => (manner.loader.as_ref(), Some(id.as_str())),
        };
        session.choose(image);
        session.at_menu(None);
        self.loader(question, session, loader).ok_or(Silence::NoLoader)
    }

    /// Our boot loader for this firmware, if there is one: that of this name, else that of its architecture.
    fn loader(&self, question: &DhcpQuestion, session: &Session, named: Option<&FileName>) -> Option<String> {
        let DhcpQuestion { client, server, .. } = question;
        if client.architecture == Architecture::ARM_RPIBOOT {
            return Some(RASPBERRY_PI_FILE.to_owned());
        }
        let site = self.shared.site.load();
        let found = named.and_then(|name| site.loaders.named(name));
        if let (Some(name), None) = (named, found)
            && self.may_warn()
        {
            warn!(
                mac = %client.hardware, arch = %client.architecture, loader = %name,
                "this boot loader, of the script or a [[quirk]], is in none of [loaders] folders and names; the \
                 architecture's stands in"
            );
        }
        let Some(loader) = found.or_else(|| site.loaders.of(client.architecture)) else {
            if self.may_warn() {
                warn!(
                    mac = %client.hardware, arch = %client.architecture,
                    "no boot loader for this architecture; name one in [loaders.files]"
                );
            }
            return None;
        };
        Some(match client.is_http_boot() {
            true => self.shared.http_boot_url(session, *server, loader.name.as_str()),
            false => self.shared.path(session, true, loader.name.as_str()),
        })
    }

    fn may_warn(&self) -> bool {
        self.warnings.take(Timestamp::now().as_second(), WARNINGS_PER_SECOND_MAX).is_free
    }

    /// What the packet needs of the manner.
    fn treatment(
        &self,
        (question, session): (&DhcpQuestion, &Session),
        answer: &Result<DhcpAnswer, Silence>,
        manner: &Manner,
    ) -> Treatment {
        let origin = || format!("{}/", self.shared.origin(question.server, self.shared.wants_https(session)));
        Treatment {
            style: manner.style,
            delay: if question.stage == Stage::Discover { held_back(question, manner) } else { Duration::ZERO },
            is_whole: !self.has_boot_server,
            file_option: manner.file_option == Some(true),
            file_len: answer.as_ref().ok().filter(|_| manner.file_size == Some(true)).and_then(|told| self.len(told)),
            ipxe_url: (manner.ipxe_option == Some(IpxeOption::Url)).then(origin),
        }
    }

    /// Octets of the loader in an answer.
    fn len(&self, answer: &DhcpAnswer) -> Option<u64> {
        let DhcpAnswer::Boot { file, next_server: None } = answer else { return None };
        let name = FileName::parse(file.rsplit('/').next()?.as_bytes()).ok()?;
        Some(self.shared.site.load().loaders.open(&name)?.len())
    }
}

/// Whether a rule said so, and not the policy in its place; a denial may be another server's machine as well.
fn is_own_word(decision: &BootDecision) -> bool {
    let is_given = decision.trail.last().is_none_or(|step| step.outcome == Outcome::Given);
    is_given && !matches!(decision.verdict, Verdict::Deny { .. })
}

/// Whether another server is given more time. A boot that began here goes on here.
fn stands_by(question: &DhcpQuestion, session: &Session, secs_min: u16) -> bool {
    let Some(secs) = question.secs else { return false };
    if question.server.is_ipv6() {
        // Firmware would not ask again: its answer is held back instead.
        return question.client.is_ipxe() && !session.has_reached(Progress::Offered) && secs < secs_min;
    }
    if !question.client.is_ipxe() {
        return secs < secs_min;
    }
    // iPXE says how often it tried, not for how long, and waits two seconds in all: its second try is the last chance.
    !session.has_reached(Progress::Offered) && secs >> IPXE_TRIES_SHIFT < 2
}

/// How long another server has to be first. By DHCPv6 firmware gathers what its first SOLICIT brings, and gives up where
/// that is no boot file: `secs_min` would be silence for ever, so it is time within those seconds.
fn held_back(question: &DhcpQuestion, manner: &Manner) -> Duration {
    let is_first = question.secs.zip(manner.secs_min).is_some_and(|(secs, secs_min)| secs < secs_min);
    let stands_by = question.server.is_ipv6() && !question.client.is_ipxe() && is_first;
    if stands_by { manner.delay().max(STANDBY_BY_IPV6) } else { manner.delay() }
}

/// Whether this firmware can show a menu: UEFI HTTP Boot and boot ROMs of boards cannot, and DHCPv6 has none.
fn shows_menus(question: &DhcpQuestion) -> bool {
    let is_known = question.client.architecture.platform() != Platform::Other;
    speaker(&question.client) == Speaker::Firmware && is_known && question.server.is_ipv4()
}

/// What speaks, as its packet was understood.
fn speaker(client: &Client) -> Speaker {
    match (client.is_ipxe(), client.is_http_boot()) {
        (true, _) => Speaker::Ipxe,
        (false, true) => Speaker::HttpBoot,
        (false, false) => Speaker::Firmware,
    }
}
