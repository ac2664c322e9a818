use super::*;
use crate::dhcp::v6::packet::{Writer, code};

fn probe_as(taker: Taker) -> Probe6 {
    Probe6 {
        taker,
        architecture: if taker == Taker::Http { Architecture::X64_UEFI_HTTP } else { Architecture::X64_UEFI },
        uuid: Uuid::from_u128(7),
        interface: "lo".into(),
        wait: Duration::from_millis(50),
        boot_server_port: 4011,
    }
}

fn peer() -> SocketAddr {
    "[fe80::2%3]:547".parse().unwrap()
}

fn offer(options: &[(u16, &[u8])]) -> Offer6 {
    let mut writer = Writer::new(MessageType::Advertise, 9);
    writer.option(code::SERVER_ID, &[0, 3, 0, 1, 2, 0, 0, 0, 0, 2]);
    for (code, value) in options {
        writer.option(*code, value);
    }
    read(&writer.finish(), peer(), 9).unwrap()
}

fn lease(more: &[(u16, &[u8])]) -> Offer6 {
    let address: Ipv6Addr = "fd77::1be".parse().unwrap();
    let ia = [&[0; 12][..], &[0, 5, 0, 24], &address.octets(), &[0; 8]].concat();
    offer(&[&[(code::IA_NA, ia.as_slice())], more].concat())
}

fn class(text: &[u8]) -> Vec<u8> {
    [&[0, 0, 1, 0x57, 0, text.len() as u8][..], text].concat()
}

fn proxy(url: &str) -> Offer6 {
    offer(&[(code::BOOT_FILE_URL, url.as_bytes()), (code::VENDOR_CLASS, &class(b"PXEClient"))])
}

const URL: &str = "tftp://[fd77::2]/b/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/snponly.efi";

fn reported(offers: Vec<Offer6>, boot_server: Option<BootServer>) -> Report6 {
    let choice = select(Taker::Uefi, &offers);
    let arrived = offers.into_iter().map(|offer| Arrived { offer, after: Duration::from_millis(5) }).collect();
    let routers = Ok(Vec::new());
    let heard = Heard { routers, question: MessageType::Solicit, arrived, choice, boot_server, own: None };
    report::report(&probe_as(Taker::Uefi), &heard)
}

#[test]
fn only_answers_to_the_question_are_read() {
    let question = ask::question(&probe_as(Taker::Uefi), MessageType::Solicit, 9, Duration::ZERO);
    assert!(read(&question, peer(), 9).is_none(), "a question is no answer");
    let advertise = Writer::new(MessageType::Advertise, 9).finish();
    assert!(read(&advertise, peer(), 9).is_some() && read(&advertise, peer(), 8).is_none());
    assert!(read(b"x", peer(), 9).is_none() && read(&advertise, "10.0.0.1:547".parse().unwrap(), 9).is_none());
}

#[test]
fn each_client_asks_in_its_own_words_and_takes_nothing() {
    for (taker, words) in [
        (Taker::Uefi, "PXEClient:Arch:00007:UNDI:003000"),
        (Taker::Http, "HTTPClient:Arch:00016:UNDI:003000"),
        (Taker::Ipxe, "PXEClient:Arch:00007:UNDI:003000"),
    ] {
        let probe = probe_as(taker);
        let read = |octets: &[u8]| Packet::parse(octets).unwrap().message;
        let solicit = read(&ask::question(&probe, MessageType::Solicit, 9, Duration::from_secs(4)));
        assert_eq!(solicit.options.get(code::VENDOR_CLASS), Some(&class(words.as_bytes())[..]));
        assert_eq!(solicit.options.get(code::ELAPSED_TIME), Some(&400_u16.to_be_bytes()[..]));
        assert_eq!(solicit.options.has(code::USER_CLASS), taker == Taker::Ipxe);
        assert!(solicit.options.has(code::IA_NA) && !solicit.options.has(14), "rapid commit would take an address");
        let stateless = read(&ask::question(&probe, MessageType::InformationRequest, 9, Duration::ZERO));
        assert!(!stateless.options.has(code::IA_NA));
        let request = read(&ask::boot_server_request(&probe, 9, &[1, 2, 3]));
        assert_eq!(
            (request.options.get(code::SERVER_ID), request.options.has(code::IA_NA)),
            (Some(&[1, 2, 3][..]), false)
        );
    }
}

