//! The contract: what a script can read and call. Documentation, suggestions and checks are made from these tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use rhai::Engine;

use super::tables::Tables;
use super::{answer, ask, functions, images, query, record, request, sandbox, tables, time};
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
        "ask_pin",
        "asks the person at the machine for a PIN; then boot_images is asked again, with request.person",
        "ask_pin(#{ title: \"PIN of the lab\", groups: [\"lab\"] })",
    ),
    function(
        "ask_login",
        "asks for a user name and password, which the server verifies",
        "ask_login(#{ title: \"Imaging\", groups: [\"imaging\"] })",
    ),
    function(
        "ask_approval",
        "waits until somebody approves this boot at the server",
        "ask_approval(#{ title: \"Wipe this machine\", wait: 600 })",
    ),
    function("table", "a CSV or TSV file of the data folder", "table(\"machines.csv\")"),
    function(
        "find",
        "the first row of a table with this value in a column, or `()`",
        "table(\"machines.csv\").find(\"mac\", request.mac)",
    ),
    function("find_all", "all such rows, as an array", "table(\"machines.csv\").find_all(\"role\", \"lab\")"),
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
    function("log", "writes a line to the server's log", "log(\"seen \" + request.mac)"),
];

/// An engine with the whole contract.
pub(super) fn engine(tables: Arc<Tables>, queries: &Arc<NamedQueries>) -> Engine {
    let mut engine = sandbox::engine();
    request::register(&mut engine);
    time::register(&mut engine);
    answer::register(&mut engine);
    images::register(&mut engine);
    ask::register(&mut engine);
    tables::register(&mut engine, tables);
    record::register(&mut engine);
    query::register(&mut engine, queries);
    functions::register(&mut engine);
    engine
}

/// The names of all functions that a script can call, of ours and of the language.
pub(super) fn callable(engine: &Engine) -> BTreeSet<String> {
    let signatures = engine.gen_fn_signatures(true);
    signatures.iter().filter_map(|signature| signature.split('(').next()).map(|name| name.trim().to_owned()).collect()
}

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
            "Time" => "a time",
            "Pass" => "pass()",
            "Refer" => "refer(...)",
            other => other,
        },
    }
}
