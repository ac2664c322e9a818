//! The rules of a transfer, each by its sentence; then whole transfers against simulated clients.

use proptest::prelude::*;

use super::super::options::BLKSIZE_DEFAULT;
use super::super::sim::{Faults, Pair, Style};
use super::*;

fn plan(blocks: u64, windowsize: u16) -> TransferPlan {
    TransferPlan {
        size: (blocks - 1) * 512 + 100,
        agreed: Agreed { blksize: 512, windowsize, timeout: None, size_asked: false },
        has_option_ack: windowsize > 1,
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn ack(transfer: &mut Transfer, block: u64, now: Instant) -> Action {
    let block = wire_number(block);
    transfer.handle_packet(&Packet::Ack { block }, now)
}

/// A transfer with windows, its OACK acknowledged: the first window is out.
fn begun(blocks: u64, windowsize: u16) -> (Transfer, Instant) {
    let now = Instant::now();
    let (mut transfer, first) = Transfer::start(plan(blocks, windowsize), RetryLimits::default(), now);
    if windowsize > 1 {
        assert_eq!(first, Action::OptionAck);
        let end = u64::from(windowsize).min(blocks);
        assert_eq!(ack(&mut transfer, 0, now + ms(1)), Action::Data(1..=end));
    }
    (transfer, now + ms(1))
}

#[test]
fn without_options_the_transfer_starts_with_data_1_of_512() {
    let (transfer, action) = Transfer::start(plan(3, 1), RetryLimits::default(), Instant::now());
    assert_eq!(action, Action::Data(1..=1));
    assert_eq!(transfer.agreed().blksize, BLKSIZE_DEFAULT);
}

#[test]
fn an_ack_in_the_middle_of_a_window_is_followed_by_a_full_new_window() {
    let (mut transfer, now) = begun(100, 4);
    assert_eq!(ack(&mut transfer, 2, now), Action::Data(3..=6));
    assert_eq!(ack(&mut transfer, 6, now), Action::Data(7..=10));
}

#[test]
fn an_ack_beyond_the_window_or_older_than_the_base_is_ignored() {
    let (mut transfer, now) = begun(100, 4);
    ack(&mut transfer, 4, now);
    for block in [9, 3, 0, 50, 65_535] {
        assert_eq!(ack(&mut transfer, block, now), Action::Nothing, "{block}");
    }
    assert_eq!(ack(&mut transfer, 8, now), Action::Data(9..=12));
}

#[test]
fn a_storm_of_repeated_acks_causes_one_repetition_of_the_window() {
    let (mut transfer, now) = begun(100, 4);
    ack(&mut transfer, 4, now);
    let mut sent = 0;
    for step in 0..1_000 {
        let at = now + Duration::from_micros(step * 100);
        assert_eq!(ack(&mut transfer, 4, at), Action::Nothing);
        if transfer.handle_timeout(at) == Action::Data(5..=8) {
            sent += 1;
        }
    }
    assert_eq!(sent, 1);
}

#[test]
fn progress_disarms_the_timer_of_a_repeated_ack() {
    let (mut transfer, now) = begun(100, 4);
    ack(&mut transfer, 4, now);
    ack(&mut transfer, 4, now);
    assert!(transfer.deadline().unwrap() <= now + ms(50));
    ack(&mut transfer, 8, now + ms(1));
    assert!(transfer.deadline().unwrap() >= now + ms(200));
    assert_eq!(transfer.handle_timeout(now + ms(60)), Action::Nothing);
}

#[test]
fn without_windows_a_repeated_ack_is_ignored_altogether() {
    let (mut transfer, now) = begun(100, 1);
    assert_eq!(ack(&mut transfer, 1, now), Action::Data(2..=2));
    let deadline = transfer.deadline();
    assert_eq!(ack(&mut transfer, 1, now), Action::Nothing);
    assert_eq!(ack(&mut transfer, 1, now + ms(5)), Action::Nothing);
    assert_eq!(transfer.deadline(), deadline);
}

#[test]
fn a_file_of_whole_blocks_ends_with_an_empty_one_and_an_empty_file_is_one_block() {
    for (size, blocks) in [(0, 1), (511, 1), (512, 2), (1024, 3)] {
        let now = Instant::now();
        let plan = TransferPlan { size, ..plan(1, 1) };
        let (mut transfer, _) = Transfer::start(plan, RetryLimits::default(), now);
        for block in 1..blocks {
            assert_eq!(ack(&mut transfer, block, now), Action::Data(block + 1..=block + 1));
        }
        ack(&mut transfer, blocks, now);
        let outcome = transfer.outcome().unwrap();
        assert_eq!(outcome.result, TransferResult::Complete, "{size}");
        assert_eq!((outcome.bytes, outcome.blocks), (size, blocks));
    }
}

#[test]
fn a_repeated_request_gets_the_first_packet_again_until_the_client_has_answered() {
    let now = Instant::now();
    let (mut transfer, _) = Transfer::start(plan(9, 4), RetryLimits::default(), now);
    let again = || {
        Packet::Read(super::super::packet::Request {
            file_name: b"x",
            mode: super::super::packet::Mode::Octet,
            options: Vec::new(),
        })
    };
    assert_eq!(transfer.handle_packet(&again(), now), Action::OptionAck);
    ack(&mut transfer, 0, now);
    assert_eq!(transfer.handle_packet(&again(), now), Action::Nothing);
}

#[test]
fn error_8_after_the_size_is_a_probe_and_later_an_abort() {
    let error = |code| Packet::Error { code, text: b"User aborted the transfer" };
    for (asked, begun, code, expect) in [
        (true, false, 8, TransferResult::SizeProbe),
        (true, false, 0, TransferResult::SizeProbe),
        (false, false, 8, TransferResult::Aborted(8)),
        (true, true, 0, TransferResult::Aborted(0)),
    ] {
        let now = Instant::now();
        let mut plan = plan(9, 4);
        plan.agreed.size_asked = asked;
        let (mut transfer, _) = Transfer::start(plan, RetryLimits::default(), now);
        if begun {
            ack(&mut transfer, 0, now);
        }
        assert_eq!(transfer.handle_packet(&error(code), now), Action::Nothing);
        assert_eq!(transfer.outcome().unwrap().result, expect);
        assert_eq!(transfer.deadline(), None);
    }
}

/// Calls each deadline until the transfer is over; gives the times at which something was sent.
fn let_time_pass(transfer: &mut Transfer, start: Instant) -> Vec<Duration> {
    let mut sent = Vec::new();
    while let Some(deadline) = transfer.deadline() {
        if transfer.handle_timeout(deadline) != Action::Nothing {
            sent.push(deadline - start);
        }
        assert!(sent.len() < 1_000);
    }
    sent
}

#[test]
fn a_silent_client_is_sent_to_ever_more_slowly_and_then_given_up() {
    let (mut transfer, now) = begun(100, 4);
    let sent = let_time_pass(&mut transfer, now);
    assert_eq!(sent[..4], [ms(200), ms(600), ms(1_400), ms(3_000)]);
    let gaps: Vec<Duration> = sent.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(gaps.iter().all(|gap| *gap <= RetryLimits::default().longest));
    let outcome = transfer.outcome().unwrap();
    assert_eq!(outcome.result, TransferResult::TimedOut);
    assert!(outcome.duration >= Duration::from_secs(30), "{outcome:?}");
}

#[test]
fn a_peer_that_was_never_heard_gets_a_few_packets_only() {
    for windowsize in [1, 4] {
        let now = Instant::now();
        let (mut transfer, _) = Transfer::start(plan(9, windowsize), RetryLimits::default(), now);
        let sent = let_time_pass(&mut transfer, now);
        assert_eq!(sent.len(), 5);
        assert_eq!(transfer.outcome().unwrap().result, TransferResult::TimedOut);
    }
}

#[test]
fn a_missing_final_ack_is_no_error() {
    let (mut transfer, now) = begun(3, 1);
    ack(&mut transfer, 1, now);
    assert_eq!(ack(&mut transfer, 2, now), Action::Data(3..=3));
    let_time_pass(&mut transfer, now);
    assert_eq!(transfer.outcome().unwrap().result, TransferResult::Unconfirmed);
}

#[test]
fn the_clients_own_timeout_is_kept() {
    let now = Instant::now();
    let mut plan = plan(9, 4);
    plan.agreed.timeout = Some(Duration::from_secs(5));
    let (mut transfer, _) = Transfer::start(plan, RetryLimits::default(), now);
    ack(&mut transfer, 0, now);
    assert_eq!(transfer.deadline(), Some(now + Duration::from_secs(5)));
}

#[test]
fn a_peer_that_was_never_heard_is_given_up_as_soon_with_a_long_timeout_of_its_own() {
    for windowsize in [1, 4] {
        let [own, plain] = [Some(Duration::from_secs(255)), None].map(|timeout| {
            let now = Instant::now();
            let mut plan = plan(9, windowsize);
            plan.agreed.timeout = timeout;
            let (mut transfer, _) = Transfer::start(plan, RetryLimits::default(), now);
            let sent = let_time_pass(&mut transfer, now);
            (sent, transfer.outcome().unwrap())
        });
        assert_eq!(own, plain);
        assert!(own.1.duration < Duration::from_secs(20), "{own:?}");
    }
}

#[test]
fn one_lost_block_costs_edk2_two_windows_at_most() {
    for lost in 1..=40 {
        let mut pair = Pair::new(Style::Edk2, 200 * 1468 + 7, 1468, 4, Faults::lose_once(lost));
        let report = pair.run();
        assert!(report.is_complete, "lost {lost}: {report:?}");
        assert!(report.data_packets <= 201 + 2 * 4, "lost {lost}: {report:?}");
        assert!(report.duration < ms(700), "lost {lost}: {report:?}");
    }
}

#[test]
fn every_client_gets_its_file_whatever_the_network_does() {
    for style in [Style::LockStep, Style::Rfc7440, Style::Edk2] {
        for windowsize in [1, 4, 16, 64] {
            let windowsize = if style == Style::LockStep { 1 } else { windowsize };
            for seed in 1..=6 {
                let faults = Faults {
                    loss_per_mille: 20,
                    duplication_per_mille: 20,
                    reordering_per_mille: 20,
                    lose_data_packet: None,
                    seed,
                };
                let report = Pair::new(style, 300 * 512, 512, windowsize, faults).run();
                assert!(report.is_complete, "{style:?} {windowsize} {seed}: {report:?}");
                assert!(report.data_packets < 301 * 8 + 1_000, "{style:?} {windowsize}: {report:?}");
            }
        }
    }
}

#[test]
fn a_hundred_megabytes_wrap_the_block_number_with_and_without_windows() {
    for (style, windowsize, blksize) in [(Style::LockStep, 1, 1432), (Style::Edk2, 4, 1432), (Style::Rfc7440, 64, 512)]
    {
        let mut pair = Pair::new(style, 100_000_000, blksize, windowsize, Faults::none());
        let report = pair.run();
        assert!(report.is_complete, "{style:?} {blksize}: {report:?}");
        let blocks = 100_000_000 / u64::from(blksize) + 1;
        assert_eq!(report.data_packets, blocks, "{style:?} {blksize}");
    }
}

#[test]
fn loss_around_the_wrap_is_repaired() {
    for lost in [65_533, 65_535, 65_536, 65_537] {
        let faults = Faults::lose_once(lost);
        let report = Pair::new(Style::Edk2, 65_600 * 8, 8, 4, faults).run();
        assert!(report.is_complete, "{lost}: {report:?}");
        assert!(report.data_packets <= 65_601 + 8, "{lost}: {report:?}");
    }
}

#[derive(Debug, Clone)]
enum Event {
    Ack(u16),
    NearAck(i8),
    Bytes(Vec<u8>),
    Wait(u16),
    Timeout,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => any::<u16>().prop_map(Event::Ack),
        6 => (-6_i8..=70).prop_map(Event::NearAck),
        1 => proptest::collection::vec(any::<u8>(), 0..12).prop_map(Event::Bytes),
        3 => any::<u16>().prop_map(Event::Wait),
        4 => Just(Event::Timeout),
    ]
}

proptest! {
    #[test]
    fn no_packet_and_no_timing_breaks_the_limits(
        size in 0_u64..200_000,
        windowsize in 1_u16..=64,
        has_option_ack in any::<bool>(),
        events in proptest::collection::vec(event(), 0..400),
    ) {
        let mut now = Instant::now();
        let windowsize = if has_option_ack { windowsize } else { 1 };
        let plan = TransferPlan { size, has_option_ack, ..plan(1, windowsize) };
        let blocks = size / 512 + 1;
        let (mut transfer, first) = Transfer::start(plan, RetryLimits::default(), now);
        let mut actions = vec![first];
        for event in events {
            actions.push(match event {
                Event::Ack(block) => transfer.handle_packet(&Packet::Ack { block }, now),
                Event::NearAck(distance) => {
                    let block = wire_number(transfer.base).wrapping_add_signed(i16::from(distance));
                    transfer.handle_packet(&Packet::Ack { block }, now)
                }
                Event::Bytes(bytes) => match Packet::parse(&bytes) {
                    Ok(packet) => transfer.handle_packet(&packet, now),
                    Err(_) => Action::Nothing,
                },
                Event::Wait(microseconds) => {
                    now += Duration::from_micros(microseconds.into());
                    transfer.handle_timeout(now)
                }
                Event::Timeout => {
                    now = transfer.deadline().unwrap_or(now).max(now);
                    transfer.handle_timeout(now)
                }
            });
        }
        let mut packets = 0;
        for action in actions {
            match action {
                Action::Data(range) => {
                    prop_assert!(*range.start() >= 1 && *range.end() <= blocks, "{range:?}");
                    let count = range.end() + 1 - range.start();
                    prop_assert!(count >= 1 && count <= u64::from(windowsize));
                    packets += count;
                }
                Action::OptionAck => packets += 1,
                Action::Nothing | Action::Error(..) => {}
            }
        }
        prop_assert!(packets <= 8 * blocks + 1_000);
        prop_assert_eq!(transfer.deadline().is_none(), transfer.outcome().is_some());
        if let Some(outcome) = transfer.outcome() {
            prop_assert!(outcome.bytes <= size && outcome.blocks <= blocks);
        }
    }
}
