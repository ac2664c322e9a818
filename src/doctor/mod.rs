//! Why machines do not boot: what an administrator would look at, one after the other, and what to do about it.
//!
//! * [`CHECKS`]: the checks of `pointsman doctor`, in their order; each is a small function of what was gathered.
//! * [`probe`], [`probe6`]: who answers on a segment.
//! * [`codes`]: what machines print.
//!
//! | file | judges |
//! |---|---|
//! | `ports` | who has the ports of this configuration |
//! | `answers` | whether the running server answers, on each service, as a client asks |
//! | `relay` | whether relay agents bring questions, and get the answers |
//! | `neighbors`, `neighbors6` | other servers on the network, from probes |
//! | `builds` | loaders, and what their iPXE can speak |
//! | `certificate` | the chain of HTTPS, by the rules that firmware has |
//! | `host` | MTU, clock, disks |
//!
//! **Invariant**: nothing of the site is changed, no address is taken, and each check ends in bounded time. What is gathered
//! and what is concluded are apart, so that every conclusion has a test that needs no network.

mod answers;
mod builds;
mod certificate;
pub mod codes;
mod host;
mod neighbors;
mod neighbors6;
mod ports;
pub mod probe;
pub mod probe6;
mod relay;

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::config::Config;
pub use host::{WRITABLE, may_write};
use probe::Report;
use probe6::Report6;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It could not be looked at, or was not to be.
    Skipped,
    /// It works, perhaps not for all.
    Warn,
    /// Machines do not boot because of it.
    Fail,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check that found it.
    pub check: &'static str,
    /// How it is.
    pub state: State,
    /// What was seen.
    pub text: String,
    /// What to do; empty when nothing is.
    pub remedy: String,
}

/// Findings of one check.
#[derive(Debug, Default)]
pub struct Found(Vec<(State, String, String)>);

impl Found {
    /// As it should be.
    pub fn ok(&mut self, text: impl Into<String>) {
        self.0.push((State::Ok, text.into(), String::new()));
    }

    /// Not looked at, and why.
    pub fn skipped(&mut self, text: impl Into<String>) {
        self.0.push((State::Skipped, text.into(), String::new()));
    }

    /// Works, perhaps not for all.
    pub fn warn(&mut self, text: impl Into<String>, remedy: impl Into<String>) {
        self.0.push((State::Warn, text.into(), remedy.into()));
    }

    /// Machines do not boot because of it.
    pub fn fail(&mut self, text: impl Into<String>, remedy: impl Into<String>) {
        self.0.push((State::Fail, text.into(), remedy.into()));
    }

    /// As findings of a check.
    pub fn findings(self, check: &'static str) -> impl Iterator<Item = Finding> {
        self.0.into_iter().map(move |(state, text, remedy)| Finding { check, state, text, remedy })
    }

    /// How many there are.
    fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(test)]
    fn states(&self) -> Vec<State> {
        self.0.iter().map(|(state, ..)| *state).collect()
    }

    #[cfg(test)]
    fn words(&self) -> String {
        self.0.iter().map(|(state, text, remedy)| format!("{state:?} {text} | {remedy}\n")).collect()
    }
}

/// What is examined.
pub struct Patient {
    /// The configuration.
    pub config: Config,
    /// What was heard on each interface; why not, where it was not.
    pub probes: Vec<(String, Result<Report, String>)>,
    /// The same by IPv6, where `[dhcp6]` is on.
    pub probes6: Vec<(String, Result<Report6, String>)>,
    /// A relay agent to ask by way of.
    pub relay: Option<Ipv4Addr>,
    /// Whether packets may be sent.
    pub online: bool,
}

/// One check.
pub struct Check {
    /// Its name, as `--only` takes it.
    pub name: &'static str,
    /// What it looks at.
    pub looks_at: &'static str,
    /// Whether it sends packets.
    pub sends: bool,
    /// Whether it needs to know who else is on the network.
    pub probes: bool,
    run: fn(&Patient) -> BoxFuture<'_, Found>,
}

/// A check that gathers nothing but files and the kernel's tables.
macro_rules! local {
    ($judge:expr) => {
        |patient| Box::pin(async move { $judge(patient) })
    };
}

/// The check that the command line does itself: what `pointsman check` finds.
pub const CONFIGURATION: &str = "configuration";

