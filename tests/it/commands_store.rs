//! The commands of the store from outside: what they do, what they print, and what they say to wrong input.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

use pointsman::boot::{HardwareAddress, SessionId};
use pointsman::database::Database;
use pointsman::store::{BootEntry, EventEntry, Store};
use serde_json::Value;

use crate::assignments::{ask_the_store, fill, run};
use crate::harness::{Site, pointsman, printed};

/// A site that asks its store, with the machine `lab-07` and the image `debian` in it.
fn site() -> Site {
    let site = Site::new();
    ask_the_store(&site, "");
    fill(&site);
    site
}

fn json(site: &Site, arguments: &[&str]) -> Value {
    let output = site.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", printed(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", printed(&output)))
}

/// A command that must fail with exit code 1; what it complained of.
fn refused(site: &Site, arguments: &[&str]) -> String {
    let output = site.run(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", printed(&output));
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", printed(&output));
    String::from_utf8(output.stderr).unwrap().trim_end().to_owned()
}

/// Writes a boot, as a server would.
fn booted(site: &Site, number: u8, machine: Option<&str>, age_hours: i64) -> BootEntry {
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(age_hours);
    let mut boot = BootEntry::new(SessionId([0, 0, 0, 0, 0, number]), at);
    boot.mac = Some(HardwareAddress::from([0x52, 0x54, 0, 0, 0, number]));
    boot.machine = machine.map(str::to_owned);
    boot.verdict = Some("allow".into());
    boot.result = Some("offered".into());
    boot.facts = Some("{\"product\":\"OptiPlex\"}".into());
    boot.events = vec![EventEntry::new(at, "offered", "debian \u{1b}[2J")];
    let store = Store::on(Database::sqlite("store", &site.path("state/pointsman.db"))).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(store.write(std::slice::from_ref(&boot))).unwrap();
    boot
}

#[test]
fn a_machine_from_its_addition_to_its_removal() {
    let site = site();
    let uuid = "4c4c4544-0057-5810-804a-c3c04f463732";
    let text =
        run(&site, &["machine", "add", "Lab-08", "--uuid", uuid, "--manufacturer", "Dell Inc.", "--serial", "7XK"]);
    assert_eq!(text, "added lab-08\n");
    let set = [
        "machine",
        "set",
        "lab-08",
        "--mac",
        "52-54-00-00-00-08",
        "--attribute",
        "owner=physics",
        "--deny",
        "in repair",
    ];
    assert_eq!(run(&site, &set), "changed lab-08\n");
    let found = json(&site, &["machine", "show", "lab-08", "--json"]);
    for (key, expect) in [("uuid", uuid), ("serial", "7XK"), ("manufacturer", "Dell Inc."), ("reason", "in repair")] {
        assert_eq!(found[key], expect, "{key}");
    }
    assert_eq!((&found["macs"][0], &found["attributes"]["owner"]), (&"52:54:00:00:00:08".into(), &"physics".into()));
    let text = run(&site, &["machine", "show", "lab-08"]);
    assert!(text.contains("no: in repair") && text.contains("52:54:00:00:00:08"), "{text}");
    assert!(refused(&site, &set).contains("nothing to change: lab-08 is so already"));
    run(&site, &["machine", "set", "lab-08", "--allow", "--forget", "serial", "--forget", "owner"]);
    let found = json(&site, &["machine", "show", "lab-08", "--json"]);
    assert_eq!(
        (&found["allow"], &found["serial"], &found["attributes"]),
        (&true.into(), &Value::Null, &serde_json::json!({}))
    );
    assert_eq!(
        refused(&site, &["machine", "set", "lab-08", "--forget", "manufacterer"]),
        "error: lab-08 has no `manufacterer` to forget; did you mean `manufacturer`?"
    );
    // A shared adapter is no error, but told.
    let text = run(&site, &["machine", "add", "lab-09", "--mac", "52:54:00:00:00:08"]);
    assert!(text.contains("note: lab-09 has an address, UUID or serial number of lab-08"), "{text}");
    assert_eq!(run(&site, &["machine", "remove", "lab-09"]), "removed lab-09\n");
    let names: Vec<_> =
        json(&site, &["machines", "--json"]).as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["lab-07", "lab-08"]);
}

