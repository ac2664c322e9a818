//! Cases where the machine is no 64-bit x86: one boot each, in emulation.

use std::time::Duration;

use crate::ALLOW_ALL;
use crate::disk::{self, OWN_DISK};
use crate::lab::Lab;
use crate::machine::{Firmware, Plan};
use crate::server::Site;

/// Emulation of another processor is slow.
const LIMIT: Duration = Duration::from_secs(300);

/// The machine shows what the script made of what it is.
const SHOW: &str = r#"
fn boot_images(request) { ipxe(`echo POINTSMAN-LAB IS ${request.architecture} by ${request.buildarch}\npoweroff`) }
"#;

/// The machine's firmware loads iPXE for its processor, and that boots by the script.
fn boots_by_the_script(case: &str, plan: &Plan, site: impl FnOnce(&Lab) -> Site<'static>, shown: &str) {
    let Some(mut lab) = Lab::open(case) else { return };
    let server = lab.serve(&site(&lab));
    let machine = lab.power_on(plan);
    lab.see(&machine, &format!("POINTSMAN-LAB IS {shown}"), LIMIT);
    lab.decision(&server, &[("mac", plan.mac), ("question", "boot_images"), ("verdict", "allow")]);
}

#[test]
fn a_64_bit_arm_machine_loads_ipxe_by_tftp_and_boots_by_the_script() {
    let plan = Plan::new(Firmware::UefiArm64, "52:54:00:aa:00:30", "aa000000-0000-4000-8000-000000000030");
    // Debian 12 has no build for it.
    let site = |lab: &Lab| Site { loaders: Some(lab.assets.trixie_loaders()), ..Site::new(ALLOW_ALL, SHOW) };
    boots_by_the_script("uefi-arm64", &plan, site, "arm64-uefi by arm64");
}

#[test]
fn a_32_bit_uefi_machine_starts_the_loader_of_its_architecture() {
    let plan = Plan::new(Firmware::UefiIa32, "52:54:00:aa:00:31", "aa000000-0000-4000-8000-000000000031");
    let Some(mut lab) = Lab::open("uefi-ia32") else { return };
    let loader = lab.evidence.join("ia32.efi");
    disk::ia32_loader(&loader);
    let names = format!("[loaders.files]\nx86-uefi = \"ia32.efi\"\n[loaders.names]\n\"ia32.efi\" = {loader:?}\n");
    let server = lab.serve(&Site { more: names, ..Site::new(ALLOW_ALL, SHOW) });
    let machine = lab.power_on(&plan);
    // It prints what the loader on a disk would.
    lab.see(&machine, OWN_DISK, LIMIT);
    lab.decision(&server, &[("mac", plan.mac), ("question", "allow_boot"), ("arch", "x86-uefi")]);
}

/// What `pointsman print dhcp-config` leaves to the site: U-Boot looks for a script of its own first, and waits for every
/// server that does not answer.
const U_BOOT: &str = "dhcp-vendorclass=set:uboot,U-Boot\ndhcp-boot=tag:uboot,boot.scr.uimg,,10.77.0.2\n";

/// U-Boot (as Debian builds it) takes address, server and file from one DHCP server, so that this must name ours: it passes
/// over what a proxy offers, whichever comes first. It starts iPXE as a program of UEFI, which does not get further there
/// than its question for a key.
#[test]
fn u_boot_starts_the_ipxe_that_its_dhcp_server_names() {
    // The address is its own choice: it does not read that of QEMU's card.
    let plan = Plan::new(Firmware::UBootArm64, "52:52:52:52:52:52", "aa000000-0000-4000-8000-000000000032");
    let Some(mut lab) = Lab::open("uboot-arm64") else { return };
    let options = "[dhcp]\nenabled = false\n[http]\nentry = true\n[loaders]\nplain_paths = true\n";
    let folder = format!("folders = [{:?}]\n", lab.assets.trixie_loaders());
    let site = lab.prepare("boot", &Site { more: format!("{options}{folder}"), ..Site::new(ALLOW_ALL, SHOW) });
    let lines = site.command(&lab.network, &["print", "dhcp-config", "--for", "dnsmasq"]);
    lab.restart_dhcp(&format!("{lines}{U_BOOT}"));
    let server = lab.start(site);
    let machine = lab.power_on(&plan);
    lab.see(&machine, "Filename 'boot.scr.uimg'", LIMIT);
    lab.see(&machine, "Filename 'loaders/ipxe-arm64.efi'", LIMIT);
    lab.see(&machine, "iPXE initialising devices", LIMIT);
    assert!(!server.files_sent().is_empty(), "{}", lab.tails());
}
