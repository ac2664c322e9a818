//! A tree of servers: two upstreams and two servers of a site, each pair beside a PostgreSQL, images in object storage;
//! any one of them may be killed.

use std::time::Instant;

use serde_json::Value;

use crate::assignments::run;
use crate::harness::{Daemon, PATIENCE, Site};
use crate::library;
use crate::s3::S3;
use crate::servers::Postgres;

const RULES: &str = r#"
fn allow_boot(request) { allow() }
fn boot_images(request) {
    linux(#{ id: "d", title: `for ${request.site}`, kernel: "@s3/debian/linux", initrd: "@s3/debian/initrd.gz" })
}
"#;

/// Two servers that stand in for each other: they share the database, the key of the tokens and the CA.
fn twins(database: &str, make: impl Fn() -> Site) -> [Site; 2] {
    let sites = [make(), make()];
    for site in &sites {
        site.configure("store", "database = \"shared\"");
        site.edit("pointsman.toml", |text| format!("{text}\n[database.shared]\nurl = \"{database}\"\n"));
    }
    drop(sites[0].serve());
    std::fs::create_dir_all(sites[1].path("state")).unwrap();
    for file in ["token.key", "ca.pem", "ca.key"] {
        std::fs::copy(sites[0].path("state").join(file), sites[1].path("state").join(file)).unwrap();
    }
    sites
}

fn upstreams(database: &Postgres, storage: &S3) -> [Site; 2] {
    twins(&database.url(), || {
        let site = Site::with_rules(RULES);
        site.edit("pointsman.toml", |text| format!("{text}\n{}", storage.section()));
        site.configure("api", "enabled = true\nport = 0");
        site.configure("decision", "allow_boot_limit = \"5s\"");
        site
    })
}

/// Two servers of the site `lyon`, enrolled once: a certificate of that CA is good at both upstreams.
fn site_of(database: &str, upstreams: &[Site; 2], ports: [u16; 2]) -> [Site; 2] {
    let sites = twins(database, || {
        let site = Site::new();
        let referral = "[[handler]]\nkind = \"referral\"\nupstreams = [\"main\", \"second\"]\n";
        site.edit("pointsman.toml", |text| text.replacen("[[handler]]\nkind = \"script\"\n", referral, 1));
        let mut sections = String::new();
        for (name, port) in [("main", ports[0]), ("second", ports[1])] {
            sections += &format!(
                "[upstream.{name}]\nurl = \"https://127.0.0.1:{port}\"\nallow_boot_limit = \"4s\"\n\
                 ca = \"state/upstream/main/ca.pem\"\ncertificate = \"state/upstream/main/site.pem\"\n\
                 key = \"state/upstream/main/site.key\"\n"
            );
        }
        site.edit("pointsman.toml", |text| format!("{text}\n{sections}"));
        site.configure("decision", "allow_boot_limit = \"5s\"");
        site.configure("cache", "fresh_for = \"1ms\"");
        enroll(&upstreams[0], &site, ports[0]);
        site
    });
    // The later certificate is the one that is good.
    for file in ["ca.pem", "site.pem", "site.key"] {
        let from = |site: &Site| site.path("state/upstream/main").join(file);
        std::fs::copy(from(&sites[1]), from(&sites[0])).unwrap();
    }
    sites
}

fn enroll(upstream: &Site, site: &Site, port: u16) {
    let added = run(upstream, &["site", "add", "lyon"]);
    let token = added.split_whitespace().find(|word| word.starts_with("pm1.")).unwrap();
    run(site, &["site", "enroll", "main", &format!("https://127.0.0.1:{port}"), "--token", token]);
}

fn boots(daemon: &Daemon, mac: &str) -> Value {
    let report = daemon.boot(&["--mac", mac, "--arch", "x86-bios"]);
    assert_eq!(report["ending"], "booted", "{report:#}");
    let lengths: Vec<_> =
        report["files"].as_array().unwrap().iter().map(|file| file["len"].as_u64().unwrap()).collect();
    assert!(lengths.ends_with(&[300_000, 200_000]), "{report:#}");
    report
}

/// The path of the kernel in a machine's script.
fn kernel(report: &Value) -> String {
    let script = report["script"].as_str().unwrap();
    let url = script.split_whitespace().find(|word| word.contains("/b/") && word.ends_with("debian/linux")).unwrap();
    format!("/b/{}", url.split_once("/b/").unwrap().1)
}

#[test]
fn servers_of_a_tree_stand_in_for_each_other_whichever_is_killed() {
    let (above, below) = (Postgres::start(), Postgres::start());
    let mut storage = library::server();
    let upstreams = upstreams(&above, &storage);
    let [first, second] = [upstreams[0].serve(), upstreams[1].serve()];
    let sites = site_of(&below.url(), &upstreams, [first.port("api"), second.port("api")]);
    let [one, other] = [sites[0].serve(), sites[1].serve()];

    // All are there: one object is fetched once, whoever wants it.
    let report = boots(&one, "52:54:00:00:00:01");
    assert!(report["script"].as_str().unwrap().contains("for lyon"), "{report:#}");
    boots(&one, "52:54:00:00:00:02");
    assert_eq!(storage.asked("GET", "debian/linux"), 1, "one download for upstream and site");

    // An upstream is killed: the other one answers, for the same certificate.
    drop(first);
    boots(&one, "52:54:00:00:00:03");
    // A server of the site is killed in the middle of a boot: the machine goes on at the other one, token and all.
    let report = boots(&one, "52:54:00:00:00:04");
    drop(one);
    let file = other.get(&kernel(&report));
    assert!(file.starts_with("HTTP/1.1 200") && file.contains("\r\nContent-Length: 300000\r\n"), "{file:.300}");
    boots(&other, "52:54:00:00:00:05");

    // Everything above is gone: what was last decided, from the cache, and the screen says so.
    drop(second);
    storage.kill();
    let report = boots(&other, "52:54:00:00:00:05");
    assert!(report["screen"].to_string().contains("main"), "{report:#}");
    // Also what another server of this site was told: they share the store.
    let since = Instant::now();
    while other.boot(&["--mac", "52:54:00:00:00:04", "--arch", "x86-bios"])["ending"] != "booted" {
        assert!(since.elapsed() < PATIENCE);
    }
}
