//! TFTP's questions: the loader of a session, the script or configuration beside it, a file of an image.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use jiff::Timestamp;
use tracing::{debug, info};

use crate::boot::{Architecture, BootImages, FileName, Network, Stage, Verdict};
use crate::chainload::{self, ConfigFile};
use crate::decision::{BootEvent, Carrier, MadeFile, Progress, Session, Sessions, Transport};
use crate::files::{Content, OpenError};
use crate::ipxe::{self, Leaving};
use crate::loaders;
use crate::net::arp;
use crate::observe::Funnel;
use crate::paths::{self, Beginning, Wanted};
use crate::tftp::{ReadRequest, Refusal, TftpSource, TransferOutcome, TransferResult};

use super::shared::Shared;
use super::{exchanges, raspberry_pi};

/// Gives TFTP clients what their sessions allow.
pub(super) struct TftpAnswers(pub(super) Arc<Shared>);

impl TftpAnswers {
    fn session(&self, request: &ReadRequest) -> Option<(Arc<Session>, Wanted)> {
        let sessions = self.0.engine.sessions();
        let Some((token, wanted)) = paths::parse(&request.file_name) else {
            let session = without_token(sessions, &request.file_name, request.peer.ip())?;
            return Some((session, Wanted::Loader(request.file_name.clone())));
        };
        match self.0.engine.resume(token, Timestamp::now()) {
            Ok(session) => {
                sessions.note_address(&session, request.peer.ip());
                Some((session, wanted))
            }
            Err(error) => {
                debug!(peer = %request.peer, %error, "no session");
                None
            }
        }
    }

    async fn content(
        &self,
        request: &ReadRequest,
        session: &Arc<Session>,
        wanted: &Wanted,
    ) -> Result<Content, Refusal> {
        let site = self.0.site.load_full();
        match wanted {
            Wanted::Loader(name) => {
                let now = Timestamp::now();
                match self.0.engine.boot_file(session, Stage::Tftp, network(request), name, now).await {
                    MadeFile::Text(text) => return Ok(Content::from_bytes(text)),
                    MadeFile::Absent => return Err(Refusal::NotFound),
                    MadeFile::Late => return Err(Refusal::Busy),
                    MadeFile::NoOpinion => {}
                }
                if session.client().architecture == Architecture::ARM_RPIBOOT {
                    return self.raspberry_pi(session, name).await;
                }
                match self.0.made_file(name) {
                    None => site.loaders.open(name).ok_or(Refusal::NotFound),
                    Some(file) => self.config(request, session, file).await,
                }
            }
            Wanted::Image(name) => site.images.open(name).await.map_err(|error| refusal(session, name, error)),
            Wanted::Autoexec => Ok(Content::from_bytes(self.autoexec(request, session))),
            Wanted::Begin(beginning) => self.begin(request, session, beginning).await,
            // These need HTTP: nothing else can be reported by TFTP.
            Wanted::ByHttp
            | Wanted::Bootstrap
            | Wanted::Script
            | Wanted::Person
            | Wanted::Start
            | Wanted::LoadFailed
            | Wanted::Done
            | Wanted::Failed => Err(Refusal::NotFound),
        }
    }

    /// A file that a Raspberry Pi names.
    async fn raspberry_pi(&self, session: &Session, name: &FileName) -> Result<Content, Refusal> {
        let site = self.0.site.load_full();
        for place in raspberry_pi::places(name, session.client().hardware) {
            match site.images.open(&place).await {
                Err(OpenError::NotFound) => {}
                opened => return opened.map_err(|error| refusal(session, &place, error)),
            }
        }
        Err(Refusal::NotFound)
    }

    /// What GRUB or PXELINUX shall do.
    async fn config(
        &self,
        request: &ReadRequest,
        session: &Arc<Session>,
        file: ConfigFile,
    ) -> Result<Content, Refusal> {
        let shared = &self.0;
        let machine = (*session.machine()).clone();
        let decision =
            shared.engine.boot_images_at(session, Stage::Tftp, network(request), machine, Timestamp::now()).await;
        if decision.is_late() {
            return Err(Refusal::Busy);
        }
        let server = shared.known_by(session, request.local, request.peer.ip());
        let target = shared.chainload(session, &decision.verdict, server, false);
        let images = match &decision.verdict {
            Verdict::Allow(_) | Verdict::Refer(_) => {
                let images = shared.config_images(file.syntax, session, &decision, &target);
                shared.offered(session, network(request), images).await
            }
            Verdict::Deny { .. } | Verdict::Ignore { .. } => BootImages::none(),
        };
        let text = shared.config_text(file.syntax, session, (&decision, &images), &target);
        text.map(Content::from_bytes).ok_or(Refusal::NotFound)
    }

    /// What runs an image that does an assignment, once it was noted that it begins. A file that is not there spends nothing.
    async fn begin(
        &self,
        request: &ReadRequest,
        session: &Arc<Session>,
        beginning: &Beginning,
    ) -> Result<Content, Refusal> {
        let content = match &beginning.file {
            None => Content::from_bytes(chainload::agreed(&beginning.image)),
            Some(name) => {
                self.0.site.load_full().images.open(name).await.map_err(|error| refusal(session, name, error))?
            }
        };
        let begun = self.0.begin(session, network(request), beginning).await;
        begun.map(|()| content).map_err(|error| match error.is_refusal {
            true => Refusal::Denied(error.message),
            // The client asks again.
            false => Refusal::Busy,
        })
    }

