//! iPXE's error numbers: those that are met, and the parts that all others are made of.
//!
//! **Invariant**: data, and the arithmetic of the number.

use super::{Code, row};

/// The table, in the order of a boot: link and lease first, then transfers, TLS, and what was loaded.
pub const IPXE: &[Code] = &[
    row(
        &["380861"],
        "no link",
        "cable, switch port, or a port that takes long to come up",
        "cable; spanning tree (use edge ports)",
        "",
    ),
    row(
        &["040ee1"],
        "the network card could not be configured",
        "the sum of all tries: the line before it says more",
        "the code before it",
        "lease",
    ),
    row(&["4c1060"], "no lease", "no DHCP server answers; a proxy alone is not enough", "the DHCP server", "lease"),
    row(
        &["2d03e1"],
        "nothing to boot",
        "no offer with a boot file was heard in time",
        "iPXE heard no offer from Pointsman within 2 s; is a rule slow? does the DHCP server set `no-pxedhcp`?",
        "neighbors",
    ),
    row(
        &["4c3760", "280560"],
        "the server's address cannot be reached",
        "wrong mask or gateway, or the server is off",
        "gateway, subnet, which address the server names",
        "http",
    ),
    row(
        &["3e1161", "3e1162"],
        "a host name cannot be resolved",
        "the name does not exist, or the DHCP server gives no DNS server",
        "addresses instead of names in URLs; option 6 of the DHCP server",
        "dhcp-options",
    ),
    row(
        &["4c0a60", "0f0a60"],
        "cannot connect",
        "the firewall, a port where nothing listens, or an MTU on the way that is smaller than believed",
        "TCP 80 or 443 in the firewall",
        "http",
    ),
    row(
        &["4c1260"],
        "TFTP timed out",
        "UDP 69 or the transfers' ports in the firewall; wrong next-server",
        "UDP 69 in the firewall, and the transfers' ports (`single_port`, `port_range`)",
        "tftp",
    ),
    row(
        &["2d1261", "2d1260"],
        "TFTP: file not found",
        "the path is from an old offer, or from another server's",
        "the log; an old offer of another server",
        "tftp",
    ),
    row(
        &["021260", "3d1260", "3c1260", "1c1261", "1c1262"],
        "TFTP: the server refused, or answered what was not asked",
        "another TFTP server at that address",
        "which server answers: `pointsman probe`",
        "tftp",
    ),
    row(
        &["2d0c61"],
        "HTTP 404",
        "the file is not there",
        "the image file is not in the images folder; `check` tells",
        "configuration",
    ),
    row(
        &["410c61"],
        "HTTP 403",
        "the boot is not allowed, or not any more",
        "a rule denied the machine after it had been allowed",
        "",
    ),
    row(
        &["020c61"],
        "HTTP 401",
        "the server asks for a password",
        "this server never does on a boot path: which server is it?",
        "",
    ),
    row(
        &["1d0c64", "1d0c65"],
        "HTTP: another error of the server",
        "an upstream, a database or a file that fails",
        "the log at that moment; `/readyz`",
        "http",
    ),
    row(
        &["1c0c61", "3c0c62"],
        "HTTP: an answer that iPXE cannot read",
        "a proxy or load balancer in between",
        "let machines reach this server without one",
        "http",
    ),
    row(
        &["410de1"],
        "no common TLS version",
        "an iPXE of before 2024-01-31 has no key exchange that this server has; or the certificate's key is EC, and it is \
         older than 2025-12-19",
        "the iPXE build is too old for this server's HTTPS: [secure it](secure-it.md)",
        "tls-overlap",
    ),
    row(
        &["410de2", "3c0de1", "3c0de3", "3c0de4"],
        "TLS: an algorithm that this iPXE lacks",
        "a certificate or a chain that is not plain RSA with SHA-256",
        "the certificate's key and signature: [secure it](secure-it.md)",
        "certificate",
    ),
    row(
        &["0216eb", "0216e6"],
        "the CA is not trusted",
        "the build has no `TRUST=` of this CA, the firmware has no such certificate, or the chain is sent without its root",
        "[secure it](secure-it.md)",
        "certificate",
    ),
    row(
        &["0216e1", "0216e2", "0216e3", "0216e5"],
        "the chain of certificates is wrong",
        "its order, or a CA certificate that may not sign",
        "the chain: the server's own first, its root last",
        "certificate",
    ),
    row(
        &["0216e4"],
        "the certificate is not valid now",
        "the machine's clock, or an old certificate",
        "the clock in the machine's setup; the certificate's dates",
        "certificate",
    ),
    row(
        &["0216e9"],
        "the revocation of the certificate cannot be checked",
        "the certificate names an OCSP server, which the machine does not reach",
        "a certificate without that address (AIA)",
        "certificate",
    ),
    row(
        &["0216ea"],
        "the certificate has another name",
        "the address or name of the URL is not in the certificate",
        "`[https] names`; the server's addresses when the certificate was made",
        "certificate",
    ),
    row(
        &["3c16e1", "3c16e2"],
        "the certificate has something that iPXE cannot check",
        "an EC key on an old build, or critical extensions such as name constraints",
        "an RSA certificate without them: [secure it](secure-it.md)",
        "certificate",
    ),
    row(
        &["2e0080"],
        "not an executable image",
        "a file of another architecture, or an error page of a web server",
        "the wrong loader or kernel for the architecture",
        "loaders",
    ),
    row(
        &["7f0481", "7f0482"],
        "EFI refused the image",
        "its signature, or its architecture",
        "Secure Boot is on, and the image is not signed",
        "loaders",
    ),
    row(
        &["2e0220"],
        "a command of the script failed",
        "a command that this build lacks, or a word that it does not know",
        "the line on the screen before it; the build's features",
        "loaders",
    ),
];

