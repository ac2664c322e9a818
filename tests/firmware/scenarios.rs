//! Scenarios of `scripts/`, as they ship but for the names of the images, which are the lab's.

use crate::assets::{BOOTED, COMMAND_LINE};
use crate::lab::{BOOT_LIMIT, Lab};
use crate::machine::{Firmware, Machine, Plan};
use crate::server::Site;
use crate::{disk, person};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/");

/// The script of a scenario with these texts changed; each must be there.
fn rules(name: &str, changes: &[(&str, &str)]) -> String {
    let text = std::fs::read_to_string(format!("{SCRIPTS}{name}/site.rhai")).unwrap();
    changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{name} has no {from}");
        text.replace(from, to)
    })
}

/// Serves a scenario with its own data.
fn site<'a>(name: &str, rules: &'a str) -> Site<'a> {
    Site { data: Some(format!("{SCRIPTS}{name}")), ..Site::new(rules, rules) }
}

fn is_booted(lab: &Lab, machine: &Machine, with: &str) {
    lab.see(machine, BOOTED, BOOT_LIMIT);
    let command_line = lab.see_line(machine, COMMAND_LINE, BOOT_LIMIT);
    assert!(command_line.contains(with), "{command_line}\n{}", lab.tails());
}

#[test]
fn an_asset_is_installed_on_a_bios_machine() {
    let Some(mut lab) = Lab::open("bios-asset") else { return };
    let changes = [
        ("`${os}/linux`", "\"lab/vmlinuz\""),
        ("`${os}/initrd.gz`", "\"lab/initramfs.gz\""),
        ("`hostname=${asset.name} --- quiet`", "`console=ttyS0 quiet lab.name=${asset.name}`"),
    ];
    let rules = rules("asset-lookup", &changes);
    let plan = Plan::new(Firmware::Bios, "52:54:00:00:01:01", "aa000000-0000-4000-8000-000000000031");
    let server = lab.serve(&site("asset-lookup", &rules));
    let machine = lab.power_on(&plan);
    is_booted(&lab, &machine, "lab.name=pc-101");
    lab.decision(&server, &[("mac", plan.mac), ("images", "debian"), ("stage", "http")]);
}

#[test]
fn a_uefi_machine_has_its_place_in_a_rollout() {
    let Some(mut lab) = Lab::open("uefi-rollout") else { return };
    let changes = [
        ("`${name}/linux`", "\"lab/vmlinuz\""),
        (
            "initrd: `${name}/initrd.gz`",
            "initrd: \"lab/initramfs.gz\", cmdline: `console=ttyS0 quiet lab.gets=${name}`",
        ),
    ];
    let rules = rules("staged-rollout", &changes);
    // Held back until everybody has the new image, whatever day it is.
    let rules = rules.replace("percent >= 100", "percent > 100");
    let plan = Plan::new(Firmware::UefiX64, "52:54:00:00:07:02", "aa000000-0000-4000-8000-000000000032");
    let server = lab.serve(&site("staged-rollout", &rules));
    let machine = lab.power_on(&plan);
    is_booted(&lab, &machine, "lab.gets=debian-12");
    lab.decision(&server, &[("mac", plan.mac), ("images", "debian-12"), ("stage", "http")]);
}

#[test]
fn the_tools_are_offered_and_nobody_chooses() {
    let Some(mut lab) = Lab::open("bios-tools") else { return };
    let rules = rules("tools-menu", &[("\"22:00\", \"06:00\"", "\"00:00\", \"00:00\""), ("timeout: 15", "timeout: 3")]);
    let mut plan = Plan::new(Firmware::Bios, "52:54:00:aa:00:33", "aa000000-0000-4000-8000-000000000033");
    plan.disk = Some(disk::bios(&lab.evidence));
    let server = lab.serve(&site("tools-menu", &rules));
    let machine = lab.power_on(&plan);
    lab.see(&machine, "Rescue system", BOOT_LIMIT);
    lab.see(&machine, disk::OWN_DISK, BOOT_LIMIT);
    lab.decision(&server, &[("mac", plan.mac), ("verdict", "allow"), ("stage", "http")]);
}

#[test]
fn a_technician_logs_in_and_installs() {
    let Some(mut lab) = Lab::open("bios-technician") else { return };
    let changes = [
        ("kernel: \"debian/linux\"", "kernel: \"lab/vmlinuz\""),
        (
            "initrd: \"debian/initrd.gz\"",
            "initrd: \"lab/initramfs.gz\", cmdline: \"console=ttyS0 quiet lab.by=technician\"",
        ),
        ("timeout: 10", "timeout: 60"),
    ];
    let rules = rules("technician-login", &changes);
    let plan = Plan::new(Firmware::Bios, "52:54:00:aa:00:34", "aa000000-0000-4000-8000-000000000034");
    let people = format!("[people.user.ann]\nhash = \"{}\"\ngroups = [\"imaging\"]\n", person::hash("secret7"));
    let server = lab.serve(&Site { more: people, ..site("technician-login", &rules) });
    let machine = lab.power_on(&plan);
    lab.see(&machine, "Debian 12", BOOT_LIMIT);
    machine.types("i");
    lab.see(&machine, "Who installs?", BOOT_LIMIT);
    lab.see(&machine, "Press a key.", BOOT_LIMIT);
    machine.types("<spc>");
    lab.see(&machine, "Password:", BOOT_LIMIT);
    machine.types("ann<ret>secret7<ret>");
    is_booted(&lab, &machine, "lab.by=technician");
    lab.decision(&server, &[("mac", plan.mac), ("verdict", "allow"), ("stage", "http")]);
}
