//! The `request` of a script: one table of fields makes the getters, the checks and the documentation.

use std::sync::Arc;

use jiff::tz::TimeZone;
use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString};

use super::ask::Verified;
use super::identity::Who;
use super::record::Row;
use super::sandbox::fail;
use super::time::Time;
use crate::boot::{BootRequest, FACTS, Fact, MachineId, Value};
use crate::handlers::sql;
use crate::nearest::{cut, nearest, remedy};

/// A request in a script.
#[derive(Clone)]
pub(super) struct Request(Arc<Seen>);

/// `request.facts`.
#[derive(Clone)]
struct Facts(Arc<Seen>);

struct Seen {
    request: BootRequest,
    zone: TimeZone,
}

impl Request {
    /// What a script sees of a request, with its times in a time zone.
    pub(super) fn new(request: &BootRequest, zone: &TimeZone) -> Request {
        Request(Arc::new(Seen { request: request.clone(), zone: zone.clone() }))
    }
}

/// A field of `request`.
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its type in plain words.
    pub kind: &'static str,
    /// What it is.
    pub about: &'static str,
    /// What it may hold, as a script would write it.
    pub example: &'static str,
    /// From when on in a boot it holds something.
    pub when: When,
    /// Whose word it is; that of the client is a claim.
    pub source: &'static str,
    read: fn(&Seen) -> Dynamic,
}

/// From when on in a boot a field may hold something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At every stage.
    Always,
    /// Once iPXE asks, at every stage.
    Ipxe,
    /// Once the client has an address: from the stage `boot-server` on.
    Address,
    /// At the stage `http`, once the bootstrap script reported the machine's facts.
    Http,
}

impl When {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            When::Always => "always",
            When::Ipxe => "when iPXE asks",
            When::Address => "from `boot-server` on",
            When::Http => "`http`",
        }
    }
}

/// What the client says of itself.
pub const CLAIM: &str = "client";
const RELAY: &str = "relay";
const SERVER: &str = "server";

impl Field {
    const fn when(self, when: When) -> Field {
        Field { when, ..self }
    }

    /// A field that the client did not say.
    const fn by(self, source: &'static str) -> Field {
        Field { source, ..self }
    }
}

const fn text(name: &'static str, about: &'static str, example: &'static str, read: fn(&Seen) -> Dynamic) -> Field {
    field(name, "text", about, example, read)
}

const fn field(
    name: &'static str,
    kind: &'static str,
    about: &'static str,
    example: &'static str,
    read: fn(&Seen) -> Dynamic,
) -> Field {
    Field { name, kind, about, example, when: When::Always, source: CLAIM, read }
}