#[test]
fn ipxe_asks_what_routers_tell_it() {
    let said = |is_managed| Advertisement {
        router: "fe80::1".parse().unwrap(),
        is_managed,
        has_other: true,
        lifetime_s: 60,
        prefixes: Vec::new(),
    };
    let ipxe = probe_as(Taker::Ipxe);
    assert_eq!(ipxe.question(&[said(false)]), MessageType::InformationRequest);
    assert_eq!(ipxe.question(&[said(false), said(true)]), MessageType::Solicit);
    assert_eq!(ipxe.question(&[]), MessageType::Solicit);
    assert_eq!(probe_as(Taker::Http).question(&[said(false)]), MessageType::Solicit);
}

#[test]
fn nobody_an_address_alone_and_a_silent_boot_server_are_no_good_reports() {
    let nobody = reported(vec![], None);
    assert!(!nobody.is_good() && nobody.lines().concat().contains("Nobody answered"));
    let alone = reported(vec![lease(&[])], None);
    assert!(!alone.is_good() && alone.lines().concat().contains("PXE-E16"), "{:?}", alone.lines());
    let silent = reported(vec![lease(&[]), proxy(URL)], Some(BootServer::Silent));
    assert!(!silent.is_good() && silent.lines().concat().contains("PXE-E18"), "{:?}", silent.lines());
    let good = reported(vec![lease(&[]), proxy(URL)], Some(BootServer::Answered(Box::new(proxy(URL)))));
    assert!(good.is_good(), "{:?}", good.lines());
    let text = good.lines().concat();
    assert!(text.contains("loads tftp://[fd77::2]/b/…/snponly.efi"), "{text}");
    assert!(!serde_json::to_string(&good).unwrap().contains("AAAA"), "no token is shown");
}

#[test]
fn what_is_in_the_way_is_told() {
    let hasty = reported(vec![lease(&[(code::PREFERENCE, &[255])]), proxy(URL)], None);
    assert!(!hasty.is_good() && hasty.conflicts.concat().contains("preference 255"), "{:?}", hasty.conflicts);
    let two = reported(vec![lease(&[]), proxy(URL), proxy(URL)], Some(BootServer::NotAsked));
    assert!(two.conflicts.concat().contains("2 servers"), "{:?}", two.conflicts);
    let faults = |offer: Offer6| reported(vec![lease(&[]), offer], None).answers.remove(1).faults.concat();
    assert!(faults(proxy("tftp://[fe80::2]/x")).contains("link-local"));
    assert!(faults(proxy("http://boot.example/x")).contains("tftp:// URLs only"));
    assert!(faults(offer(&[(code::BOOT_FILE_URL, URL.as_bytes())])).contains("without option 16"));
    let refused = reported(vec![offer(&[(code::STATUS_CODE, b"\0\x02no addresses")])], None);
    assert!(refused.lines().concat().contains("status 2 no addresses"), "{:?}", refused.lines());
}

#[tokio::test]
async fn an_interface_that_is_not_there_or_has_no_link_is_told() {
    let probe = Probe6 { interface: "nosuch0".into(), ..probe_as(Taker::Uefi) };
    assert!(probe.run().await.unwrap_err().to_string().contains("`nosuch0`"));
    let error = probe_as(Taker::Uefi).run().await.unwrap_err().to_string();
    assert!(error.contains("no link-local IPv6 address"), "{error}");
}
