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
use crate::paths;

use super::shared::Shared;

/// Tells boot clients what to load.
pub(super) struct DhcpAnswers(pub(super) Arc<Shared>);

impl BootAnswers for DhcpAnswers {
    fn answer(self: Arc<Self>, question: DhcpQuestion) -> BoxFuture<'static, DhcpAnswer> {
        async move { self.decide(question).await }.boxed()
    }
}

impl DhcpAnswers {
    async fn decide(&self, question: DhcpQuestion) -> DhcpAnswer {
        let DhcpQuestion { client, network, stage, xid } = question;
        let now = Timestamp::now();
        let Some(server) = network.server else { return DhcpAnswer::Silent };
        let session = self.0.engine.session_for(&client, xid, stage, now);
        let decision = self.0.engine.allow_boot(&session, stage, network, now).await;
        let Some(file) = self.file(&client, &session, &decision, server) else { return DhcpAnswer::Silent };
        self.0.advance(&session, Progress::Offered, Funnel::offered, &decision);
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
            let secure = self.0.wants_https(client);
            return (!is_silent).then(|| self.0.url(session, server, secure, paths::BOOTSTRAP));
        }
        if !decision.verdict.allows() {
            return None;
        }
        let site = self.0.site.load();
        let Some(loader) = site.loaders.of(client.architecture) else {
            warn!(
                mac = %client.hardware, arch = %client.architecture,
                "no boot loader for this architecture; name one in [loaders.files]"
            );
            return None;
        };
        Some(match client.is_http_boot() {
            true => self.0.url(session, server, false, loader.name.as_str()),
            false => paths::session_path(session.token(), loader.name.as_str()),
        })
    }
}
