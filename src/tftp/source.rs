//! What the server asks of whoever decides: may this client have this file, and what is in it.
//!
//! **Invariant**: the only face between TFTP and decisions.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;

use super::transfer::TransferOutcome;
use crate::boot::FileName;
use crate::files::Content;

/// A client's wish to read a file.
///
/// The path may hold a session's token, which is a secret: `Debug` shows the last part of the name only.
#[derive(Clone, PartialEq, Eq)]
pub struct ReadRequest {
    /// Who asks.
    pub peer: SocketAddr,
    /// The address of ours that was asked.
    pub local: IpAddr,
    /// The interface that the request came in on; 0 when the kernel did not say.
    pub ifindex: u32,
    /// What is wanted, cleaned.
    pub file_name: FileName,
}

impl fmt::Debug for ReadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadRequest")
            .field("peer", &self.peer)
            .field("local", &self.local)
            .field("ifindex", &self.ifindex)
            .field("file_name", &self.file_name.last())
            .finish()
    }
}

/// Why a client does not get a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is none: ERROR 1.
    NotFound,
    /// It may not have it: ERROR 2 with this text, which some clients show.
    Denied(String),
    /// Not now: no answer, the client asks again.
    Busy,
}

/// Opens what clients ask for.
#[async_trait]
pub trait TftpSource: Send + Sync + 'static {
    /// Decides about a request; may take its time, other clients are not held up.
    ///
    /// EDK2 asks twice for each file (size probe, then transfer): both must get the same bytes.
    async fn open(&self, request: &ReadRequest) -> Result<Content, Refusal>;

    /// What the file is called that this request names, where it is the same for every machine that may have it: such
    /// files can go to many machines in one stream. None for what is made for one machine.
    fn shared_name(&self, _request: &ReadRequest) -> Option<String> {
        None
    }

    /// Is told how a transfer ended; called on a thread that serves other transfers, so it must not wait.
    fn finished(&self, request: &ReadRequest, outcome: &TransferOutcome);
}
