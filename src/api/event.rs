//! What happened in a boot, as messages carry it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::boot::{Line, Method};
use crate::decision::{BootEvent, Carrier};

/// Something that happened in a boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum EventFacts {
    /// The script that boots is about to be handed out.
    Offered {
        /// The images in it.
        images: Vec<Line>,
        /// The assignments in it, as the upstream named them.
        assignments: Vec<Line>,
    },
    /// The machine is about to load an image that does an assignment.
    Started {
        /// The image.
        image: Line,
        /// The assignment, as the upstream named it.
        assignment: Line,
    },
    /// iPXE could not load or start an image.
    LoadFailed {
        /// The image.
        image: Line,
        /// iPXE's error number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<u32>,
    },
    /// Somebody at the machine, or for it, was verified by the site.
    Person {
        /// Who.
        name: Line,
        /// How.
        method: Method,
    },
    /// A file was sent to its end.
    Sent {
        /// Its name.
        file: Line,
        /// Its length, in octets.
        octets: u64,
        /// How long it took, in milliseconds.
        elapsed_ms: u64,
    },
    /// The installer says that it is done.
    Done,
    /// The installer says that it failed.
    Failed {
        /// Why, in its words.
        reason: Line,
    },
}

fn lines(texts: &[String]) -> Vec<Line> {
    texts.iter().map(|text| Line::clean(text)).collect()
}

fn texts(lines: &[Line]) -> Vec<String> {
    lines.iter().map(Line::to_string).collect()
}

impl From<&BootEvent> for EventFacts {
    fn from(event: &BootEvent) -> EventFacts {
        match event {
            BootEvent::Offered { images, assignments } => {
                EventFacts::Offered { images: lines(images), assignments: lines(assignments) }
            }
            BootEvent::Started { image, assignment } => {
                EventFacts::Started { image: Line::clean(image), assignment: Line::clean(assignment) }
            }
            BootEvent::LoadFailed { image, error } => {
                EventFacts::LoadFailed { image: Line::clean(image), error: *error }
            }
            BootEvent::FileSent { file, octets, elapsed, .. } => EventFacts::Sent {
                file: Line::clean(file),
                octets: *octets,
                elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            },
            BootEvent::Person { name, method } => EventFacts::Person { name: name.clone(), method: *method },
            BootEvent::Done => EventFacts::Done,
            BootEvent::Failed { reason } => EventFacts::Failed { reason: reason.clone() },
        }
    }
}

impl From<&EventFacts> for BootEvent {
    fn from(facts: &EventFacts) -> BootEvent {
        match facts {
            EventFacts::Offered { images, assignments } => {
                BootEvent::Offered { images: texts(images), assignments: texts(assignments) }
            }
            EventFacts::Started { image, assignment } => {
                BootEvent::Started { image: image.to_string(), assignment: assignment.to_string() }
            }
            EventFacts::LoadFailed { image, error } => {
                BootEvent::LoadFailed { image: image.to_string(), error: *error }
            }
            EventFacts::Sent { file, octets, elapsed_ms } => BootEvent::FileSent {
                file: file.to_string(),
                octets: *octets,
                elapsed: Duration::from_millis(*elapsed_ms),
                by: Carrier::Elsewhere,
            },
            EventFacts::Person { name, method } => BootEvent::Person { name: name.clone(), method: *method },
            EventFacts::Done => BootEvent::Done,
            EventFacts::Failed { reason } => BootEvent::Failed { reason: reason.clone() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_arrives_as_it_was_sent() {
        let events = [
            BootEvent::Offered { images: vec!["debian".into()], assignments: vec!["sql~a1".into()] },
            BootEvent::Started { image: "debian".into(), assignment: "sql~a1".into() },
            BootEvent::LoadFailed { image: "debian".into(), error: Some(0x3e11_6001) },
            BootEvent::FileSent {
                file: "linux".into(),
                octets: 5,
                elapsed: Duration::from_millis(7),
                by: Carrier::Elsewhere,
            },
            BootEvent::Person { name: Line::clean("ann"), method: Method::Login },
            BootEvent::Done,
            BootEvent::Failed { reason: Line::clean("disk full") },
        ];
        for event in events {
            let sent = serde_json::to_string(&EventFacts::from(&event)).unwrap();
            let read: EventFacts = serde_json::from_str(&sent).unwrap();
            assert_eq!(BootEvent::from(&read), event, "{sent}");
        }
    }
}
