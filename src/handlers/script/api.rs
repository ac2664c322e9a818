//! The contract: what a script can read and call. Documentation, suggestions and checks are made from these tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use rhai::Engine;

use super::tables::Tables;
use super::{answer, functions, images, patterns, query, record, request, rings, sandbox, tables, time, versions};
use crate::database::NamedQueries;

pub use super::request::{FIELDS, Field};
pub use super::time::PARTS;

/// A function of the contract.
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// A use that runs.
    pub example: &'static str,
}

const fn function(name: &'static str, about: &'static str, example: &'static str) -> Function {
    Function { name, about, example }
}

/// Every function of ours, in the order of the documentation.
pub const FUNCTIONS: &[Function] = &[
    function("allow", "the machine may boot from the network", "allow()"),
    function("deny", "it may not, and is told why", "deny(\"not in the list of machines\")"),
    function("ignore", "it gets no answer, as if there were no server", "ignore(\"not ours\")"),
    function("pass", "no opinion: the next handler is asked", "pass()"),
    function("refer", "no opinion: this upstream decides", "refer(\"main\", #{ style: \"redirect\" })"),
    function(
        "linux",
        "a Linux kernel with initial RAM disks and command line",
        "linux(#{ id: \"debian\", title: \"Debian 12\", kernel: \"debian/linux\", initrd: \"debian/initrd.gz\", cmdline: \"quiet\" })",
    ),
    function(
        "wim",
        "Windows PE through wimboot",
        "wim(#{ wim: \"winpe/boot.wim\", bcd: \"winpe/BCD\", boot_sdi: \"winpe/boot.sdi\", files: #{ \"startnet.cmd\": \"winpe/startnet.cmd\" } })",
    ),
    function("efi", "an EFI program", "efi(#{ source: \"tools/shell.efi\", cmdline: \"-nomap\" })"),
    function("chain", "another loader or iPXE script that takes over", "chain(\"http://boot.example.com/menu.ipxe\")"),
    function(
        "sanboot",
        "a disk or CD image by HTTP, iSCSI or AoE",
        "sanboot(\"iscsi:10.0.0.9::::iqn.2010-04.com.example:disk\")",
    ),
    function("ipxe", "commands of iPXE as they are", "ipxe(\"echo Hello\\nsleep 5\")"),
    function(
        "referral",
        "another boot server takes over, and is told what the machine is",
        "referral(#{ title: \"Head office\", url: \"http://boot.example.com/boot.ipxe\", facts: \"form\" })",
    ),
    function("retry", "the machine waits for so many seconds, and asks again", "retry(15)"),
    function("local_disk", "the machine's own disk", "local_disk()"),
    function("reboot", "restart", "reboot()"),
    function("poweroff", "power off", "poweroff()"),
    function("shell", "the command line of iPXE", "shell()"),
    function(
        "menu",
        "offers several images",
        "menu(#{ title: \"Lab\", timeout: 10, default_image: \"local\", images: [local_disk(), shell()] })",
    ),
    function(
        "table",
        "a table of the data folder: a CSV or TSV file, or a list of maps in JSON, TOML or YAML",
        "table(\"machines.csv\")",
    ),
    function("data", "what a JSON, TOML or YAML file of the data folder says", "data(\"site.yaml\").gateway"),
    function(
        "find",
        "the first row of a table with this value in a column, or `()`",
        "table(\"machines.csv\").find(\"mac\", request.mac)",
    ),
    function("find_all", "all such rows, as an array", "table(\"machines.csv\").find_all(\"role\", \"lab\")"),
    function(
        "find_network",
        "the row whose network in a column holds an address, and is the smallest that does; or `()`",
        "table(\"sites.json\").find_network(\"network\", request.subnet_address)",
    ),
    function("rows", "all rows of a table, as an array", "table(\"machines.csv\").rows()"),
    function(
        "query",
        "what a named query of a database finds, as an array of rows; the last answer stands in when the database fails",
        "query(\"cmdb.owner_of\", #{ mac: request.mac })",
    ),
    function(
        "fresh_query",
        "the same, but an error when the database fails: for rows that say what to install",
        "fresh_query(\"cmdb.owner_of\", request)",
    ),
    function(
        "in_network",
        "whether an address lies in a network, or in one of an array of networks",
        "in_network(request.subnet_address, \"10.1.0.0/16\")",
    ),
    function(
        "between",
        "whether a time of day lies in a window, which may go over midnight",
        "request.now.between(\"22:00\", \"05:00\")",
    ),
    function(
        "is_between",
        "whether a time lies between two dates, both with it; dates without a year come every year",
        "request.now.is_between(\"2026-12-20\", \"2027-01-04\")",
    ),
    function("is_on", "whether it is one of these days of the week", "request.now.is_on(\"mon-fri, sun\")"),
    function("in_zone", "the same time in another time zone", "request.now.in_zone(\"America/New_York\").hour"),
    function(
        "matches",
        "whether a regular expression is found in a text; `^` and `$` stand for its ends",
        "matches(request.product, \"^OptiPlex [0-9]+\")",
    ),
    function(
        "captures",
        "what a regular expression finds: the whole, then its groups; an empty array when it finds nothing",
        "captures(request.product, \"^([A-Za-z]+) ([0-9]+)\")",
    ),
    function(
        "compare_versions",
        "-1, 0 or 1: whether a version is before another one, the same, or after it",
        "compare_versions(request.bios_version, \"1.9.0\")",
    ),
    function(
        "version_at_least",
        "whether a version is not before another one",
        "version_at_least(request.bios_version, \"1.9.0\")",
    ),
    function("ring", "a number from 0 to 99 that stays the same for a machine", "ring(request, \"debian-13\")"),
    function("in_ring", "whether a machine is among the first so many percent", "in_ring(request, 5)"),
    function("log", "writes a line to the server's log", "log(\"seen \" + request.mac)"),
];

/// An engine with the whole contract.
pub(super) fn engine(tables: Arc<Tables>, queries: &Arc<NamedQueries>) -> Engine {
    let mut engine = sandbox::engine();
    request::register(&mut engine);
    time::register(&mut engine);
    answer::register(&mut engine);
    images::register(&mut engine);
    tables::register(&mut engine, tables);
    record::register(&mut engine);
    query::register(&mut engine, queries);
    functions::register(&mut engine);
    patterns::register(&mut engine);
    versions::register(&mut engine);
    rings::register(&mut engine);
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
pub(super) const ANSWERS: [&str; 18] = [
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
];

/// Whether `request` has this field.
pub(super) fn is_request_field(name: &str) -> bool {
    request::names().any(|field| field == name)
}

/// The names of the fields of `request`.
pub(super) fn request_fields() -> impl Iterator<Item = &'static str> + Clone {
    request::names()
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
            "Record" => "a row of a database",
            "Table" => "a table",
            "Part" => "a map of a data file",
            "Time" => "a time",
            "Pass" => "pass()",
            "Refer" => "refer(...)",
            other => other,
        },
    }
}
