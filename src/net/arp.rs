//! Whose card is behind an address of this link: the kernel's table of neighbors, `/proc/net/arp`.
//!
//! **Invariant**: what stands there was said by the neighbor itself; it tells machines apart, and proves nothing.

use std::net::Ipv4Addr;

use crate::boot::HardwareAddress;

const TABLE: &str = "/proc/net/arp";
/// ATF_COM of `linux/if_arp.h`: the neighbor has answered.
const COMPLETE: u32 = 2;

/// The hardware address of a neighbor, where the kernel knows it. Reads a file of the kernel.
pub fn hardware_of(address: Ipv4Addr) -> Option<HardwareAddress> {
    find(&std::fs::read_to_string(TABLE).ok()?, address)
}

/// IP address, hardware type, flags, hardware address, mask, device; the first line names them.
fn find(table: &str, address: Ipv4Addr) -> Option<HardwareAddress> {
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_ascii_whitespace();
        let (ip, flags, hardware) = (columns.next()?, columns.nth(1)?, columns.next()?);
        let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok()?;
        let is_meant = ip.parse() == Ok(address) && flags & COMPLETE != 0;
        is_meant.then(|| hardware.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KNOWN: &str = "IP address       HW type     Flags       HW address            Mask     Device\n\
        10.0.0.7         0x1         0x0         00:00:00:00:00:00     *        eth0\n\
        10.0.0.8         0x1         0x2         b8:27:eb:00:00:08     *        eth0\n";

    #[test]
    fn only_who_has_answered_is_known() {
        let found = |last| find(KNOWN, Ipv4Addr::new(10, 0, 0, last)).map(|hardware| hardware.to_string());
        assert_eq!(found(8).as_deref(), Some("b8:27:eb:00:00:08"));
        assert_eq!((found(7), found(9)), (None, None));
    }

    proptest! {
        #[test]
        fn any_table_is_read(table in ".{0,300}") {
            let _ = find(&table, Ipv4Addr::LOCALHOST);
        }
    }
}
