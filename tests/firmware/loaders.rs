//! Cases where another loader than iPXE boots: shim with GRUB, and PXELINUX. Their configuration is made of the same two
//! scripts.

use std::time::Duration;

use crate::assets::{BOOTED, COMMAND_LINE};
use crate::disk::{self, OWN_DISK};
use crate::lab::{BOOT_LIMIT, Lab};
use crate::machine::{Firmware, Plan};
use crate::records::boots_once;
use crate::server::{Rules, Site};
use crate::{ALLOW_ALL, ONE_LINUX};

/// GRUB loads by TFTP in blocks of 1 KiB, one at a time: on a busy machine a kernel takes a minute.
const GRUB_LIMIT: Duration = Duration::from_secs(360);

/// Signed loaders for all UEFI machines.
const SHIM: &str = "fn allow_boot(request) { allow(#{ loader: \"shimx64.efi\" }) }\n";

/// A UEFI machine loads shim and GRUB, and GRUB boots the image of the script.
fn shim_and_grub_boot(case: &str, firmware: Firmware, mac: &'static str, uuid: &'static str) {
    let Some(mut lab) = Lab::open(case) else { return };
    let plan = Plan::new(firmware, mac, uuid);
    let server = lab.serve(&Site { more: lab.assets.trixie_signed(), ..Site::new(SHIM, ONE_LINUX) });
    let machine = lab.power_on(&plan);
    lab.see(&machine, BOOTED, GRUB_LIMIT);
    let command_line = lab.see_line(&machine, COMMAND_LINE, BOOT_LIMIT);
    assert!(command_line.contains(&format!("lab.mac={mac}")), "{command_line}\n{}", lab.tails());
    lab.decision(&server, &[("mac", mac), ("question", "boot_images"), ("verdict", "allow")]);
}

#[test]
fn shim_and_grub_boot_the_image_of_the_script() {
    shim_and_grub_boot("uefi-grub", Firmware::UefiX64, "52:54:00:aa:00:20", "aa000000-0000-4000-8000-000000000020");
}

#[test]
fn with_secure_boot_on_shim_and_grub_boot_a_signed_kernel() {
    shim_and_grub_boot(
        "uefi-secure-boot",
        Firmware::UefiX64Secure,
        "52:54:00:aa:00:21",
        "aa000000-0000-4000-8000-000000000021",
    );
}

#[test]
fn grub_leaves_to_the_own_disk() {
    const NOTHING: &str = "fn boot_images(request) { local_disk() }\n";
    let Some(mut lab) = Lab::open("uefi-grub-disk") else { return };
    let mut plan = Plan::new(Firmware::UefiX64, "52:54:00:aa:00:22", "aa000000-0000-4000-8000-000000000022");
    plan.disk = Some(disk::uefi(&lab.evidence));
    let _server = lab.serve(&Site { more: lab.assets.trixie_signed(), ..Site::new(SHIM, NOTHING) });
    let machine = lab.power_on(&plan);
    lab.see(&machine, "Starting from the local disk", BOOT_LIMIT);
    lab.see(&machine, OWN_DISK, BOOT_LIMIT);
}

/// The network card's ROM is iPXE, which is told a script, so that the script hands it to PXELINUX. That asks by TFTP,
/// and knows no token.
const TO_PXELINUX: &str = r#"
fn boot_images(request) {
    if request.stage == "tftp" {
        return linux(#{ kernel: "lab/vmlinuz", initrd: "lab/initramfs.gz",
                        cmdline: `console=ttyS0 quiet lab.mac=${request.mac}` });
    }
    ipxe("set 210:string tftp://10.77.0.2/\nchain tftp://10.77.0.2/pxelinux.0")
}
"#;

#[test]
fn pxelinux_boots_the_image_of_the_script() {
    let Some(mut lab) = Lab::open("bios-pxelinux") else { return };
    let plan = Plan::new(Firmware::Bios, "52:54:00:aa:00:23", "aa000000-0000-4000-8000-000000000023");
    let server = lab.serve(&Site::new(ALLOW_ALL, TO_PXELINUX));
    let machine = lab.power_on(&plan);
    lab.see(&machine, BOOTED, BOOT_LIMIT);
    let command_line = lab.see_line(&machine, COMMAND_LINE, BOOT_LIMIT);
    assert!(command_line.contains(&format!("lab.mac={}", plan.mac)), "{command_line}\n{}", lab.tails());
    lab.decision(&server, &[("mac", plan.mac), ("question", "boot_images"), ("stage", "tftp")]);
}

#[test]
fn grub_boots_once_what_a_row_assigns() {
    let Some(mut lab) = Lab::open("uefi-grub-once") else { return };
    let mut plan = Plan::new(Firmware::UefiX64, "52:54:00:aa:00:26", "aa000000-0000-4000-8000-000000000026");
    plan.disk = Some(disk::uefi(&lab.evidence));
    let more = lab.assets.trixie_signed();
    let site = Site { more, x64_uefi_loader: Some("shimx64.efi"), ..Site::by(Rules::Store(None)) };
    let server = lab.serve(&site);
    boots_once(&mut lab, &plan, &server);
    let by_http = |file: &str| server.files_sent().iter().any(|sent| sent["file"] == file);
    assert!(by_http("lab/vmlinuz") && by_http("lab/initramfs.gz"), "GRUB loads by HTTP\n{}", lab.tails());
}

