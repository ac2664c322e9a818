//! What GRUB and PXELINUX ask for beside files: their configuration, and the consent to begin an assignment.
//!
//! **Invariant**: the consent is a file that comes only after the start was noted; whatever else comes to pass is an error of
//! HTTP, which GRUB takes for no file.

use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::Response;

use super::answers::{later, made_text, refused_file, text};
use super::boot::Asked;
use crate::boot::{BootImages, Verdict};
use crate::chainload::{self, ConfigFile};
use crate::paths::Beginning;

impl Asked {
    /// What GRUB or PXELINUX shall do. Who is denied is shown why there. HEAD changes nothing.
    pub(super) async fn config(&self, file: ConfigFile, head: &Parts) -> Response {
        let decision = self.evaluated((*self.session.machine()).clone()).await;
        if let Some(response) = self.held(&decision) {
            return response;
        }
        let site = &self.state.site;
        let images = match &decision.verdict {
            Verdict::Allow(_) | Verdict::Refer(_) => site.config_images(file, &self.session, &decision, &self.via),
            Verdict::Deny { .. } | Verdict::Ignore { .. } => BootImages::none(),
        };
        let is_told = decision.images.is_some() && head.method != Method::HEAD;
        let images = match is_told {
            false => images,
            true => match self.offered(images).await {
                Ok(images) => images,
                Err(response) => return response,
            },
        };
        match site.config_text(file, &self.session, (&decision, &images), &self.via) {
            Some(made) => made_text(made),
            None => text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    /// GRUB has loaded an image that does an assignment. What comes with a file is for loaders that know no HTTP.
    pub(super) async fn begin(&self, beginning: &Beginning) -> Response {
        let decision = self.allowed().await;
        if let Some(response) = self.held(&decision).or_else(|| refused_file(&decision.verdict)) {
            return response;
        }
        if beginning.file.is_some() {
            return text(StatusCode::NOT_FOUND, "not found\n");
        }
        match self.state.site.begin(&self.session, &self.via, beginning).await {
            Ok(()) => made_text(chainload::agreed(&beginning.image)),
            Err(error) if error.is_refusal => text(StatusCode::CONFLICT, &format!("{error}\n")),
            Err(_) => later("this could not be noted; ask again\n"),
        }
    }

    /// GRUB, whose configuration came by TFTP, gets here by HTTP.
    pub(super) async fn by_http(&self) -> Response {
        let decision = self.allowed().await;
        let response = self.held(&decision).or_else(|| refused_file(&decision.verdict));
        response.unwrap_or_else(|| made_text(chainload::by_http().to_owned()))
    }
}
