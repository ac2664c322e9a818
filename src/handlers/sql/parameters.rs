//! What queries may ask with: every fact of a request, by name.
//!
//! One table makes the values, the check of a configuration, and the documentation.

use std::fmt::Write;
use std::sync::LazyLock;

use crate::boot::{BootRequest, FACTS, Fact, Value};
use crate::nearest::remedy;

use crate::boot::keys::{Claims, is_mac, swapped};

/// What a query asks with.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) request: &'a BootRequest,
    pub(super) claims: &'a Claims,
    /// Whether the query finds the machine: then an adapter that identifies nobody is NULL, so that it finds nobody.
    pub(super) is_search: bool,
}

/// A parameter of every query; `:name` in it.
struct Parameter {
    name: &'static str,
    about: &'static str,
    example: &'static str,
    read: fn(&Facts<'_>) -> Value,
}

const fn parameter(
    name: &'static str,
    about: &'static str,
    example: &'static str,
    read: fn(&Facts<'_>) -> Value,
) -> Parameter {
    Parameter { name, about, example, read }
}

/// The parameters, but the facts of [`FACTS`] that are not among them.
const PARAMETERS: &[Parameter] = &[
    parameter("mac", "MAC address of the NIC that asks (`chaddr`)", "52:54:00:12:34:56", |f| {
        let own = Some(f.request.client.hardware).filter(is_mac);
        shown(if f.is_search { f.claims.mac } else { own })
    }),
    parameter("mac_ipxe", "MAC address of that NIC as iPXE sees it", "52:54:00:12:34:56", |f| {
        if f.is_search { shown(f.claims.mac_ipxe) } else { fact(f, "mac") }
    }),
    parameter("sysmac", "system MAC address, which is passed through to adapters", "52:54:00:12:34:57", |f| {
        shown(f.claims.sysmac)
    }),
    parameter("uuid", "system UUID (option 97, else the fact)", "4c4c4544-0057-5810-804a-c3c04f463732", |f| {
        shown(f.claims.uuid)
    }),
    parameter("serial", "serial number (SMBIOS type 1)", "7XK3N22", |f| {
        if f.claims.serial.is_some() { fact(f, "serial") } else { Value::Null }
    }),
    parameter("manufacturer", "manufacturer (SMBIOS type 1)", "Dell Inc.", |f| fact(f, "manufacturer")),
    parameter("arch", "client system architecture (option 93)", "x64-uefi", |f| {
        shown(Some(f.request.client.architecture))
    }),
    parameter("architecture", "the same", "x64-uefi", |f| shown(Some(f.request.client.architecture))),
    parameter("platform", "`bios`, `efi` or `other`, by the architecture", "efi", |f| {
        text(f.request.client.architecture.platform().name())
    }),
    parameter("stage", "`discover`, `boot-server`, `tftp` or `http`: how far the boot has come", "http", |f| {
        text(f.request.stage.name())
    }),
    parameter("vendor_class", "vendor class (option 60)", "PXEClient:Arch:00007:UNDI:003000", |f| {
        text(&f.request.client.vendor_class)
    }),
    parameter("user_class", "user class (option 77)", "iPXE", |f| text(&f.request.client.user_class)),
    parameter("nic", "bus, vendor and device number of the NIC (option 175)", "pci:8086:15bb", |f| {
        shown(f.request.client.ipxe.as_ref().and_then(|build| build.nic))
    }),
    parameter("hostname", "host name (option 12, else the fact)", "lab-07", |f| {
        match f.request.client.hostname.as_str() {
            "" => fact(f, "hostname"),
            name => text(name),
        }
    }),
    parameter("interface", "our network interface that the question came in on", "eth0", |f| {
        text(&f.request.network.interface)
    }),
    parameter("server_ip", "our address that the client is answered from", "10.0.0.5", |f| {
        shown(f.request.network.server)
    }),
    parameter("client_ip", "the client's address, once it has one", "10.0.0.57", |f| shown(f.request.network.client)),
    parameter(
        "subnet_address",
        "an address on the client's own network: the relay's, else its own, else ours",
        "10.1.0.1",
        |f| shown(f.request.network.subnet_address()),
    ),
    parameter("giaddr", "the relay's address on the client's network", "10.1.0.1", |f| {
        shown(f.request.network.relay.as_ref().map(|relay| relay.giaddr))
    }),
    parameter("circuit_id", "the relay's circuit id (option 82), as hexadecimal digits", "0004012c", |f| {
        hex(f.request.network.relay.as_ref().map(|relay| relay.circuit_id.as_slice()))
    }),
    parameter("remote_id", "the relay's remote id (option 82), as hexadecimal digits", "0006001122334455", |f| {
        hex(f.request.network.relay.as_ref().map(|relay| relay.remote_id.as_slice()))
    }),
    parameter("site", "the site of the site server that asks, else this server's own", "lyon", |f| {
        text(&f.request.network.site)
    }),
    parameter("session", "id of this boot, the same in all its queries and in the log", "0001abcdefff", |f| {
        shown(Some(f.request.session))
    }),
    parameter("now", "when the question arrived (RFC 3339, UTC)", "2026-05-01T08:00:00Z", |f| {
        text(&format!("{:.0}", f.request.now))
    }),
    parameter("now_unix", "the same in seconds since 1970", "1777622400", |f| f.request.now.as_second().into()),
];

/// How else the addresses are written: what is added to their names.
const MAC_FORMS: &[(&str, &str)] = &[
    ("_upper", "52:54:00:AB:CD:56"),
    ("_dash", "52-54-00-ab-cd-56"),
    ("_dash_upper", "52-54-00-AB-CD-56"),
    ("_plain", "525400abcd56"),
    ("_plain_upper", "525400ABCD56"),
    ("_dot", "5254.00ab.cd56"),
];

/// How else the UUID is written.
const UUID_FORMS: &[(&str, &str)] = &[
    ("_upper", "4C4C4544-0057-5810-804A-C3C04F463732"),
    ("_plain", "4c4c454400575810804ac3c04f463732"),
    ("_plain_upper", "4C4C454400575810804AC3C04F463732"),
    ("_swapped", "44454c4c-5700-1058-804a-c3c04f463732"),
    ("_swapped_upper", "44454C4C-5700-1058-804A-C3C04F463732"),
];

const MACS: [&str; 3] = ["mac", "mac_ipxe", "sysmac"];

impl Facts<'_> {
    /// The value of a parameter, NULL where the fact is not known; none when there is no such parameter.
    pub(super) fn value(&self, name: &str) -> Option<Value> {
        if let Some(parameter) = PARAMETERS.iter().find(|parameter| parameter.name == name) {
            return Some((parameter.read)(self));
        }
        if let Some(form) = name.strip_prefix("uuid").filter(|form| UUID_FORMS.iter().any(|(known, _)| known == form)) {
            return Some(self.uuid(form));
        }
        for mac in MACS {
            if let Some(form) = name.strip_prefix(mac).filter(|form| MAC_FORMS.iter().any(|(known, _)| known == form)) {
                return Some(in_form(self.value(mac)?, form));
            }
        }
        Fact::named(name).map(|known| fact(self, known.name))
    }

    fn uuid(&self, form: &str) -> Value {
        match form.strip_prefix("_swapped") {
            Some(rest) => in_form(shown(self.claims.uuid.as_ref().map(swapped)), rest),
            None => in_form(shown(self.claims.uuid), form),
        }
    }
}

/// An address or UUID in lower case, written in a form.
fn in_form(value: Value, form: &str) -> Value {
    let Value::Text(text) = value else { return value };
    let plain = || text.replace([':', '-'], "");
    let written = match form.trim_end_matches("_upper") {
        "_dash" => text.replace(':', "-"),
        "_plain" => plain(),
        "_dot" => {
            let plain = plain();
            let parts: Vec<_> = plain.as_bytes().chunks(4).map(String::from_utf8_lossy).collect();
            parts.join(".")
        }
        _ => text,
    };
    Value::Text(if form.ends_with("_upper") { written.to_uppercase() } else { written })
}

/// The names of all parameters.
pub(in crate::handlers) fn names() -> impl Iterator<Item = &'static str> + Clone {
    static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
        let own = PARAMETERS.iter().map(|parameter| parameter.name.to_owned());
        let macs = MACS.iter().flat_map(|mac| MAC_FORMS.iter().map(move |(form, _)| format!("{mac}{form}")));
        let uuids = UUID_FORMS.iter().map(|(form, _)| format!("uuid{form}"));
        let mut names: Vec<String> = own.chain(macs).chain(uuids).collect();
        for fact in FACTS {
            if !names.iter().any(|name| name == fact.name) {
                names.push(fact.name.to_owned());
            }
        }
        names
    });
    NAMES.iter().map(String::as_str)
}

