//! Machines that boot by IPv6, beside a DHCPv6 server that gives the addresses.

use crate::lab::Lab;
use crate::machine::{Firmware, Plan};
use crate::server::Site;
use crate::{ALLOW_ALL, ONE_LINUX, boots_linux};

/// DHCPv6 instead of DHCP, and a way in for iPXE, whose DHCPv6 server names it.
const IPV6_ONLY: &str = "[dhcp]\nenabled = false\n[dhcp6]\nenabled = true\n[http]\nentry = true\n";

fn site(lab: &Lab) -> Site<'static> {
    let loaders = Some(lab.assets.trixie_loaders());
    Site { loaders, more: IPV6_ONLY.to_owned(), ..Site::new(ALLOW_ALL, ONE_LINUX) }
}

#[test]
fn a_uefi_machine_boots_by_pxe_over_ipv6() {
    let Some(mut lab) = Lab::open_v6("uefi-pxe6") else { return };
    let plan = Plan::new(Firmware::UefiX64V6, "52:54:00:aa:00:61", "aa000000-0000-4000-8000-000000000061");
    let site = site(&lab);
    let server = lab.serve(&site);
    boots_linux(&mut lab, &plan, &server);
    let by_tftp = server.files_sent().into_iter().any(|entry| entry["message"] == "loaded by TFTP");
    assert!(by_tftp, "the loader came by TFTP\n{}", lab.tails());
}

#[test]
fn a_uefi_machine_boots_by_http_over_ipv6() {
    let Some(mut lab) = Lab::open_v6("uefi-http6") else { return };
    let plan = Plan::new(Firmware::UefiX64HttpV6, "52:54:00:aa:00:62", "aa000000-0000-4000-8000-000000000062");
    let site = site(&lab);
    let server = lab.serve(&site);
    boots_linux(&mut lab, &plan, &server);
}
