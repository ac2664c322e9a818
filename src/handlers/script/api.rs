//! The contract: what a script can read and call. Documentation, suggestions and checks are made from these tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use rhai::Engine;

use super::contract::{self, function};
use super::offer;
use super::reach::Reach;
use super::tables::Tables;
use super::{
    answer, ask, functions, identity, images, notes, patterns, query, record, request, rings, sandbox, tables, time,
    versions, web, who,
};
use crate::database::NamedQueries;

pub use super::contract::{Function, OptionKey, topic, topics};
pub use super::identity::{IDENTITY_PARTS, IdentityPart};
pub use super::request::{CLAIM, FIELDS, Field, When};
pub use super::time::PARTS;

/// Every function of ours, in the order of the documentation.
pub const FUNCTIONS: &[Function] = &[
    function("allow", "the machine may boot from the network", "allow(#{ loader: \"snponly.efi\" })")
        .calls(&["allow() -> verdict", "allow(options: map) -> verdict"])
        .options(contract::ALLOW),
    function(
        "pxe_menu",
        "a menu that PXE firmware itself shows before anything is loaded: for `allow(#{ menu: ... })`",
        "pxe_menu(#{ prompt: \"Press F8 for the menu\", entries: [#{ title: \"Debian 12\", image: \"debian\" }] })",
    )
        .calls(&["pxe_menu(options: map) -> pxe_menu"])
        .options(contract::PXE_MENU),
    function("deny", "it may not, and is told why", "deny(\"not in the list of machines\")")
        .calls(&["deny(reason: text) -> verdict"]),
    function("ignore", "it gets no answer, as if there were no server", "ignore(\"not ours\")")
        .calls(&["ignore(reason: text) -> verdict"]),
    function("pass", "no opinion: the next handler is asked", "pass()")
        .calls(&["pass() -> pass"]),
    function("refer", "no opinion: this upstream decides", "refer(\"main\", #{ style: \"redirect\" })")
        .calls(&["refer(upstream: text) -> refer", "refer(upstream: text, options: map) -> refer"])
        .options(contract::REFER),
    function(
        "linux",
        "a Linux kernel with initial RAM disks and command line",
        "linux(#{ id: \"debian\", title: \"Debian 12\", kernel: \"debian/linux\", initrd: \"debian/initrd.gz\", cmdline: \"quiet\" })",
    )
        .calls(&["linux(options: map) -> image"])
        .options(contract::LINUX),
    function(
        "wim",
        "Windows PE through wimboot",
        "wim(#{ wim: \"winpe/boot.wim\", bcd: \"winpe/BCD\", boot_sdi: \"winpe/boot.sdi\", files: #{ \"startnet.cmd\": \"winpe/startnet.cmd\" } })",
    )
        .calls(&["wim(options: map) -> image"])
        .options(contract::WIM),
    function("efi", "an EFI program", "efi(#{ source: \"tools/shell.efi\", cmdline: \"-nomap\" })")
        .calls(&["efi(source: text) -> image", "efi(options: map) -> image"])
        .options(contract::EFI),
    function(
        "chain",
        "another loader or iPXE script that takes over",
        "chain(\"http://boot.example.com/menu.ipxe\")",
    )
        .calls(&["chain(source: text) -> image", "chain(options: map) -> image"])
        .options(contract::CHAIN),
    function(
        "sanboot",
        "a disk or CD image by HTTP, iSCSI or AoE",
        "sanboot(\"iscsi:10.0.0.9::::iqn.2010-04.com.example:disk\")",
    )
        .calls(&["sanboot(source: text) -> image", "sanboot(options: map) -> image"])
        .options(contract::SOURCE),
    function("ipxe", "commands of iPXE as they are", "ipxe(\"echo Hello\\nsleep 5\")")
        .calls(&["ipxe(text: text) -> image", "ipxe(options: map) -> image"])
        .options(contract::IPXE),
    function(
        "referral",
        "another boot server takes over, and is told what the machine is",
        "referral(#{ title: \"Head office\", url: \"http://boot.example.com/boot.ipxe\", facts: \"form\" })",
    )
        .calls(&["referral(url: text) -> image", "referral(options: map) -> image"])
        .options(contract::REFERRAL),
    function("retry", "the machine waits for so many seconds, and asks again", "retry(15)")
        .calls(&["retry(wait: number) -> image", "retry(options: map) -> image"])
        .options(contract::RETRY),
    function("local_disk", "the machine's own disk", "local_disk()")
        .calls(&["local_disk() -> image", "local_disk(title: text) -> image", "local_disk(options: map) -> image"])
        .options(contract::LOCAL_DISK),
    function("reboot", "restart", "reboot()")
        .calls(&["reboot() -> image", "reboot(title: text) -> image", "reboot(options: map) -> image"])
        .options(contract::PLAIN),
    function("poweroff", "power off", "poweroff()")
        .calls(&["poweroff() -> image", "poweroff(title: text) -> image", "poweroff(options: map) -> image"])
        .options(contract::PLAIN),
    function("shell", "the command line of iPXE", "shell()")
        .calls(&["shell() -> image", "shell(title: text) -> image", "shell(options: map) -> image"])
        .options(contract::PLAIN),
    function(
        "menu",
        "offers several images",
        "menu(#{ title: \"Lab\", timeout: 10, default_image: \"local\", images: [local_disk(), shell()] })",
    )
        .calls(&["menu(options: map) -> menu"])
        .options(contract::MENU),
    function(
        "ask_pin",
        "asks the person at the machine for a PIN; then boot_images is asked again, with request.person",
        "ask_pin(#{ title: \"PIN of the lab\", groups: [\"lab\"] })",
    )
        .calls(&["ask_pin() -> question", "ask_pin(title: text) -> question", "ask_pin(options: map) -> question"])
        .options(contract::ASK),
    function(
        "ask_login",
        "asks for a user name and password, which the server verifies",
        "ask_login(#{ title: \"Imaging\", groups: [\"imaging\"] })",
    )
        .calls(&["ask_login() -> question", "ask_login(title: text) -> question", "ask_login(options: map) -> question"])
        .options(contract::ASK),
    function(
        "ask_approval",
        "waits until somebody approves this boot at the server",
        "ask_approval(#{ title: \"Wipe this machine\", wait: 600 })",
    )
        .calls(&["ask_approval() -> question", "ask_approval(title: text) -> question", "ask_approval(options: map) -> question"])
        .options(contract::ASK_APPROVAL),
    function(
        "table",
        "a table of the data folder: a CSV or TSV file, or a list of maps in JSON, TOML or YAML",
        "table(\"machines.csv\")",
    )
        .calls(&["table(file: text) -> table"]),
    function("data", "what a JSON, TOML or YAML file of the data folder says", "data(\"site.yaml\").gateway")
        .calls(&["data(file: text) -> anything"]),
    function(
        "find",
        "the first row of a table with this value in a column, or `()`",
        "table(\"machines.csv\").find(\"mac\", request.mac)",
    )
        .calls(&["table.find(column: text, value: anything) -> row"]),
    function("find_all", "all such rows, as an array", "table(\"machines.csv\").find_all(\"role\", \"lab\")")
        .calls(&["table.find_all(column: text, value: anything) -> array"]),
    function(
        "find_network",
        "the row whose network in a column holds an address, and is the smallest that does; or `()`",
        "table(\"sites.json\").find_network(\"network\", request.subnet_address)",
    )
        .calls(&["table.find_network(column: text, address: text) -> row"]),
    function("rows", "all rows of a table, as an array", "table(\"machines.csv\").rows()")
        .calls(&["table.rows() -> array"]),
    function(
        "query",
        "what a named query of a database finds, as an array of rows; the last answer stands in when the database fails",
        "query(\"cmdb.owner_of\", #{ mac: request.mac })",
    )
        .calls(&[
            "query(name: text) -> array",
            "query(name: text, parameters: map) -> array",
            "query(name: text, request: request) -> array",
            "query(name: text, row: record) -> array",
        ]),
    function(
        "fresh_query",
        "the same, but an error when the database fails: for rows that say what to install",
        "fresh_query(\"cmdb.owner_of\", request)",
    )
        .calls(&[
            "fresh_query(name: text) -> array",
            "fresh_query(name: text, parameters: map) -> array",
            "fresh_query(name: text, request: request) -> array",
            "fresh_query(name: text, row: record) -> array",
        ]),
    function(
        "in_network",
        "whether an address lies in a network, or in one of an array of networks",
        "in_network(request.subnet_address, \"10.1.0.0/16\")",
    )
        .calls(&[
            "in_network(address: text, network: text) -> bool",
            "in_network(address: text, networks: array) -> bool",
        ]),
    function(
        "between",
        "whether a time of day lies in a window, which may go over midnight",
        "request.now.between(\"22:00\", \"05:00\")",
    )
        .calls(&["time.between(from: text, to: text) -> bool"]),
    function(
        "is_between",
        "whether a time lies between two dates, both with it; dates without a year come every year",
        "request.now.is_between(\"2026-12-20\", \"2027-01-04\")",
    )
        .calls(&["time.is_between(first: text, last: text) -> bool"]),
    function("is_on", "whether it is one of these days of the week", "request.now.is_on(\"mon-fri, sun\")")
        .calls(&["time.is_on(days: text) -> bool"]),
    function("in_zone", "the same time in another time zone", "request.now.in_zone(\"America/New_York\").hour")
        .calls(&["time.in_zone(zone: text) -> time"]),
    function(
        "matches",
        "whether a regular expression is found in a text; `^` and `$` stand for its ends",
        "matches(request.product, \"^OptiPlex [0-9]+\")",
    )
        .calls(&["matches(text: text, pattern: text) -> bool"]),
    function(
        "captures",
        "what a regular expression finds: the whole, then its groups; an empty array when it finds nothing",
        "captures(request.product, \"^([A-Za-z]+) ([0-9]+)\")",
    )
        .calls(&["captures(text: text, pattern: text) -> array"]),
    function(
        "compare_versions",
        "-1, 0 or 1: whether a version is before another one, the same, or after it",
        "compare_versions(request.bios_version, \"1.9.0\")",
    )
        .calls(&["compare_versions(version: text, other: text) -> number"]),
    function(
        "version_at_least",
        "whether a version is not before another one",
        "version_at_least(request.bios_version, \"1.9.0\")",
    )
        .calls(&["version_at_least(version: text, least: text) -> bool"]),
    function("ring", "a number from 0 to 99 that stays the same for a machine", "ring(request, \"debian-13\")")
        .calls(&["ring(request: request) -> number", "ring(request: request, salt: text) -> number"]),
    function("in_ring", "whether a machine is among the first so many percent", "in_ring(request, 5)")
        .calls(&[
            "in_ring(request: request, percent: number) -> bool",
            "in_ring(request: request, percent: number, salt: text) -> bool",
        ]),
    function(
        "http_get",
        "asks a web service of the configuration; the answer has `status`, `ok`, `body` and `json`",
        "http_get(\"nac\", [\"mab\", request.mac], #{ query: #{ site: request.site } }).ok",
    )
        .calls(&[
            "http_get(service: text, path: text or array) -> web answer",
            "http_get(service: text, path: text or array, options: map) -> web answer",
        ])
        .options(contract::HTTP),
    function(
        "http_post",
        "the same by POST; a map or an array goes as JSON, text as text",
        "http_post(\"nac\", \"/mab\", #{ mac: request.mac }).status",
    )
        .calls(&[
            "http_post(service: text, path: text or array, body: anything) -> web answer",
            "http_post(service: text, path: text or array, body: anything, options: map) -> web answer",
        ])
        .options(contract::HTTP),
    function(
        "identify",
        "which machine of a table asks, by all its keys; `row` is its row",
        "table(\"machines.csv\").identify(request).status",
    )
        .calls(&["table.identify(request: request) -> identity"]),
    function(
        "state.get",
        "what was noted of the machine under this name; `()`, or what is given, when nothing was",
        "state.get(\"tries\", 0)",
    )
        .calls(&["state.get(name: text) -> anything", "state.get(name: text, otherwise: anything) -> anything"]),
    function(
        "state.set",
        "notes text, a number, true or false of the machine, for its later boots; `()` takes the note away",
        "state.set(\"last_image\", \"debian\")",
    )
        .calls(&["state.set(name: text, value: anything) -> nothing"]),
    function("state.add", "adds to a number that is noted, which is 0 at first", "state.add(\"tries\", 1)")
        .calls(&["state.add(name: text, number: number) -> nothing"]),
    function("state.clear", "takes a note away", "state.clear(\"tries\")")
        .calls(&["state.clear(name: text) -> nothing"]),
    function("count", "counts in the server's metrics, under a name of your choice", "count(\"sent_to_repair\")")
        .calls(&["count(name: text) -> nothing"]),
    function("log", "writes a line to the server's log", "log(\"seen \" + request.mac)")
        .calls(&["log(text: text) -> nothing"]),
];

