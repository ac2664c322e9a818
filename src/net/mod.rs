//! Datagrams and addresses: what every transport needs of the network, and nothing of any protocol.
//!
//! * [`udp`]: a UDP socket that says where a datagram came in, and that sends from a chosen address.
//! * [`tcp`]: a listening TCP socket, or an error that says who has the port.
//! * [`interfaces`]: which addresses this host has, on which interface.
//! * [`advertise`]: the addresses that clients are told, where they are not this host's.
//! * [`port_holder`]: who holds a port that we could not bind.
//!
//! **Invariant**: nothing here knows DHCP, TFTP or HTTP.

pub mod advertise;
pub mod interfaces;
pub mod port_holder;
pub mod tcp;
pub mod udp;
mod udp_batch;
mod udp_calls;
