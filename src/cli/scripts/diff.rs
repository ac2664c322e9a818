//! What differs between two folders of scripts, line by line.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Lines around a difference.
const AROUND: usize = 3;
/// The largest product of lines that is compared line by line; beyond it all lines are shown as changed.
const WORK_MAX: usize = 16 << 20;
/// The largest file that is compared.
const LEN_MAX: u64 = 4 << 20;
/// The most files, and how deep.
const FILES_MAX: usize = 10_000;
const DEPTH_MAX: usize = 32;

/// The lines of the differences, none where the folders are the same.
pub(super) fn folders(old: &Path, new: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = BTreeSet::new();
    for root in [old, new] {
        files(root, root, 0, &mut names)?;
    }
    let mut lines = Vec::new();
    for name in names {
        let (before, after) = (text(&old.join(&name)), text(&new.join(&name)));
        if before == after {
            continue;
        }
        let shown = |root: &Path, text: &Option<String>| {
            text.as_ref().map_or("(not there)".to_owned(), |_| root.join(&name).display().to_string())
        };
        lines.push(format!("--- {}", shown(old, &before)));
        lines.push(format!("+++ {}", shown(new, &after)));
        lines.extend(changes(&before.unwrap_or_default(), &after.unwrap_or_default()));
    }
    Ok(lines)
}

fn files(root: &Path, folder: &Path, depth: usize, names: &mut BTreeSet<PathBuf>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() && depth < DEPTH_MAX {
            files(root, &path, depth + 1, names)?;
        } else if path.is_file() && names.len() < FILES_MAX {
            names.extend(path.strip_prefix(root).ok().map(Path::to_owned));
        }
    }
    Ok(())
}

fn text(path: &Path) -> Option<String> {
    match std::fs::metadata(path).ok()?.len() {
        len if len > LEN_MAX => Some(format!("({len} octets, not compared)")),
        _ => Some(String::from_utf8_lossy(&std::fs::read(path).ok()?).into_owned()),
    }
}

/// A line that stays, goes or comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change<'a> {
    Stays(&'a str),
    Goes(&'a str),
    Comes(&'a str),
}

/// The changed lines with those around them, each part below its place.
fn changes(old: &str, new: &str) -> Vec<String> {
    let all = compare(&old.lines().collect::<Vec<_>>(), &new.lines().collect::<Vec<_>>());
    let is_change = |change: &Change<'_>| !matches!(change, Change::Stays(_));
    let near = |index: usize| {
        let from = index.saturating_sub(AROUND);
        all.iter().skip(from).take(index - from + AROUND + 1).any(is_change)
    };
    let (mut lines, mut old_line, mut new_line, mut is_inside) = (Vec::new(), 1, 1, false);
    for (index, change) in all.iter().enumerate() {
        let is_shown = near(index);
        if is_shown && !is_inside {
            lines.push(format!("@@ line {old_line} -> line {new_line} @@"));
        }
        is_inside = is_shown;
        let (mark, text) = match change {
            Change::Stays(text) => (' ', text),
            Change::Goes(text) => ('-', text),
            Change::Comes(text) => ('+', text),
        };
        old_line += usize::from(mark != '+');
        new_line += usize::from(mark != '-');
        if is_shown {
            lines.push(format!("{mark}{text}"));
        }
    }
    lines
}

/// The longest common part stays.
fn compare<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Change<'a>> {
    let same = |pair: &(&&str, &&str)| pair.0 == pair.1;
    let start = old.iter().zip(new).take_while(same).count();
    let (old_rest, new_rest) = (old.get(start..).unwrap_or_default(), new.get(start..).unwrap_or_default());
    let end = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(same).count();
    let middle = |of: &[&'a str]| of.iter().take(of.len() - end).copied().collect::<Vec<_>>();
    let (from, to) = (middle(old_rest), middle(new_rest));
    let mut all: Vec<Change<'a>> = old.iter().take(start).map(|line| Change::Stays(line)).collect();
    if from.len().saturating_mul(to.len()) > WORK_MAX {
        all.extend(from.iter().map(|line| Change::Goes(line)).chain(to.iter().map(|line| Change::Comes(line))));
    } else {
        all.extend(longest_common(&from, &to));
    }
    all.extend(old_rest.iter().skip(old_rest.len() - end).map(|line| Change::Stays(line)));
    all
}

fn longest_common<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Change<'a>> {
    let width = new.len() + 1;
    // How long the common part of the rests is.
    let mut lengths = vec![0_u32; (old.len() + 1) * width];
    let at = |lengths: &[u32], i: usize, j: usize| lengths.get(i * width + j).copied().unwrap_or(0);
    for (i, line) in old.iter().enumerate().rev() {
        for (j, other) in new.iter().enumerate().rev() {
            let length = match line == other {
                true => at(&lengths, i + 1, j + 1) + 1,
                false => at(&lengths, i + 1, j).max(at(&lengths, i, j + 1)),
            };
            if let Some(place) = lengths.get_mut(i * width + j) {
                *place = length;
            }
        }
    }
    let (mut i, mut j, mut all) = (0, 0, Vec::new());
    loop {
        match (old.get(i), new.get(j)) {
            (Some(line), Some(other)) if line == other => {
                all.push(Change::Stays(line));
                (i, j) = (i + 1, j + 1);
            }
            (Some(line), other) if other.is_none() || at(&lengths, i + 1, j) >= at(&lengths, i, j + 1) => {
                all.push(Change::Goes(line));
                i += 1;
            }
            (_, Some(line)) => {
                all.push(Change::Comes(line));
                j += 1;
            }
            (_, None) => return all,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_texts_are_in_the_changes(old in "[abc\n]{0,40}", new in "[abc\n]{0,40}") {
            let (from, to): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
            let all = compare(&from, &to);
            let left = |is_old: bool| {
                let of = |change: &Change<'_>| match (*change, is_old) {
                    (Change::Stays(line), _) | (Change::Goes(line), true) | (Change::Comes(line), false) => {
                        Some(line.to_owned())
                    }
                    _ => None,
                };
                all.iter().filter_map(of).collect::<Vec<_>>()
            };
            prop_assert_eq!(left(true), from.clone());
            prop_assert_eq!(left(false), to.clone());
            prop_assert_eq!(changes(&old, &new).is_empty(), from == to);
        }
    }

    #[test]
    fn a_changed_line_is_shown_with_those_around_it() {
        let old: Vec<String> = (1..=20).map(|line| line.to_string()).collect();
        let mut new = old.clone();
        new[9] = "ten".into();
        let shown = changes(&old.join("\n"), &new.join("\n"));
        let expect = ["@@ line 7 -> line 7 @@", " 7", " 8", " 9", "-10", "+ten", " 11", " 12", " 13"];
        assert_eq!(shown, expect);
    }

    #[test]
    fn files_that_come_and_go_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        for (name, text) in [("old/lib/a.rhai", "x"), ("old/same", "1"), ("new/same", "1"), ("new/b.rhai", "y")] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let lines = folders(&old, &new).unwrap().join("\n").replace(folder.path().to_str().unwrap(), "");
        let expect = "--- (not there)\n+++ /new/b.rhai\n@@ line 1 -> line 1 @@\n+y\n\
                      --- /old/lib/a.rhai\n+++ (not there)\n@@ line 1 -> line 1 @@\n-x";
        assert_eq!(lines, expect);
    }
}
