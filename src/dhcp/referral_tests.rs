//! What a machine is sent that another boot server takes over.

use std::net::Ipv4Addr;

use super::super::pxe::{BootServers, DiscoveryControl, MenuItem, MenuPrompt, VendorOptions};
use super::super::sample::*;
use super::*;
use crate::boot::{FactsForm, Line, Referral, ScriptHandOver};

const UPSTREAM: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
const WDS_FILE: &str = "boot\\x64\\wdsmgfw.efi";

#[test]
fn firmware_is_sent_to_a_list_of_one_boot_server() {
    for (request, message_type) in [(discover(0), 2), (discover(7), 2), (boot_server_request(), 5)] {
        let told = Told::BootServers(&[UPSTREAM], "Boot from main");
        let reply = request.with(97, &MACHINE_ID).answer_with(|context| context.told = told).unwrap();
        let expected = [
            &[6, 1, 3][..],
            &[8, 7, 0x80, 0, 1, 10, 0, 0, 9],
            &[9, 17, 0x80, 0, 14],
            b"Boot from main",
            &[10, 15, 0],
            b"Boot from main",
            &[255],
        ];
        assert_eq!(reply.option(43), Some(&expected.concat()[..]));
        assert_eq!(reply.option(53), Some(&[message_type][..]));
        assert_eq!((reply.file(), reply.option(67)), ("", None), "a boot file would be loaded instead");
        assert_eq!(reply.codes(), [53, 54, 60, 97, 43]);
        assert_eq!(reply.option(60), Some(&b"PXEClient"[..]));
    }
}

/// EDK2 takes an offer with any of the sub-options 6 to 10 as one that tells all (ProxyPxe10), also without a boot file; it
/// then looks for the type of the menu's first line in the list, and asks those servers by unicast.
#[test]
fn the_list_holds_what_firmware_looks_for() {
    let told = Told::BootServers(&[UPSTREAM, SERVER], "Boot from main");
    let offer = discover(7).answer_with(|context| context.told = told).unwrap();
    let read = VendorOptions::decode(offer.option(43).unwrap());
    assert_eq!(read.lint(), Ok(Vec::new()));
    assert_eq!(read.discovery_control, Some(DiscoveryControl::LISTED_SERVERS));
    assert!(!DiscoveryControl::LISTED_SERVERS.uses_boot_file());
    let [MenuItem { kind, text }] = &read.menu[..] else { panic!("{read:?}") };
    assert_ne!(*kind, 0, "type 0 is the local disk");
    assert_eq!(read.boot_servers, [BootServers { kind: *kind, addresses: vec![UPSTREAM, SERVER] }]);
    assert_eq!(read.prompt, Some(MenuPrompt { timeout_s: 0, text: text.clone() }), "taken at once");
}

#[test]
fn a_list_reaches_nobody_who_would_stop_on_it() {
    let try_list = |sample: Sample, servers: &[Ipv4Addr]| {
        let told = Told::BootServers(servers, "main");
        // The list does not live as long as the context.
        let asked = sample.ask().unwrap();
        let treatment = &Treatment::default();
        reply(&asked, &ReplyContext { server: SERVER, next_server: None, told, style: Style::Binl, treatment })
    };
    let http = discover(16).with(60, b"HTTPClient:Arch:00016:UNDI:003000");
    assert_eq!(try_list(http, &[UPSTREAM]), Err(NoReply::BootServers("http-boot")));
    assert_eq!(try_list(ipxe_discover(), &[UPSTREAM]), Err(NoReply::BootServers("ipxe")));
    assert!(matches!(try_list(discover(7), &[]), Err(NoReply::VendorOptions(VendorOptionsError::NoBootServers(_)))));
    assert!(matches!(try_list(discover(7), &[UPSTREAM; 80]), Err(NoReply::VendorOptions(_))));
    // Whatever fits, fits one option.
    for count in 1..80 {
        if let Ok(sent) = try_list(discover(7), &vec![UPSTREAM; count]) {
            assert!(sent.octets.len() < 600, "{count}");
        }
    }
    let long = format!("{}{}", "é".repeat(300), "x".repeat(300));
    let offer = discover(0).answer_with(|context| context.told = Told::BootServers(&[UPSTREAM], &long)).unwrap();
    assert_eq!(VendorOptions::decode(offer.option(43).unwrap()).menu[0].text, "x".repeat(60));
}

#[test]
fn firmware_is_sent_to_a_file_of_another_server() {
    for architecture in [0, 7] {
        let offer = discover(architecture)
            .answer_with(|context| {
                context.told = Told::File(WDS_FILE);
                context.next_server = Some(UPSTREAM);
            })
            .unwrap();
        assert_eq!(offer.octets(20..24), UPSTREAM.octets(), "siaddr");
        assert_eq!(offer.option(54), Some(&SERVER.octets()[..]));
        assert_eq!((offer.file(), offer.option(43)), (WDS_FILE, Some(&[6, 1, 8, 255][..])));
    }
}

#[test]
fn an_upstream_s_nonsense_reaches_nobody() {
    for (file, expect) in [("", NoReply::FileLength(0)), ("http://up/ipxe.efi", NoReply::UrlForFirmware)] {
        let reply = discover(7).answer_with(|context| {
            context.told = Told::File(file);
            context.next_server = Some(UPSTREAM);
        });
        assert_eq!(reply.unwrap_err(), expect);
    }
}

#[test]
fn a_referral_says_who_is_told_anything() {
    let file = FirmwareHandOver::File { server: UPSTREAM, file: Line::clean(WDS_FILE) };
    let url = FirmwareHandOver::Url("http://up/ipxe.efi".parse().unwrap());
    let check = |firmware: &FirmwareHandOver, script: bool, expect: [bool; 3]| {
        let script =
            script.then(|| ScriptHandOver { url: "http://up/boot.ipxe".parse().unwrap(), facts: FactsForm::Form });
        let verdict = Verdict::Refer(Referral { upstream: Line::clean("main"), firmware: firmware.clone(), script });
        let got = [Speaker::Firmware, Speaker::HttpBoot, Speaker::Ipxe].map(|speaker| answers(&verdict, speaker));
        assert_eq!(got, expect, "{verdict:?}");
    };
    check(&FirmwareHandOver::Loader, true, [true, true, true]);
    check(&FirmwareHandOver::Loader, false, [true, true, false]);
    check(&file, true, [true, false, true]);
    check(&file, false, [true, false, false]);
    check(&url, false, [false, true, false]);
    check(&FirmwareHandOver::BootServers(vec![UPSTREAM]), false, [true, false, false]);
    check(&FirmwareHandOver::Silence, true, [false, false, true]);
    check(&FirmwareHandOver::Silence, false, [false, false, false]);
}
