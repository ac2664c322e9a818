//! Handing a machine over; its place until the other half of this handler is merged.

use crate::boot::{BootImages, BootRequest, Verdict};
use crate::config::UpstreamSection;
use crate::decision::HandlerError;

pub(super) fn verdict(name: &str, _: &UpstreamSection, _: &BootRequest) -> Result<Verdict, HandlerError> {
    Err(HandlerError::new(format!("upstream `{name}`: style redirect is not built yet")))
}

pub(super) fn images(name: &str, _: &UpstreamSection, _: &BootRequest) -> Result<BootImages, HandlerError> {
    Err(HandlerError::new(format!("upstream `{name}`: style redirect is not built yet")))
}
