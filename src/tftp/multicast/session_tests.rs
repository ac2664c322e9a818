use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const BLKSIZE: u16 = 16;

fn peer(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 2_000 + u16::from(number)))
}

fn ack(block: u64) -> Packet<'static> {
    Packet::Ack { block: u16::try_from(block).unwrap() }
}

/// A stream of `blocks` blocks.
fn session(flavor: Flavor, blocks: u64, now: Instant) -> Session {
    Session::new(flavor, (blocks - 1) * u64::from(BLKSIZE) + 5, BLKSIZE, now).unwrap()
}

fn ended(session: &mut Session) -> Vec<(SocketAddr, TransferResult)> {
    session.take_ended().into_iter().map(|(peer, outcome)| (peer, outcome.result)).collect()
}

#[test]
fn the_master_leads_and_the_others_listen() {
    let now = Instant::now();
    let mut session = session(Flavor::Option, 3, now);
    assert_eq!(session.deadline(), None);
    assert_eq!(session.join(peer(1), now), [Outgoing::Accept { to: peer(1), is_master: true }]);
    assert_eq!(session.join(peer(2), now), [Outgoing::Accept { to: peer(2), is_master: false }]);
    assert_eq!(session.packet(peer(1), &ack(0), now), [Outgoing::Block(1)]);
    // A listener's acknowledgement moves nothing, and a repeated one of the master's neither.
    assert_eq!(session.packet(peer(2), &ack(1), now), []);
    assert_eq!(session.packet(peer(1), &ack(0), now), []);
    assert_eq!(session.packet(peer(1), &ack(1), now), [Outgoing::Block(2)]);
    assert_eq!(session.packet(peer(1), &ack(2), now), [Outgoing::Block(3)]);
    assert_eq!(session.packet(peer(1), &ack(3), now), [Outgoing::HandOver { to: peer(2) }]);
    assert_eq!(ended(&mut session), [(peer(1), TransferResult::Complete)]);
    // It has all, and says so.
    assert_eq!(session.packet(peer(2), &ack(3), now), []);
    assert_eq!(ended(&mut session), [(peer(2), TransferResult::Complete)]);
    assert_eq!(session.deadline(), None);
}

#[test]
fn a_new_master_gets_what_it_missed() {
    let now = Instant::now();
    let mut session = session(Flavor::Option, 5, now);
    session.join(peer(1), now);
    for block in 0..3 {
        session.packet(peer(1), &ack(block), now);
    }
    // It comes when two blocks are gone, and loses the fourth.
    session.join(peer(2), now);
    session.join(peer(3), now);
    session.packet(peer(1), &ack(3), now);
    session.packet(peer(1), &ack(4), now);
    assert_eq!(session.packet(peer(1), &ack(5), now), [Outgoing::HandOver { to: peer(2) }]);
    assert_eq!(session.packet(peer(2), &ack(0), now), [Outgoing::Block(1)]);
    assert_eq!(session.packet(peer(2), &ack(2), now), [Outgoing::Block(3)]);
    // iPXE answers each packet that it hears with the first block that it lacks.
    assert_eq!(session.packet(peer(2), &ack(3), now), [Outgoing::Block(4)]);
    assert_eq!(session.packet(peer(2), &ack(5), now), [Outgoing::HandOver { to: peer(3) }]);
}

#[test]
fn those_that_surely_need_something_come_first() {
    let now = Instant::now();
    let mut session = session(Flavor::Option, 4, now);
    for number in 1..=3 {
        session.join(peer(number), now);
    }
    session.packet(peer(1), &ack(0), now);
    session.packet(peer(1), &ack(1), now);
    session.join(peer(4), now);
    session.join(peer(3), now);
    session.packet(peer(1), &ack(2), now);
    session.packet(peer(1), &ack(3), now);
    // Who asked again, who came late, then the others as they came.
    assert_eq!(session.packet(peer(1), &ack(4), now), [Outgoing::HandOver { to: peer(3) }]);
    assert_eq!(session.packet(peer(3), &ack(4), now), [Outgoing::HandOver { to: peer(4) }]);
    assert_eq!(session.packet(peer(4), &ack(4), now), [Outgoing::HandOver { to: peer(2) }]);
}

