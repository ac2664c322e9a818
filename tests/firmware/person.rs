//! Cases where somebody types at the machine: what old and new builds of iPXE ask with, on a screen of their own.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params, PasswordHasher};

use crate::ALLOW_ALL;
use crate::assets::{BOOTED, COMMAND_LINE};
use crate::lab::{BOOT_LIMIT, Lab};
use crate::machine::{Firmware, Machine, Plan};
use crate::server::Site;

const LOGIN: &str = r#"
fn boot_images(request) {
    if request.person == () { return ask_login(#{ title: "Who installs here" }); }
    linux(#{ kernel: "lab/vmlinuz", initrd: "lab/initramfs.gz",
             cmdline: `console=ttyS0 quiet lab.who=${request.person.name}` })
}
"#;

const PIN: &str = r#"
fn boot_images(request) {
    menu(#{ title: "Lab menu", images: [
        local_disk("Own disk"),
        linux(#{ id: "open", title: "Open to all", group: "Install", key: "o", kernel: "lab/vmlinuz",
                 initrd: "lab/initramfs.gz", cmdline: "console=ttyS0 quiet lab.who=anybody" }),
        linux(#{ id: "guarded", title: "Not shown", hidden: true, key: "g", needs: ask_pin("PIN of the lab"),
                 kernel: "lab/vmlinuz", initrd: "lab/initramfs.gz",
                 cmdline: `console=ttyS0 quiet lab.who=admin` }),
    ] })
}
"#;

pub(crate) fn hash(secret: &str) -> String {
    let hash: PasswordHash =
        Argon2::from(Params::new(8, 1, 1, None).unwrap()).hash_password(secret.as_bytes()).unwrap();
    hash.to_string()
}

fn people() -> String {
    let (ann, lab) = (hash("secret7"), hash("246810"));
    format!("[people.user.ann]\nhash = \"{ann}\"\n[people.pin.lab]\nhash = \"{lab}\"\n")
}

fn is_booted(lab: &Lab, machine: &Machine, who: &str) {
    lab.see(machine, BOOTED, BOOT_LIMIT);
    let command_line = lab.see_line(machine, COMMAND_LINE, BOOT_LIMIT);
    assert!(command_line.contains(&format!("lab.who={who}")), "{command_line}\n{}", lab.tails());
}

#[test]
fn a_bios_machine_asks_for_user_name_and_password() {
    let Some(mut lab) = Lab::open("bios-login") else { return };
    let plan = Plan::new(Firmware::Bios, "52:54:00:aa:00:21", "aa000000-0000-4000-8000-000000000021");
    let server = lab.serve(&Site { more: people(), ..Site::new(ALLOW_ALL, LOGIN) });
    let machine = lab.power_on(&plan);
    lab.see(&machine, "Who installs here", BOOT_LIMIT);
    lab.see(&machine, "Press a key.", BOOT_LIMIT);
    machine.types("<spc>");
    lab.see(&machine, "Password:", BOOT_LIMIT);
    machine.types("ann<ret>wrong<ret>");
    lab.see(&machine, "That is not right. 4 more may be wrong.", BOOT_LIMIT);
    machine.types("<spc>");
    lab.see(&machine, "4 more may be wrong", BOOT_LIMIT);
    // The question comes again, and with it the line that waits for a key.
    let asked = |said: &str| (said.matches("Press a key.").count() >= 2).then_some(());
    machine.console.wait_for(BOOT_LIMIT, asked).unwrap_or_else(|_| panic!("not asked again\n{}", lab.tails()));
    machine.types("<spc>ann<ret>secret7<ret>");
    is_booted(&lab, &machine, "ann");
    lab.decision(&server, &[("mac", plan.mac), ("images", "ask login"), ("stage", "http")]);
}

#[test]
fn a_uefi_machine_shows_groups_and_asks_for_the_pin_of_a_hidden_image() {
    let Some(mut lab) = Lab::open("uefi-pin") else { return };
    let plan = Plan::new(Firmware::UefiX64, "52:54:00:aa:00:22", "aa000000-0000-4000-8000-000000000022");
    let loaders = Some(lab.assets.trixie_loaders());
    let server = lab.serve(&Site { more: people(), loaders, ..Site::new(ALLOW_ALL, PIN) });
    let machine = lab.power_on(&plan);
    lab.see(&machine, "Install", BOOT_LIMIT);
    lab.see(&machine, "[o] Open to all", BOOT_LIMIT);
    machine.types("g");
    lab.see(&machine, "Press the key again.", BOOT_LIMIT);
    machine.types("g");
    lab.see(&machine, "PIN of the lab", BOOT_LIMIT);
    machine.types("246810<ret>");
    is_booted(&lab, &machine, "admin");
    lab.decision(&server, &[("mac", plan.mac), ("verdict", "allow"), ("stage", "http")]);
}
