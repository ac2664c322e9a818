//! HTTP's view of the site.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::boot::{BootDecision, BootImages, Client, FileName};
use crate::cache::Library;
use crate::chainload::ConfigFile;
use crate::database::{Database, Health};
use crate::decision::{HandlerError, Session};
use crate::files::Content;
use crate::http::{Connection, Dependency, Door, Site};
use crate::ipxe::SessionUrls;
use crate::paths::Beginning;
use crate::people::People;
use crate::upstream::{Upstream, UpstreamState};

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
        Shared::plain_loader(self, name, via.local.ip())
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
        let target = self.chainload(session, &decision.verdict, via.local.ip(), true);
        Shared::config_images(self, file.syntax, session, decision, &target)
    }

    fn config_text(
        &self,
        file: ConfigFile,
        session: &Session,
        told: (&BootDecision, &BootImages),
        via: &Connection,
    ) -> Option<String> {
        let target = self.chainload(session, &told.0.verdict, via.local.ip(), true);
        Shared::config_text(self, file.syntax, session, told, &target)
    }

    async fn begin(&self, session: &Arc<Session>, via: &Connection, beginning: &Beginning) -> Result<(), HandlerError> {
        Shared::begin(self, session, via.network(), beginning).await
    }

    fn urls(&self, session: &Session, via: &Connection) -> SessionUrls {
        Shared::urls(self, session, self.known_by(session, via.local.ip(), via.peer.ip()), via.secure)
    }

    fn autoexec_urls(&self, session: &Session, via: &Connection) -> Vec<SessionUrls> {
        let server = self.known_by(session, via.local.ip(), via.peer.ip());
        let urls = |secure| Shared::urls(self, session, server, secure);
        if self.prefers_https() { vec![urls(true), urls(false)] } else { vec![urls(false)] }
    }

    fn people(&self) -> Option<Arc<People>> {
        Some(Arc::clone(&self.site.load().people))
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