#[test]
fn a_name_that_was_mistyped_is_told_with_the_one_that_was_meant() {
    let site = site();
    run(&site, &["group", "add", "physics"]);
    let machine = "error: there is no machine `lab-7`; did you mean `lab-07`?";
    let image = "error: there is no image `debain`; did you mean `debian`?";
    let group = "error: there is no group `phisics`; did you mean `physics`?";
    let checks: [(&[&str], &str); 14] = [
        (&["machine", "show", "lab-7"], machine),
        (&["machine", "set", "lab-7", "--allow"], machine),
        (&["machine", "remove", "lab-7"], machine),
        (&["assign", "lab-7", "debian"], machine),
        (&["assignments", "lab-7"], machine),
        (&["unassign", "lab-7"], machine),
        (&["history", "lab-7"], machine),
        (&["group", "join", "physics", "lab-7"], machine),
        (&["assign", "lab-07", "debain"], image),
        (&["image", "show", "debain"], image),
        (&["image", "remove", "debain"], image),
        (&["machines", "--group", "phisics"], group),
        (&["group", "leave", "phisics", "lab-07"], group),
        (&["assign", "group:phisics", "debian"], group),
    ];
    for (arguments, expect) in checks {
        assert_eq!(refused(&site, arguments), expect, "{arguments:?}");
    }
}

#[test]
fn wrong_arguments_say_what_is_right() {
    let site = site();
    let checks: [(&[&str], &str); 10] = [
        (&["machine", "add", "x", "--mac", "52:54:00:12:34"], "has 5 octets; a MAC address has 6"),
        (&["machine", "add", "x", "--mac", "52:54:00:12:34:5g"], "write it like 52:54:00:12:34:56"),
        (&["machine", "add", "a b", "--serial", "1"], "`a b` is no name; use up to 64 letters"),
        (&["machine", "add", "x", "--uuid", "1234"], "`1234` is no UUID; write it like 4c4c4544-"),
        (&["machine", "add", "x", "--serial", "1", "--attribute", "owner"], "write it as NAME=VALUE"),
        (&["assign", "lab-07", "debian", "--not-before", "soon"], "`soon` is no moment; write 2026"),
        (&["assign", "lab-07", "debian", "--spent-by", "boot"], "`boot` is not one of script, image, done"),
        (&["assign", "lab-07", "debian", "--once", "--always"], "cannot be used with"),
        (&["history", "--session", "12"], "a session id has twelve hexadecimal digits"),
        (&["assignments", "--state", "ready"], "not one of standing, assigned, offered"),
    ];
    for (arguments, expect) in checks {
        let output = site.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(printed(&output).contains(expect), "{arguments:?}: {}", printed(&output));
    }
    let checks: [(&[&str], &str); 9] = [
        (
            &["machine", "add", "x"],
            "machine `x`: nothing to know it by; give it a MAC address, a UUID or a serial number",
        ),
        (
            &["machine", "add", "lab-07", "--serial", "1"],
            "machine `lab-07` is there already; `pointsman machine set lab-07` changes it",
        ),
        (&["machine", "add", "x", "--uuid", "00000000-0000-0000-0000-000000000000"], "what firmware without one says"),
        (&["machine", "add", "x", "--serial", "1", "--attribute", "uuid=2"], "cannot be called `uuid`"),
        (
            &["image", "add", "x", "--kind", "linux"],
            "image `x`: `kernel` is missing; an image of kind `linux` needs it",
        ),
        (&["image", "add", "x", "--kind", "local", "--kernel", "k"], "an image of kind `local` has no `kernel`"),
        (&["image", "add", "x", "--kind", "linux", "--kernel", "../k"], "the file name has a '..' part"),
        (&["image", "add", "debian", "--kind", "local"], "image `debian` is there already; --replace writes it anew"),
        (&["assign", "all", "debian", "--once"], "put those meant into a group, or use --always"),
    ];
    for (arguments, expect) in checks {
        let text = refused(&site, arguments);
        assert!(text.starts_with("error: ") && text.contains(expect), "{arguments:?}: {text}");
    }
}

