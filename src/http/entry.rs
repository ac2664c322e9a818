//! `/boot`: the way in for machines that did not come by our DHCP answer.
//!
//! Another boot server hands them over, their DHCP server names this URL, or somebody types it into iPXE. They have no
//! token yet: what they say of themselves begins the boot session, and the script they get leads on below its token.
//!
//! **Invariant**: open only where the site says so; from then on everything goes as for any other session.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use tracing::info;
use uuid::Uuid;

use super::answers::{script, text};
use super::boot::Asked;
use super::files::{self, FileRequest};
use super::form::facts_of;
use super::{Connection, HttpState};
use crate::boot::{Architecture, Client, FileName, HardwareAddress, IpxeBuild, Machine, MachineId, Platform, Stage};
use crate::{ipxe, paths};

/// `/boot`, with the machine's facts or without.
pub(super) async fn entry(
    State(state): State<Arc<HttpState>>,
    Extension(via): Extension<Connection>,
    request: Request,
) -> Response {
    if !state.site.has_entry() {
        return text(StatusCode::NOT_FOUND, "not found\n");
    }
    if !matches!(*request.method(), Method::GET | Method::POST) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "not by this method\n");
    }
    let machine = match facts_of(request).await {
        Ok(machine) => machine,
        Err(response) => return response,
    };
    enter(state, via, machine, paths::ENTRY).await
}

/// A machine with these facts begins its boot; one that does not say who it is comes again by this path.
pub(super) async fn enter(state: Arc<HttpState>, via: Connection, machine: Machine, path: &str) -> Response {
    let Some(client) = client(&machine) else {
        return script(&ipxe::introduction(
            via.url(state.site.known_by(&via), path, state.site.host_name()),
            Platform::Other,
        ));
    };
    // Only an iPXE that was given its script begins another boot when it comes again: see `Sessions::for_packet`.
    let now = Timestamp::now();
    let xid = Uuid::new_v4().as_fields().0;
    let session = state.engine.session_for(&client, xid, Stage::Discover, now);
    Asked { state, via, session, now }.decided(machine, false).await
}

/// `/loaders/<name>`: a boot loader, or the script beside it, for machines whose DHCP server named it.
pub(super) async fn loader(
    State(state): State<Arc<HttpState>>,
    Extension(via): Extension<Connection>,
    request: Request,
) -> Response {
    let name = FileName::parse(request.uri().path().as_bytes()).ok().and_then(|path| paths::plain_loader(&path));
    let content = name.as_ref().and_then(|name| state.site.plain_loader(name, &via));
    let (Some(name), Some(content)) = (name, content) else {
        return text(StatusCode::NOT_FOUND, "not found\n");
    };
    let (peer, file, octets) = (via.peer, name.clone(), content.len());
    let finished = Box::new(move || info!(%peer, %file, octets, "file sent without a session"));
    let request = FileRequest {
        name: name.as_str(),
        method: request.method(),
        headers: request.headers(),
        queue: via.files.clone(),
        sent: state.metrics.http_sent.clone(),
        finished: Some(finished),
    };
    files::respond(content, request)
}

/// The client that these facts are of; none when they lack its address.
pub(super) fn client(machine: &Machine) -> Option<Client> {
    let hardware: HardwareAddress = machine.get("mac")?.parse().ok()?;
    let mut client = Client::new(hardware, architecture(machine));
    client.machine_id = machine.get("uuid").and_then(|uuid| uuid.parse().ok()).map(MachineId::from_uuid);
    client.hostname = machine.get("hostname").unwrap_or_default().to_owned();
    client.ipxe = Some(IpxeBuild { version: version(machine), ..IpxeBuild::default() });
    Some(client)
}

/// What iPXE's `platform` and `buildarch` say together.
fn architecture(machine: &Machine) -> Architecture {
    if machine.get("platform") != Some("efi") {
        return Architecture::X86_BIOS;
    }
    let name = match machine.get("buildarch").unwrap_or_default() {
        "i386" => "x86-uefi",
        "arm32" => "arm32-uefi",
        "arm64" => "arm64-uefi",
        "riscv32" => "riscv32-uefi",
        "riscv64" => "riscv64-uefi",
        "loong64" => "loongarch64-uefi",
        // `x86_64`, and what old builds do not say.
        _ => return Architecture::X64_UEFI,
    };
    name.parse().unwrap_or(Architecture::X64_UEFI)
}

/// Major, minor and patch of a version such as `1.21.1+ (g4e456)`.
fn version(machine: &Machine) -> Option<(u8, u8, u8)> {
    let text = machine.get("ipxe_version")?;
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse::<u8>().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()?.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(facts: &[(&str, &str)]) -> Machine {
        let mut machine = Machine::default();
        for (name, value) in facts {
            assert!(machine.insert(name, value), "{name}");
        }
        machine
    }

    #[test]
    fn facts_make_a_client() {
        let facts = [("mac", "52:54:00:00:00:01"), ("platform", "efi"), ("buildarch", "x86_64")];
        let known = client(&machine(&facts)).unwrap();
        assert_eq!((known.architecture, known.machine_id, known.is_ipxe()), (Architecture::X64_UEFI, None, true));
        let more = [("mac", "525400000001"), ("uuid", "4c4c4544-0057-5810-804a-c3c04f463732"), ("platform", "pcbios")];
        let known = client(&machine(&more)).unwrap();
        assert_eq!(known.architecture, Architecture::X86_BIOS);
        assert_eq!(known.uuid().unwrap().to_string(), more[1].1);
        for nobody in [&[("serial", "x")][..], &[("mac", "nonsense")]] {
            assert_eq!(client(&machine(nobody)), None);
        }
    }

    #[test]
    fn versions_are_read_as_ipxe_writes_them() {
        let read = |text| version(&machine(&[("ipxe_version", text)]));
        assert_eq!(read("1.21.1+ (g4e456)"), Some((1, 21, 1)));
        assert_eq!(read("2.0"), None);
        assert_eq!(read("1.20."), Some((1, 20, 0)));
        assert_eq!(read("x"), None);
    }
}
