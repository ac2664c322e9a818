//! Folders that change places, also when somebody is killed at it.

use std::os::unix::fs::PermissionsExt;

use super::super::walk::DEPTH_MAX;
use super::*;

struct Place {
    folder: tempfile::TempDir,
    desk: Desk,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let desk = Desk { live: at("scripts"), candidate: at("scripts.next"), old: at("scripts.old"), keep: 3 };
    fs::create_dir_all(at("scripts/lib")).unwrap();
    fs::write(at("scripts/site.rhai"), "one").unwrap();
    fs::write(at("scripts/lib/sites.rhai"), "one").unwrap();
    Place { folder, desk }
}

impl Place {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap_or_default()
    }

    /// Stages the live scripts and writes the same into all of them.
    fn candidate(&self, text: &str) {
        self.desk.stage(None).unwrap();
        fs::write(self.at("scripts.next/site.rhai"), text).unwrap();
        fs::write(self.at("scripts.next/lib/sites.rhai"), text).unwrap();
    }

    fn live(&self) -> [String; 2] {
        ["scripts/site.rhai", "scripts/lib/sites.rhai"].map(|name| self.read(name))
    }
}

#[test]
fn what_is_promoted_is_live_and_what_was_comes_back() {
    let place = place();
    let desk = &place.desk;
    assert!(matches!(desk.promote("aaaa"), Err(RolloutError::NoCandidate(_))));
    place.candidate("two");
    assert!(matches!(desk.stage(None), Err(RolloutError::AlreadyThere(_))));
    let old = desk.promote("aaaa").unwrap();
    assert_eq!((place.live(), desk.has_candidate()), (["two".into(), "two".into()], false));
    assert_eq!((old.number, old.revision.as_str()), (1, "aaaa"));
    assert_eq!(fs::read_to_string(old.folder.join("lib/sites.rhai")).unwrap(), "one");

    place.candidate("three");
    let back = desk.roll_back(&desk.find(None).unwrap(), "bbbb").unwrap();
    assert_eq!((place.live(), back.number), (["one".into(), "one".into()], 2));
    assert!(desk.has_candidate() && place.read("scripts.next/site.rhai") == "three", "the candidate stays");
    assert_eq!(desk.find(Some("bbbb")).unwrap().number, 2);
    assert_eq!(desk.find(Some("1")).unwrap().revision, "aaaa");
    assert!(matches!(desk.find(Some("9")), Err(RolloutError::Unknown(_))));
    assert!(matches!(desk.find(Some("")), Err(RolloutError::Unknown(_))));
    assert_eq!(fs::read_dir(place.at("")).unwrap().count(), 3, "nothing is left beside them");
}

#[test]
fn only_so_many_are_kept() {
    let place = place();
    for number in 1..=5 {
        place.candidate(&number.to_string());
        place.desk.promote("aaaa").unwrap();
    }
    let kept: Vec<_> = place.desk.revisions().unwrap().iter().map(|revision| revision.number).collect();
    assert_eq!((kept, place.live()), (vec![5, 4, 3], ["5".into(), "5".into()]));
}

#[test]
fn modes_are_kept_and_those_of_live_files_come_back() {
    let place = place();
    let mode = |name: &str| fs::metadata(place.at(name)).unwrap().permissions().mode() & 0o777;
    let set = |name: &str, mode: u32| fs::set_permissions(place.at(name), fs::Permissions::from_mode(mode)).unwrap();
    set("scripts/site.rhai", 0o640);
    set("scripts", 0o750);
    place.candidate("two");
    assert_eq!((mode("scripts.next/site.rhai"), mode("scripts.next")), (0o640, 0o750));
    // As an administrator with a narrow umask copies.
    set("scripts.next/site.rhai", 0o600);
    set("scripts.next", 0o700);
    place.desk.promote("aaaa").unwrap();
    assert_eq!((mode("scripts/site.rhai"), mode("scripts")), (0o640, 0o750));
}

#[test]
fn what_was_begun_is_finished_or_forgotten() {
    // Killed before the folders changed places.
    let early = place();
    early.candidate("two");
    let journal = |place: &Place, new: &str| Journal {
        new: identity(&fs::metadata(place.at(new)).unwrap()),
        from: place.at("scripts.next"),
        to: place.at("scripts.old/0001-20260301T080000Z-aaaa"),
    };
    early.desk.note(&journal(&early, "scripts.next")).unwrap();
    assert!(early.desk.recover().unwrap() && !early.desk.recover().unwrap());
    assert_eq!((early.live()[0].as_str(), early.read("scripts.next/site.rhai")), ("one", "two".into()));
    assert_eq!(early.desk.revisions().unwrap(), []);
    // Killed afterwards: what was live is called like the candidate.
    let late = place();
    late.candidate("two");
    late.desk.note(&journal(&late, "scripts.next")).unwrap();
    renameat_with(CWD, late.at("scripts.next"), CWD, late.at("scripts"), RenameFlags::EXCHANGE).unwrap();
    assert!(late.desk.recover().unwrap());
    assert_eq!((late.live()[0].as_str(), late.desk.has_candidate()), ("two", false));
    assert_eq!(late.read("scripts.old/0001-20260301T080000Z-aaaa/site.rhai"), "one");
    // Killed at a copy.
    fs::create_dir_all(late.at("scripts.old/.staging/lib")).unwrap();
    late.candidate("three");
    assert_eq!(late.read("scripts.next/site.rhai"), "three");
    // A journal that is none.
    fs::write(late.at("scripts.old/.journal.json"), "{").unwrap();
    assert!(late.desk.recover().unwrap() && late.live()[0] == "two");
}

#[test]
fn links_and_things_that_are_no_scripts_are_refused() {
    let place = place();
    std::os::unix::fs::symlink("scripts", place.at("scripts.next")).unwrap();
    assert!(matches!(place.desk.promote("aaaa"), Err(RolloutError::NoFolder(_))));
    fs::remove_file(place.at("scripts.next")).unwrap();
    assert!(matches!(place.desk.stage(Some(&place.at("scripts/site.rhai"))), Err(RolloutError::NoFolder(_))));
    let deep: PathBuf = std::iter::repeat_n("d", DEPTH_MAX + 1).collect();
    fs::create_dir_all(place.at("scripts").join(deep)).unwrap();
    assert!(matches!(place.desk.stage(None), Err(RolloutError::TooMuch(_))));
    assert!(!place.desk.has_candidate() && !place.at("scripts.old/.staging").exists());
}

#[test]
fn two_commands_do_not_work_at_once() {
    let place = place();
    let lock = place.desk.begin().unwrap();
    assert!(matches!(place.desk.stage(None), Err(RolloutError::Busy(_))));
    drop(lock);
    place.desk.stage(None).unwrap();
}

#[test]
fn a_folder_that_is_called_otherwise_is_no_revision() {
    let place = place();
    for name in ["readme", "x-20260301T080000Z-aaaa", "0001-soon-aaaa", "0001-20260301T080000Z", ".staging"] {
        fs::create_dir_all(place.at("scripts.old").join(name)).unwrap();
    }
    assert_eq!(place.desk.revisions().unwrap(), []);
}
