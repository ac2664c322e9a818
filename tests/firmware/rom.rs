//! Cases of iPXE in a ROM: one that is too old for the site, and the program for machines that may not boot.

use pointsman::boot::Line;
use pointsman::loaders::{ABORT, abort_program};

use crate::disk::{self, OWN_DISK};
use crate::lab::{BOOT_LIMIT, Lab};
use crate::machine::{Firmware, Plan};
use crate::server::Site;
use crate::{ALLOW_ALL, ONE_LINUX, boots_linux};

/// Conformance case 45. QEMU's ROM is of 2019 and has no HTTPS. Debian's own build, which takes its place, has none either,
/// and is not replaced again.
#[test]
fn an_old_ipxe_rom_starts_the_server_s_ipxe_once_and_boots() {
    let Some(mut lab) = Lab::open("bios-newer-ipxe") else { return };
    let plan = Plan::new(Firmware::Bios, "52:54:00:aa:00:45", "aa000000-0000-4000-8000-000000000045");
    let more = "[loaders.ipxe]\nreplace = \"always\"".to_owned();
    let server = lab.serve(&Site { https: true, more, ..Site::new(ALLOW_ALL, ONE_LINUX) });
    let console = boots_linux(&mut lab, &plan, &server);
    assert!(console.contains("This iPXE lacks HTTPS."), "{}", lab.tails());
    let sent = server.files_sent().iter().filter(|line| line["file"] == "ipxe.pxe").count();
    assert_eq!(sent, 1, "{}", lab.tails());
}

/// Row M4 of the systems page: started as any boot program, it says why, returns with success, and the disk boots.
#[test]
fn the_program_for_denied_machines_returns_and_the_disk_boots() {
    let Some(mut lab) = Lab::open("bios-denied-program") else { return };
    let mut plan = Plan::new(Firmware::Bios, "52:54:00:aa:00:46", "aa000000-0000-4000-8000-000000000046");
    plan.disk = Some(disk::bios(&lab.evidence));
    let folder = lab.evidence.join("loaders");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(ABORT), abort_program(&Line::clean("stolen in May"))).unwrap();
    let runs = "fn boot_images(request) {\n    ipxe(\"chain http://${next-server}/loaders/abort.0 && echo It returned well ||\\n\
                sanboot --no-describe --drive 0x80\")\n}\n";
    let site = Site { loaders: Some(folder), more: "plain_paths = true".into(), ..Site::new(ALLOW_ALL, runs) };
    let _server = lab.serve(&site);
    let machine = lab.power_on(&plan);
    for text in ["This machine may not boot from the network.", "stolen in May", "It returned well", OWN_DISK] {
        lab.see(&machine, text, BOOT_LIMIT);
    }
}
