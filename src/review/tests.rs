//! Stories of boots that went well and of those that did not, each from what the store would have.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::boot::SessionId;
use crate::store::{BootEntry, EventEntry};

fn at(ms: i64) -> Timestamp {
    "2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_millis(ms)
}

/// The text of a boot in which this happened.
fn told(verdict: &str, result: Option<&str>, events: &[(i64, &str, &str)]) -> String {
    let mut boot = BootEntry::new(SessionId([0, 1, 2, 3, 4, 5]), at(0));
    boot.mac = Some([0x52, 0x54, 0, 0, 0, 1].into());
    boot.verdict = Some(verdict.into());
    boot.reason = Some("not ours".into()).filter(|_| verdict != "allow");
    boot.result = result.map(Into::into);
    boot.events = events.iter().map(|(ms, name, detail)| EventEntry::new(at(*ms), name, detail)).collect();
    let story = Story::tell(boot, &[], 0, &[]);
    story.lines(100, &TimeZone::UTC, false).join("\n")
}

const DISCOVER: &str = "UEFI firmware (x64-uefi) on eth0 -> OFFER snponly.efi by TFTP from 10.0.0.2; 0.3 ms";
const IPXE: &str = "iPXE 1.21.1 (x64-uefi) on eth0 -> OFFER boot.ipxe at http://10.0.0.2; 0.2 ms";
const LOADER: (i64, &str, &str) = (400, "sent", "snponly.efi; 250000 octets; 300 ms; by TFTP");
const BOOTSTRAP: (i64, &str, &str) = (2_000, "http", "GET boot.ipxe -> 200, 900 octets; 0.5 ms");
const SCRIPT: (i64, &str, &str) = (2_100, "http", "POST script.ipxe -> 200, 400 octets; 3.0 ms");

fn check(text: &str, expected: &[&str]) {
    // What is broken over two lines is found as well.
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in expected {
        assert!(flat.contains(part), "no {part:?} in\n{text}");
    }
    let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 100, "{widest} columns in\n{text}");
}

#[test]
fn each_step_of_a_boot_that_went_well_is_told_in_its_order() {
    let text = told(
        "allow",
        Some("offered"),
        &[
            SCRIPT,
            (2_100, "boot_images", "script answered: debian"),
            (0, "allow_boot", "script answered: allow"),
            (0, "discover", DISCOVER),
            LOADER,
            (1_500, "discover", IPXE),
            BOOTSTRAP,
            (2_103, "offered", "debian"),
            (2_200, "http", "GET debian/linux -> 200, 100 octets; 0.1 ms"),
            (9_200, "sent", "debian/linux; 100 octets; 7000 ms; by HTTP"),
        ],
    );
    check(
        &text,
        &[
            "boot 000102030405, 52:54:00:00:00:01, began 2026-03-02 08:00:00",
            "+0.000 s discover UEFI firmware (x64-uefi) on eth0 (0.3 ms) -> OFFER snponly.efi by TFTP from 10.0.0.2",
            "+0.000 s allow_boot script answered: allow +0.400 s sent snponly.efi to its end: 250000 octets by TFTP (300.0 ms)",
            "+2.100 s http POST script.ipxe (3.0 ms) -> 200 OK, 400 octets",
            "+9.200 s sent debian/linux to its end: 100 octets by HTTP (7.0 s)",
            "End: All that it asked for was sent; from here on the machine is on its own.",
        ],
    );
    assert!(!text.contains("nothing came"), "the file was on its way all the time\n{text}");
}

#[test]
fn silence_is_told_with_what_was_likely_the_cause() {
    let check_gap = |events: &[(i64, &str, &str)], expected: &[&str]| check(&told("allow", None, events), expected);
    check_gap(
        &[(0, "discover", DISCOVER), (4_000, "discover", DISCOVER)],
        &[
            "it asks again: the offer before did not arrive, or it prefers another",
            "End: It was offered a boot file and never asked for it.",
            "look for a second PXE server",
        ],
    );
    check_gap(
        &[(0, "discover", DISCOVER), (31_000, "discover", DISCOVER)],
        &["+0.000 s silence nothing came for 31 s: the firmware did not take the offer, and began again"],
    );
    check_gap(
        &[(0, "discover", DISCOVER), LOADER],
        &["End: It has its boot loader, and nothing came from that.", "Secure Boot refuses a loader"],
    );
    check_gap(
        &[
            (0, "discover", DISCOVER),
            (
                30_000,
                "tftp",
                "read snponly.efi -> the client fell silent after 1468 octets, 5 packets sent again; 29000.0 ms",
            ),
        ],
        &["End: The boot file did not arrive.", "tftp.blksize_max"],
    );
    check_gap(
        &[(0, "discover", DISCOVER), LOADER, (1_500, "discover", IPXE)],
        &["End: iPXE was told where its script is, and never asked for it.", "HTTP port"],
    );
    check_gap(&[(0, "discover", IPXE), BOOTSTRAP], &["never came back with the machine's facts"]);
    check_gap(
        &[(0, "discover", IPXE), BOOTSTRAP, SCRIPT, (60_000, "http", "GET d/linux -> 200, 9 octets; 0.1 ms")],
        &[
            "nothing came for 57 s: the machine did something that is not loaded from here",
            "End: It began to load d/linux, and that did not come to its end here.",
        ],
    );
}

#[test]
fn a_boot_ends_as_it_was_told() {
    let silence = "UEFI firmware (x64-uefi) -> no answer: denied firmware gets none; 0.1 ms";
    check(&told("deny", Some("deny"), &[(0, "discover", silence)]), &["End: It may not boot: not ours."]);
    check(&told("ignore", Some("ignore"), &[(0, "discover", silence)]), &["as if there were no server: not ours."]);
    check(
        &told("allow", Some("done"), &[(0, "discover", IPXE), (9_000_000, "done", "")]),
        &[
            "nothing came for 2 h 30 min",
            "+2 h 30 min done the installer is done",
            "End: The installer reported that it is done.",
        ],
    );
    check(&told("allow", Some("failed"), &[(5, "failed", "no disk")]), &["End: the installer failed: no disk."]);
    check(
        &told("allow", Some("load-failed"), &[(5, "load-failed", "debian; https://ipxe.org/2d0c613b")]),
        &["iPXE could not boot debian: https://ipxe.org/2d0c613b", "End: iPXE could not boot the image"],
    );
    check(&told("allow", None, &[]), &["what the rules saw was not kept"]);
}

#[test]
fn nothing_that_was_written_breaks_the_page() {
    let nasty = format!("\u{1b}[2J{} {} -> \u{7}x; y; z ms", "w".repeat(500), "word ".repeat(200));
    for name in ["discover", "http", "sent", "tftp", "allow_boot", "offered", "what"] {
        for detail in [nasty.as_str(), "", " -> ", "; ", ";;;->", "200", "é -> 20é"] {
            let text = told("allow", None, &[(0, name, detail), (70_000, name, detail)]);
            check(&text, &[]);
            assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
        }
    }
}
