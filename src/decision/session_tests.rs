use uuid::Uuid;

use crate::boot::{Architecture, IpxeBuild};

use super::*;

fn client(ipxe: bool) -> Client {
    let mut client = Client::new([2, 0, 0, 0, 0, 1].into(), Architecture::X64_UEFI);
    client.machine_id = Some(MachineId::from_uuid(Uuid::from_u128(1)));
    client.ipxe = ipxe.then(IpxeBuild::default);
    client
}

fn sessions() -> Sessions {
    Sessions::new(TokenKey::new(&[1; 32]), 100)
}

#[test]
fn one_boot_has_one_session_from_discover_to_the_script() {
    let (sessions, now) = (sessions(), Timestamp::now());
    let first = sessions.for_packet(&client(false), 1, Stage::Discover, now);
    let id = |ipxe, xid, stage| sessions.for_packet(&client(ipxe), xid, stage, now).id();
    assert_eq!(id(false, 1, Stage::Discover), first.id());
    assert_eq!(id(false, 77, Stage::BootServer), first.id(), "EDK2 takes a new xid on 4011");
    assert!(first.advance(Progress::LoaderFetched));
    assert!(!first.advance(Progress::LoaderFetched));
    assert_eq!(id(true, 2, Stage::Discover), first.id(), "iPXE goes on with the boot");
    assert!(first.client().is_ipxe());
    assert_eq!(sessions.resume(&sessions.token(&first, true, now), now).unwrap().id(), first.id());
}

#[test]
fn a_restarted_machine_begins_anew() {
    let (sessions, now) = (sessions(), Timestamp::now());
    let first = sessions.for_packet(&client(false), 1, Stage::Discover, now);
    first.advance(Progress::LoaderFetched);
    let second = sessions.for_packet(&client(false), 2, Stage::Discover, now);
    assert_ne!(second.id(), first.id());
    second.advance(Progress::ScriptServed);
    assert_ne!(sessions.for_packet(&client(true), 3, Stage::Discover, now).id(), second.id());
}

#[test]
fn a_restarted_machine_begins_anew_also_when_its_firmware_has_one_transaction_id() {
    let (sessions, now) = (sessions(), Timestamp::now());
    let first = sessions.for_packet(&client(false), 1, Stage::Discover, now);
    first.advance(Progress::ScriptServed);
    let id = |seconds| sessions.for_packet(&client(false), 1, Stage::Discover, now + seconds).id();
    assert_eq!(id(SignedDuration::from_secs(5)), first.id(), "the packet came twice");
    assert_ne!(id(SignedDuration::from_mins(10)), first.id(), "an assignment would be given to it again");
}

#[test]
fn another_machine_behind_the_same_adapter_is_another_boot() {
    let (sessions, now) = (sessions(), Timestamp::now());
    let first = sessions.for_packet(&client(false), 1, Stage::Discover, now);
    let mut other = client(false);
    other.machine_id = Some(MachineId::from_uuid(Uuid::from_u128(2)));
    assert_ne!(sessions.for_packet(&other, 1, Stage::Discover, now).id(), first.id());
}

#[test]
fn a_forgotten_session_is_found_again_by_its_token() {
    let now = Timestamp::now();
    let before = sessions();
    let first = before.for_packet(&client(false), 1, Stage::Discover, now);
    let token = before.token(&first, true, now);
    let restarted = sessions();
    let again = restarted.resume(&token, now).unwrap();
    assert_eq!((again.id(), again.client().machine_id), (first.id(), first.client().machine_id));
    assert!(Arc::ptr_eq(&again, &restarted.resume(&token, now).unwrap()), "it is one session from then on");
    assert!(restarted.resume("nonsense", now).is_err());
}

#[test]
fn an_old_token_does_not_displace_a_newer_boot() {
    let (sessions, now) = (sessions(), Timestamp::now());
    let old = sessions.for_packet(&client(false), 1, Stage::Discover, now);
    old.advance(Progress::LoaderFetched);
    let new = sessions.for_packet(&client(false), 2, Stage::Discover, now);
    assert_eq!(sessions.resume(&sessions.token(&old, true, now), now).unwrap().id(), old.id());
    assert_eq!(sessions.resume(&sessions.token(&new, true, now), now).unwrap().id(), new.id());
}