#[test]
fn a_master_that_dies_is_left_behind() {
    let mut now = Instant::now();
    let mut session = session(Flavor::Option, 4, now);
    session.join(peer(1), now);
    session.join(peer(2), now);
    session.packet(peer(1), &ack(0), now);
    let mut again = 0;
    loop {
        now = session.deadline().unwrap();
        match session.timeout(now).as_slice() {
            [Outgoing::Block(1)] | [Outgoing::Block(1), Outgoing::BlockTo { block: 1, .. }] => again += 1,
            [Outgoing::HandOver { to }] if *to == peer(2) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(again, SILENCE_MAX - 1);
    assert_eq!(ended(&mut session), [(peer(1), TransferResult::TimedOut)]);
    // The next one gives up itself.
    assert_eq!(session.packet(peer(2), &Packet::Error { code: 0, text: b"" }, now), []);
    assert_eq!(ended(&mut session), [(peer(2), TransferResult::Aborted(0))]);
    assert_eq!(session.deadline(), None);
}

#[test]
fn a_master_that_hears_no_group_is_served_directly() {
    let mut now = Instant::now();
    let mut session = session(Flavor::Option, 3, now);
    session.join(peer(1), now);
    session.join(peer(2), now);
    assert_eq!(session.packet(peer(1), &ack(0), now), [Outgoing::Block(1)]);
    now = session.deadline().unwrap();
    assert_eq!(session.timeout(now), [Outgoing::Block(1)]);
    now = session.deadline().unwrap();
    let both = |block| [Outgoing::Block(block), Outgoing::BlockTo { to: peer(1), block }];
    assert_eq!(session.timeout(now), both(1));
    assert_eq!(session.packet(peer(1), &ack(1), now), both(2), "from now on at once");
    assert_eq!(session.packet(peer(1), &ack(2), now), both(3));
    session.packet(peer(1), &ack(3), now);
    assert_eq!(session.packet(peer(2), &ack(0), now), [Outgoing::Block(1)], "the next one hears");
}

#[test]
fn a_listener_that_has_all_may_be_gone_without_a_word() {
    let mut now = Instant::now();
    let mut session = session(Flavor::Option, 2, now);
    session.join(peer(1), now);
    session.join(peer(2), now);
    session.packet(peer(1), &ack(0), now);
    session.join(peer(3), now);
    session.packet(peer(1), &ack(1), now);
    // The one that came late is asked first, and has not had all.
    assert_eq!(session.packet(peer(1), &ack(2), now), [Outgoing::HandOver { to: peer(3) }]);
    let begun = now;
    while let Some(deadline) = session.deadline() {
        now = deadline;
        session.timeout(now);
    }
    let results = [
        (peer(1), TransferResult::Complete),
        (peer(3), TransferResult::TimedOut),
        (peer(2), TransferResult::Unconfirmed),
    ];
    assert_eq!(ended(&mut session), results);
    assert!(now - begun < Duration::from_secs(6), "{:?}", now - begun);
}

#[test]
fn mtftp_makes_masters_by_a_packet_of_their_own() {
    let now = Instant::now();
    let mut session = session(Flavor::Mtftp, 3, now);
    let first = [Outgoing::BlockTo { to: peer(1), block: 1 }, Outgoing::Block(1)];
    assert_eq!(session.join(peer(1), now), first);
    assert_eq!(session.join(peer(2), now), [], "it hears the stream");
    assert_eq!(session.packet(peer(1), &ack(1), now), [Outgoing::Block(2)]);
    // It opens again from another port: the old one is forgotten.
    let reopened = SocketAddr::new(peer(2).ip(), 9);
    assert_eq!(session.join(reopened, now), []);
    assert_eq!(session.packet(peer(1), &ack(2), now), [Outgoing::Block(3)]);
    assert_eq!(session.packet(peer(1), &ack(3), now), [Outgoing::BlockTo { to: reopened, block: 1 }]);
    assert_eq!(session.packet(reopened, &ack(3), now), []);
    let results: BTreeSet<_> =
        ended(&mut session).into_iter().map(|(peer, result)| (peer, format!("{result:?}"))).collect();
    let expected = [(peer(1), "Complete"), (peer(2), "TimedOut"), (reopened, "Complete")];
    assert_eq!(results, expected.map(|(peer, result)| (peer, result.to_owned())).into());
}

#[test]
fn files_with_too_many_blocks_are_not_for_streams() {
    let (now, blocks) = (Instant::now(), BLOCKS_MAX);
    assert!(Session::new(Flavor::Option, blocks * 16 - 1, 16, now).is_some());
    assert!(Session::new(Flavor::Option, blocks * 16, 16, now).is_none());
}

/// A simulated client: what it has, and whether it is there.
struct Client {
    has: BTreeSet<u64>,
    is_master: bool,
    joined: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is lost, every machine has the whole file in the end; and the group is not flooded.
    #[test]
    fn everybody_gets_everything(
        blocks in 1_u64..40, count in 1_usize..6, late in 0_usize..30, seed in any::<u64>(), loss in 0_u64..20,
    ) {
        let mut now = Instant::now();
        let mut random = seed | 1;
        let mut is_lost = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % 100 < loss
        };
        let mut session = session(Flavor::Option, blocks, now);
        let mut clients: Vec<Client> =
            (0..count).map(|_| Client { has: BTreeSet::new(), is_master: false, joined: false }).collect();
        let (mut sent, mut step) = (0, 0);
        let mut queue: Vec<Outgoing> = Vec::new();
        let is_whole = |client: &Client| client.has.len() as u64 == blocks;
        while step < 20_000 && !clients.iter().all(is_whole) {
            step += 1;
            // Who is not in, or was left behind, asks (again).
            for (number, client) in clients.iter_mut().enumerate() {
                let is_in = session.members.iter().any(|member| member.peer == peer(number as u8));
                if !is_in && !is_whole(client) && (number == 0 || step > late) {
                    client.joined = true;
                    queue.extend(session.join(peer(number as u8), now));
                }
            }
            let mut acks = Vec::new();
            for outgoing in std::mem::take(&mut queue) {
                for (number, client) in clients.iter_mut().enumerate() {
                    let is_mine = |to: SocketAddr| to == peer(number as u8);
                    let hears = client.joined && !is_lost();
                    match outgoing {
                        Outgoing::Accept { to, is_master } if is_mine(to) && hears => client.is_master = is_master,
                        Outgoing::HandOver { to } if is_mine(to) && hears => client.is_master = true,
                        Outgoing::Block(block) if hears => _ = client.has.insert(block),
                        _ => continue,
                    }
                    let gap = (1..=blocks).find(|block| !client.has.contains(block)).unwrap_or(blocks + 1);
                    if client.is_master && !is_lost() {
                        acks.push((number, gap - 1));
                    }
                }
                sent += u64::from(matches!(outgoing, Outgoing::Block(_)));
            }
            for (number, block) in acks {
                queue.extend(session.packet(peer(number as u8), &ack(block), now));
            }
            if queue.is_empty() {
                now = session.deadline().unwrap_or(now);
                queue.extend(session.timeout(now));
            }
        }
        prop_assert!(clients.iter().all(is_whole), "after {step} steps");
        prop_assert!(sent <= blocks * 12 * count as u64 + 50, "{sent} packets for {blocks} blocks");
    }
}
