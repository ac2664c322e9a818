//! What `pointsman check` says of the store and of databases.

use crate::assignments::{ask_the_store, run};
use crate::harness::{Site, printed};

fn check(site: &Site) -> String {
    printed(&site.run(&["check"]))
}

#[test]
fn what_the_store_holds_is_looked_at_and_nothing_is_made() {
    let site = Site::new();
    ask_the_store(&site, "");
    assert!(check(&site).contains("note  handler `sql`: the store is made at its first use"), "{}", check(&site));
    assert!(!site.path("state/pointsman.db").exists());
    run(&site, &["machine", "add", "lab-07", "--mac", "52:54:00:00:00:07"]);
    run(&site, &["image", "add", "ubuntu", "--kind", "linux", "--kernel", "ubuntu/linux"]);
    let text = check(&site);
    assert!(text.contains("ok  handler `sql`: the store has 1 machines and 1 images"), "{text}");
    assert!(text.contains("note  image `ubuntu` of the store: ubuntu/linux: no such file; images are in"), "{text}");
    site.write("state/pointsman.db", "this is no database, whatever its name says; it is a text of some length");
    for rest in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(site.path(&format!("state/pointsman.db{rest}")));
    }
    let text = check(&site);
    assert!(text.contains("PROBLEM  handler `sql`: ") && text.contains("not a database"), "{text}");
}

#[test]
fn a_store_behind_the_scripts_is_told() {
    let site = Site::new();
    site.edit("pointsman.toml", |text| format!("{text}\n[[handler]]\nkind = \"sql\"\n"));
    let text = check(&site);
    assert!(text.contains("handler `sql`: the store is asked only about machines that `script` passes on"), "{text}");
    let site = Site::new();
    ask_the_store(&site, "");
    assert!(!check(&site).contains("asked only about"));
}

#[test]
fn a_database_that_is_down_is_told_once_and_with_what_to_do() {
    let site = Site::new();
    // Nothing listens on port 1.
    let down = "[database.cmdb]\nurl = \"postgres://boot@127.0.0.1:1/cmdb\"\n\n[[handler]]\nkind = \"sql\"\n\
                database = \"cmdb\"\nmachine = \"SELECT 1 AS machine_id\"\n\n";
    site.edit("pointsman.toml", |text| text.replacen("[[handler]]", &format!("{down}[[handler]]"), 1));
    let text = check(&site);
    let problems: Vec<_> = text.lines().filter(|line| line.contains("PROBLEM")).collect();
    assert!(matches!(problems.as_slice(), [one] if one.contains("PROBLEM  database `cmdb` is down since ")), "{text}");
    assert!(text.contains("`url` and the password of [database.cmdb] are right"), "{text}");
}

#[test]
fn a_column_of_an_image_that_means_nothing_is_told() {
    let site = Site::new();
    let query = "[database.cmdb]\nurl = \"sqlite:cmdb.db?mode=rwc\"\n\n[[handler]]\nkind = \"sql\"\n\
                 database = \"cmdb\"\nmachine = \"SELECT 1 AS machine_id\"\n\
                 images = \"SELECT 'disk' AS image, 'local' AS kind, 1 AS mandatry\"\n\n";
    site.edit("pointsman.toml", |text| text.replacen("[[handler]]", &format!("{query}[[handler]]"), 1));
    let text = check(&site);
    assert!(text.contains("images: the column `mandatry` means nothing; did you mean `mandatory`?"), "{text}");
}

#[test]
fn a_list_that_is_cut_says_so() {
    let site = Site::new();
    for number in 1..=3 {
        let (name, mac) = (format!("lab-0{number}"), format!("52:54:00:00:00:0{number}"));
        run(&site, &["machine", "add", &name, "--mac", &mac]);
    }
    run(&site, &["image", "add", "disk", "--kind", "local"]);
    run(&site, &["group", "add", "lab"]);
    run(&site, &["group", "join", "lab", "lab-01", "lab-02"]);
    run(&site, &["assign", "group:lab", "disk"]);
    let more = |arguments: &[&str]| printed(&site.run(arguments));
    assert!(more(&["assignments", "--limit", "1"]).contains("the newest 1; --limit shows more"));
    assert!(!more(&["assignments"]).contains("--limit"));
    assert!(more(&["machines", "--limit", "2"]).contains("2 of 3 machines; --limit shows more"));
    assert!(more(&["machines", "--group", "lab", "--limit", "1"]).contains("the first 1 machines of lab; --limit"));
}

#[test]
fn a_table_that_cannot_be_read_says_what_to_do() {
    let site = Site::new();
    let file = site.path("machines.csv").to_str().unwrap().to_owned();
    let import = |text: &[u8]| {
        std::fs::write(&file, text).unwrap();
        printed(&site.run(&["machine", "import", &file]))
    };
    let text = import(b"name;mac\npc-1;52:54:00:00:00:01\n");
    assert!(text.contains("line 1: no column `name`; the columns are name;mac; separate them by commas"), "{text}");
    let text = import(b"name,mac\npc-1,52:54:00:00:00:01,x\n");
    assert!(text.contains("line 2: 3 cells, but the first line names 2; quote cells that have a comma"), "{text}");
    let text = import(b"name,mac,owner\npc-1,52:54:00:00:00:01,M\xfcller\n");
    assert!(text.contains("line 2: the text is not UTF-8; save the table as CSV in UTF-8"), "{text}");
    // As spreadsheets write it.
    let text = import(b"\xef\xbb\xbfname,mac\r\npc-1,52:54:00:00:00:01\r\npc-2,52-54-00-00-00-01\r\n");
    assert!(text.contains("2 machines added"), "{text}");
    assert!(text.contains("note: 52:54:00:00:00:01 is of pc-1, pc-2; it alone tells them not apart"), "{text}");
}