#[test]
fn a_machine_that_asks_all_night_gets_a_new_session_and_a_fresh_token() {
    let (sessions, now) = (sessions(), Timestamp::now());
    let first = sessions.for_packet(&client(false), 1, Stage::Discover, now);
    let morning = now + SignedDuration::from_hours(13);
    let second = sessions.for_packet(&client(false), 1, Stage::Discover, morning);
    assert_ne!(first.id(), second.id());
    assert!(sessions.resume(&sessions.token(&second, true, morning), morning).is_ok());
    assert!(sessions.resume(&sessions.token(&first, true, now), morning).is_err());
}

#[test]
fn a_boot_at_a_site_is_one_session_and_nobody_else_s() {
    let (sessions, now) = (sessions(), Timestamp::now());
    let (lyon, oslo): (Arc<str>, Arc<str>) = ("lyon".into(), "oslo".into());
    let local = sessions.for_packet(&client(false), 1, Stage::Discover, now);
    let theirs = sessions.for_site(&lyon, local.id(), &client(false), now);
    assert_ne!(theirs.id(), local.id());
    let id = |site, id, client: &Client| sessions.for_site(site, id, client, now).id();
    assert_eq!(id(&lyon, local.id(), &client(true)), theirs.id());
    assert!(theirs.client().is_ipxe(), "as the site server sees it now");
    assert_ne!(id(&oslo, local.id(), &client(false)), theirs.id());
    assert_ne!(id(&lyon, theirs.id(), &client(false)), theirs.id());
    let other = Client::new([2, 0, 0, 0, 0, 2].into(), Architecture::X64_UEFI);
    assert_ne!(id(&lyon, local.id(), &other), theirs.id());
    let elsewhere = Sessions::new(TokenKey::new(&[1; 32]), 100);
    assert_eq!(elsewhere.for_site(&lyon, local.id(), &client(false), now).id(), theirs.id());
    let foreign = Sessions::new(TokenKey::new(&[2; 32]), 100);
    assert_ne!(foreign.for_site(&lyon, local.id(), &client(false), now).id(), theirs.id());
}

#[test]
fn another_machine_at_a_site_begins_anew_though_its_server_calls_it_the_same() {
    let (sessions, now, lyon) = (sessions(), Timestamp::now(), Arc::from("lyon"));
    let first = sessions.for_site(&lyon, SessionId([1; 6]), &client(false), now);
    let mut other = client(false);
    other.machine_id = None;
    assert!(Arc::ptr_eq(&sessions.for_site(&lyon, SessionId([1; 6]), &other, now), &first));
    assert_eq!(first.client().machine_id, client(false).machine_id, "what was known stays known");
    other.machine_id = Some(MachineId::from_uuid(Uuid::from_u128(2)));
    let second = sessions.for_site(&lyon, SessionId([1; 6]), &other, now);
    assert_ne!(second.id(), first.id());
    assert!(Arc::ptr_eq(&sessions.for_site(&lyon, SessionId([1; 6]), &other, now), &second));
}

#[test]
fn what_a_relay_said_is_known_at_every_stage() {
    let (sessions, now) = (sessions(), Timestamp::now());
    let session = sessions.for_packet(&client(false), 1, Stage::Discover, now);
    let relay = crate::boot::Relay {
        giaddr: [10, 7, 0, 1].into(),
        circuit_id: vec![1, 2],
        remote_id: Vec::new(),
        link_selection: None,
    };
    let seen = Network { interface: "eth0".into(), relay: Some(relay), ..Network::default() };
    assert_eq!(session.placed(seen.clone(), Stage::Discover), seen);
    let by_http = Network { client: Some([10, 7, 0, 9].into()), ..Network::default() };
    let placed = session.placed(by_http, Stage::Http);
    assert_eq!((placed.relay, &*placed.interface), (seen.relay, "eth0"));
    assert_eq!(placed.client, Some([10, 7, 0, 9].into()));
}
