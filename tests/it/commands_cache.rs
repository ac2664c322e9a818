//! `pointsman cache` from outside.

use std::process::Output;

use serde_json::Value;

use crate::harness::{Site, pointsman, printed};
use crate::library::{server, site};
use crate::s3::S3;

fn json(site: &Site) -> Vec<Value> {
    let output = site.run(&["cache", "list", "--json"]);
    assert!(output.status.success(), "{}", printed(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn ended(output: &Output, code: i32, expect: &[&str]) {
    let text = printed(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for expect in expect {
        assert!(text.contains(expect), "{expect} not in:\n{text}");
    }
}

#[test]
fn files_are_fetched_ahead_listed_verified_and_collected() {
    let server = server();
    let digest = "9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0";
    server.put("a", b"aaa");
    server.put("a.sha256", format!("{digest}  a\n").as_bytes());
    let site = site(&server, "");
    ended(&site.run(&["cache", "list"]), 0, &["Nothing is cached yet. `pointsman cache warm @NAME/FILE`"]);
    ended(&site.run(&["cache", "verify"]), 0, &["0 files, all as they were fetched"]);
    ended(&site.run(&["cache", "gc"]), 0, &["0 B freed"]);
    assert!(!site.path("cache").exists(), "reading makes no folder");
    let names = ["cache", "warm", "@s3/debian/linux", "@s3/a"];
    let first = site.run(&names);
    ended(
        &first,
        0,
        &["@s3/debian/linux: 300.00 kB fetched, its origin tells no digest", "@s3/a: 3 B fetched, verified"],
    );
    ended(&site.run(&names), 0, &["@s3/debian/linux: 300.00 kB are here", "@s3/a: 3 B are here, verified"]);
    assert_eq!((server.asked("GET", "debian/linux"), server.asked("GET", "a")), (1, 1));
    let list = json(&site);
    let seen: Vec<_> = list.iter().map(|file| (&file["name"], &file["state"], &file["length"])).collect();
    assert_eq!(seen[0], (&"@s3/a".into(), &"verified".into(), &3.into()), "{list:#?}");
    assert_eq!(seen[1], (&"@s3/debian/linux".into(), &"unverified".into(), &300_000.into()), "{list:#?}");
    assert_eq!((seen.len(), &list[0]["digest"], &list[0]["present"]), (2, &digest.into(), &3.into()));
    ended(
        &site.run(&["cache", "list"]),
        0,
        &[
            "FILE",
            "LAST USED",
            "@s3/debian/linux",
            "300.00 kB",
            "unverified",
            "2 files, 300.00 kB of at most 50.00 GB in",
        ],
    );
    ended(&site.run(&["cache", "verify"]), 0, &["2 files, all as they were fetched"]);
    let object = site.path("cache/objects").join(digest);
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, "aab").unwrap();
    ended(&site.run(&["cache", "verify"]), 1, &["@s3/a: ", "; removed", "1 of 2 damaged and removed"]);
    assert_eq!(json(&site).len(), 1);
    // One that is too short is seen when the cache is opened, and told all the same.
    site.run(&names);
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, "aa").unwrap();
    ended(
        &site.run(&["cache", "verify"]),
        1,
        &["@s3/a: it has 2 octets, not 3; removed", "1 of 2 damaged and removed"],
    );
    site.edit("pointsman.toml", |text| text.replace("[storage.s3]", "[storage.s4]"));
    ended(&site.run(&["cache", "gc"]), 0, &["300.00 kB freed: 1 expired or of no origin any more"]);
    assert!(json(&site).is_empty());
}

#[test]
fn what_machines_and_images_need_is_fetched_ahead() {
    let server = server();
    server.put("winpe/boot.wim", b"wim");
    let site = site(&server, "");
    ended(
        &site.run(&["cache", "warm", "--mac", "52:54:00:00:00:01"]),
        0,
        &["@s3/debian/initrd.gz: 200.00 kB fetched", "@s3/debian/linux: 300.00 kB fetched"],
    );
    for (id, kernel) in [("one", "@s3/winpe/boot.wim"), ("two", "debian/linux")] {
        let added = site.run(&["image", "add", id, "--kind", "linux", "--kernel", kernel]);
        ended(&added, 0, &[]);
    }
    ended(
        &site.run(&["cache", "warm", "--image", "one", "--image", "two"]),
        0,
        &["1 file of them are in the images folder", "@s3/winpe/boot.wim: 3 B fetched"],
    );
    ended(&site.run(&["cache", "warm", "--all-images"]), 0, &["@s3/winpe/boot.wim: 3 B are here"]);
    ended(&site.run(&["cache", "warm", "--image", "three"]), 1, &["three"]);
    site.edit("scripts/allow_boot.rhai", |text| text.replace("allow() }", "deny(\"closed\") }"));
    ended(
        &site.run(&["cache", "warm", "--mac", "52:54:00:00:00:01"]),
        1,
        &["52:54:00:00:00:01 boots nothing: deny closed; `pointsman decide --mac 52:54:00:00:00:01` tells more"],
    );
}

#[test]
fn what_is_wrong_is_told_with_a_remedy() {
    let mut server = server();
    let site = site(&server, "size_max = \"250kB\"");
    ended(&site.run(&["cache", "warm"]), 2, &["@NAME/FILE"]);
    ended(&site.run(&["cache", "warm", "debian/linux"]), 1, &["files of upstreams and storages are named @NAME/FILE"]);
    let output = site.run(&["cache", "warm", "@s4/x", "@s3", "@s3/none", "@s3/debian/linux", "@s3/debian/initrd.gz"]);
    ended(
        &output,
        1,
        &[
            "error: @s4/x: there is no [upstream.s4] that has files, and no [storage.s4]; there are s3",
            "error: @s3: no file of `s3` is named; write @s3/FILE",
            "error: @s3/none: @s3: the origin has no such file",
            "error: @s3/debian/linux: the file has 300000 octets, more than the cache may have (250000); raise cache.size_max",
            "@s3/debian/initrd.gz: 200.00 kB fetched",
            "4 files could not be fetched",
        ],
    );
    server.kill();
    ended(&site.run(&["cache", "warm", "@s3/other"]), 1, &["error: @s3/other: @s3: the origin does not answer"]);
    ended(&site.run(&["cache", "warm", "@s3/debian/initrd.gz"]), 0, &["are here"]);
    std::fs::remove_dir_all(site.path("cache")).unwrap();
    site.write("cache", "a file");
    for command in ["list", "verify", "gc"] {
        ended(&site.run(&["cache", command]), 1, &["cannot use the cache's folder", "another folder in [cache]"]);
    }
    for command in ["list", "warm", "verify", "gc"] {
        let help = printed(&pointsman(&["cache", command, "--help"]));
        assert!(help.lines().count() > 8, "{help}");
    }
}

#[test]
fn a_key_that_is_not_taken_is_named() {
    let server = S3::with_key("AKIAREADER", "the-secret");
    server.put("debian/linux", b"x");
    let site = site(&server, "");
    site.edit("pointsman.toml", |text| text + "access_key = \"AKIAWRONG\"\nsecret_key_file = \"s3.key\"\n");
    ended(
        &site.run(&["cache", "warm", "@s3/debian/linux"]),
        1,
        &["storage.s3.secret_key_file: ", "help: write the secret"],
    );
    site.write("s3.key", "the-secret\n");
    let output = site.run(&["cache", "warm", "@s3/debian/linux"]);
    ended(&output, 1, &["access with storage.s3.access_key = \"AKIAWRONG\" is denied"]);
    assert!(!printed(&output).contains("the-secret"));
    let output = site.run(&["decide"]);
    ended(&output, 0, &["missing  @s3/debian/linux: the origin refuses: access with storage.s3.access_key"]);
}