/// Every check, in the order in which they are made.
pub const CHECKS: &[Check] = &[
    Check {
        name: CONFIGURATION,
        looks_at: "what `pointsman check` looks at: configuration, scripts, cases, images",
        sends: false,
        probes: false,
        run: |_| Box::pin(async { Found::default() }),
    },
    Check {
        name: "ports",
        looks_at: "UDP 67, 4011, 69, TCP 80, 443, and with `[dhcp6]` UDP 547, 4011, 69 of IPv6: who has them",
        sends: false,
        probes: false,
        run: local!(ports::ports),
    },
    Check {
        name: "tftp",
        looks_at: "whether the server answers by TFTP",
        sends: true,
        probes: false,
        run: |patient| Box::pin(answers::tftp(patient)),
    },
    Check {
        name: "http",
        looks_at: "whether the server answers by HTTP, and is ready",
        sends: true,
        probes: false,
        run: |patient| Box::pin(answers::http(patient)),
    },
    Check {
        name: "https",
        looks_at: "whether the server answers by HTTPS with TLS 1.2, as firmware speaks it",
        sends: true,
        probes: false,
        run: |patient| Box::pin(answers::https(patient)),
    },
    Check {
        name: "boot-server",
        looks_at: "whether the server answers on port 4011",
        sends: true,
        probes: false,
        run: |patient| Box::pin(answers::boot_server(patient)),
    },
    Check {
        name: "relay",
        looks_at: "whether a DISCOVER that a relay agent brings is answered; with `--relay ADDRESS`, by way of that agent",
        sends: true,
        probes: false,
        run: |patient| Box::pin(relay::relay(patient)),
    },
    Check {
        name: "lease",
        looks_at: "whether a DHCP server offers addresses on each interface",
        sends: true,
        probes: true,
        run: local!(neighbors::lease),
    },
    Check {
        name: "neighbors",
        looks_at: "other boot servers that answer on each interface, and what they do to this one",
        sends: true,
        probes: true,
        run: local!(neighbors::neighbors),
    },
    Check {
        name: "dhcp-options",
        looks_at: "options 60, 66, 67 and 175 that are left on the DHCP server",
        sends: true,
        probes: true,
        run: local!(neighbors::dhcp_options),
    },
    Check {
        name: "dhcp6",
        looks_at: "with `[dhcp6]`: routers, DHCPv6 servers with their boot options, and other boot servers of each interface",
        sends: true,
        probes: true,
        run: local!(neighbors6::dhcp6),
    },
    Check {
        name: "loaders",
        looks_at: "the boot loader of each architecture, and its version",
        sends: false,
        probes: false,
        run: local!(builds::loaders),
    },
    Check {
        name: "certificate",
        looks_at: "the chain of HTTPS: key, signatures, dates, names, root, extensions",
        sends: false,
        probes: false,
        run: local!(certificate::certificate),
    },
    Check {
        name: "tls-overlap",
        looks_at: "whether the loaders' iPXE can speak to this server's HTTPS",
        sends: false,
        probes: false,
        run: local!(builds::tls_overlap),
    },
    Check {
        name: "mtu",
        looks_at: "block sizes of TFTP against the MTU of each interface",
        sends: false,
        probes: false,
        run: local!(host::mtu),
    },
    Check {
        name: "clock",
        looks_at: "whether this host's clock can be right",
        sends: false,
        probes: false,
        run: local!(host::clock),
    },
    Check {
        name: "disk",
        looks_at: "room and rights in the folders that the server writes to",
        sends: false,
        probes: false,
        run: local!(host::disk),
    },
];

/// A check that takes longer has found that something hangs.
const CHECK_TIME_MAX: Duration = Duration::from_secs(30);

/// Makes the checks that `is_wanted`, and tells each finding when it is there.
pub async fn examine(patient: &Patient, is_wanted: impl Fn(&Check) -> bool, mut tell: impl FnMut(Finding)) {
    for check in CHECKS.iter().filter(|check| is_wanted(check)) {
        let mut found = Found::default();
        if check.sends && !patient.online {
            found.skipped("sends packets, and was told not to");
        } else {
            match tokio::time::timeout(CHECK_TIME_MAX, (check.run)(patient)).await {
                Ok(result) => found = result,
                Err(_) => found.fail(
                    format!("no end after {} s", CHECK_TIME_MAX.as_secs()),
                    "something does not answer at all: a disk, or a firewall that swallows packets",
                ),
            }
        }
        found.findings(check.name).for_each(&mut tell);
    }
}

/// A path as it is shown.
fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A site with these lines in its configuration, in a folder of its own.
    pub(super) fn patient(lines: &str) -> (tempfile::TempDir, Patient) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pointsman.toml");
        let text = format!("{lines}\n[[handler]]\nkind = \"script\"\n");
        let config = Config::parse(&file, &text).unwrap_or_else(|problems| panic!("{problems}"));
        (folder, Patient { config, probes: Vec::new(), probes6: Vec::new(), relay: None, online: true })
    }

    #[tokio::test]
    async fn checks_that_send_are_skipped_offline_and_names_are_unique() {
        let (_folder, mut patient) = patient("");
        patient.online = false;
        let mut findings = Vec::new();
        examine(&patient, |check| check.sends, |finding| findings.push(finding)).await;
        assert!(findings.len() >= 7 && findings.iter().all(|finding| finding.state == State::Skipped), "{findings:?}");
        let mut names: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CHECKS.len());
    }
}
