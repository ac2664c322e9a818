//! The vocabulary: what a request, a client, an image and a decision are.
//!
//! Plain data that every other module speaks. A [`BootRequest`] is one question of one client; a
//! [`BootDecision`] is the answer with the trail that explains it. Bytes from outside become these types
//! once, at the edge (a packet, a query string, a script's result), and are not checked again after that.
//!
//! **Invariant**: nothing here does I/O, reads a clock or knows a protocol crate.

mod account;
mod architecture;
mod ask;
mod boot_file;
mod boot_menu;
mod client;
mod decision;
mod file_name;
mod hardware;
mod identity;
mod image;
mod image_spec;
mod images;
pub(crate) mod keys;
mod line;
mod look;
mod machine;
mod manner;
mod person;
mod record;
mod referral;
mod request;
mod session_id;
mod url;
mod verify;

pub use account::{Account, Found, Reading};
pub use architecture::{Architecture, Platform};
pub use ask::{Ask, AskError, Choice};
pub use boot_file::BootFile;
pub use boot_menu::{BootMenu, BootMenuError, MenuBoots, MenuEntry};
pub use client::{Client, IpxeBuild, MachineId, NicBus};
pub use decision::{BootDecision, Outcome, Step, Verdict};
pub use file_name::{FileName, FileNameError};
pub use hardware::{HardwareAddress, HardwareAddressError};
pub use identity::{Identity, IdentityStatus, KeyTrust};
pub use image::{BootImage, ImageKind, InjectedFile, Source, SourceError};
pub use image_spec::ImageSpecError;
pub use images::{BootImages, ImageError, Menu};
pub use line::{Line, LineError};
pub use look::{Color, ColorError, Colors, Look, Prompt, PromptError, ScreenSize, ScreenSizeError};
pub use machine::{FACTS, Fact, Machine};
pub use manner::{IpxeOption, LocalBoot, Manner, Offer, Style, UnknownManner};
pub use person::{Method, Person};
pub use record::{Record, Value};
pub use referral::{FactsForm, FirmwareHandOver, Referral, ScriptHandOver, UnknownFactsForm};
pub use request::{BootRequest, Network, Relay, Stage};
pub use session_id::{SessionId, SessionIdError};
pub use url::{Url, UrlError};
pub use verify::{EndingError, UnknownUnlessAble, UnlessAble, Verify};
