//! Real firmware boots through the real server: machines of QEMU, in network namespaces made for
//! each case, beside a plain DHCP server from Debian that knows nothing of network boot.
//!
//! Each case asserts on what the machine's serial console shows and on the server's decision log.
//! `target/firmware/<case>/` keeps the evidence: both logs, the capture of the bridge, the site.
//!
//! These tests need root, QEMU and about 1 GB of memory per machine; `tests/run` installs what is missing.
//! Without it they fail, unless `POINTSMAN_SKIP_FIRMWARE=1` says that they are not wanted.
//!
//! | module | what it is |
//! |---|---|
//! | [`lab`] | one case: all of the below together |
//! | [`network`], [`wan`] | namespaces, bridge, cables, a line of many kilometers |
//! | [`machine`] | QEMU and its firmware |
//! | [`server`] | the site and the server under test |
//! | [`records`] | cases where a row in a database decides; [`servers`] starts a database |
//! | [`architectures`] | machines that are no 64-bit x86 |
//! | [`loaders`] | cases where GRUB or PXELINUX boots |
//! | [`person`] | cases where somebody types at the machine |
//! | [`menus`] | cases where the firmware shows a menu |
//! | [`look`] | what iPXE shows: a key, colors, what must be signed |
//! | [`dhcp_options`] | cases where the site's DHCP server names the boot files |
//! | [`referral`] | cases where an upstream server decides |
//! | [`rom`] | cases of iPXE in a ROM, and of the program for denied machines |
//! | [`ipv6`] | cases without IPv4 |
//! | [`https_boot`] | a machine that loads everything by HTTPS |
//! | [`multicast`] | one stream for many receivers |
//! | [`assets`], [`disk`] | kernels, loaders, disks |
//! | [`process`], [`transcript`] | children that end with the test, and what they say |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that cannot go on says why and ends"
)]

mod architectures;
mod assets;
mod dhcp_options;
mod disk;
mod https_boot;
mod ipv6;
mod lab;
mod loaders;
mod look;
mod machine;
mod menus;
mod multicast;
mod network;
mod person;
mod process;
mod records;
mod referral;
mod rom;
mod scenarios;
mod server;
#[path = "../it/servers.rs"]
#[allow(dead_code, reason = "the other tests do more with them")]
mod servers;
mod transcript;
mod wan;

use std::time::Duration;

use serde_json::Value;

use assets::{BOOTED, COMMAND_LINE};
use disk::OWN_DISK;
use lab::{BOOT_LIMIT, Lab};
use machine::{Firmware, Plan};
use server::{ServerUnderTest, Site};

const ALLOW_ALL: &str = "fn allow_boot(request) { allow() }\n";

/// Allows all machines but [`DENIED_MAC`].
const DENY_ONE: &str = r#"
fn allow_boot(request) {
    if request.mac == "52:54:00:aa:00:0d" { return deny("stolen in May"); }
    allow()
}
"#;
const DENIED_MAC: &str = "52:54:00:aa:00:0d";
const DENIED_REASON: &str = "stolen in May";

