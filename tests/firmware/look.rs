//! Cases of what iPXE shows: a key before work that is optional, a menu with colors, and an image that must be signed.

use crate::ALLOW_ALL;
use crate::assets::{BOOTED, COMMAND_LINE};
use crate::lab::{BOOT_LIMIT, Lab};
use crate::machine::{Firmware, Plan};
use crate::server::Site;

const RULES: &str = r##"
fn boot_images(request) {
    menu(#{
        title: "Dressed menu",
        prompt: #{ text: "Press M for the menu", key: "m", timeout: 60 },
        look: #{ size: [800, 600], colors: #{ text: "#ffffff", background: "#000040", selected_background: "#ffcc00" } },
        images: [
            linux(#{ id: "signed", title: "Signed only", key: "s", kernel: "lab/vmlinuz", verify: "required" }),
            linux(#{ id: "open", title: "Open to all", key: "o", kernel: "lab/vmlinuz",
                     initrd: "lab/initramfs.gz", cmdline: "console=ttyS0 quiet lab.who=open" }),
        ],
    })
}
"##;

/// The builds of Debian cannot verify: the image is not booted, the menu comes again, and another one boots.
fn shows(case: &str, plan: &Plan, is_old: bool) {
    let Some(mut lab) = Lab::open(case) else { return };
    let loaders = (!is_old).then(|| lab.assets.trixie_loaders());
    let server = lab.serve(&Site { loaders, ..Site::new(ALLOW_ALL, RULES) });
    let machine = lab.power_on(plan);
    lab.see(&machine, "Press M for the menu", BOOT_LIMIT);
    machine.types("m");
    lab.see(&machine, "Dressed menu", BOOT_LIMIT);
    lab.see(&machine, "[s] Signed only", BOOT_LIMIT);
    // The builds for a BIOS have no colors, and show the menu all the same.
    assert_eq!(machine.console.text().contains("colour: command not found"), is_old, "{}", lab.tails());
    machine.types("s");
    lab.see(&machine, "This build of iPXE cannot verify signatures.", BOOT_LIMIT);
    lab.see(&machine, "Signed only did not boot.", BOOT_LIMIT);
    machine.types("<spc>");
    let again = |said: &str| (said.matches("Dressed menu").count() >= 2).then_some(());
    machine.console.wait_for(BOOT_LIMIT, again).unwrap_or_else(|_| panic!("no menu again\n{}", lab.tails()));
    machine.types("o");
    lab.see(&machine, BOOTED, BOOT_LIMIT);
    let command_line = lab.see_line(&machine, COMMAND_LINE, BOOT_LIMIT);
    assert!(command_line.contains("lab.who=open"), "{command_line}\n{}", lab.tails());
    // Nothing of the signed image was asked for before.
    let kernels = server.files_sent().iter().filter(|entry| entry.to_string().contains("lab/vmlinuz")).count();
    assert_eq!(kernels, 1, "{}", lab.tails());
}

#[test]
fn a_bios_machine_waits_for_a_key_and_refuses_what_it_cannot_verify() {
    let plan = Plan::new(Firmware::Bios, "52:54:00:aa:00:71", "aa000000-0000-4000-8000-000000000071");
    shows("bios-look", &plan, true);
}

#[test]
fn a_uefi_machine_shows_colors_and_refuses_what_it_cannot_verify() {
    let plan = Plan::new(Firmware::UefiX64, "52:54:00:aa:00:72", "aa000000-0000-4000-8000-000000000072");
    shows("uefi-look", &plan, false);
}