/// An engine with the whole contract.
pub(super) fn engine(tables: Arc<Tables>, queries: &Arc<NamedQueries>, reach: &Reach) -> Engine {
    let mut engine = sandbox::engine();
    request::register(&mut engine);
    identity::register(&mut engine);
    time::register(&mut engine);
    answer::register(&mut engine);
    offer::register(&mut engine);
    images::register(&mut engine);
    ask::register(&mut engine);
    tables::register(&mut engine, tables);
    record::register(&mut engine);
    query::register(&mut engine, queries);
    functions::register(&mut engine);
    patterns::register(&mut engine);
    versions::register(&mut engine);
    rings::register(&mut engine);
    notes::register(&mut engine, reach);
    web::register(&mut engine, reach);
    who::register(&mut engine);
    engine
}

/// The names of all functions that a script can call, of ours and of the language.
pub(super) fn callable(engine: &Engine) -> BTreeSet<String> {
    let signatures = engine.gen_fn_signatures(true);
    signatures.iter().filter_map(|signature| signature.split('(').next()).map(|name| name.trim().to_owned()).collect()
}

/// Whether a function builds an answer, so that what it gives knows where it was made.
pub(super) fn builds_answers(name: &str) -> bool {
    ANSWERS.contains(&name)
}

/// Functions whose only use is to be the answer, or a part of it.
pub(super) const ANSWERS: [&str; 21] = [
    "allow",
    "deny",
    "ignore",
    "pass",
    "refer",
    "linux",
    "wim",
    "chain",
    "efi",
    "sanboot",
    "ipxe",
    "referral",
    "retry",
    "local_disk",
    "reboot",
    "poweroff",
    "shell",
    "menu",
    "ask_pin",
    "ask_login",
    "ask_approval",
];

