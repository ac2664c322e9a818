//! Datagrams and addresses: what every transport needs of the network, and nothing of any protocol.
//!
//! * [`udp`]: a UDP socket that says where a datagram came in, and that sends from a chosen address.
//! * `multicast`: groups: heard by a socket, or sent to.
//! * [`tcp`]: a listening TCP socket, or an error that says who has the port.
//! * [`interfaces`]: which addresses this host has, on which interface.
//! * [`arp`]: whose card is behind an address of this link.
//! * [`advertise`]: the addresses that clients are told, where they are not this host's.
//! * [`packet`], [`packet_v6`]: a port that another program has, heard all the same.
//! * [`router`]: what routers of a link say of IPv6.
//! * [`port_holder`]: who holds a port that we could not bind.
//!
//! **Invariant**: nothing here knows DHCP, TFTP or HTTP.

pub mod advertise;
pub mod arp;
pub mod interfaces;
mod multicast;
pub mod packet;
pub mod packet_v6;
pub mod port_holder;
pub mod router;
pub mod tcp;
pub mod udp;
mod udp_batch;
mod udp_calls;
