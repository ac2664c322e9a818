//! DHCP's questions: is this client answered, and with which file?

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tracing::warn;

use crate::boot::{BootDecision, Client, FirmwareHandOver, Verdict};
use crate::decision::{Progress, Session};
use crate::dhcp::client::Speaker;
use crate::dhcp::reply::{Styles, answers};
use crate::dhcp::server::{BootAnswers, DhcpAnswer, DhcpQuestion};
use crate::observe::Funnel;
use crate::pace::Pace;
use crate::paths;

use super::exchanges;
use super::shared::Shared;

/// Tells boot clients what to load.
pub(super) struct DhcpAnswers {
    shared: Arc<Shared>,
    /// For the history only: the server writes the packets.
    styles: Styles,
    /// Warnings of machines without a loader.
    warnings: Pace,
}

/// Warnings in one second: each packet of such a machine is a reason for one.
const WARNINGS_PER_SECOND_MAX: u64 = 1;

impl BootAnswers for DhcpAnswers {
    fn answer(self: Arc<Self>, question: DhcpQuestion) -> BoxFuture<'static, DhcpAnswer> {
        async move { self.decide(question).await }.boxed()
    }
}

impl DhcpAnswers {
    pub(super) fn new(shared: Arc<Shared>, styles: Styles) -> DhcpAnswers {
        DhcpAnswers { shared, styles, warnings: Pace::default() }
    }

    async fn decide(&self, question: DhcpQuestion) -> DhcpAnswer {
        let DhcpQuestion { client, network, stage, xid } = question;
        let now = Timestamp::now();
        let Some(server) = network.server else { return DhcpAnswer::Silent };
        let session = self.shared.engine.session_for(&client, xid, stage, now);
        let asked = Instant::now();
        let decision = self.shared.engine.allow_boot(&session, stage, network.clone(), now).await;
        let answer = self.told(&client, &session, &decision, server);
        self.shared.engine.exchanged(&session, exchanges::dhcp_port(stage), now, || {
            exchanges::dhcp(&client, &network, stage, &decision, &answer, &self.styles, asked.elapsed())
        });
        if answer != DhcpAnswer::Silent {
            self.shared.advance(&session, Progress::Offered, Funnel::offered, &decision);
        }
        answer
    }

    /// What the client is told. [`crate::dhcp::reply::answers`] is the rule for who is told anything.
    fn told(&self, client: &Client, session: &Session, decision: &BootDecision, server: IpAddr) -> DhcpAnswer {
        let verdict = &decision.verdict;
        if !answers(verdict, speaker(client)) {
            return DhcpAnswer::Silent;
        }
        let boot = |file, next_server| DhcpAnswer::Boot { file, next_server };
        if client.is_ipxe() {
            // A denied iPXE gets its script too: that is where it shows why.
            let secure = self.shared.wants_https(client);
            return boot(self.shared.url(session, verdict.allows(), server, secure, paths::BOOTSTRAP), None);
        }
        let hand_over = match verdict {
            Verdict::Refer(referral) => &referral.firmware,
            _ => &FirmwareHandOver::Loader,
        };
        match hand_over {
            FirmwareHandOver::Loader => {
                self.loader(client, session, verdict, server).map_or(DhcpAnswer::Silent, |file| boot(file, None))
            }
            FirmwareHandOver::File { server, file } => boot(file.to_string(), Some(*server)),
            FirmwareHandOver::Url(url) => boot(url.to_string(), None),
            FirmwareHandOver::BootServers(servers) => {
                let title = format!("Boot from {}", verdict.reason());
                DhcpAnswer::BootServers { servers: servers.clone(), title }
            }
            FirmwareHandOver::Silence => DhcpAnswer::Silent,
        }
    }

    /// Our boot loader for this firmware, if there is one: what the rules or a quirk say, else its architecture's.
    fn loader(&self, client: &Client, session: &Session, verdict: &Verdict, server: IpAddr) -> Option<String> {
        let site = self.shared.site.load();
        let chosen = self.shared.engine.manner(session, verdict).loader;
        let found = chosen.as_ref().and_then(|name| site.loaders.named(name));
        if let (Some(name), None) = (&chosen, found)
            && self.warnings.take(Timestamp::now().as_second(), WARNINGS_PER_SECOND_MAX).is_free
        {
            let is_said = verdict.manner().is_some_and(|manner| manner.loader.is_some());
            let by = if is_said { "allow(#{ loader }) of the script" } else { "`loader` of a [[quirk]]" };
            warn!(
                mac = %client.hardware, arch = %client.architecture, loader = %name, %by,
                "this boot loader is in none of [loaders] folders and names; the architecture's stands in"
            );
        }
        let Some(loader) = found.or_else(|| site.loaders.of(client.architecture)) else {
            if self.warnings.take(Timestamp::now().as_second(), WARNINGS_PER_SECOND_MAX).is_free {
                warn!(
                    mac = %client.hardware, arch = %client.architecture,
                    "no boot loader for this architecture; name one in [loaders.files]"
                );
            }
            return None;
        };
        Some(match client.is_http_boot() {
            true => self.shared.http_boot_url(session, server, loader.name.as_str()),
            false => self.shared.path(session, true, loader.name.as_str()),
        })
    }
}

/// What speaks, as its packet was understood.
fn speaker(client: &Client) -> Speaker {
    match (client.is_ipxe(), client.is_http_boot()) {
        (true, _) => Speaker::Ipxe,
        (false, true) => Speaker::HttpBoot,
        (false, false) => Speaker::Firmware,
    }
}
