//! Machines that boot by a row in a database: assigned once, booted once, and from then on their own disk.

use std::time::Duration;

use crate::assets::{BOOTED, COMMAND_LINE};
use crate::disk::{self, OWN_DISK};
use crate::lab::{BOOT_LIMIT, Lab};
use crate::machine::{Firmware, Plan};
use crate::server::{Rules, ServerUnderTest, Site};
use crate::servers::Postgres;

/// EDK2 and iPXE start the disk in seconds once they are told to.
const DISK_LIMIT: Duration = Duration::from_secs(200);

const HISTORY_LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_bios_machine_boots_once_by_a_row_in_sqlite() {
    let Some(mut lab) = Lab::open("bios-sqlite") else { return };
    let mut plan = Plan::new(Firmware::Bios, "52:54:00:aa:00:0b", "aa000000-0000-4000-8000-00000000000b");
    plan.disk = Some(disk::bios(&lab.evidence));
    let server = lab.serve(&Site::by(Rules::Store(None)));
    boots_once(&mut lab, &plan, &server);
}

#[test]
fn servers_postgresql_boots_a_uefi_machine_once_by_its_row() {
    let Some(mut lab) = Lab::open("uefi-postgres") else { return };
    let database = Postgres::start();
    let mut plan = Plan::new(Firmware::UefiX64, "52:54:00:aa:00:0c", "aa000000-0000-4000-8000-00000000000c");
    plan.disk = Some(disk::uefi(&lab.evidence));
    // The server is in a network namespace of its own: only the socket's file is in its reach.
    let server = lab.serve(&Site::by(Rules::Store(Some(database.socket_url()))));
    boots_once(&mut lab, &plan, &server);
}

/// The machine boots what it is assigned, and at the next time its own disk.
pub(crate) fn boots_once(lab: &mut Lab, plan: &Plan, server: &ServerUnderTest) {
    server.command(&["machine", "add", "lab-machine", "--uuid", plan.uuid]);
    let linux = ["--kind", "linux", "--kernel", "lab/vmlinuz", "--initrd", "lab/initramfs.gz"];
    let command_line = ["--cmdline", "console=ttyS0 quiet lab.from=row lab.done={done_url}"];
    server.command(&[&["image", "add", "linux"][..], &linux, &command_line].concat());
    server.command(&["assign", "lab-machine", "linux", "--mandatory", "--countdown", "0"]);
    let machine = lab.power_on(plan);
    lab.see(&machine, BOOTED, BOOT_LIMIT);
    let line = lab.see_line(&machine, COMMAND_LINE, BOOT_LIMIT);
    assert!(line.contains("lab.from=row") && line.contains("/done"), "{line}\n{}", lab.tails());
    let row = server.command(&["assignments", "--all", "--json"]);
    assert!(row.contains("\"started\""), "{row}\n{}", lab.tails());
    drop(machine);
    let machine = lab.power_on(plan);
    lab.see(&machine, OWN_DISK, DISK_LIMIT);
    let row = server.command(&["assignments", "--all", "--json"]);
    assert!(row.contains("\"started\""), "{row}");
    let since = std::time::Instant::now();
    loop {
        let boots = server.command(&["history", "lab-machine", "--json"]);
        let boots: Vec<serde_json::Value> = serde_json::from_str(&boots).expect("the history is JSON");
        if boots.len() >= 2 {
            return;
        }
        // It is written in the background, some seconds behind.
        assert!(since.elapsed() < HISTORY_LIMIT, "both boots are written down: {boots:#?}");
        std::thread::sleep(Duration::from_millis(500));
    }
}
