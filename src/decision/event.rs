//! What happens in a boot after it was decided, as far as the server is told.

use std::time::Duration;

use crate::boot::{Line, Method};

/// Something that happened in a boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootEvent {
    /// The script that boots is about to be handed out. `assignments` are those of its images: see
    /// [`BootImage::assignment`](crate::boot::BootImage::assignment).
    Offered {
        /// The images in it, by id.
        images: Vec<String>,
        /// The assignments in it.
        assignments: Vec<String>,
    },
    /// Somebody at the machine, or for it, was verified.
    Person {
        /// Who.
        name: Line,
        /// How.
        method: Method,
    },
    /// The machine is about to load an image that does an assignment.
    Started {
        /// The image's id.
        image: String,
        /// The assignment.
        assignment: String,
    },
    /// iPXE could not load or start an image; the machine is still there.
    LoadFailed {
        /// The image's id.
        image: String,
        /// iPXE's error number, where it is known.
        error: Option<u32>,
    },
    /// A file was sent to its end.
    FileSent {
        /// Its name.
        file: String,
        /// Its length, in octets.
        octets: u64,
        /// How long it took.
        elapsed: Duration,
        /// How it went.
        by: Carrier,
    },
    /// The installer says that it is done.
    Done,
    /// The installer says that it failed.
    Failed {
        /// Why, in its words.
        reason: Line,
    },
}

/// How a file went to a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carrier {
    /// By TFTP.
    Tftp {
        /// Packets that were sent more than once.
        retransmissions: u64,
    },
    /// By HTTP.
    Http,
    /// By HTTPS.
    Https,
    /// From another server, which does not say.
    #[default]
    Elsewhere,
}

impl BootEvent {
    /// The word in history and logs.
    pub fn name(&self) -> &'static str {
        match self {
            BootEvent::Offered { .. } => "offered",
            BootEvent::Person { .. } => "person",
            BootEvent::Started { .. } => "started",
            BootEvent::LoadFailed { .. } => "load-failed",
            BootEvent::FileSent { .. } => "sent",
            BootEvent::Done => "done",
            BootEvent::Failed { .. } => "failed",
        }
    }
}
