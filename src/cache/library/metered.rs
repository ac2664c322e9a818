//! An origin whose octets are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;

use super::super::{Octets, Origin, OriginError, RemoteFile, Sha256};
use crate::boot::FileName;

/// Passes everything on, and counts what is read.
pub(super) struct Metered {
    pub(super) origin: Arc<dyn Origin>,
    pub(super) fetched: Arc<AtomicU64>,
}

#[async_trait]
impl Origin for Metered {
    fn name(&self) -> &str {
        self.origin.name()
    }

    async fn describe(&self, file: &FileName) -> Result<RemoteFile, OriginError> {
        self.origin.describe(file).await
    }

    async fn read(&self, file: &FileName, tag: &str, from: u64) -> Result<Octets, OriginError> {
        let fetched = Arc::clone(&self.fetched);
        let count = move |piece: &Result<Bytes, OriginError>| {
            let octets = piece.as_ref().map_or(0, |piece| piece.len() as u64);
            fetched.fetch_add(octets, Ordering::Relaxed);
        };
        let pieces = self.origin.read(file, tag, from).await?;
        Ok(pieces.inspect(count).boxed())
    }

    async fn digest(&self, file: &FileName, tag: &str) -> Result<Option<Sha256>, OriginError> {
        self.origin.digest(file, tag).await
    }
}
