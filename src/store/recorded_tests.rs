//! Any request comes back as it was; nothing that stands in the table is more than an error.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::boot::{
    Account, Architecture, FACTS, Found, IdentityStatus, IpxeBuild, KeyTrust, Line, MachineId, Method, Network, NicBus,
    Outcome, Reading, Relay, Step, Verdict,
};

/// A line as DHCP gives it: printable ASCII, without what a line cannot hold.
fn text() -> impl Strategy<Value = String> {
    "[ -~]{0,40}".prop_map(|text| text.replace("${", ""))
}

fn client() -> impl Strategy<Value = Client> {
    let ipxe = (any::<Option<(u8, u8, u8)>>(), 0..22usize, any::<Option<(u8, u16, u16)>>()).prop_map(
        |(version, features, nic)| IpxeBuild {
            version,
            features: IpxeBuild::FEATURES[..features].iter().map(|(_, name)| *name).collect(),
            nic: nic.map(|(bus, vendor, device)| NicBus { bus, vendor, device }),
        },
    );
    let some = (any::<[u8; 6]>(), any::<Option<u128>>(), any::<u16>(), any::<Option<(u8, u8)>>());
    (some, text(), text(), text(), proptest::option::of(ipxe)).prop_map(
        |((mac, uuid, architecture, undi), vendor_class, user_class, hostname, ipxe)| Client {
            machine_id: uuid.map(|uuid| MachineId::from_uuid(Uuid::from_u128(uuid))),
            vendor_class,
            user_class,
            undi,
            ipxe,
            hostname,
            ..Client::new(mac.into(), Architecture::from_code(architecture))
        },
    )
}

fn network() -> impl Strategy<Value = Network> {
    let octets = || proptest::collection::vec(any::<u8>(), 0..255);
    let relay = (any::<[u8; 4]>(), octets(), octets(), any::<Option<[u8; 4]>>()).prop_map(
        |(giaddr, circuit_id, remote_id, link)| Relay {
            giaddr: giaddr.into(),
            circuit_id,
            remote_id,
            link_selection: link.map(Into::into),
        },
    );
    (text(), any::<Option<[u8; 4]>>(), any::<Option<u128>>(), proptest::option::of(relay), text()).prop_map(
        |(interface, server, client, relay, site)| Network {
            interface: interface.as_str().into(),
            server: server.map(Into::into),
            client: client.map(|address| std::net::Ipv6Addr::from(address).into()),
            relay,
            site: site.as_str().into(),
        },
    )
}

fn record() -> impl Strategy<Value = Record> {
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Integer),
        (-1e9..1e9f64).prop_map(Value::Float),
        "\\PC{0,40}".prop_map(Value::Text),
    ];
    proptest::collection::vec(("[a-z_]{1,12}", value), 0..10).prop_map(|columns| columns.into_iter().collect())
}

fn identity() -> impl Strategy<Value = Identity> {
    let names = || proptest::collection::vec("\\PC{0,12}", 0..3);
    (0..3usize, "\\PC{0,20}", names(), names(), names(), 0..4usize).prop_map(
        |(status, machine, matched_by, candidates, why, trust)| Identity {
            status: [IdentityStatus::Known, IdentityStatus::Unknown, IdentityStatus::Ambiguous][status],
            machine,
            matched_by,
            candidates,
            why,
            uuid_trust: [KeyTrust::Good, KeyTrust::Absent, KeyTrust::Placeholder, KeyTrust::Shared][trust],
            mac_trust: KeyTrust::Good,
        },
    )
}

prop_compose! {
    fn request()(
        session in any::<[u8; 6]>(), stage in 0..4usize, client in client(), network in network(),
        facts in proptest::collection::vec((0..FACTS.len(), "\\PC{1,40}"), 0..8),
        record in proptest::option::of(record()), identity in identity(),
        person in proptest::option::of(("[a-z]{1,9}", 0..3usize)), quirks in proptest::collection::vec("[a-z-]{1,9}", 0..3), choice in proptest::option::of("[a-z]{1,9}"), second in 0..4_000_000_000i64, nano in 0..999_999_999i32,
    ) -> BootRequest {
        let mut machine = Machine::default();
        for (fact, value) in &facts {
            machine.insert(FACTS[*fact].name, value);
        }
        let now = Timestamp::new(second, nano).unwrap();
        let person = person.map(|(name, method)| Person {
            name: Line::clean(&name),
            method: [Method::Pin, Method::Login, Method::Approval][method],
            groups: vec![name],
            at: now,
        });
        BootRequest {
            session: SessionId(session), stage: Stage::ALL[stage], client, network, machine,
            record: record.map(Arc::new), identity: Arc::new(identity), person: person.map(Arc::new), quirks: quirks.into_iter().map(Arc::from).collect(), choice: choice.map(Arc::from), now,
        }
    }
}