/// Whether `request` has this field.
pub(super) fn is_request_field(name: &str) -> bool {
    request::names().any(|field| field == name)
}

/// The end of an error about a field that `request` does not have.
pub(super) fn request_remedy(name: &str) -> String {
    request::remedy_of(name)
}

/// The word of an administrator for a type.
pub(super) fn plain_type(name: &str) -> &str {
    match name {
        "()" => "nothing",
        "bool" => "true or false",
        "i64" => "a number",
        "f64" => "a number with a fraction",
        "char" => "a character",
        "map" => "a map",
        "array" => "an array",
        "blob" => "octets",
        "Fn" => "a function",
        "range" | "range=" => "a range",
        name if name.starts_with("Range") || name.contains("::Range") => "a range",
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" | "i8" | "i16" | "i32" | "i128" | "isize" | "f32" => "a number",
        name if name.contains("String") || matches!(name, "string" | "&str" | "str") => "text",
        name => match name.rsplit("::").next().unwrap_or(name) {
            "Image" => "an image",
            "ImageMenu" | "Menu" => "a menu",
            "Ruling" | "Verdict" => "a verdict",
            "Request" => "the request",
            "Facts" => "the facts",
            "Row" => "a row of a table",
            "Identity" => "the identity of the machine",
            "Record" => "a row of a database",
            "Table" => "a table",
            "WebAnswer" => "an answer of a web service",
            "Match" => "what identify found",
            "State" => "the notes of the machine",
            "Part" => "a map of a data file",
            "Time" => "a time",
            "Pass" => "pass()",
            "Refer" => "refer(...)",
            other => other,
        },
    }
}
