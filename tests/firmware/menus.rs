//! Cases where the firmware itself shows a menu, before anything was loaded.

use crate::assets::{BOOTED, COMMAND_LINE};
use crate::lab::{BOOT_LIMIT, Lab};
use crate::machine::{Firmware, Plan};
use crate::server::Site;

const OFFER: &str = r#"
fn allow_boot(request) {
    allow(#{ menu: pxe_menu(#{ timeout: TIMEOUT, prompt: "Press M for the lab menu", local: "Own disk", entries: [
        #{ title: "Lab system", image: "lab" },
        #{ title: "Another", image: "other" },
    ] }) })
}
"#;

const IMAGES: &str = r#"
fn boot_images(request) {
    let image = |id| linux(#{ id: id, kernel: "lab/vmlinuz", initrd: "lab/initramfs.gz",
                              cmdline: `console=ttyS0 quiet lab.chosen=${request.choice} lab.id=${id}` });
    menu(#{ title: "Menu of iPXE", images: [image.call("other"), image.call("lab")] })
}
"#;

#[test]
fn a_uefi_machine_shows_the_menu_and_starts_the_line_that_is_chosen() {
    let Some(mut lab) = Lab::open("uefi-pxe-menu") else { return };
    let plan = Plan::new(Firmware::UefiX64, "52:54:00:aa:00:41", "aa000000-0000-4000-8000-000000000041");
    // 255 shows the menu at once and waits.
    let offer = OFFER.replace("TIMEOUT", "255");
    let server = lab.serve(&Site::new(&offer, IMAGES));
    let machine = lab.power_on(&plan);
    lab.see(&machine, "Own disk", BOOT_LIMIT);
    lab.see(&machine, "Lab system", BOOT_LIMIT);
    machine.types("<down><ret>");
    lab.see(&machine, BOOTED, BOOT_LIMIT);
    let command_line = lab.see_line(&machine, COMMAND_LINE, BOOT_LIMIT);
    assert!(command_line.contains("lab.chosen=lab lab.id=lab"), "{command_line}\n{}", lab.tails());
    lab.decision(&server, &[("mac", plan.mac), ("verdict", "allow"), ("stage", "discover")]);
}