/// One Linux, booted at once; what the server knows of the machine arrives in the kernel's command line.
const ONE_LINUX: &str = r#"
fn boot_images(request) {
    linux(#{ kernel: "lab/vmlinuz", initrd: "lab/initramfs.gz", cmdline: `console=ttyS0 quiet lab.mac=${request.mac}` })
}
"#;

#[test]
fn a_bios_machine_with_an_ipxe_rom_boots_the_image_of_the_script() {
    let Some(mut lab) = Lab::open("bios-rom") else { return };
    let plan = Plan::new(Firmware::Bios, "52:54:00:aa:00:01", "aa000000-0000-4000-8000-000000000001");
    let server = lab.serve(&Site::new(ALLOW_ALL, ONE_LINUX));
    boots_linux(&mut lab, &plan, &server);
    assert!(server.stop(), "the server ends well on SIGTERM\n{}", lab.tails());
}

#[test]
fn a_uefi_machine_loads_ipxe_by_tftp_and_boots_the_image_of_the_script() {
    let Some(mut lab) = Lab::open("uefi-pxe") else { return };
    let plan = Plan::new(Firmware::UefiX64, "52:54:00:aa:00:02", "aa000000-0000-4000-8000-000000000002");
    let server = lab.serve(&Site::new(ALLOW_ALL, ONE_LINUX));
    boots_linux(&mut lab, &plan, &server);
}

#[test]
fn a_uefi_machine_that_trusts_the_private_ca_boots_by_https() {
    let Some(mut lab) = Lab::open("uefi-https") else { return };
    let server =
        lab.serve(&Site { loaders: Some(lab.assets.trixie_loaders()), https: true, ..Site::new(ALLOW_ALL, ONE_LINUX) });
    let mut plan = Plan::new(Firmware::UefiX64, "52:54:00:aa:00:03", "aa000000-0000-4000-8000-000000000003");
    plan.trusted = Some(server.authority());
    let console = boots_linux(&mut lab, &plan, &server);
    for file in ["lab/vmlinuz", "lab/initramfs.gz"] {
        let loaded = console.lines().any(|line| line.contains("https://") && line.contains(file));
        assert!(loaded, "{file} was not loaded by HTTPS\n{}", lab.tails());
    }
}

#[test]
fn a_uefi_machine_loads_ipxe_by_http_boot_and_boots_the_image_of_the_script() {
    let Some(mut lab) = Lab::open("uefi-http") else { return };
    let plan = Plan::new(Firmware::UefiX64Http, "52:54:00:aa:00:0a", "aa000000-0000-4000-8000-00000000000a");
    let server = lab.serve(&Site { loaders: Some(lab.assets.trixie_loaders()), ..Site::new(ALLOW_ALL, ONE_LINUX) });
    boots_linux(&mut lab, &plan, &server);
}

#[test]
fn a_bios_machine_behind_a_relay_agent_boots_the_image_of_the_script() {
    let Some(mut lab) = Lab::open_routed("bios-relayed") else { return };
    let plan = Plan::new(Firmware::Bios, "52:54:00:aa:00:08", "aa000000-0000-4000-8000-000000000008");
    let server = lab.serve(&Site::new(ALLOW_ALL, ONE_LINUX));
    boots_linux(&mut lab, &plan, &server);
}

#[test]
fn a_uefi_machine_behind_a_relay_agent_boots_the_image_of_the_script() {
    let Some(mut lab) = Lab::open_routed("uefi-relayed") else { return };
    let plan = Plan::new(Firmware::UefiX64, "52:54:00:aa:00:09", "aa000000-0000-4000-8000-000000000009");
    let server = lab.serve(&Site { loaders: Some(lab.assets.trixie_loaders()), ..Site::new(ALLOW_ALL, ONE_LINUX) });
    boots_linux(&mut lab, &plan, &server);
}

#[test]
fn a_denied_bios_machine_boots_its_own_disk() {
    let Some(mut lab) = Lab::open("bios-denied") else { return };
    let mut plan = Plan::new(Firmware::Bios, DENIED_MAC, "aa000000-0000-4000-8000-000000000004");
    plan.disk = Some(disk::bios(&lab.evidence));
    let console = is_denied(&mut lab, &plan);
    assert!(console.contains(DENIED_REASON), "iPXE shows why\n{}", lab.tails());
}

#[test]
fn a_denied_uefi_machine_boots_its_own_disk() {
    let Some(mut lab) = Lab::open("uefi-denied") else { return };
    let mut plan = Plan::new(Firmware::UefiX64, DENIED_MAC, "aa000000-0000-4000-8000-000000000005");
    plan.disk = Some(disk::uefi(&lab.evidence));
    is_denied(&mut lab, &plan);
}

#[test]
fn a_menu_boots_its_default_after_its_timeout() {
    const MENU: &str = r#"
fn boot_images(request) {
    menu(#{
        title: "Lab menu",
        timeout: 4,
        default_image: "chosen",
        images: [
            local_disk("Own disk"),
            linux(#{ id: "chosen", title: "The default", kernel: "lab/vmlinuz", initrd: "lab/initramfs.gz",
                     cmdline: "console=ttyS0 quiet lab.from=menu" }),
            poweroff(),
        ],
    })
}
"#;
    let Some(mut lab) = Lab::open("bios-menu") else { return };
    let plan = Plan::new(Firmware::Bios, "52:54:00:aa:00:06", "aa000000-0000-4000-8000-000000000006");
    let server = lab.serve(&Site::new(ALLOW_ALL, MENU));
    let machine = lab.power_on(&plan);
    lab.see(&machine, "Lab menu", BOOT_LIMIT);
    lab.see(&machine, "The default", BOOT_LIMIT);
    lab.see(&machine, BOOTED, BOOT_LIMIT);
    let command_line = lab.see_line(&machine, COMMAND_LINE, BOOT_LIMIT);
    assert!(command_line.contains("lab.from=menu"), "{command_line}\n{}", lab.tails());
    lab.decision(&server, &[("mac", plan.mac), ("verdict", "allow"), ("stage", "http")]);
}

