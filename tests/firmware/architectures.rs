//! Cases where the machine is no 64-bit x86: one boot each, in emulation.

use std::time::Duration;

use crate::ALLOW_ALL;
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
fn a_32_bit_uefi_machine_loads_ipxe_by_tftp_and_boots_by_the_script() {
    let plan = Plan::new(Firmware::UefiIa32, "52:54:00:aa:00:31", "aa000000-0000-4000-8000-000000000031");
    boots_by_the_script("uefi-ia32", &plan, |_| Site::new(ALLOW_ALL, SHOW), "ia32-uefi by i386");
}

#[test]
fn u_boot_asks() {
    let plan = Plan::new(Firmware::UBootArm64, "52:54:00:aa:00:32", "aa000000-0000-4000-8000-000000000032");
    let Some(mut lab) = Lab::open("uboot-arm64") else { return };
    let _server = lab.serve(&Site { loaders: Some(lab.assets.trixie_loaders()), ..Site::new(ALLOW_ALL, SHOW) });
    let machine = lab.power_on(&plan);
    lab.see(&machine, "POINTSMAN-LAB IS", Duration::from_secs(120));
}