/// Kinds of errors, by the first two digits: the errors of POSIX in iPXE's own order.
const KINDS: &[(&str, &str)] = &[
    ("01", "too long"),
    ("02", "access denied"),
    ("03", "address in use"),
    ("04", "address not available"),
    ("06", "not now"),
    ("0b", "cancelled"),
    ("0d", "connection aborted"),
    ("0e", "connection refused"),
    ("0f", "connection reset"),
    ("16", "too large"),
    ("17", "host unreachable"),
    ("1c", "invalid argument"),
    ("1d", "input/output error"),
    ("26", "network down"),
    ("28", "network unreachable"),
    ("2a", "no buffers"),
    ("2c", "no such device"),
    ("2d", "not found"),
    ("2e", "not executable"),
    ("31", "out of memory"),
    ("34", "no space"),
    ("38", "not connected"),
    ("3c", "not supported"),
    ("3d", "not supported"),
    ("3e", "no such address"),
    ("41", "not permitted"),
    ("43", "protocol error"),
    ("46", "out of range"),
    ("4c", "timed out"),
    ("7f", "error of the firmware"),
];

/// Source files, by digits three to five without the last bit: what iPXE calls them, in plain words.
const PARTS: &[(u16, &str)] = &[
    (0x022, "running commands"),
    (0x048, "starting an EFI image"),
    (0x008, "recognizing an image"),
    (0x056, "IPv4"),
    (0x086, "the network device"),
    (0x0a6, "TCP"),
    (0x0c6, "HTTP"),
    (0x106, "DHCP"),
    (0x116, "DNS"),
    (0x126, "TFTP"),
    (0x376, "finding neighbors (ARP)"),
    (0x03e, "choosing what to boot"),
    (0x0de, "TLS"),
    (0x0ee, "configuring the network"),
    (0x16e, "certificates"),
];

/// What kind of error the number is.
pub(super) fn kind(code: &str) -> Option<&'static str> {
    KINDS.iter().find(|(known, _)| code.get(..2) == Some(known)).map(|(_, words)| *words)
}

/// The part of iPXE that it comes from: bits 23 to 13 of the number.
pub(super) fn part(code: &str) -> Option<&'static str> {
    let file = u16::from_str_radix(code.get(2..5)?, 16).ok()? & 0xffe;
    PARTS.iter().find(|(known, _)| *known == file).map(|(_, words)| *words)
}
