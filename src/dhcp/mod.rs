//! proxyDHCP on UDP 67 and the PXE boot server on UDP 4011.
//!
//! A site has a DHCP server that gives out addresses and knows nothing of booting. Pointsman stands beside it: it hears
//! the same broadcasts and adds the boot file, and it never gives out an address (PXE 2.1, section 2.2; RFC 4578).
//!
//! ```text
//! client                            DHCP server            Pointsman
//!   │  DISCOVER, broadcast to :67 ──────►│ ──────────────────► │  option 60 `PXEClient...`: a boot client
//!   │◄──────────── OFFER with an address │                     │  allow boot?
//!   │◄──────────────────────────────────────── OFFER with file │  yiaddr 0, siaddr = option 54 = us, option 60
//!   │  REQUEST, broadcast to :67 ───────►│                     │  not answered: it accepts the lease
//!   │◄────────────────────────────── ACK │                     │
//!   │  REQUEST, unicast to :4011 ─────────────────────────────►│  UEFI only: the same question again
//!   │◄────────────────────────────────────────── ACK with file │  to the port that it came from
//!   │  TFTP or HTTP: the boot loader                           │
//! ```
//!
//! PC BIOS takes the file from the OFFER; UEFI comes to 4011 for it; iPXE, once loaded, begins again with a DISCOVER
//! and gets the URL of its script. A relay agent (RFC 1542) carries the packets of other subnets: its address is
//! `giaddr`, what it knows of the client's place is option 82 (RFC 3046), and the answer goes back to it.
//!
//! Time is short. iPXE waits two seconds for a proxy, EDK2 one second on 4011; an answer that comes later is not sent.
//!
//! * [`packet`]: octets and messages (RFC 2131, 2132, 3396). [`pxe`]: options 43 and 175.
//! * [`client`]: who asks. [`question`]: who is answered. [`reply`]: with what, and where to.
//! * [`neighbors`]: what other servers on the network do that will get in our way; `watch` hears them.
//! * [`selection`]: which of several offers a client takes, and [`faults`]: what is wrong with each; for `pointsman probe`.
//! * [`server`]: the sockets, each a `socket` that [`listen`] bound, with a `listener` task that knows its `host`.
//! * [`v6`]: the same for DHCPv6.
//!
//! **Invariant**: only those five and `watch` do I/O and read the clock. What a client boots is decided elsewhere, behind
//! [`BootAnswers`].

pub mod client;
pub mod counters;
pub mod faults;
mod host;
pub mod listen;
mod listener;
pub mod neighbors;
pub mod offer;
pub mod packet;
pub mod pxe;
pub mod question;
pub mod reply;
pub mod selection;
pub mod server;
mod socket;
pub mod v6;
mod watch;
mod writer;

pub use counters::Counters;
pub use listen::{Listen, Sharing};
pub use reply::{Style, Styles};
pub use server::{BootAnswers, DhcpAnswer, DhcpQuestion, DhcpServer, ServerOptions};

#[cfg(test)]
mod sample;