/// Every field of `request` but the machine's facts ([`FACTS`]), which are fields too unless one of these has the name.
pub const FIELDS: &[Field] = &[
    text("mac", "MAC address of the NIC that asks (`chaddr`)", "\"52:54:00:12:34:56\"", |s| {
        show(s.request.client.hardware)
    }),
    text(
        "uuid",
        "system UUID (option 97, else the fact); empty for a vendor's placeholder",
        "\"4c4c4544-0057-5810-804a-c3c04f463732\"",
        |s| s.request.client.uuid().or_else(|| reported_uuid(s)).map_or_else(empty, show),
    ),
    text("architecture", "client system architecture (option 93)", "\"x64-uefi\"", |s| {
        show(s.request.client.architecture)
    }),
    text("platform", "`bios`, `efi` or `other`, by the architecture", "\"efi\"", |s| {
        s.request.client.architecture.platform().name().into()
    }),
    text("stage", "`discover`, `boot-server`, `tftp` or `http`: how far the boot has come", "\"discover\"", |s| {
        s.request.stage.name().into()
    })
    .by(SERVER),
    text("vendor_class", "vendor class (option 60)", "\"PXEClient:Arch:00007:UNDI:003000\"", |s| {
        copy(&s.request.client.vendor_class)
    }),
    text("user_class", "user class (option 77)", "\"iPXE\"", |s| copy(&s.request.client.user_class)),
    field("is_ipxe", "true or false", "whether iPXE asks, and not the firmware", "true", |s| {
        s.request.client.is_ipxe().into()
    }),
    field("ipxe_features", "array of text", "features of the iPXE build (option 175)", "[\"http\", \"menu\"]", |s| {
        let features = s.request.client.ipxe.iter().flat_map(|build| &build.features);
        features.map(|name| Dynamic::from(*name)).collect::<Array>().into()
    })
    .when(When::Ipxe),
    text("ipxe_version", "version of the iPXE build (option 175, else the fact)", "\"1.21.1\"", |s| {
        let version = s.request.client.ipxe.as_ref().and_then(|build| build.version);
        version.map_or_else(|| fact(s, "ipxe_version"), |(a, b, c)| format!("{a}.{b}.{c}").into())
    })
    .when(When::Ipxe),
    text("nic", "bus, vendor and device number of the NIC (option 175)", "\"pci:8086:15bb\"", |s| {
        s.request.client.ipxe.as_ref().and_then(|build| build.nic).map_or_else(empty, show)
    })
    .when(When::Ipxe),
    text("hostname", "host name (option 12, else the fact)", "\"lab-07\"", |s| {
        match s.request.client.hostname.as_str() {
            "" => fact(s, "hostname"),
            name => copy(name),
        }
    }),
    text("interface", "our network interface that the question came in on", "\"eth0\"", |s| {
        copy(&s.request.network.interface)
    })
    .by(SERVER),
    text("server_ip", "our address that the client is answered from", "\"10.0.0.5\"", |s| {
        s.request.network.server.map_or_else(empty, show)
    })
    .by(SERVER),
    text("client_ip", "the client's address, once it has one", "\"10.0.0.57\"", |s| {
        s.request.network.client.map_or_else(empty, show)
    })
    .when(When::Address),
    text("giaddr", "the relay's address on the client's network", "\"10.1.0.1\"", |s| {
        s.request.network.relay.as_ref().map_or_else(empty, |relay| show(relay.giaddr))
    })
    .by(RELAY),
    text("circuit_id", "the relay's circuit id (option 82), as hexadecimal digits", "\"0004012c\"", |s| {
        s.request.network.relay.as_ref().map_or_else(empty, |relay| hex(&relay.circuit_id))
    })
    .by(RELAY),
    text("remote_id", "the relay's remote id (option 82), as hexadecimal digits", "\"0006001122334455\"", |s| {
        s.request.network.relay.as_ref().map_or_else(empty, |relay| hex(&relay.remote_id))
    })
    .by(RELAY),
    text(
        "subnet_address",
        "an address on the client's own network: of the relay, else the client, else ours",
        "\"10.1.0.1\"",
        |s| s.request.network.subnet_address().map_or_else(empty, show),
    )
    .by("relay, client or server"),
    text(
        "site",
        "where the machine is: the site of the site server that asks for it, else this server's own",
        "\"lyon\"",
        |s| copy(&s.request.network.site),
    )
    .by(SERVER),
    text("session", "id of this boot in the log", "\"0001abcdefff\"", |s| show(s.request.session)).by(SERVER),
    field("now", "time", "when the question arrived, in the site's time zone", "request.now.hour", |s| {
        Dynamic::from(Time(s.request.now.to_zoned(s.zone.clone())))
    })
    .by(SERVER),
    field(
        "record",
        "record",
        "what an earlier handler found of the machine in a database; `()` when none did",
        "request.record.hostname",
        |s| s.request.record.as_ref().map_or(Dynamic::UNIT, |record| Dynamic::from(Row(Arc::clone(record)))),
    )
    .by("database"),
    field(
        "identity",
        "identity",
        "which machine of the site it is, as far as an earlier handler found out, and how far its keys can be trusted",
        "request.identity.status",
        |s| Dynamic::from(Who(Arc::clone(&s.request.identity))),
    )
    .by(SERVER),
    field(
        "person",
        "person",
        "who is at the machine, once that was asked and verified: `name`, `method` (`pin`, `login`, `approval`), `groups`, `at`; `()` before",
        "request.person.name",
        |s| Verified::dynamic(s.request.person.as_ref(), &s.zone),
    )
    .when(When::Http)
    .by(SERVER),
    field(
        "quirks",
        "array of text",
        "the entries of the quirk table that the client matches: docs/quirks.md",
        "request.quirks.contains(\"raspberry-pi-rom\")",
        |s| {
            let names = s.request.quirks.iter().map(|name| Dynamic::from(ImmutableString::from(&**name)));
            Dynamic::from_array(names.collect())
        },
    )
    .by(SERVER),
    text("choice", "id of the image that was chosen in the firmware's menu (`pxe_menu`); empty without", "\"debian\"", |s| {
        s.request.choice.as_deref().map_or_else(empty, copy)
    })
    .when(When::Http)
    .by(SERVER),
    field(
        "facts",
        "facts",
        "all facts by name; `request.facts.mac` is the fact where the field has another source",
        "request.facts.serial",
        |_| Dynamic::UNIT,
    )
    .when(When::Http),
];

/// Registers the type and its getters.
pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Request>("Request").register_type_with_name::<Facts>("Facts");
    for field in FIELDS {
        if field.name == "facts" {
            engine.register_get("facts", |request: &mut Request| Facts(Arc::clone(&request.0)));
        } else {
            engine.register_get(field.name, |request: &mut Request| (field.read)(&request.0));
        }
    }
    for known in FACTS {
        if !FIELDS.iter().any(|field| field.name == known.name) {
            engine.register_get(known.name, |request: &mut Request| fact(&request.0, known.name));
        }
        engine.register_get(known.name, |facts: &mut Facts| fact(&facts.0, known.name));
    }
    // Asked where there is no getter, and for request["field"].
    engine.register_indexer_get(|request: &mut Request, name: ImmutableString| request.by_name(&name));
    engine.register_indexer_get(|facts: &mut Facts, name: ImmutableString| match Fact::named(&name) {
        Some(known) => Ok(fact(&facts.0, known.name)),
        None => unknown("request.facts", &name, FACTS.iter().map(|fact| fact.name)),
    });
    // No setter: Rhai would call it after each method on a field, as in request.product.contains("x").
}

