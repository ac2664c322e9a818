//! Groups: a socket hears one on an interface, or says how far and where its own packets to groups go.
//!
//! **Invariant**: no protocol here.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use socket2::SockRef;

use super::udp::UdpSocket;

impl UdpSocket {
    /// Hears `group` on the interface with this index. Hearing it already is fine.
    ///
    /// # Errors
    /// When there is no such interface, or it knows no groups.
    pub fn join_v6(&self, group: Ipv6Addr, ifindex: u32) -> io::Result<()> {
        accept_again(SockRef::from(&self.borrowed()).join_multicast_v6(&group, ifindex))
    }

    /// Hears `group` on the interface with this address; `0.0.0.0` lets the system choose.
    ///
    /// # Errors
    /// As [`Self::join_v6`].
    pub fn join_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        accept_again(SockRef::from(&self.borrowed()).join_multicast_v4(&group, &interface))
    }

    /// Packets to groups leave by the interface with this address, through at most `hops - 1` routers, and are not
    /// heard on this host.
    ///
    /// # Errors
    /// When no interface has the address.
    pub fn send_to_groups_from(&self, interface: Ipv4Addr, hops: u32) -> io::Result<()> {
        let descriptor = self.borrowed();
        let socket = SockRef::from(&descriptor);
        if !interface.is_unspecified() {
            socket.set_multicast_if_v4(&interface)?;
        }
        socket.set_multicast_ttl_v4(hops)?;
        socket.set_multicast_loop_v4(false)
    }
}

pub(super) fn accept_again(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(()),
        result => result,
    }
}
