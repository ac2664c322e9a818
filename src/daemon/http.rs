//! HTTP's view of the site.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::boot::{BootDecision, BootImages, Client, FileName, Look};
use crate::cache::Library;
use crate::chainload::ConfigFile;
use crate::database::{Database, Health};
use crate::decision::{HandlerError, Session};
use crate::files::Content;
use crate::http::{Bootstrap, Connection, Dependency, Door, Site};
use crate::ipxe::{Command, SessionUrls};
use crate::paths::Beginning;
use crate::people::People;
use crate::upstream::{Upstream, UpstreamState};

use super::newer::Asking;
use super::shared::Shared;

#[async_trait]
impl Site for Shared {
    fn images(&self) -> Library {
        self.site.load().images.clone()
    }

    fn loader(&self, _: &Client, name: &FileName) -> Option<Content> {
        self.site.load().loaders.open(name)
    }

    fn plain_loader(&self, name: &FileName, via: &Connection) -> Option<Content> {
        Shared::plain_loader(self, name, self.known_by_anybody(via.local.ip(), via.peer.ip()))
    }

    fn made_file(&self, name: &FileName) -> Option<ConfigFile> {
        Shared::made_file(self, name)
    }

    fn config_images(
        &self,
        file: ConfigFile,
        session: &Session,
        decision: &BootDecision,
        via: &Connection,
    ) -> BootImages {
        let server = Shared::known_by(self, session, via.local.ip(), via.peer.ip());
        let target = self.chainload(session, &decision.verdict, server, true);
        Shared::config_images(self, file.syntax, session, decision, &target)
    }

    fn config_text(
        &self,
        file: ConfigFile,
        session: &Session,
        told: (&BootDecision, &BootImages),
        via: &Connection,
    ) -> Option<String> {
        let server = Shared::known_by(self, session, via.local.ip(), via.peer.ip());
        let target = self.chainload(session, &told.0.verdict, server, true);
        Shared::config_text(self, file.syntax, session, told, &target)
    }

    async fn begin(&self, session: &Arc<Session>, via: &Connection, beginning: &Beginning) -> Result<(), HandlerError> {
        Shared::begin(self, session, via.network(), beginning).await
    }

    fn urls(&self, session: &Session, via: &Connection) -> SessionUrls {
        Shared::urls(self, session, Shared::known_by(self, session, via.local.ip(), via.peer.ip()), via.secure)
    }

    fn autoexec_urls(&self, session: &Session, via: &Connection) -> Vec<SessionUrls> {
        let server = Shared::known_by(self, session, via.local.ip(), via.peer.ip());
        let urls = |secure| Shared::urls(self, session, server, secure);
        if self.prefers_https() { vec![urls(true), urls(false)] } else { vec![urls(false)] }
    }

    fn known_by(&self, via: &Connection) -> IpAddr {
        self.known_by_anybody(via.local.ip(), via.peer.ip())
    }

    fn bootstrap(&self, session: &Session, via: &Connection, told: Bootstrap<'_>) -> Vec<Command> {
        let server = Shared::known_by(self, session, via.local.ip(), via.peer.ip());
        let Bootstrap { agent, is_look, leaving } = told;
        Shared::bootstrap(self, session, &Asking { server, secure: via.secure, agent, is_look }, leaving)
    }

    fn people(&self) -> Option<Arc<People>> {
        Some(Arc::clone(&self.site.load().people))
    }

    fn host_name(&self) -> Option<String> {
        self.name.clone()
    }

    fn look(&self) -> Option<Look> {
        self.site.load().look.clone()
    }

    fn has_entry(&self) -> bool {
        self.site.load().has_entry
    }

    fn has_door(&self, door: Door) -> bool {
        let site = self.site.load();
        let compat = &site.compat;
        match door {
            Door::Altiris => compat.altiris.enabled,
            Door::Fog => compat.fog.enabled,
            Door::Pixiecore => compat.pixiecore.enabled,
            Door::TwoPxe => compat.two_pxe.enabled,
        }
    }

    fn authority(&self) -> Option<Bytes> {
        self.authority.clone()
    }

    fn dependencies(&self) -> Vec<Dependency> {
        let dependency =
            |database: &Database| Dependency { name: database.name().to_owned(), health: database.health() };
        self.site.load().databases.iter().map(dependency).collect()
    }

    fn upstreams(&self) -> Vec<Dependency> {
        let dependency = |upstream: &Upstream| {
            let health = match upstream.state() {
                UpstreamState::Untried => Health::Untried,
                UpstreamState::Up => Health::Up,
                UpstreamState::Down { since, error } => Health::Down { since, error },
            };
            Dependency { name: upstream.name().to_owned(), health }
        };
        self.site.load().upstreams.iter().map(dependency).collect()
    }
}
