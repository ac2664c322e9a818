//! What was decided and what happened, as the store keeps it.

use jiff::Timestamp;
use uuid::Uuid;

use crate::boot::{BootDecision, BootRequest, MachineId, Outcome, Stage, Step};
use crate::decision::{BootEvent, Carrier, Exchange, Question, Session};
use crate::store::{BootEntry, EventEntry, QuestionEntry};

/// The longest text of a step that is kept, in characters.
const STEP_LEN_MAX: usize = 1000;
/// The column of a row that names the machine.
const MACHINE: &str = "machine_id";

/// The entry of a decision; `is_kept` whether it can be asked again.
pub(super) fn decided(question: Question, request: &BootRequest, decision: &BootDecision, is_kept: bool) -> BootEntry {
    let mut entry = of(request);
    entry.verdict = Some(decision.verdict.name().to_owned());
    entry.reason = Some(decision.verdict.reason().to_owned());
    entry.handler = Some(decision.handler.clone());
    entry.result = Some(decision.verdict.name().to_owned());
    let steps: Vec<Step> = decision.trail.iter().map(shortened).collect();
    entry.trail = serde_json::to_string(&steps).ok();
    if !request.machine.is_empty() {
        entry.facts = serde_json::to_string(&request.machine).ok();
    }
    if is_kept {
        entry.questions.push(QuestionEntry::new(question, request, decision));
    }
    // The row has the trail of the last decision only. One that ends at its first packet has no other.
    if request.stage != Stage::Discover || decision.verdict.allows() {
        let how: Vec<String> = steps.iter().map(in_words).collect();
        entry.events.push(EventEntry::new(request.now, question.name(), &how.join("; ")));
    }
    entry
}

/// The entry of an event.
pub(super) fn happened(request: &BootRequest, event: &BootEvent) -> BootEntry {
    let mut entry = of(request);
    let detail = match event {
        BootEvent::Offered { images, assignments } => {
            entry.images = Some(images.join(" "));
            match assignments.is_empty() {
                true => images.join(" "),
                false => format!("{}; assignment {}", images.join(" "), assignments.join(" ")),
            }
        }
        BootEvent::Started { image, assignment } => format!("{image}; assignment {assignment}"),
        BootEvent::LoadFailed { image, error } => {
            let why = error.map(|error| format!("; https://ipxe.org/{error:08x}"));
            format!("{image}{}", why.unwrap_or_default())
        }
        BootEvent::FileSent { file, octets, elapsed, by } => {
            format!("{file}; {octets} octets; {} ms{}", elapsed.as_millis(), carried(*by))
        }
        BootEvent::Person { name, method } => format!("{name}; by {}", method.name()),
        BootEvent::Done => String::new(),
        BootEvent::Failed { reason } => reason.to_string(),
    };
    entry.result = match event {
        BootEvent::Offered { images, .. } if images.is_empty() => Some("disk".to_owned()),
        // The boot has only begun.
        BootEvent::Person { .. } => None,
        event => Some(event.name().to_owned()),
    };
    entry.events.push(EventEntry::new(request.now, event.name(), &detail));
    entry
}

/// The entry of a packet or request.
pub(super) fn exchanged(session: &Session, exchange: &Exchange, at: Timestamp) -> BootEntry {
    let mut entry = BootEntry::new(session.id(), at);
    let client = session.client();
    entry.mac = Some(client.hardware);
    entry.arch = Some(client.architecture.to_string());
    let Exchange { by, asked, told, elapsed } = exchange;
    let detail = format!("{asked} -> {told}; {:.1} ms", elapsed.as_secs_f64() * 1000.0);
    entry.events.push(EventEntry::new(at, by.name(), &detail));
    entry
}

fn carried(by: Carrier) -> String {
    match by {
        Carrier::Tftp { retransmissions: 0 } => "; by TFTP".into(),
        Carrier::Tftp { retransmissions } => format!("; by TFTP, {retransmissions} packets sent again"),
        Carrier::Http => "; by HTTP".into(),
        Carrier::Https => "; by HTTPS".into(),
        Carrier::Elsewhere => String::new(),
    }
}

/// The entry of what scripts that are not live yet would have said.
pub(super) fn compared(question: Question, request: &BootRequest, would: &str) -> BootEntry {
    let mut entry = of(request);
    entry.events.push(EventEntry::new(request.now, "shadow", &format!("{}: {would}", question.name())));
    entry
}

/// What every entry says of its boot.
fn of(request: &BootRequest) -> BootEntry {
    let mut entry = BootEntry::new(request.session, request.now);
    entry.mac = Some(request.client.hardware);
    entry.uuid = uuid(request);
    entry.arch = Some(request.client.architecture.to_string());
    entry.machine = request.record.as_ref().and_then(|record| record.text(MACHINE));
    entry
}

fn uuid(request: &BootRequest) -> Option<Uuid> {
    let reported = request.machine.get("uuid").and_then(|text| text.parse().ok());
    let real = |uuid: &Uuid| !MachineId::from_uuid(*uuid).is_placeholder();
    reported.filter(real).or_else(|| request.client.uuid())
}

fn shortened(step: &Step) -> Step {
    Step { detail: step.detail.chars().take(STEP_LEN_MAX).collect(), ..step.clone() }
}

fn in_words(step: &Step) -> String {
    let outcome = match step.outcome {
        Outcome::Given => "answered",
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::TimedOut => "took too long",
        Outcome::Policy => "decided",
    };
    match step.detail.is_empty() {
        true => format!("{} {outcome}", step.handler),
        false => format!("{} {outcome}: {}", step.handler, step.detail),
    }
}