fn same(one: &BootRequest, other: &BootRequest) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

proptest! {
    #[test]
    fn any_request_comes_back_as_it_was(request in request()) {
        let text = Recorded::of(&request).write().unwrap();
        let read = Recorded::read(&text).unwrap();
        prop_assert!(same(&read, &request), "{request:#?}\n{read:#?}");
    }

    #[test]
    fn garbage_is_an_error_and_nothing_worse(text in "\\PC{0,200}|[\\[\\]{}:,\"a-z0-9]{0,200}") {
        let _ = Recorded::read(&text);
        let _ = read_decision(&text);
    }

    #[test]
    fn what_was_damaged_is_an_error_or_a_request(
        request in request(), at in any::<proptest::sample::Index>(), with in "[\"{}\\[\\]0-9a-z,:]{0,3}",
    ) {
        let mut text = Recorded::of(&request).write().unwrap();
        let at = text.floor_char_boundary(at.index(text.len()));
        let end = text.ceil_char_boundary((at + with.len()).min(text.len()));
        text.replace_range(at..end, &with);
        let _ = Recorded::read(&text);
    }
}

#[test]
fn what_is_longer_than_it_may_be_is_not_kept_and_not_read() {
    let mut wide = Record::default();
    wide.insert("note", "x".repeat(BootEntry::JSON_LEN_MAX));
    let mut request = plain();
    request.record = Some(Arc::new(wide));
    assert_eq!(Recorded::of(&request).write(), None);
    let text = format!("{}{}", " ".repeat(BootEntry::JSON_LEN_MAX), Recorded::of(&plain()).write().unwrap());
    assert!(matches!(Recorded::read(&text), Err(RecordedError::Broken(_))));
    assert!(matches!(read_decision(&text), Err(RecordedError::Broken(_))));
}

#[test]
fn a_later_form_says_so_and_an_unknown_key_is_passed_over() {
    let text = Recorded::of(&plain()).write().unwrap();
    let later = text.replacen("\"v\":1", "\"v\":2", 1);
    assert_eq!(Recorded::read(&later).unwrap_err(), RecordedError::Newer(2));
    assert_eq!(Recorded::read("{\"v\": 7, \"client\": 1}").unwrap_err(), RecordedError::Newer(7));
    let more = text.replacen("\"v\":1", "\"v\":1,\"mood\":\"good\"", 1);
    assert!(same(&Recorded::read(&more).unwrap(), &plain()));
    // Facts that no machine may send, or longer than it may.
    let long = text.replacen(
        "\"stage\"",
        &format!("\"machine\":{{\"x\":\"1\",\"serial\":\"{}\"}},\"stage\"", "9".repeat(999)),
        1,
    );
    let read = Recorded::read(&long).unwrap();
    assert_eq!((read.machine.iter().count(), read.machine.get("serial").unwrap().len()), (1, Machine::VALUE_LEN_MAX));
}

#[test]
fn a_decision_comes_back_with_what_the_script_was_told() {
    let reading = Reading {
        source: "query cmdb.owner".into(),
        asked: serde_json::json!({"serial": "X1"}),
        found: Found::Answer(serde_json::json!([{"owner": "ann"}])),
    };
    let account =
        Account { scripts: "abc".into(), line: "a.rhai:3".into(), readings: vec![reading], log: vec!["hello".into()] };
    let step = Step {
        handler: "site".into(),
        outcome: Outcome::Given,
        detail: "deny".into(),
        elapsed_us: 5,
        account: Some(Box::new(account)),
    };
    let verdict = Verdict::deny("not ours");
    let decision = BootDecision { verdict, images: None, handler: "site".into(), trail: vec![step], elapsed_us: 9 };
    assert_eq!(read_decision(&serde_json::to_string(&decision).unwrap()), Ok(decision));
}

fn plain() -> BootRequest {
    BootRequest::new(
        SessionId([1; 6]),
        Stage::Discover,
        Client::new([2, 0, 0, 0, 0, 1].into(), Architecture::X64_UEFI),
        Timestamp::UNIX_EPOCH,
    )
}
