//! Multicast TFTP: one stream of a file for many machines, where a link is slow and they come together.
//!
//! Two ways to ask, one way to send:
//!
//! * RFC 2090: the option `multicast` in a read request. The OACK names group, port and whether this machine is the
//!   *master*. iPXE does this for `tftm://` URLs, atftp with `--option multicast`.
//! * MTFTP of PXE (UDP 1759): machines listen on a group that they know beforehand, and ask where they hear nothing. Who
//!   gets a packet of its own is the master. iPXE does this for `mtftp://` URLs, atftp with `--mget`.
//!
//! Blocks go to the group, the next one when the master has acknowledged the one before; so a stream is never faster than
//! its slowest master, nor than the configured rate. The others listen. Once the master has all, the next machine becomes
//! master and is sent what it missed, which all others hear as well, until none is left.
//!
//! Only files that are the same for every machine are sent so; who may have one is decided for each, as for any transfer.
//! A machine that did not ask is served as ever, and so is one that asks for a file of 65,535 blocks or more, since the
//! wire's numbers of its blocks would not be unique for one that comes late.
//!
//! [`session`]: a stream and its machines, without sockets and clock. [`option`]: the option's value. [`casts`]: sockets.
//!
//! **Invariant**: nothing here runs for a site that did not switch it on, or for a machine that did not ask.

pub mod casts;
mod listener;
pub mod option;
mod pace;
pub mod session;

pub(super) use casts::{Casts, Wish};
pub use casts::{MtftpConfig, MulticastConfig};
pub(super) use listener::{addresses, listen};
