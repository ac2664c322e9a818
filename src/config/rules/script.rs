//! What the sections of scripts must agree on: the candidate, and who gets its answers.

use uuid::Uuid;

use super::Broken;
use crate::boot::HardwareAddress;
use crate::config::{Config, HandlerSection, ScriptSection};

/// More revisions than anybody looks through.
const REVISIONS_MAX: usize = 1000;

/// The rules that sections of scripts break.
pub(super) fn check(config: &Config, broken: &mut Vec<Broken>) {
    for section in &config.handlers {
        let HandlerSection::Script(script) = section else { continue };
        let name = section.display_name();
        let mut wrong =
            |what: String, remedy: &str| broken.push((format!("handler `{name}`{what}"), remedy.to_owned()));
        if !(0.0..=100.0).contains(&script.canary_percent) {
            wrong(format!(".canary_percent: {} is no percentage", script.canary_percent), "use 0 to 100");
        }
        for machine in script.canary_machines.iter().filter(|machine| !is_machine(machine)) {
            let what = format!(".canary_machines: `{machine}` is no MAC address and no UUID");
            wrong(what, "write machines like 52:54:00:12:34:56");
        }
        if !(1..=REVISIONS_MAX).contains(&script.revisions_max) {
            wrong(format!(".revisions_max is {}", script.revisions_max), "use 1 to 1000");
        }
        if let Some(what) = folders(script) {
            wrong(what, "give the candidate a folder of its own beside the scripts, like scripts.next");
        }
    }
}

fn is_machine(text: &str) -> bool {
    text.parse::<HardwareAddress>().is_ok() || text.parse::<Uuid>().is_ok()
}

/// A candidate inside the live scripts would be moved with them.
fn folders(script: &ScriptSection) -> Option<String> {
    let candidate = &script.candidate;
    if candidate.as_os_str().is_empty() {
        return None;
    }
    let clash = candidate.starts_with(&script.scripts) || script.scripts.starts_with(candidate);
    let old = candidate.starts_with(script.revisions_folder());
    (clash || old).then(|| format!(".candidate: {} is where the scripts are", candidate.display()))
}