/// Whether every query has this parameter.
pub(super) fn is_known(name: &str) -> bool {
    names().any(|known| known == name)
}

/// What to do about a parameter that there is not; `more` are names that this query has beside the facts.
pub(super) fn help(name: &str, more: &[&str]) -> String {
    let mut all = more.to_vec();
    names().for_each(|known| all.push(known));
    remedy(name, all)
}

/// The parameters of queries as Markdown, made from the table that their values are made from.
pub fn reference() -> String {
    let mut table = "| parameter | what it is | example |\n|---|---|---|\n".to_owned();
    let mut row = |name: &str, about: &str, example: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| `:{name}` | {about} | `{example}` |");
    };
    for parameter in PARAMETERS {
        row(parameter.name, parameter.about, parameter.example);
    }
    for fact in FACTS.iter().filter(|fact| !PARAMETERS.iter().any(|parameter| parameter.name == fact.name)) {
        row(fact.name, fact.about, fact.example);
    }
    table.push_str("\n| form | of `:mac`, `:mac_ipxe`, `:sysmac` | of `:uuid` |\n|---|---|---|\n");
    let mut forms: Vec<&str> = MAC_FORMS.iter().map(|(form, _)| *form).collect();
    forms.extend(UUID_FORMS.iter().map(|(form, _)| *form).filter(|form| !MAC_FORMS.iter().any(|(mac, _)| mac == form)));
    for form in forms {
        let cell = |of: &[(&str, &str)]| {
            of.iter().find(|(name, _)| *name == form).map_or(String::new(), |(_, example)| format!("`{example}`"))
        };
        let _ = writeln!(table, "| `{form}` | {} | {} |", cell(MAC_FORMS), cell(UUID_FORMS));
    }
    table
}

