//! DHCP's questions: is this client answered, and with which file?

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tracing::warn;

use crate::boot::{BootDecision, Client};
use crate::decision::{Progress, Session};
use crate::dhcp::server::{BootAnswers, DhcpAnswer, DhcpQuestion};
use crate::observe::Funnel;
use crate::pace::Pace;
use crate::paths;

use super::shared::Shared;

/// Tells boot clients what to load.
pub(super) struct DhcpAnswers {
    shared: Arc<Shared>,
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
    pub(super) fn new(shared: Arc<Shared>) -> DhcpAnswers {
        DhcpAnswers { shared, warnings: Pace::default() }
    }

    async fn decide(&self, question: DhcpQuestion) -> DhcpAnswer {
        let DhcpQuestion { client, network, stage, xid } = question;
        let now = Timestamp::now();
        let Some(server) = network.server else { return DhcpAnswer::Silent };
        let session = self.shared.engine.session_for(&client, xid, stage, now);
        let decision = self.shared.engine.allow_boot(&session, stage, network, now).await;
        let Some(file) = self.file(&client, &session, &decision, server) else { return DhcpAnswer::Silent };
        self.shared.advance(&session, Progress::Offered, Funnel::offered, &decision);
        DhcpAnswer::Boot { file, next_server: None }
    }

    /// What the client is told to load, or nothing where silence is the answer.
    fn file(
        &self,
        client: &Client,
        session: &Session,
        decision: &BootDecision,
        server: std::net::IpAddr,
    ) -> Option<String> {
        if client.is_ipxe() {
            // A denied iPXE gets its script too: that is where it shows why.
            let is_silent = decision.verdict.name() == "ignore";
            let secure = self.shared.wants_https(client);
            let is_allowed = decision.verdict.allows();
            return (!is_silent).then(|| self.shared.url(session, is_allowed, server, secure, paths::BOOTSTRAP));
        }
        if !decision.verdict.allows() {
            return None;
        }
        let site = self.shared.site.load();
        let Some(loader) = site.loaders.of(client.architecture) else {
            if self.warnings.take(Timestamp::now().as_second(), WARNINGS_PER_SECOND_MAX).is_free {
                warn!(
                    mac = %client.hardware, arch = %client.architecture,
                    "no boot loader for this architecture; name one in [loaders.files]"
                );
            }
            return None;
        };
        Some(match client.is_http_boot() {
            true => self.shared.url(session, true, server, false, loader.name.as_str()),
            false => self.shared.path(session, true, loader.name.as_str()),
        })
    }
}