#[test]
fn the_network_installer_of_debian_shows_its_first_screen() {
    const INSTALLER: &str = r#"
fn boot_images(request) {
    linux(#{ kernel: "installer/linux", initrd: "installer/initrd.gz", cmdline: "console=ttyS0 --- quiet" })
}
"#;
    let Some(mut lab) = Lab::open("uefi-installer") else { return };
    let plan = Plan::new(Firmware::UefiX64, "52:54:00:aa:00:07", "aa000000-0000-4000-8000-000000000007");
    // The build with iPXE's own network drivers, for once.
    let server = lab.serve(&Site { x64_uefi_loader: Some("ipxe.efi"), ..Site::new(ALLOW_ALL, INSTALLER) });
    let machine = lab.power_on(&plan);
    lab.see(&machine, "Choose the language to be used for the installation process", 2 * BOOT_LIMIT);
    lab.decision(&server, &[("mac", plan.mac), ("verdict", "allow"), ("stage", "http")]);
}

/// Switches the machine on, and sees Linux of [`ONE_LINUX`] start and the decisions that led to it.
fn boots_linux(lab: &mut Lab, plan: &Plan, server: &ServerUnderTest) -> String {
    let machine = lab.power_on(plan);
    lab.see(&machine, BOOTED, BOOT_LIMIT);
    let command_line = lab.see_line(&machine, COMMAND_LINE, BOOT_LIMIT);
    assert!(
        command_line.contains(&format!("lab.mac={}", plan.mac)),
        "the kernel was started with {command_line:?}\n{}",
        lab.tails()
    );
    // A machine that booted by HTTP says so in its architecture; the iPXE that it loaded is plain x64 again.
    let (firmware, loader) = match plan.firmware {
        Firmware::Bios => ("x86-bios", "x86-bios"),
        Firmware::UefiX64 | Firmware::UefiX64V6 | Firmware::UefiX64Secure => ("x64-uefi", "x64-uefi"),
        Firmware::UefiX64Http | Firmware::UefiX64Https => ("x64-uefi-http", "x64-uefi"),
        // It asks no DHCP server of ours again: its script lies beside it.
        Firmware::UefiX64HttpV6 => ("x64-uefi-http", "x64-uefi-http"),
        Firmware::UefiIa32 => ("x86-uefi", "x86-uefi"),
        Firmware::UefiArm64 | Firmware::UBootArm64 => ("arm64-uefi", "arm64-uefi"),
    };
    let decision = |question, stage, architecture| {
        let machine = [("mac", plan.mac), ("uuid", plan.uuid), ("arch", architecture)];
        lab.decision(server, &[&machine[..], &[("question", question), ("stage", stage)]].concat())
    };
    let first = decision("allow_boot", "discover", firmware);
    let images = decision("boot_images", "http", loader);
    for entry in [&first, &images] {
        assert_eq!(entry["verdict"], "allow", "{entry}");
        assert_eq!(entry["handler"], "script", "{entry}");
        assert!(entry["ms"].is_number(), "{entry}");
    }
    assert_eq!(first["session"], images["session"], "one boot is one session\n{}", lab.tails());
    let sent = server.files_sent();
    for file in ["lab/vmlinuz", "lab/initramfs.gz"] {
        let log_tells = sent.iter().any(|entry| entry["file"] == file && entry["session"] == first["session"]);
        assert!(log_tells, "{file} was sent in the same session\n{}", lab.tails());
    }
    machine.console.text()
}

/// Switches the machine on, and sees that it gets nothing and goes on to its own disk.
fn is_denied(lab: &mut Lab, plan: &Plan) -> String {
    // EDK2 asks for a minute by PXE, then for another by HTTP boot, before it tries its disk.
    const FIRMWARE_PATIENCE: Duration = Duration::from_secs(300);
    let server = lab.serve(&Site::new(DENY_ONE, ONE_LINUX));
    let machine = lab.power_on(plan);
    lab.see(&machine, OWN_DISK, FIRMWARE_PATIENCE);
    let entry = lab.decision(&server, &[("mac", plan.mac), ("verdict", "deny")]);
    assert_eq!(entry["reason"], DENIED_REASON, "{entry}");
    for entry in server.decisions() {
        assert_eq!(entry["verdict"], "deny", "a denied machine is denied at each stage\n{}", lab.tails());
    }
    assert_eq!(server.files_sent(), Vec::<Value>::new(), "a denied machine gets no file\n{}", lab.tails());
    machine.console.text()
}
