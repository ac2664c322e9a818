//! TFTP, reading only: RFC 1350 with options (2347), block size (2348), timeout and size (2349) and
//! windows (7440).
//!
//! # A transfer
//!
//! A client sends a read request (RRQ) to port 69. The answer comes from another port of ours: the pair
//! of the two ports identifies the transfer (RFC 1350 section 4). With options in the request that we
//! accept, the answer is an OACK, which the client acknowledges as block 0; otherwise it is block 1. Then
//! blocks go out, a window of them for each ACK, until one is shorter than the block size.
//!
//! # What we do beyond the letter
//!
//! * EDK2 asks for the size first, ends that transfer with ERROR 8 and asks again from another port. This
//!   is normal, is called a *size probe*, and is neither logged nor counted as a failure.
//! * An ACK that repeats the last one is never answered at once. EDK2 acknowledges every packet that
//!   comes out of order; a server that answers each with a window sends hundreds of thousands of packets
//!   for one that was lost. See [`transfer`].
//! * Block numbers go from 65,535 to 0.
//! * The block size never exceeds the path's MTU: many ROMs cannot put fragments together.
//! * A client that never sends its last ACK (GRUB) is content, and so are we: *unconfirmed*.
//! * A peer that was never heard may be forged: it gets the first packet and a few repetitions, no more.
//!
//! # What we refuse
//!
//! Writing, `mail` mode. `netascii` is served as it is: boot files are no text.
//!
//! # Where it is
//!
//! [`packet`] codec, [`options`] negotiation, [`transfer`] one transfer as a state machine without sockets
//! and clock, [`server`] the sockets, [`multicast`] one stream for many. What a client may have is decided by a [`TftpSource`].
//!
//! **Invariant**: nothing here knows who may boot what, and no file name is opened here.

mod counters;
mod intake;
pub mod multicast;
pub mod options;
pub mod packet;
mod pool;
mod reader;
mod registry;
pub mod server;
mod shard;
mod socket_task;
pub mod source;
pub mod transfer;

pub use counters::{TftpCounters, TftpStatistics};
pub use server::{TftpConfig, TftpError, TftpServer};
pub use source::{ReadRequest, Refusal, TftpSource};
pub use transfer::{RetryLimits, TransferOutcome, TransferResult};

#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod sim;
