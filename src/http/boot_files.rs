//! The files of a boot session: those of images, loaders, and configuration files that are made when they are asked for.
//!
//! **Invariant**: as that of [`super::boot`].

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::http::request::Parts;
use axum::response::Response;
use jiff::Timestamp;
use tracing::{info, warn};

use super::answers::{HOLD_S, later, made_text, refused_file, text};
use super::boot::Asked;
use super::files::{self, FileRequest};
use crate::boot::{FileName, Stage};
use crate::decision::{BootEvent, Carrier, MadeFile, Progress};
use crate::files::{Content, OpenError};
use crate::observe::Funnel;

impl Asked {
    /// A file of an image.
    pub(super) async fn image(&self, name: &FileName, head: &Parts) -> Response {
        let decision = self.allowed().await;
        if let Some(response) = self.held(&decision).or_else(|| refused_file(&decision.verdict)) {
            return response;
        }
        match self.state.site.images().open(name).await {
            Ok(content) => self.send(name, content, head, Progress::ImageFetched),
            Err(error) => {
                let status = match &error {
                    OpenError::NotFound => StatusCode::NOT_FOUND,
                    OpenError::Denied => StatusCode::FORBIDDEN,
                    OpenError::Io(_) => StatusCode::INTERNAL_SERVER_ERROR,
                    // iPXE waits and asks again.
                    OpenError::NotNow(_) => StatusCode::SERVICE_UNAVAILABLE,
                    OpenError::NotGiven(_) => StatusCode::BAD_GATEWAY,
                };
                warn!(session = %self.session.id(), file = %name, %error, "file not served");
                let mut response = text(status, &format!("{name}: {}\n", error.in_public()));
                if status == StatusCode::SERVICE_UNAVAILABLE {
                    response.headers_mut().insert(RETRY_AFTER, HOLD_S.into());
                }
                response
            }
        }
    }

    /// A boot loader.
    pub(super) async fn loader(&self, name: &FileName, head: &Parts) -> Response {
        let (engine, network) = (&self.state.engine, self.via.network());
        match engine.boot_file(&self.session, Stage::Http, network, name, self.now).await {
            MadeFile::Text(made) => return made_text(made),
            MadeFile::Absent => return text(StatusCode::NOT_FOUND, "not found\n"),
            MadeFile::Late => return later("the file is being made; ask again\n"),
            MadeFile::NoOpinion => {}
        }
        if let Some(file) = self.state.site.made_file(name) {
            return self.config(file, head).await;
        }
        let decision = self.allowed().await;
        if let Some(response) = self.held(&decision).or_else(|| refused_file(&decision.verdict)) {
            return response;
        }
        match self.state.site.loader(&self.session.client(), name) {
            Some(content) => self.send(name, content, head, Progress::LoaderFetched),
            None => text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    fn send(&self, name: &FileName, content: Content, head: &Parts, progress: Progress) -> Response {
        let (session, state) = (Arc::clone(&self.session), Arc::clone(&self.state));
        let (length, started, file) = (content.len(), self.now, name.clone());
        let by = if self.via.secure { Carrier::Https } else { Carrier::Http };
        let finished = Box::new(move || {
            let client = session.client();
            let now = Timestamp::now();
            let elapsed = now.duration_since(started).unsigned_abs();
            info!(session = %session.id(), mac = %client.hardware, %file, octets = length, elapsed_ms = elapsed.as_millis() as u64, "file sent");
            state.engine.happened(
                &session,
                &BootEvent::FileSent { file: file.to_string(), octets: length, elapsed, by },
                now,
            );
            let step = if progress == Progress::ImageFetched { Funnel::image_fetched } else { Funnel::loader_fetched };
            if session.advance(progress) {
                state.metrics.count_boot(step, client.architecture, "allow");
            }
        });
        let request = FileRequest {
            name: name.as_str(),
            method: &head.method,
            headers: &head.headers,
            queue: self.via.files.clone(),
            sent: self.state.metrics.http_sent.clone(),
            finished: Some(finished),
        };
        files::respond(content, request)
    }
}