#[test]
fn images_and_groups_come_and_go() {
    let site = site();
    let text = run(
        &site,
        &["image", "add", "winpe", "--kind", "wim", "--wim", "winpe/boot.wim", "--file", "a.cmd=winpe/a.cmd"],
    );
    assert!(text.starts_with("added winpe: winpe (wim)\nnote: wimboot: "), "{text}");
    assert!(text.contains("note: winpe/a.cmd: ") && text.contains("note: winpe/boot.wim: "), "{text}");
    assert_eq!(json(&site, &["image", "show", "winpe", "--json"])["attributes"]["files"], "a.cmd=winpe/a.cmd");
    assert_eq!(
        run(&site, &["image", "add", "winpe", "--kind", "local", "--replace"]),
        "replaced winpe: winpe (local)\n"
    );
    assert!(run(&site, &["image", "list"]).lines().any(|line| line.starts_with("winpe ") && line.contains("local")));
    run(&site, &["machine", "add", "lab-08", "--serial", "1"]);
    assert_eq!(run(&site, &["group", "add", "lab", "--title", "Physics"]), "added the group lab\n");
    assert_eq!(run(&site, &["group", "join", "lab", "lab-07", "lab-08"]), "lab-07 is in lab\nlab-08 is in lab\n");
    assert_eq!(json(&site, &["group", "list", "--json"])[0]["machines"], 2);
    assert_eq!(json(&site, &["machines", "--group", "lab", "--json"]).as_array().unwrap().len(), 2);
    let text = run(&site, &["assign", "group:lab", "winpe"]);
    assert_eq!(text, "assigned winpe to 2 machines: once, when somebody picks it\n");
    let text = refused(&site, &["image", "remove", "winpe"]);
    assert!(text.contains("image `winpe` is in use: assignment ") && text.contains("`pointsman unassign`"), "{text}");
    assert_eq!(run(&site, &["group", "leave", "lab", "lab-08"]), "lab-08 is no more in lab\n");
    run(&site, &["group", "remove", "lab"]);
    run(&site, &["unassign", "lab-07", "winpe"]);
    run(&site, &["unassign", "lab-08"]);
    assert_eq!(run(&site, &["image", "remove", "winpe"]), "removed winpe\n");
}

#[test]
fn assignments_are_made_listed_and_taken_back() {
    let site = site();
    let end = "2038-01-01T00:00:00Z";
    let order =
        ["assign", "LAB-07", "debian", "--mandatory", "--countdown", "15", "--not-before", "+2h", "--not-after", end];
    let text = run(&site, &order);
    let id = text.trim_end().trim_end_matches(')').rsplit('(').next().unwrap().to_owned();
    assert_eq!(text, format!("assigned debian to lab-07: once, mandatory ({id})\n"));
    let found = json(&site, &["assignments", "lab-07", "--json"]);
    for (key, expect) in
        [("id", id.as_str()), ("target", "lab-07"), ("mode", "once"), ("state", "assigned"), ("not_after", end)]
    {
        assert_eq!(found[0][key], expect, "{key}");
    }
    assert_eq!((&found[0]["countdown"], &found[0]["mandatory"]), (&15.into(), &true.into()));
    let text = refused(&site, &["assign", "lab-07", "debian"]);
    assert!(
        text.contains(&format!("assignment `{id}` is there already"))
            && text.contains(&format!("pointsman unassign {id}")),
        "{text}"
    );
    let text = run(&site, &["assignments"]);
    assert!(text.lines().nth(1).unwrap().contains("once, mandatory after 15 s"), "{text}");
    assert_eq!(run(&site, &["unassign", &id]), format!("took debian back from lab-07 ({id})\n"));
    assert!(refused(&site, &["unassign", &id]).contains("there is no machine"));
    assert!(refused(&site, &["unassign", "lab-07"]).contains("`lab-07` has no such open assignment"));
    assert!(run(&site, &["assign", "unknown", "debian"]).contains("to unknown: in the menu of every boot"));
    assert_eq!(json(&site, &["assignments", "unknown", "--state", "standing", "--json"]).as_array().unwrap().len(), 1);
    assert!(run(&site, &["assignments", "--state", "failed"]).starts_with("No assignments."));
}