fn fact(facts: &Facts<'_>, name: &str) -> Value {
    facts.request.machine.get(name).map_or(Value::Null, Value::from)
}

fn text(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { Value::from(text) }
}

fn shown(value: Option<impl ToString>) -> Value {
    value.map_or(Value::Null, |value| Value::Text(value.to_string()))
}

fn hex(octets: Option<&[u8]>) -> Value {
    text(&crate::hex::digits(octets.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::keys::SharedMacs;
    use crate::boot::{Architecture, Client, Machine, MachineId, Network, Relay, Stage};

    fn request() -> BootRequest {
        let mut client = Client::new("52:54:00:ab:cd:56".parse().unwrap(), Architecture::X64_UEFI);
        let uuid = "4c4c4544-0057-5810-804a-c3c04f463732".parse().unwrap();
        client.machine_id = Some(MachineId::from_uuid(uuid));
        let mut machine = Machine::default();
        for fact in FACTS {
            machine.insert(fact.name, fact.example);
        }
        let giaddr = [10, 1, 0, 1].into();
        let relay = Relay { giaddr, circuit_id: vec![0, 4], remote_id: Vec::new(), link_selection: None };
        let network = Network { relay: Some(relay), ..Network::default() };
        let session = "0001abcdefff".parse().unwrap();
        let now = "2026-05-01T08:00:00.5Z".parse().unwrap();
        BootRequest { network, machine, ..BootRequest::new(session, Stage::Http, client, now) }
    }

    #[test]
    fn every_fact_has_a_value_by_its_name() {
        let request = request();
        let claims = Claims::of(&request, &SharedMacs::default());
        let facts = Facts { request: &request, claims: &claims, is_search: false };
        let check = |name: &str, expect: &str| assert_eq!(facts.value(name), Some(Value::from(expect)), "{name}");
        check("mac", "52:54:00:ab:cd:56");
        check("mac_ipxe", "52:54:00:12:34:56");
        check("mac_ipxe_dash", "52-54-00-12-34-56");
        check("sysmac_plain_upper", "525400123457");
        check("serial", "7XK3N22");
        check("arch", "x64-uefi");
        check("giaddr", "10.1.0.1");
        check("circuit_id", "0004");
        check("now", "2026-05-01T08:00:00Z");
        check("product", "OptiPlex 7010");
        for (form, example) in MAC_FORMS {
            check(&format!("mac{form}"), example);
        }
        for (form, example) in UUID_FORMS {
            check(&format!("uuid{form}"), example);
        }
        assert_eq!(facts.value("now_unix"), Some(Value::Integer(1_777_622_400)));
        assert_eq!(facts.value("remote_id"), Some(Value::Null), "nothing is NULL, not the empty text");
        assert_eq!(facts.value("mac_uper"), None);
        assert!(names().all(|name| facts.value(name).is_some() && is_known(name)));
        assert!(FACTS.iter().all(|fact| is_known(fact.name)));
    }

    #[test]
    fn a_search_is_not_begun_with_what_identifies_nobody() {
        let mut request = request();
        request.machine.insert("serial", "To be filled by O.E.M.");
        request.machine.insert("sysmac", "00:00:00:00:00:00");
        request.client.machine_id = Some(MachineId::from_wire([0xff; 16]));
        request.machine.insert("uuid", "03000200-0400-0500-0006-000700080009");
        let claims = Claims::of(&request, &SharedMacs::read(["52:54:00:ab"]).unwrap());
        let facts = |is_search| Facts { request: &request, claims: &claims, is_search };
        for name in ["serial", "sysmac", "sysmac_dash", "uuid", "uuid_swapped", "mac", "mac_dot"] {
            assert_eq!(facts(true).value(name), Some(Value::Null), "{name}");
        }
        assert_eq!(facts(false).value("mac"), Some(Value::from("52:54:00:ab:cd:56")), "what is noted is what was seen");
    }

    #[test]
    fn a_misspelt_parameter_is_told_with_the_one_that_was_meant() {
        assert_eq!(help("seriel", &[]), "did you mean `serial`?");
        assert_eq!(help("machine_idd", &["machine_id"]), "did you mean `machine_id`?");
        assert!(help("zzzzzzzz", &["image"]).starts_with("there are image, mac, mac_ipxe"));
    }
}
