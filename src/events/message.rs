//! What a webhook is told, as JSON.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::boot::{BootDecision, BootRequest};
use crate::decision::{BootEvent, Carrier};

/// A message that waits.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// Its own id, the same each time that it is sent.
    pub(super) id: String,
    /// What happened.
    pub(super) event: &'static str,
    /// The JSON text.
    pub(super) body: Bytes,
    /// When it was made.
    pub(super) made: Instant,
}

/// The message of a decision.
pub(super) fn decided(event: &'static str, request: &BootRequest, decision: &BootDecision) -> Message {
    let detail = json!({"reason": decision.verdict.reason(), "handler": decision.handler});
    message(event, request, detail)
}

/// The message of an event.
pub(super) fn happened(request: &BootRequest, event: &BootEvent) -> Message {
    let detail = match event {
        BootEvent::Offered { images, assignments } => json!({"images": images, "assignments": assignments}),
        BootEvent::Person { name, method } => json!({"person": name.as_str(), "method": method.name()}),
        BootEvent::Started { image, assignment } => json!({"image": image, "assignment": assignment}),
        BootEvent::LoadFailed { image, error } => {
            json!({"image": image, "error": error.map(|error| format!("https://ipxe.org/{error:08x}"))})
        }
        BootEvent::FileSent { file, octets, elapsed, by } => {
            let by = match by {
                Carrier::Tftp { .. } => "tftp",
                Carrier::Http => "http",
                Carrier::Https => "https",
                Carrier::Elsewhere => "elsewhere",
            };
            let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            json!({"file": file, "octets": octets, "elapsed_ms": elapsed_ms, "by": by})
        }
        BootEvent::Done => json!({}),
        BootEvent::Failed { reason } => json!({"reason": reason.as_str()}),
    };
    message(event.name(), request, detail)
}

fn message(event: &'static str, request: &BootRequest, detail: Value) -> Message {
    let id = Uuid::new_v4().to_string();
    let mut machine = Map::new();
    machine.insert("mac".into(), request.client.hardware.to_string().into());
    machine.insert("architecture".into(), request.client.architecture.to_string().into());
    if let Some(uuid) = request.client.uuid() {
        machine.insert("uuid".into(), uuid.to_string().into());
    }
    for name in ["serial", "asset", "manufacturer", "product"] {
        if let Some(value) = request.machine.get(name).filter(|value| !value.is_empty()) {
            machine.insert(name.into(), value.into());
        }
    }
    if let Some(known) = request.record.as_ref().and_then(|record| record.text("machine_id")) {
        machine.insert("id".into(), known.into());
    }
    let body = json!({
        "id": id,
        "event": event,
        "at": request.now.to_string(),
        "site": request.network.site.as_ref(),
        "session": request.session.to_string(),
        "machine": machine,
        "detail": detail,
    });
    Message { id, event, body: body.to_string().into(), made: Instant::now() }
}
