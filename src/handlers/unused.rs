//! Files beside the scripts that nobody uses: cases that never run, and scripts that no question reaches.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Built, script};
use crate::config::{Config, HandlerSection};

/// Looks for files of cases that belong to no handler; the first handler with a script tells of them all.
pub(super) fn cases(config: &Config, built: &mut [Built]) {
    let files = |section: &HandlerSection| match section {
        HandlerSection::Script(section) => Some([section.allow_boot.clone(), section.boot_images.clone()]),
        HandlerSection::Sql(_) | HandlerSection::Referral(_) => None,
    };
    let scripts: Vec<PathBuf> = config.handlers.iter().filter_map(files).flatten().collect();
    let folders: Vec<PathBuf> = built.iter().flat_map(|built| built.folders.clone()).collect();
    let first = config.handlers.iter().position(|section| files(section).is_some());
    if let Some(first) = first.and_then(|first| built.get_mut(first)) {
        first.cases.unused = script::cases::unused(&folders, &scripts).iter().map(ToString::to_string).collect();
    }
}

/// Looks for scripts that nobody asks or imports; the first handler with a script tells of them all. Where a handler
/// does not load, nothing is known of what it imports.
pub(super) fn scripts(config: &Config, built: &mut [Built]) {
    if built.len() != config.handlers.len() {
        return;
    }
    let files =
        || built.iter().filter_map(|built| built.script.as_ref()).flat_map(|script| script.files()).map(Path::new);
    let used: BTreeSet<PathBuf> = files().map(real).collect();
    let folders: BTreeSet<PathBuf> = files().filter_map(Path::parent).map(real).collect();
    let entries = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let mut unused: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "rhai") && !used.contains(&real(path)))
        // Definitions for editors are never run.
        .filter(|path| !path.to_string_lossy().ends_with(".d.rhai"))
        .collect();
    unused.sort();
    if let Some(first) = built.iter_mut().find(|built| built.script.is_some()) {
        let tell =
            |path: &PathBuf| format!("{}: no handler asks this script, and no script imports it", path.display());
        first.cases.warnings.extend(unused.iter().map(tell));
    }
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
