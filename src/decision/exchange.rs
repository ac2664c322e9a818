//! What a client and a transport said to each other: one packet or request, and what came of it.
//!
//! A boot is explained with these. They decide nothing and no handler is told; a server under load may leave them out.
//!
//! **Invariant**: no token is in one, and no password.

use std::time::Duration;

/// A packet or request of a boot, and the answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// By what it came.
    pub by: Transport,
    /// What was asked, in words.
    pub asked: String,
    /// What was answered, or why nothing was.
    pub told: String,
    /// How long the answer took; of a transfer, until its end.
    pub elapsed: Duration,
}

/// By what a client asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// DHCP on port 67.
    Discover,
    /// DHCP on port 4011.
    BootServer,
    /// TFTP.
    Tftp,
    /// HTTP.
    Http,
    /// HTTPS.
    Https,
}

impl Transport {
    /// The word in history.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Discover => "discover",
            Transport::BootServer => "boot-server",
            Transport::Tftp => "tftp",
            Transport::Http => "http",
            Transport::Https => "https",
        }
    }
}
