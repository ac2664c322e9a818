//! `pointsman replay` and `case record` from outside: old boots asked again, and made into cases.

use std::process::Output;

use pointsman::boot::{
    Architecture, BootDecision, BootRequest, Client, Outcome, Record, SessionId, Stage, Step, Verdict,
};
use pointsman::database::{Database, Query};
use pointsman::decision::Question;
use pointsman::store::{BootEntry, QuestionEntry, Store};

use crate::harness::{Site, printed};

const RULES: &str = r#"fn allow_boot(request) {
    if request.mac.ends_with(":66") { deny("not in the list") } else { allow() }
}
fn boot_images(request) {
    let rows = query("site.owner", #{ serial: request.serial });
    if rows.len() == 0 { return pass(); }
    linux(#{ id: "debian", title: "For " + rows[0].owner, kernel: "debian/linux", cmdline: "quiet" })
}
"#;

/// A site that asks a SQLite file, and two machines that booted from it; the file is gone afterwards.
fn booted() -> Site {
    let site = Site::with_rules(RULES);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let database = Database::sqlite("site", &site.path("site.db"));
    runtime.block_on(async {
        for text in
            ["CREATE TABLE owner (serial TEXT, owner TEXT)", "INSERT INTO owner VALUES ('X1', 'ann'), ('X2', 'bob')"]
        {
            let patience = std::time::Duration::from_secs(30);
            database.execute(&Query::parse(text).unwrap(), &Record::default(), patience).await.unwrap();
        }
    });
    drop(database);
    site.edit("pointsman.toml", |text| {
        format!(
            "{text}\n[database.site]\nurl = \"sqlite:site.db\"\n[database.site.queries]\n\
             owner = \"SELECT owner FROM owner WHERE serial = :serial\"\n"
        )
    });
    let daemon = site.serve();
    for (mac, serial) in [("52:54:00:00:00:01", "X1"), ("52:54:00:00:00:01", "X1"), ("52:54:00:00:00:02", "X2")] {
        daemon.boot(&["--mac", mac, "--fact", &format!("serial={serial}")]);
    }
    daemon.simulate(&["--mac", "52:54:00:00:00:66"]);
    assert_eq!(daemon.stop(), Some(0));
    std::fs::remove_file(site.path("site.db")).unwrap();
    site
}

fn replay(site: &Site, arguments: &[&str]) -> (Option<i32>, String) {
    let output = site.run(&[&["replay"], arguments].concat());
    (output.status.code(), flat(&output))
}

fn flat(output: &Output) -> String {
    printed(output).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn has(text: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(text.contains(part), "no {part:?} in {text}"));
}

#[test]
fn the_same_scripts_answer_the_same_without_their_database() {
    let site = booted();
    let (code, text) = replay(&site, &["--exit-code"]);
    assert_eq!(code, Some(0), "{text}");
    // Each boot asks both questions once; the one that was denied only one.
    has(&text, &["7 questions asked again: 7 answered as then, 0 would change, 0 cannot be told"]);
    assert!(!site.path("site.db").exists(), "nobody was asked");
}

#[test]
fn other_scripts_show_exactly_what_changes_and_where() {
    let site = booted();
    let with = |name: &str, change: &dyn Fn(String) -> String| {
        site.write(&format!("{name}/allow_boot.rhai"), &change(RULES.to_owned()));
        site.path(name).to_str().unwrap().to_owned()
    };
    // One machine more, on another line; and for one of two another command line.
    let new = with("new", &|text| {
        text.replacen(
            "if request.mac.ends_with(\":66\") { deny(\"not in the list\") } else { allow() }",
            "\n    allow()",
            1,
        )
        .replacen("\"quiet\"", "if rows[0].owner == \"ann\" { \"auto\" } else { \"quiet\" }", 1)
    });
    let (code, text) = replay(&site, &["--scripts", &new]);
    assert_eq!(code, Some(0), "{text}");
    has(
        &text,
        &[
            "1 machine: allow_boot: deny: not in the list -> allow (allow_boot.rhai:3, was allow_boot.rhai:2)",
            "52:54:00:00:00:66",
            "1 machine: boot_images: image -> image (allow_boot.rhai:8, was allow_boot.rhai:7) image debian: cmdline: \"quiet\" -> \"auto\" 52:54:00:00:00:01 (2 times)",
            "7 questions asked again: 4 answered as then, 3 would change, 0 cannot be told",
        ],
    );
    assert_eq!(replay(&site, &["--scripts", &new, "--exit-code"]).0, Some(3));
    let (_, one) = replay(&site, &["--scripts", &new, "--machine", "52:54:00:00:00:66"]);
    has(&one, &["1 question asked again: 0 answered as then, 1 would change"]);
    let (_, all) = replay(&site, &["--scripts", &new, "--all"]);
    has(&all, &["52:54:00:00:00:01 (2 times): boots debian -> boots debian image debian: cmdline"]);
    let output = site.run(&["replay", "--scripts", &new, "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&json["changed"], &json["groups"][0]["machines"].as_object().unwrap().len()),
        (&3.into(), &1),
        "{json:#}"
    );
    // A question that was not asked then.
    let asks = with("asks", &|text| text.replacen("serial: request.serial", "serial: request.serial + request.mac", 1));
    let (code, text) = replay(&site, &["--scripts", &asks]);
    assert_eq!(code, Some(0), "{text}");
    has(
        &text,
        &["2 machines: cannot be told: script asks query site.owner, which was not asked then", "3 cannot be told"],
    );
    // Scripts that fail are an error.
    let fails = with("fails", &|text| text.replacen("allow() }", "allow() + request.nothing_at_all }", 1));
    let (code, text) = replay(&site, &["--scripts", &fails]);
    assert_eq!(code, Some(1), "{text}");
    let late = with("late", &|text| text.replacen("rows[0].owner,", "rows[5].owner,", 1));
    let (code, text) = replay(&site, &["--scripts", &late]);
    assert_eq!(code, Some(1), "{text}");
    has(&text, &["2 machines: boot_images: image -> FAILS (allow_boot.rhai:7", "| linux(#{", "^", "3 would change"]);
    // A folder that has nothing of it.
    let (code, text) = replay(&site, &["--scripts", site.path("images").to_str().unwrap()]);
    assert_eq!(code, Some(1), "{text}");
    has(&text, &["has no script of this site; it is looked through for allow_boot.rhai"]);
}

#[test]
fn a_boot_becomes_a_case_that_passes_and_a_wrong_one_is_told() {
    let site = booted();
    let record = |arguments: &[&str]| {
        let output = site.run(&[&["case", "record"], arguments].concat());
        (output.status.code(), flat(&output))
    };
    let (code, text) = record(&["52:54:00:00:00:01", "--name", "the boot of ann"]);
    assert_eq!(code, Some(0), "{text}");
    has(
        &text,
        &[
            "case \"the boot of ann allow_boot\" is written; it passes",
            "case \"the boot of ann boot_images\" is written; it passes",
        ],
    );
    let cases = std::fs::read_to_string(site.path("scripts/allow_boot.cases.toml")).unwrap();
    has(&cases, &["serial = \"X1\"", "owner = \"ann\"", "images = [\"debian\"]", "cmdline = \"quiet\"", "now = \"20"]);
    assert!(!cases.contains("/b/"), "no token is in a case\n{cases}");
    let (code, text) = record(&["52:54:00:00:00:66", "--question", "allow_boot"]);
    assert_eq!(code, Some(0), "{text}");
    let check = || flat(&site.run(&["check"]));
    has(&check(), &["3 cases pass"]);
    // A name is not taken twice, and what is there stays.
    let before = std::fs::read_to_string(site.path("scripts/allow_boot.cases.toml")).unwrap();
    let (code, text) = record(&["52:54:00:00:00:02", "--name", "the boot of ann"]);
    assert_eq!(code, Some(1), "{text}");
    has(&text, &["has a case \"the boot of ann allow_boot\" already; choose another with --name"]);
    assert_eq!(std::fs::read_to_string(site.path("scripts/allow_boot.cases.toml")).unwrap(), before);
    assert!(before.starts_with(&cases), "cases are added behind the others");
    // What the scripts answer now is something else.
    site.edit("scripts/allow_boot.rhai", |text| text.replacen("\"quiet\"", "\"loud\"", 1));
    let other = site.path("other.cases.toml");
    let file = other.to_str().unwrap();
    let (code, text) = record(&["52:54:00:00:00:02", "--question", "boot_images", "--file", file]);
    assert_eq!(code, Some(1), "{text}");
    has(&text, &["expected cmdline = \"quiet\" but got cmdline = \"loud\"", "not written", "--force"]);
    assert!(!other.exists());
    let (code, text) = record(&["52:54:00:00:00:02", "--question", "boot_images", "--file", file, "--force"]);
    assert_eq!(code, Some(0), "{text}");
    has(&text, &["it FAILS with the present scripts"]);
    assert!(other.exists());
    let (code, text) = record(&["52:54:00:00:00:66", "--question", "boot_images"]);
    assert_eq!(code, Some(1), "{text}");
    has(&text, &["no case can be made: that was not asked in this boot"]);
}

/// Questions of so many machines, as a server would have written them.
fn entries(count: usize) -> Vec<BootEntry> {
    let now = jiff::Timestamp::now();
    let one = |number: usize| {
        let octets = u32::try_from(number).unwrap().to_be_bytes();
        let session = SessionId([0, 0, octets[0], octets[1], octets[2], octets[3]]);
        let mac = [2, 0, octets[0], octets[1], octets[2], octets[3]];
        let request = BootRequest::new(session, Stage::Discover, Client::new(mac.into(), Architecture::X64_UEFI), now);
        let step = Step {
            handler: "script".into(),
            outcome: Outcome::Given,
            detail: "allow".into(),
            elapsed_us: 9,
            account: Some(Box::default()),
        };
        let decision = BootDecision {
            verdict: Verdict::allow(),
            images: None,
            handler: "script".into(),
            trail: vec![step],
            elapsed_us: 9,
        };
        let mut entry = BootEntry::new(session, now);
        entry.mac = Some(mac.into());
        entry.questions.push(QuestionEntry::new(Question::AllowBoot, &request, &decision));
        entry
    };
    (0..count).map(one).collect()
}

#[test]
fn thousands_of_machines_are_told_in_a_few_lines_and_broken_rows_cost_no_other() {
    let site = Site::with_rules(
        "fn allow_boot(request) { if request.mac < \"02:00:00:00:0b:b8\" { deny(\"old\") } else { allow() } }",
    );
    let count = std::env::var("POINTSMAN_REPLAY_COUNT").ok().and_then(|count| count.parse().ok()).unwrap_or(5_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = Store::on(Database::sqlite("store", &site.path("state/pointsman.db"))).unwrap();
    runtime.block_on(async {
        for batch in entries(count).chunks(1000) {
            store.write(batch).await.unwrap();
        }
        for text in [
            "UPDATE question SET request = '{' WHERE session = '000000000001'",
            "UPDATE question SET decision = NULL WHERE session = '000000000002'",
            "UPDATE question SET stage = 'x' WHERE session = '000000000003'",
        ] {
            let patience = std::time::Duration::from_secs(30);
            store.database().execute(&Query::parse(text).unwrap(), &Record::default(), patience).await.unwrap();
        }
    });
    drop(store);
    let began = std::time::Instant::now();
    let (code, text) = replay(&site, &["--scripts", site.path("scripts").to_str().unwrap()]);
    eprintln!("{count} questions asked again in {:?}", began.elapsed());
    assert_eq!(code, Some(0), "{text}");
    has(
        &text,
        &[
            "2997 machines: allow_boot: allow -> deny: old (allow_boot.rhai:1) reason: none -> \"old\" verdict: \"allow\" -> \"deny\"",
            "... and 2989 more; --all shows them",
            &format!("{} questions asked again: {} answered as then, 2997 would change", count - 3, count - 3000),
            "note: 1 question not asked again: broken in the store",
            "note: 1 question not asked again: not kept",
            "note: 1 question of the store cannot be read",
        ],
    );
    let (_, few) = replay(&site, &["--limit", "10"]);
    has(&few, &["10 questions asked again: 10 answered as then"]);
}
