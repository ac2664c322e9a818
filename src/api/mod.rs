//! The decision API's messages, version 1: what a site server and its upstream say to each other.
//!
//! | path | method | is |
//! |---|---|---|
//! | `/api/v1/allow-boot` | POST | [`Question`] -> [`VerdictAnswer`] |
//! | `/api/v1/boot-images` | POST | [`Question`] -> [`ImagesAnswer`] |
//! | `/api/v1/events` | POST | [`Report`] -> 204, or 409 with [`Problem`] where it must not happen |
//! | `/api/v1/files/<name>` | GET, HEAD | a file of the images folder, with ranges and a strong `ETag` |
//! | `/api/v1/digests/<name>` | GET | [`Digest`] of the file with the tag in `If-Match`; may take as long as reading it |
//! | `/api/v1/health` | GET | [`Health`] |
//! | `/api/v1/enroll` | POST | [`Enrollment`] -> [`Enrolled`]; the one path without a certificate |
//! | `/api/v1/openapi.json` | GET | the description of all this |
//!
//! A later version adds fields, which are passed over by who does not know them, or another path; it takes none away.
//!
//! **Invariant**: messages become the types of [`crate::boot`] here and nowhere else, with the limits of those types.
//! No text of a message is passed on as it is but that of an image of the kind `ipxe`.

mod client;
mod event;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::boot::{BootImages, Line, Person, SessionId, Stage, Verdict};

pub use client::{ClientFacts, NetworkFacts, RelayFacts};
pub use event::EventFacts;

/// The longest message, in octets, in either direction.
pub const MESSAGE_LEN_MAX: usize = 1024 * 1024;

/// How far the clocks of two servers may be apart, and how long a question may be under way, in seconds. What is older
/// is refused; what is younger is taken once.
pub const AGE_MAX_S: i64 = 120;

/// Names one question or report, so that nobody can send it a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Made anew for each message, also for one that is sent again.
    pub id: Uuid,
    /// When it was made, by the sender's clock.
    pub at: Timestamp,
}

/// What a site server asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Names this question.
    #[serde(flatten)]
    pub stamp: Stamp,
    /// The boot, by the site server's name for it.
    pub session: SessionId,
    /// How far the boot has come.
    pub stage: Stage,
    /// Who asks.
    pub client: ClientFacts,
    /// Where it was seen.
    #[serde(default)]
    pub network: NetworkFacts,
    /// What the machine reported of itself, by the names of [`crate::boot::FACTS`].
    #[serde(default)]
    pub machine: BTreeMap<String, String>,
    /// Who is at the machine, as the site verified it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<Person>,
    /// Whether the site knows questions to people, so that it asks what guards an image before it boots it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asks: bool,
}

/// The answer to *may I boot?*.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictAnswer {
    /// The verdict; absent where nobody there has an opinion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Verdict>,
    /// Who decided there, for the trail.
    #[serde(default)]
    pub handler: Line,
}

/// The answer to *what do I boot?*.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagesAnswer {
    /// The verdict, which may have changed since it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Verdict>,
    /// What to boot; absent where nobody there has an opinion, or the machine may not boot. The names of their files are
    /// those below `/api/v1/files/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<BootImages>,
    /// Who decided there, for the trail.
    #[serde(default)]
    pub handler: Line,
}

/// What a site server reports of a boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The question that this would be: the same boot, the same machine.
    #[serde(flatten)]
    pub about: Question,
    /// What happened.
    pub event: EventFacts,
}

/// The SHA-256 digest of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// 64 hexadecimal digits.
    pub sha256: String,
    /// The file's length, in octets.
    pub length: u64,
}

/// That a server is there, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The versions of this API that it speaks.
    pub versions: Vec<u32>,
    /// The name by which it knows who asks; absent when it does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Line>,
    /// Its clock.
    pub now: Timestamp,
}

/// A site's request for its certificate.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrollment {
    /// The one-time token that `pointsman site add` printed.
    pub token: String,
    /// The certificate signing request (PKCS #10), in PEM.
    pub request: String,
}

/// The certificate of a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// The name that the upstream gave the site.
    pub site: Line,
    /// The certificate with its chain, in PEM.
    pub certificate: String,
}

/// Why a message was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong, and what to do.
    pub problem: Line,
}
