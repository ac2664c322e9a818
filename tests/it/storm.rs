//! Eight in the morning: every machine of the house boots at once.

use std::sync::Arc;
use std::time::Instant;

use pointsman::boot::Architecture;
use pointsman::simulate::{Ending, Installer, Machine, Server, Unwatched, boot};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::harness::Site;

const MACHINES: u16 = 400;

#[test]
fn hundreds_of_machines_boot_at_once_and_each_is_decided_once() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let site = Site::with_rules(
        "fn allow_boot(request) { allow() }\n\
         fn boot_images(request) { linux(#{ id: \"d\", title: \"d\", kernel: \"debian/linux\", cmdline: request.serial }) }",
    );
    let daemon = site.serve();
    let server = Server {
        address: [127, 0, 0, 1].into(),
        dhcp_port: daemon.port("dhcp"),
        boot_server_port: daemon.port("boot_server"),
        tftp_port: daemon.port("tftp"),
        ca: None,
    };
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut boots = JoinSet::new();
        for number in 0..MACHINES {
            let server = server.clone();
            boots.spawn(async move {
                let machine = machine(number);
                let report = boot(&machine, &server, Arc::new(Unwatched)).await;
                (number, report)
            });
        }
        while let Some(ended) = boots.join_next().await {
            let (number, report) = ended.unwrap();
            let report =
                report.unwrap_or_else(|failure| panic!("machine {number}: {failure}: {:#?}", failure.report.steps));
            assert_eq!(report.ending, Ending::Booted, "machine {number}: {:#?}", report.steps);
            assert!(report.script.contains(&format!("serial-{number} ")), "somebody else's script: {}", report.script);
        }
    });
    let metrics = daemon.get("/metrics");
    let decisions = format!("pointsman_decisions_total{{handler=\"script\",verdict=\"allow\"}} {}", MACHINES * 2);
    assert!(metrics.contains(&decisions), "in {:?}: {metrics}", started.elapsed());
}

fn machine(number: u16) -> Machine {
    let [high, low] = number.to_be_bytes();
    Machine {
        mac: [0x52, 0x54, 0, 7, high, low].into(),
        uuid: Uuid::from_u128(u128::from(number) + 1),
        architecture: if number.is_multiple_of(2) { Architecture::X64_UEFI } else { Architecture::X86_BIOS },
        facts: vec![("serial".into(), format!("serial-{number}"))],
        ipxe_rom: false,
        params: !number.is_multiple_of(3),
        https: false,
        pick: None,
        keys: Vec::new(),
        typed: Default::default(),
        installer: Installer::Silent,
    }
}
