//! Boot options by DHCPv6: UDP 547, and 4011 for what EDK2 asks again (RFC 8415, RFC 5970).
//!
//! As in IPv4 this stands beside the site's own server, which gives out the addresses; it never gives one.
//!
//! ```text
//! client                         DHCPv6 server          Pointsman
//!   │  SOLICIT to ff02::1:2 ────────────►│ ─────────────► │  option 16 `PXEClient...`: boot firmware
//!   │◄─────── ADVERTISE with an address  │                │  allow boot?
//!   │◄───────────────────────────────────── ADVERTISE with a URL, without an address
//!   │  REQUEST to ff02::1:2 ────────────►│ ─────────────► │  not answered: it takes the lease
//!   │◄──────────────────────────── REPLY │                │
//!   │  REQUEST to :4011 of the URL's host ──────────────► │  UEFI PXE only: the same question again
//!   │◄──────────────────────────────────────── REPLY with the URL
//!   │  TFTP or HTTP: the boot loader                      │
//! ```
//!
//! EDK2 does this ("proxy offer", its `PxeBcDhcp6.c` and `HttpBootDhcp6.c`). **iPXE does not**: where routers say that
//! addresses come by DHCPv6 (flag M) it takes everything from the one server that gave the address, so that server has to
//! name our URL for the user class `iPXE`; where they say that other configuration does (flag O only), it asks by
//! INFORMATION-REQUEST, and we answer.
//!
//! * [`packet`]: octets and messages, relay agents included. [`client`]: who asks. [`question`]: who is answered.
//!   [`reply`]: with what.
//! * [`server`]: the sockets, which `listen` bound; `answer` takes one question to its end. `remembered`: which machine a DUID is.
//! * [`selection`]: which of several servers' answers a client takes; for `pointsman probe`.
//!
//! **Invariant**: only [`server`], `answer` and `listen` do I/O, and only [`server`] reads the clock. What a client boots is decided elsewhere, behind
//! [`BootAnswers`](super::BootAnswers).

mod answer;
pub mod client;
pub mod counters;
mod listen;
pub mod packet;
pub mod question;
mod remembered;
pub mod reply;
pub mod selection;
pub mod server;

#[cfg(test)]
mod sample;

pub use counters::Counters;
pub use server::{Dhcp6Options, Dhcp6Server};