#[test]
fn a_table_is_imported_from_a_file_or_a_pipe() {
    let site = site();
    site.write("machines.csv", "name,mac,groups,role\nlab-07,,lab,desk\nlab-08,52:54:00:00:00:08,lab,desk\n");
    let file = site.path("machines.csv").to_str().unwrap().to_owned();
    let text = refused(&site, &["machine", "import", &file]);
    assert!(text.contains("machine `lab-07`: nothing to know it by"), "{text}");
    assert_eq!(json(&site, &["machines", "--json"]).as_array().unwrap().len(), 1);
    site.write(
        "machines.csv",
        "name,mac,groups,role\nlab-07,52:54:00:00:00:07,lab,desk\nlab-08,52:54:00:00:00:08,lab,desk\n",
    );
    assert_eq!(run(&site, &["machine", "import", &file]), "1 machines added, 1 changed, 0 as they were\n");
    assert_eq!(run(&site, &["machine", "import", &file]), "0 machines added, 0 changed, 2 as they were\n");
    let found = json(&site, &["machine", "show", "lab-07", "--json"]);
    assert_eq!((&found["groups"][0], &found["attributes"]["role"]), (&"lab".into(), &"desk".into()));
    site.write("machines.csv", "name,mac\nlab-07,5\nlab 08,\n");
    let text = refused(&site, &["machine", "import", &file]);
    assert!(text.contains("nothing was imported\nline 2: column `mac`: `5`"), "{text}");
    assert!(text.contains("line 3: `lab 08` is no name"), "{text}");
    assert!(refused(&site, &["machine", "import", "/nowhere.csv"]).contains("cannot read /nowhere.csv: No such file"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["--config", &site.config(), "machine", "import", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"name,serial\nlab-10,S-10\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(printed(&output), "1 machines added, 0 changed, 0 as they were\n");
}

#[test]
fn the_history_of_a_machine_an_adapter_and_a_boot() {
    let site = site();
    assert!(run(&site, &["history"]).starts_with("No boots."));
    booted(&site, 7, Some("lab-07"), 1);
    booted(&site, 8, Some("lab-07"), 30);
    booted(&site, 66, None, 2);
    let sessions = |arguments: &[&str]| {
        let found = json(&site, &[&["history", "--json"], arguments].concat());
        found.as_array().unwrap().iter().map(|boot| boot["session"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(sessions(&[]), ["000000000007", "000000000042", "000000000008"]);
    assert_eq!(sessions(&["--limit", "1"]), ["000000000007"]);
    assert_eq!(sessions(&["lab-07"]), ["000000000007", "000000000008"]);
    assert_eq!(sessions(&["lab-07", "--since", "1d"]), ["000000000007"]);
    for adapter in ["52:54:00:00:00:42", "52-54-00-00-00-42", "5254.0000.0042"] {
        assert_eq!(sessions(&[adapter]), ["000000000042"], "{adapter}");
    }
    let text = run(&site, &["history", "--session", "000000000007"]);
    assert!(text.contains("\"product\": \"OptiPlex\"") && text.contains("offered  debian  [2J"), "{text}");
    assert!(!text.contains('\u{1b}'), "what was told moves no cursor: {text:?}");
    assert_eq!(json(&site, &["history", "--session", "000000000007", "--json"])["events"][0]["name"], "offered");
    assert!(refused(&site, &["history", "--session", "00000000000f"]).contains("there is no boot `00000000000f`"));
    let machines = json(&site, &["machines", "--json"]);
    assert_eq!(
        (&machines[0]["last_boot"]["session"], &machines[0]["last_boot"]["boots_24h"]),
        (&"000000000007".into(), &1.into())
    );
    let strangers = json(&site, &["machines", "--strangers", "1d", "--json"]);
    assert_eq!((strangers.as_array().unwrap().len(), &strangers[0]["mac"]), (1, &"52:54:00:00:00:42".into()));
    // What booted stays known when the machine is gone.
    run(&site, &["machine", "remove", "lab-07"]);
    assert_eq!(sessions(&["lab-07"]).len(), 2);
}

#[test]
fn commands_work_while_the_server_runs() {
    let site = site();
    let daemon = site.serve();
    run(&site, &["assign", "lab-07", "debian", "--mandatory"]);
    run(&site, &["machine", "add", "lab-08", "--serial", "1"]);
    let (one, two) = std::thread::scope(|scope| {
        let two = scope.spawn(|| add_five(&site, "two"));
        (add_five(&site, "one"), two.join().unwrap())
    });
    assert_eq!((one, two), (5, 5));
    assert_eq!(json(&site, &["machines", "--json"]).as_array().unwrap().len(), 12);
    drop(daemon);
}

/// Adds machines one after the other; how many it could.
fn add_five(site: &Site, prefix: &str) -> usize {
    let add = |number: usize| site.run(&["machine", "add", &format!("{prefix}-{number}"), "--serial", "S"]);
    (0..5).map(add).filter(|output| output.status.success()).count()
}

#[test]
fn a_store_that_cannot_be_used_says_why() {
    let site = site();
    let file = site.path("state/pointsman.db");
    let shown = file.display();
    let database = Database::sqlite("store", &file);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let query = pointsman::database::Query::parse("insert into schema_version values (99, 0)").unwrap();
    let limit = std::time::Duration::from_secs(30);
    runtime.block_on(database.execute(&query, &Default::default(), limit)).unwrap();
    drop(database);
    let text = refused(&site, &["machines"]);
    assert_eq!(
        text,
        "error: the store has schema 99, this program knows 4; use a program of the version that wrote it, or a later one"
    );
    remove(&site);
    std::fs::write(&file, "name,mac\nlab-07,52:54:00:00:00:07\n".repeat(100)).unwrap();
    let remedy = "name another folder with `state` in [server]";
    assert_eq!(
        refused(&site, &["machines"]),
        format!("error: the store {shown} is not a SQLite file; move it away, or {remedy}")
    );
    // The right beginning, and nothing of a database behind it.
    std::fs::write(&file, [b"SQLite format 3\0".as_slice(), &[7; 9000]].concat()).unwrap();
    assert!(refused(&site, &["machines"]).contains(&format!("{shown}: file is not a database")));
    remove(&site);
    std::fs::create_dir(&file).unwrap();
    let text = refused(&site, &["machine", "add", "x", "--serial", "1"]);
    assert!(text.contains(&format!("cannot open the store {shown}: Is a directory")), "{text}");
    std::fs::remove_dir(&file).unwrap();
    // A state folder that is not there yet is made; its files are for nobody else's eyes.
    std::fs::remove_dir_all(site.path("state")).unwrap();
    assert!(run(&site, &["machines"]).starts_with("No machines."));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

fn remove(site: &Site) {
    for name in ["state/pointsman.db", "state/pointsman.db-wal", "state/pointsman.db-shm"] {
        // The last connection that is closed takes its files along.
        let _ = std::fs::remove_file(site.path(name));
    }
}

/// What root makes for a server that runs as somebody else must be that account's, and nobody else may open it.
#[test]
fn a_store_that_root_makes_is_the_server_s() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("only root can give a file away: not run");
        return;
    }
    let (server, stranger) = (65_534, 65_533);
    let folder = tempfile::Builder::new().prefix("pointsman-").tempdir_in("/tmp").unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(path("state")).unwrap();
    std::os::unix::fs::chown(path("state"), Some(server), Some(server)).unwrap();
    std::fs::write(path("pointsman.toml"), "[server]\nstate = \"state\"\n[[handler]]\nkind = \"sql\"\n").unwrap();
    let program = path("program");
    std::fs::copy(env!("CARGO_BIN_EXE_pointsman"), &program).unwrap();
    let config = path("pointsman.toml").to_str().unwrap().to_owned();
    let as_account = |account: u32, arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={account}"), format!("--regid={account}"), "--clear-groups".into()]);
        command.arg(&program).args(["--config", &config]).args(arguments).output().unwrap()
    };
    let output = pointsman(&["--config", &config, "machine", "add", "lab-07", "--serial", "1"]);
    assert!(output.status.success(), "{}", printed(&output));
    for name in ["state/pointsman.db", "state/pointsman.db-wal", "state/pointsman.db-shm"] {
        if let Ok(metadata) = std::fs::metadata(path(name)) {
            assert_eq!((metadata.uid(), metadata.mode() & 0o777), (server, 0o600), "{name}");
        }
    }
    let output = as_account(server, &["machine", "set", "lab-07", "--serial", "2"]);
    assert_eq!(printed(&output), "changed lab-07\n");
    let output = as_account(stranger, &["machines"]);
    assert_eq!(output.status.code(), Some(1));
    let text = printed(&output);
    assert!(text.contains("no permission to open the store") && text.contains("as root, or as the account"), "{text}");
}