impl Request {
    /// The request itself.
    pub(super) fn seen(&self) -> &BootRequest {
        &self.0.request
    }

    /// What the machine's ring follows from: its UUID, else its serial number, else its MAC address.
    pub(super) fn ring_key(&self) -> String {
        sql::machine_key(&self.0.request)
    }

    /// The value of a query's parameter: what queries of the `sql` handler have by this name, or a column of the record;
    /// null for what is not known.
    pub(super) fn parameter(&self, name: &str) -> Option<Value> {
        let request = &self.0.request;
        sql::fact(request, name).or_else(|| request.record.as_ref()?.get(name).cloned())
    }

    /// A field as a script would write it, cut when it is long; none for what has parts.
    pub(super) fn shown(&self, name: &str) -> Option<String> {
        let value = self.by_name(name).ok()?;
        match value.as_bool() {
            Ok(truth) => Some(truth.to_string()),
            Err(_) if value.is_string() => Some(format!("{:?}", cut(&value.into_immutable_string().ok()?))),
            Err(_) if value.is_unit() => Some("()".to_owned()),
            Err(_) => None,
        }
    }

    /// What is said of a parameter that is none of these.
    pub(super) fn unknown_parameter(&self, name: &str) -> String {
        let record = self.0.request.record.as_ref();
        let columns = record.iter().flat_map(|record| record.iter().map(|(column, _)| column));
        let of = match record {
            Some(_) => "no fact of the request and no column of its record",
            None => "no fact of the request, and no handler found a record",
        };
        match nearest(name, sql::fact_names().map(|known: &str| known).chain(columns)) {
            Some(meant) => format!("that is {of}; did you mean `{meant}`?"),
            None => format!("that is {of}; give it a map: #{{ {name}: ... }}"),
        }
    }

    fn by_name(&self, name: &str) -> Result<Dynamic, Box<EvalAltResult>> {
        if name == "facts" {
            return Ok(Dynamic::from(Facts(Arc::clone(&self.0))));
        }
        if let Some(field) = FIELDS.iter().find(|field| field.name == name) {
            return Ok((field.read)(&self.0));
        }
        match Fact::named(name) {
            Some(known) => Ok(fact(&self.0, known.name)),
            None => fail(format!("`request` has no field `{}`; {}", cut(name), remedy_of(name))),
        }
    }
}

/// The names of all fields and facts.
pub(super) fn names() -> impl Iterator<Item = &'static str> + Clone {
    let facts = FACTS.iter().map(|fact| fact.name).filter(|name| !FIELDS.iter().any(|field| field.name == *name));
    FIELDS.iter().map(|field| field.name).chain(facts)
}

/// The end of an error about a field that does not exist: the one that was meant.
pub(super) fn remedy_of(name: &str) -> String {
    let plain = name.to_ascii_lowercase().replace('-', "_");
    let other = OTHER_NAMES.iter().find(|(others, _)| others.contains(&plain.as_str())).map(|(_, field)| *field);
    match other.or_else(|| nearest(name, names())) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "`pointsman script help` names all fields".to_owned(),
    }
}

/// What fields are called elsewhere.
const OTHER_NAMES: &[(&[&str], &str)] = &[
    (&["arch"], "architecture"),
    (&["mac_address", "macaddress", "mac_addr", "hwaddr", "chaddr"], "mac"),
    (&["ram", "memory", "mem"], "memsize"),
    (&["model", "product_name"], "product"),
    (&["vendor", "make", "maker"], "manufacturer"),
    (&["serial_number", "serialnumber", "service_tag"], "serial"),
    (&["asset_tag", "assettag"], "asset"),
    (&["name", "host", "computername", "computer_name"], "hostname"),
    (&["guid", "smbios_guid", "system_uuid"], "uuid"),
    (&["firmware", "bios", "uefi", "efi"], "platform"),
    (&["address", "ip_address", "client_address"], "client_ip"),
    (&["network", "subnet", "vlan"], "subnet_address"),
    (&["time", "date", "hour", "weekday"], "now"),
    (&["ipxe"], "is_ipxe"),
];

fn unknown<T>(
    what: &str,
    name: &str,
    names: impl Iterator<Item = &'static str> + Clone,
) -> Result<T, Box<EvalAltResult>> {
    fail(format!("`{what}` has no field `{}`; {}", cut(name), remedy(name, names)))
}

/// The UUID of the fact, in canonical form, unless it is a placeholder.
fn reported_uuid(seen: &Seen) -> Option<uuid::Uuid> {
    let uuid = seen.request.machine.get("uuid")?.parse().ok()?;
    (!MachineId::from_uuid(uuid).is_placeholder()).then_some(uuid)
}

fn fact(seen: &Seen, name: &str) -> Dynamic {
    seen.request.machine.get(name).map_or_else(empty, copy)
}

fn empty() -> Dynamic {
    copy("")
}

fn copy(text: &str) -> Dynamic {
    ImmutableString::from(text).into()
}

fn show(value: impl ToString) -> Dynamic {
    value.to_string().into()
}

fn hex(octets: &[u8]) -> Dynamic {
    crate::hex::digits(octets).into()
}
