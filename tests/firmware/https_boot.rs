//! UEFI HTTP Boot by HTTPS: the firmware itself speaks TLS with the server, by the CA that is enrolled in it.

use crate::lab::Lab;
use crate::machine::{Firmware, Plan};
use crate::server::Site;
use crate::{ALLOW_ALL, ONE_LINUX, boots_linux};

#[test]
fn a_uefi_machine_with_the_ca_enrolled_boots_by_https_alone() {
    let Some(mut lab) = Lab::open("uefi-https-boot") else { return };
    let site = Site {
        loaders: Some(lab.assets.trixie_loaders()),
        more: "[https]\nhttp_boot = \"https\"\nipxe = \"https\"".into(),
        ..Site::new(ALLOW_ALL, ONE_LINUX)
    };
    let server = lab.serve(&site);
    let mut plan = Plan::new(Firmware::UefiX64Https, "52:54:00:aa:00:0b", "aa000000-0000-4000-8000-00000000000b");
    plan.trusted = Some(server.authority());
    let console = boots_linux(&mut lab, &plan, &server);
    for file in ["snponly.efi", "lab/vmlinuz", "lab/initramfs.gz"] {
        let loaded = console.lines().any(|line| line.contains("https://") && line.contains(file));
        assert!(loaded, "{file} was not loaded by HTTPS\n{}", lab.tails());
    }
}
