//! Files that a rule makes for one machine.
//!
//! **Invariant**: asked in allowed boots only, in bounded time; where a rule fails there is no such file.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tracing::warn;

use super::chain::guarded;
use super::{Answer, DecisionEngine, HandlerError, RequestHandler, Session};
use crate::boot::{BootFile, BootRequest, FileName, Network, Stage};

/// What the rules say to a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MadeFile {
    /// This is in it.
    Text(String),
    /// There is no such file.
    Absent,
    /// The answer is not there in time; the client shall ask again.
    Late,
    /// No rule has an opinion.
    NoOpinion,
}

impl DecisionEngine {
    /// Whether any rule makes files.
    pub fn makes_files(&self) -> bool {
        self.world().handlers.iter().any(|handler| handler.makes_files())
    }

    /// What is in a file that a boot loader asks for? The verdict comes first: a boot that is not allowed has no files.
    pub async fn boot_file(
        &self,
        session: &Arc<Session>,
        stage: Stage,
        network: Network,
        name: &FileName,
        now: Timestamp,
    ) -> MadeFile {
        let world = self.world();
        if !self.makes_files() {
            return MadeFile::NoOpinion;
        }
        let verdict = self.allow_boot(session, stage, network.clone(), now).await;
        if verdict.is_late() {
            return MadeFile::Late;
        }
        if !verdict.verdict.allows() {
            return MadeFile::NoOpinion;
        }
        let network = session.placed(network, stage);
        let request = self.request(&world, session, stage, network, (*session.machine()).clone(), now);
        let limit = world.policy.limits.boot_images_at(stage);
        for handler in world.handlers.iter().filter(|handler| handler.makes_files()) {
            match ask(&**handler, &request, name, limit).await {
                None => return MadeFile::Late,
                Some(Ok(Answer::Given(file) | Answer::Explained { given: Some(file), .. })) => {
                    return match file {
                        BootFile::Text(text) => MadeFile::Text(text),
                        BootFile::Absent => MadeFile::Absent,
                    };
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    let (mac, handler) = (request.client.hardware, handler.name());
                    if self.may_log(now) {
                        warn!(session = %request.session, %mac, handler, file = %name, %error, "boot_file failed: no such file");
                    }
                    return MadeFile::Absent;
                }
            }
        }
        MadeFile::NoOpinion
    }
}

async fn ask(
    handler: &dyn RequestHandler,
    request: &BootRequest,
    name: &FileName,
    limit: Duration,
) -> Option<Result<Answer<BootFile>, HandlerError>> {
    tokio::time::timeout(limit, guarded(handler.boot_file(request, name))).await.ok()
}