/// iPXE in the ROM hands the machine to PXELINUX; what that does, rows say.
const PXELINUX_BY_ROWS: &str = r#"
fn boot_images(request) {
    if request.stage == "tftp" { return pass(); }
    ipxe("set 210:string tftp://10.77.0.2/\nchain tftp://10.77.0.2/pxelinux.0")
}
"#;

const THEN_THE_STORE: &str = "[[handler]]\nkind = \"sql\"\n";

#[test]
fn pxelinux_boots_once_what_a_row_assigns() {
    let Some(mut lab) = Lab::open("bios-pxelinux-once") else { return };
    let mut plan = Plan::new(Firmware::Bios, "52:54:00:aa:00:27", "aa000000-0000-4000-8000-000000000027");
    plan.disk = Some(disk::bios(&lab.evidence));
    let server = lab.serve(&Site { more: THEN_THE_STORE.into(), ..Site::new(ALLOW_ALL, PXELINUX_BY_ROWS) });
    boots_once(&mut lab, &plan, &server);
}

/// A row that is offered, and that the site's own query never lets begin.
const NEVER_BEGUN: &str = r#"
[store]
database = "site"

[database.site]
url = "sqlite:site.db?mode=rwc"

[[handler]]
kind = "sql"
database = "site"
machine = "SELECT 'lab' AS machine_id, :uuid AS uuid"
images = "SELECT 'linux' AS image, 'linux' AS kind, 'lab/vmlinuz' AS kernel, 'lab/initramfs.gz' AS initrd, 'console=ttyS0' AS cmdline, 1 AS mandatory, 0 AS countdown, '7' AS assignment"
started = "UPDATE assignment SET started_session = :session WHERE id = :assignment"
"#;

/// The machine loads what it is assigned, gets no consent, and boots its own disk; it shows this line.
fn without_consent_it_leaves_to_the_disk(
    case: &str,
    plan: Plan,
    shown: &str,
    site: impl FnOnce(&Lab) -> Site<'static>,
) {
    let Some(mut lab) = Lab::open(case) else { return };
    let bios = plan.firmware == Firmware::Bios;
    let disk = Some(if bios { disk::bios(&lab.evidence) } else { disk::uefi(&lab.evidence) });
    let site = site(&lab);
    let server = lab.serve(&Site { more: format!("{}{NEVER_BEGUN}", site.more), ..site });
    let machine = lab.power_on(&Plan { disk, ..plan });
    lab.see(&machine, OWN_DISK, GRUB_LIMIT);
    let console = machine.console.text();
    assert!(console.contains(shown) && !console.contains(BOOTED), "{}", lab.tails());
    assert!(!server.files_sent().is_empty(), "{}", lab.tails());
}

#[test]
fn grub_that_gets_no_consent_leaves_to_the_disk() {
    let plan = Plan::new(Firmware::UefiX64, "52:54:00:aa:00:28", "aa000000-0000-4000-8000-000000000028");
    const PASS: &str = "fn boot_images(request) { pass() }\n";
    let site = |lab: &Lab| Site { more: lab.assets.trixie_signed(), ..Site::new(SHIM, PASS) };
    without_consent_it_leaves_to_the_disk("uefi-grub-refused", plan, "did not agree to linux", site);
}

#[test]
fn pxelinux_that_gets_no_consent_leaves_to_the_disk() {
    let plan = Plan::new(Firmware::Bios, "52:54:00:aa:00:29", "aa000000-0000-4000-8000-000000000029");
    let site = |_: &Lab| Site::new(ALLOW_ALL, PXELINUX_BY_ROWS);
    without_consent_it_leaves_to_the_disk("bios-pxelinux-refused", plan, "failed: No such file", site);
}

/// A menu whose default is the own disk, reached from iPXE.
const DISK_BY_MENU: &str = r#"
fn boot_images(request) {
    menu(#{ title: "Lab menu", timeout: 2, default_image: "disk",
            images: [local_disk(#{ id: "disk", title: "Own disk" }), poweroff()] })
}
"#;

fn a_menu_leads_to_the_own_disk(case: &str, firmware: Firmware, mac: &'static str, uuid: &'static str) {
    let Some(mut lab) = Lab::open(case) else { return };
    let mut plan = Plan::new(firmware, mac, uuid);
    plan.disk = Some(if firmware == Firmware::Bios { disk::bios(&lab.evidence) } else { disk::uefi(&lab.evidence) });
    let server = lab.serve(&Site::new(ALLOW_ALL, DISK_BY_MENU));
    let machine = lab.power_on(&plan);
    lab.see(&machine, "Lab menu", BOOT_LIMIT);
    // UEFI goes on with its boot order: HTTP boot is before the disk, and nobody answers it.
    lab.see(&machine, OWN_DISK, GRUB_LIMIT);
    lab.decision(&server, &[("mac", mac), ("question", "boot_images"), ("verdict", "allow")]);
}

#[test]
fn a_menu_leads_a_bios_machine_to_its_own_disk_by_sanboot() {
    a_menu_leads_to_the_own_disk(
        "bios-menu-disk",
        Firmware::Bios,
        "52:54:00:aa:00:24",
        "aa000000-0000-4000-8000-000000000024",
    );
}

#[test]
fn a_menu_leads_a_uefi_machine_to_its_own_disk_by_exit() {
    a_menu_leads_to_the_own_disk(
        "uefi-menu-disk",
        Firmware::UefiX64,
        "52:54:00:aa:00:25",
        "aa000000-0000-4000-8000-000000000025",
    );
}