    /// EFI builds of iPXE look for this script beside themselves. Nothing is known yet of the build, so that HTTPS is
    /// tried first where the site wants it, and HTTP after it.
    fn autoexec(&self, request: &ReadRequest, session: &Session) -> String {
        let server = self.0.known_by(session, request.local, request.peer.ip());
        let urls = |secure| self.0.urls(session, server, secure);
        let urls: Vec<_> = if self.0.prefers_https() { vec![urls(true), urls(false)] } else { vec![urls(false)] };
        let platform = session.client().architecture.platform();
        let leaving = Leaving { platform, method: self.0.engine.manner_of(session).local_boot };
        ipxe::render(&ipxe::autoexec(&urls, leaving))
    }
}

/// The session of a name without a token: of the machine in the name of a configuration file, else of the client's
/// address. A Raspberry Pi comes with an address that we have not seen: then that of the card which has it.
fn without_token(sessions: &Sessions, name: &FileName, address: IpAddr) -> Option<Arc<Session>> {
    let named = ConfigFile::parse(name).and_then(|file| file.hardware);
    let known = || named.and_then(|hardware| sessions.of_hardware(hardware)).or_else(|| sessions.of_address(address));
    known().or_else(|| {
        let IpAddr::V4(address) = address.to_canonical() else { return None };
        let session = sessions.of_hardware(arp::hardware_of(address)?)?;
        sessions.note_address(&session, address.into());
        Some(session)
    })
}

/// Whether the program is asked for that denied machines are told.
fn is_abort(wanted: &Wanted) -> bool {
    matches!(wanted, Wanted::Loader(name) if name.as_str() == loaders::ABORT)
}

/// What the client is told of a file that cannot be opened.
fn refusal(session: &Session, name: &FileName, error: OpenError) -> Refusal {
    match error {
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
    }
}

fn network(request: &ReadRequest) -> Network {
    Network { server: Some(request.local), client: Some(request.peer.ip()), ..Network::default() }
}

#[async_trait]
impl TftpSource for TftpAnswers {
    async fn open(&self, request: &ReadRequest) -> Result<Content, Refusal> {
        if let Some(name) = paths::plain_loader(&request.file_name) {
            let server = self.0.known_by_anybody(request.local, request.peer.ip());
            return self.0.plain_loader(&name, server).ok_or(Refusal::NotFound);
        }
        let (session, wanted) = self.session(request).ok_or(Refusal::NotFound)?;
        let (now, asked) = (Timestamp::now(), Instant::now());
        let opened = self.opened(request, &session, &wanted).await;
        if let Err(refusal) = &opened {
            let told = || exchanges::tftp_refused(&request.file_name, refusal, asked.elapsed());
            self.0.engine.exchanged(&session, Transport::Tftp, now, told);
        }
        opened
    }

    fn shared_name(&self, request: &ReadRequest) -> Option<String> {
        match paths::parse(&request.file_name)?.1 {
            // An image that a script names may be of an upstream: the name is the site's own either way.
            Wanted::Image(name) => Some(format!("f/{name}")),
            wanted if is_abort(&wanted) => None,
            Wanted::Loader(name) => self.0.is_same_for_all(&name).then(|| name.to_string()),
            // The rest is made for one machine.
            _ => None,
        }
    }

    fn blksize_max(&self, request: &ReadRequest) -> Option<u16> {
        self.session(request)?.0.blksize_max()
    }

    fn finished(&self, request: &ReadRequest, outcome: &TransferOutcome) {
        let Some((session, wanted)) = self.session(request) else { return without_session(request, outcome) };
        let now = Timestamp::now();
        let name = match &wanted {
            wanted if is_abort(wanted) => None,
            Wanted::Loader(name) | Wanted::Image(name) => Some(name),
            Wanted::Begin(beginning) => beginning.file.as_ref(),
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

/// A machine whose DHCP server named the file: who it is will be known when it comes in by HTTP.
fn without_session(request: &ReadRequest, outcome: &TransferOutcome) {
    if matches!(outcome.result, TransferResult::Complete | TransferResult::Unconfirmed) {
        info!(peer = %request.peer, file = %request.file_name, octets = outcome.bytes, "loaded by TFTP without a session");
    }
}

impl TftpAnswers {
    /// What the session's verdict gives.
    async fn opened(&self, request: &ReadRequest, session: &Arc<Session>, wanted: &Wanted) -> Result<Content, Refusal> {
        let decision = self.0.engine.allow_boot(session, Stage::Tftp, network(request), Timestamp::now()).await;
        session.limit_blksize(self.0.engine.manner(session, &decision.verdict).blksize_max);
        let made = if let Wanted::Loader(name) = wanted { self.0.made_file(name) } else { None };
        match &decision.verdict {
            Verdict::Deny { reason } if is_abort(wanted) => Ok(Content::from_bytes(loaders::abort_program(reason))),
            // It runs already: it is shown why, and goes to its disk.
            Verdict::Deny { .. } if made.is_some() => self.content(request, session, wanted).await,
            Verdict::Allow(_) => self.content(request, session, wanted).await,
            // iPXE that finds nothing beside itself asks by DHCP, where the other server answers.
            Verdict::Refer(referral) if *wanted == Wanted::Autoexec && !referral.tells_ipxe() => Err(Refusal::NotFound),
            Verdict::Refer(referral) if referral.goes_on() => self.content(request, session, wanted).await,
            Verdict::Deny { reason } => Err(Refusal::Denied(format!("access denied: {reason}"))),
            Verdict::Ignore { .. } | Verdict::Refer(_) => Err(Refusal::NotFound),
        }
    }
}
