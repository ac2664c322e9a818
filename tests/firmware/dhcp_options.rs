//! The site's own DHCP server names the boot files, by what `pointsman print dhcp-config` writes; nobody answers as a
//! proxy. The first that the server hears of a machine is by TFTP or HTTP.

use crate::assets::{BOOTED, COMMAND_LINE};
use crate::lab::{BOOT_LIMIT, Lab};
use crate::machine::{Firmware, Plan};
use crate::server::Site;
use crate::{ALLOW_ALL, ONE_LINUX};

fn boots_by_dhcp_options(case: &str, plan: &Plan, loaders: impl FnOnce(&Lab) -> String) {
    let Some(mut lab) = Lab::open(case) else { return };
    let more = "[dhcp]\nenabled = false\n[http]\nentry = true\n[loaders]\nplain_paths = true\n".to_owned()
        + loaders(&lab).as_str();
    let site = lab.prepare("boot", &Site { more, ..Site::new(ALLOW_ALL, ONE_LINUX) });
    let lines = site.command(&lab.network, &["print", "dhcp-config", "--for", "dnsmasq"]);
    lab.restart_dhcp(&lines);
    let server = lab.start(site);
    let machine = lab.power_on(plan);
    lab.see(&machine, BOOTED, BOOT_LIMIT);
    let command_line = lab.see_line(&machine, COMMAND_LINE, BOOT_LIMIT);
    assert!(command_line.contains(&format!("lab.mac={}", plan.mac)), "{command_line}\n{}", lab.tails());
    let entry = lab.decision(&server, &[("mac", plan.mac), ("question", "boot_images"), ("arch", "x64-uefi")]);
    assert_eq!(entry["uuid"], plan.uuid, "{entry}");
    assert!(server.decisions().iter().all(|entry| entry["stage"] == "http"), "nobody answers DHCP\n{}", lab.tails());
}

#[test]
fn a_uefi_machine_boots_by_what_its_dhcp_server_is_told() {
    let plan = Plan::new(Firmware::UefiX64, "52:54:00:aa:00:41", "aa000000-0000-4000-8000-000000000041");
    boots_by_dhcp_options("uefi-options", &plan, |_| String::new());
}

#[test]
fn a_uefi_machine_boots_by_http_by_what_its_dhcp_server_is_told() {
    let plan = Plan::new(Firmware::UefiX64Http, "52:54:00:aa:00:42", "aa000000-0000-4000-8000-000000000042");
    boots_by_dhcp_options("uefi-http-options", &plan, |lab| format!("folders = [{:?}]\n", lab.assets.trixie_loaders()));
}
