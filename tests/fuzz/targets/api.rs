//! Messages of the decision API: what a site asks, and what an upstream answers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::api::{Digest, Enrolled, Enrollment, Health, ImagesAnswer, Problem, Question, Report, VerdictAnswer};
use pointsman::boot::{Client, Machine};
use pointsman::cache::Sha256;
use pointsman::decision::BootEvent;
use pointsman::upstream::EnrollToken;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What was taken is said again as it was understood.
fn read<T: DeserializeOwned + Serialize + PartialEq>(octets: &[u8]) -> Option<T> {
    let message: T = serde_json::from_slice(octets).ok()?;
    let said = serde_json::to_vec(&message).ok()?;
    assert!(serde_json::from_slice::<T>(&said).is_ok_and(|again| again == message));
    Some(message)
}

fuzz_target!(|octets: &[u8]| {
    if let Some(question) = read::<Question>(octets) {
        let _ = Client::from(&question.client);
        let mut machine = Machine::default();
        for (name, value) in &question.machine {
            machine.insert(name, value);
        }
    }
    if let Some(report) = read::<Report>(octets) {
        let _ = BootEvent::from(&report.event);
    }
    if let Some(answer) = read::<ImagesAnswer>(octets)
        && let Some(images) = answer.images
    {
        let _ = images.without_assignments();
    }
    let _ = read::<VerdictAnswer>(octets);
    let _ = read::<Health>(octets);
    let _ = read::<Digest>(octets);
    let _ = read::<Problem>(octets);
    let _ = read::<Enrollment>(octets);
    let _ = read::<Enrolled>(octets);
    let Ok(text) = std::str::from_utf8(octets) else { return };
    let _ = text.parse::<EnrollToken>();
    let _ = text.parse::<Sha256>();
});
