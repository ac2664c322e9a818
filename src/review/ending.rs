//! How a boot ended, and what to look at when that is not what was wanted.

use super::gaps::{Has, has};
use super::moments::Moment;
use crate::store::BootEntry;

/// How it ended: the first line says it, the others what to do.
pub(super) fn ending(boot: &BootEntry, moments: &[Moment]) -> Vec<String> {
    let lines: &[&str] = match (boot.result.as_deref(), boot.verdict.as_deref()) {
        (Some("done"), _) => &["The installer reported that it is done."],
        (Some("failed"), _) => return failed(moments),
        (Some("load-failed"), _) => &[
            "iPXE could not boot the image, and said so.",
            "The page of its error says what it means; a file that is missing or too large is the usual cause.",
        ],
        (_, Some("deny" | "ignore")) => return refused(boot),
        _ => return silent(&has(moments)),
    };
    owned(lines)
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

fn failed(moments: &[Moment]) -> Vec<String> {
    let reason = moments.iter().rev().find(|moment| moment.name == "failed").map(|moment| moment.text.clone());
    vec![format!("{}.", reason.unwrap_or_else(|| "the installer failed".into()))]
}

fn refused(boot: &BootEntry) -> Vec<String> {
    let reason = boot.reason.as_deref().unwrap_or("no reason is known");
    match boot.verdict.as_deref() {
        Some("deny") => vec![
            format!("It may not boot: {reason}."),
            "Firmware gets no answer then and goes on to its own disk; iPXE shows the reason first.".into(),
        ],
        _ => vec![format!("It got no answer, as if there were no server: {reason}.")],
    }
}

/// The end of a boot of which nothing more was heard.
fn silent(has: &Has) -> Vec<String> {
    let part = |name: &str| {
        vec![
            format!("It began to load {name}, and that did not come to its end here."),
            "The machine was switched off or lost the network, or it is still loading.".into(),
        ]
    };
    owned(match has {
        Has::Nothing => &["Nothing more is known of it: what was asked was not written down."],
        Has::NoAnswer => &["It got no answer; the last packet above says why."],
        Has::Offer => &[
            "It was offered a boot file and never asked for it.",
            "Its firmware took another server's offer, got no lease from the DHCP server, or cannot reach UDP 69 and 4011 \
             of this server: look for a second PXE server, and at the firewall.",
        ],
        Has::FailedTransfer => &[
            "The boot file did not arrive.",
            "Something between drops large or many packets: try a smaller tftp.blksize_max, and tftp.windowsize_max = 1.",
        ],
        Has::Loader(_) => &[
            "It has its boot loader, and nothing came from that.",
            "Secure Boot refuses a loader that is not signed; a loader without a driver for the network card finds no \
             network; one of another architecture does not start.",
        ],
        Has::IpxeOffer => &[
            "iPXE was told where its script is, and never asked for it.",
            "It got no lease, or cannot reach the HTTP port of this server: look at the firewall and at the routes.",
        ],
        Has::Bootstrap => &[
            "iPXE has its first script, and never came back with the machine's facts.",
            "It was switched off, or its build lacks a command that the script needs: look at the screen.",
        ],
        Has::Script { has_menu: true, .. } => {
            &["It has its menu; nobody chose, or what was chosen is not loaded from here."]
        }
        Has::Script { loads: true, .. } => &[
            "It has its script, and asked for none of the files in it.",
            "Files of other servers are not seen here; else look at the screen: iPXE says what it cannot reach.",
        ],
        Has::Script { .. } => &["It has its script, which loads nothing from here: it went on as that says."],
        Has::PartOfFile(name) => return part(name),
        Has::Files => &[
            "All that it asked for was sent; from here on the machine is on its own.",
            "An installer that reports to {done_url} and {failed_url} would be heard of again.",
        ],
        Has::Wait => &["It was told to wait, and did not come again."],
        Has::Told => &["The last word was the machine's own."],
    })
}
