//! Queues without a network: what is wanted, what is full.

use jiff::Timestamp;

use super::*;
use crate::boot::{Architecture, Client, Line, SessionId, Stage, Verdict};
use crate::config::{EVENTS, WebhookSection};
use crate::decision::Carrier;

fn request() -> BootRequest {
    let client = Client::new([2, 0, 0, 0, 0, 1].into(), Architecture::X64_UEFI);
    BootRequest::new(SessionId([1; 6]), Stage::Http, client, Timestamp::UNIX_EPOCH)
}

/// A webhook whose messages stay where they are put.
fn listener(events: &[&str], queue_max: usize) -> (Listener, mpsc::Receiver<Message>) {
    let events = events.iter().map(|&event| event.to_owned()).collect();
    let url = "http://127.0.0.1:9/".parse().ok();
    let hook = Webhook::open(&WebhookSection { url, events, queue_max, ..WebhookSection::default() }).unwrap();
    let (queue, messages) = mpsc::channel(queue_max);
    (Listener { hook, queue, counts: Arc::default(), stop: CancellationToken::new() }, messages)
}

fn decision(verdict: Verdict) -> BootDecision {
    BootDecision { verdict, images: None, handler: "script".into(), trail: Vec::new(), elapsed_us: 1 }
}

#[tokio::test]
async fn each_gets_what_it_wants_and_no_more_than_fits() {
    let events = Events::default();
    let (one, mut first) = listener(&["done", "failed"], 2);
    let (other, mut second) = listener(&["deny"], 4);
    let counts = Arc::clone(&one.counts);
    events.listeners.store(Arc::new(vec![one, other]));
    for _ in 0..5 {
        events.happened(&request(), &BootEvent::Done);
    }
    let deny = decision(Verdict::Deny { reason: Line::clean("stolen") });
    for _ in 0..5 {
        events.decided(Question::AllowBoot, &request(), &deny);
        events.decided(Question::BootImages, &request(), &deny);
        events.decided(Question::AllowBoot, &request(), &decision(Verdict::allow()));
    }
    assert_eq!(counts.all()[1], ("dropped_queue_full", 3));
    let told = |messages: &mut mpsc::Receiver<Message>| {
        std::iter::from_fn(|| messages.try_recv().ok()).map(|message| message.event).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut first), ["done", "done"]);
    // Decisions leave half of a queue to what happens.
    assert_eq!(told(&mut second), ["deny", "deny"]);
}

#[test]
fn every_event_can_be_named_and_has_a_message() {
    let sent = BootEvent::FileSent {
        file: "debian/linux".into(),
        octets: 7,
        elapsed: Duration::from_millis(9),
        by: Carrier::Https,
    };
    let all = [
        BootEvent::Offered { images: vec!["debian".into()], assignments: vec!["7".into()] },
        BootEvent::Person { name: Line::clean("ann"), method: crate::boot::Method::Login },
        BootEvent::Started { image: "debian".into(), assignment: "7".into() },
        BootEvent::LoadFailed { image: "debian".into(), error: Some(0x2d0c_6139) },
        sent,
        BootEvent::Done,
        BootEvent::Failed { reason: Line::clean("no disk") },
    ];
    for event in all {
        let message = message::happened(&request(), &event);
        assert!(EVENTS.contains(&message.event), "{}", message.event);
        let body: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!((body["event"].as_str(), body["id"].as_str()), (Some(message.event), Some(message.id.as_str())));
        assert_eq!(body["machine"]["mac"], "02:00:00:00:00:01");
        assert_eq!(body["machine"]["architecture"], "x64-uefi");
    }
    let denied = message::decided("deny", &request(), &decision(Verdict::Deny { reason: Line::clean("stolen") }));
    let body: serde_json::Value = serde_json::from_slice(&denied.body).unwrap();
    assert_eq!(body["detail"], serde_json::json!({"reason": "stolen", "handler": "script"}));
}
