//! TFTP's questions: the loader of a session, the script beside it, a file of an image.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use jiff::Timestamp;
use tracing::{debug, info};

use crate::boot::{Network, Stage, Verdict};
use crate::decision::{BootEvent, Carrier, Progress, Session, Transport};
use crate::files::{Content, OpenError};
use crate::ipxe;
use crate::observe::Funnel;
use crate::paths::{self, Wanted};
use crate::tftp::{ReadRequest, Refusal, TftpSource, TransferOutcome, TransferResult};

use super::exchanges;
use super::shared::Shared;

/// Gives TFTP clients what their sessions allow.
pub(super) struct TftpAnswers(pub(super) Arc<Shared>);

impl TftpAnswers {
    fn session(&self, request: &ReadRequest) -> Option<(Arc<Session>, Wanted)> {
        let (token, wanted) = paths::parse(&request.file_name)?;
        match self.0.engine.resume(token, Timestamp::now()) {
            Ok(session) => Some((session, wanted)),
            Err(error) => {
                debug!(peer = %request.peer, %error, "no session");
                None
            }
        }
    }

    async fn content(&self, request: &ReadRequest, session: &Session, wanted: &Wanted) -> Result<Content, Refusal> {
        let site = self.0.site.load_full();
        match wanted {
            Wanted::Loader(name) => site.loaders.open(name).ok_or(Refusal::NotFound),
            Wanted::Image(name) => site.images.open(name).await.map_err(|error| match error {
                OpenError::NotFound => Refusal::NotFound,
                OpenError::Denied => Refusal::Denied("not a file of this server".into()),
                OpenError::Io(error) => {
                    tracing::warn!(file = %name, %error, "cannot read an image");
                    Refusal::NotFound
                }
                OpenError::NotNow(_) | OpenError::NotGiven(_) => {
                    tracing::warn!(session = %session.id(), file = %name, %error, "file not served");
                    Refusal::Denied(error.in_public())
                }
            }),
            Wanted::Autoexec => Ok(Content::from_bytes(self.autoexec(request, session))),
            // These need HTTP: nothing can be reported by TFTP.
            Wanted::Bootstrap
            | Wanted::Script
            | Wanted::Person
            | Wanted::Start
            | Wanted::LoadFailed
            | Wanted::Done
            | Wanted::Failed => Err(Refusal::NotFound),
        }
    }

    /// EFI builds of iPXE look for this script beside themselves. Nothing is known yet of the build, so that HTTPS is
    /// tried first where the site wants it, and HTTP after it.
    fn autoexec(&self, request: &ReadRequest, session: &Session) -> String {
        let server = self.0.known_by(session, request.local, request.peer.ip());
        let urls = |secure| self.0.urls(session, server, secure);
        let urls: Vec<_> = if self.0.prefers_https() { vec![urls(true), urls(false)] } else { vec![urls(false)] };
        ipxe::render(&ipxe::autoexec(&urls, session.client().architecture.platform()))
    }
}

#[async_trait]
impl TftpSource for TftpAnswers {
    async fn open(&self, request: &ReadRequest) -> Result<Content, Refusal> {
        let (session, wanted) = self.session(request).ok_or(Refusal::NotFound)?;
        let (now, asked) = (Timestamp::now(), Instant::now());
        let opened = self.opened(request, &session, &wanted).await;
        if let Err(refusal) = &opened {
            let told = || exchanges::tftp_refused(&request.file_name, refusal, asked.elapsed());
            self.0.engine.exchanged(&session, Transport::Tftp, now, told);
        }
        opened
    }

    fn blksize_max(&self, request: &ReadRequest) -> Option<u16> {
        self.session(request)?.0.blksize_max()
    }

    fn finished(&self, request: &ReadRequest, outcome: &TransferOutcome) {
        let Some((session, wanted)) = self.session(request) else { return };
        let now = Timestamp::now();
        let name = match &wanted {
            Wanted::Loader(name) | Wanted::Image(name) => Some(name),
            _ => None,
        };
        let is_sent = matches!(outcome.result, TransferResult::Complete | TransferResult::Unconfirmed);
        let Some(name) = name.filter(|_| is_sent) else {
            let told = || exchanges::tftp_ended(&request.file_name, outcome);
            return self.0.engine.exchanged(&session, Transport::Tftp, now, told);
        };
        let by = Carrier::Tftp { retransmissions: outcome.retransmissions };
        let sent = BootEvent::FileSent { file: name.to_string(), octets: outcome.bytes, elapsed: outcome.duration, by };
        self.0.engine.happened(&session, &sent, now);
        let (to, step) = match wanted {
            Wanted::Loader(_) => (Progress::LoaderFetched, Funnel::loader_fetched),
            _ => (Progress::ImageFetched, Funnel::image_fetched),
        };
        if session.advance(to) {
            let client = session.client();
            self.0.metrics.count_boot(step, client.architecture, "allow");
            info!(
                session = %session.id(), mac = %client.hardware, peer = %request.peer, octets = outcome.bytes,
                retransmissions = outcome.retransmissions, step = ?step, "loaded by TFTP"
            );
        }
    }
}

impl TftpAnswers {
    /// What the session's verdict gives.
    async fn opened(&self, request: &ReadRequest, session: &Arc<Session>, wanted: &Wanted) -> Result<Content, Refusal> {
        let network = Network { server: Some(request.local), client: Some(request.peer.ip()), ..Network::default() };
        let decision = self.0.engine.allow_boot(session, Stage::Tftp, network, Timestamp::now()).await;
        session.limit_blksize(self.0.engine.manner(session, &decision.verdict).blksize_max);
        match &decision.verdict {
            Verdict::Allow(_) => self.content(request, session, wanted).await,
            // iPXE that finds nothing beside itself asks by DHCP, where the other server answers.
            Verdict::Refer(referral) if *wanted == Wanted::Autoexec && !referral.tells_ipxe() => Err(Refusal::NotFound),
            Verdict::Refer(referral) if referral.goes_on() => self.content(request, session, wanted).await,
            Verdict::Deny { reason } => Err(Refusal::Denied(format!("access denied: {reason}"))),
            Verdict::Ignore { .. } | Verdict::Refer(_) => Err(Refusal::NotFound),
        }
    }
}
