//! `pointsman site` from outside: two servers, of which one becomes a site of the other.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use pointsman::config::Config;
use pointsman::database::Database;
use pointsman::store::{SiteToken, Store};
use pointsman::tls::{Identity, Trust, client_config};
use pointsman::upstream::EnrollToken;
use serde_json::Value;

use crate::assignments::run;
use crate::harness::{Daemon, PATIENCE, Site, printed};

/// A server that site servers may ask.
fn upstream() -> (Site, Daemon) {
    let site = Site::new();
    site.configure("api", "enabled = true\nport = 0");
    let daemon = site.serve();
    (site, daemon)
}

/// Adds a site; the token that its administrator is given.
fn token(upstream: &Site, name: &str) -> String {
    let text = run(upstream, &["site", "add", name]);
    let token = text.split_whitespace().find(|word| word.starts_with("pm1."));
    token.unwrap_or_else(|| panic!("{text}")).to_owned()
}

fn url(daemon: &Daemon) -> String {
    format!("https://127.0.0.1:{}", daemon.port("api"))
}

/// A command that must fail with exit code 1; what it complained of.
fn refused(site: &Site, arguments: &[&str]) -> String {
    let output = site.run(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", printed(&output));
    String::from_utf8(output.stderr).unwrap().trim_end().to_owned()
}

fn file(site: &Site, name: &str) -> String {
    std::fs::read_to_string(site.path("state/upstream/main").join(name)).unwrap()
}

/// The name by which the upstream knows who shows this site's certificate, or sends this token.
fn known_as(daemon: &Daemon, site: Option<&Site>, ca: &str, bearer: Option<&str>) -> Value {
    let identity = site.map(|site| Identity::from_pem(&file(site, "site.pem"), &file(site, "site.key")).unwrap());
    let config = client_config(Trust::Ca(ca.to_owned()), identity).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(config).build().unwrap();
        let mut request = client.get(format!("{}/api/v1/health", url(daemon)));
        if let Some(token) = bearer {
            request = request.bearer_auth(token);
        }
        let health: Value = request.send().await.unwrap().json().await.unwrap();
        health["site"].clone()
    })
}

/// Waits until the upstream knows the site by this name, or not at all.
fn wait_until_known(daemon: &Daemon, site: &Site, name: Value) {
    let since = Instant::now();
    while known_as(daemon, Some(site), &file(site, "ca.pem"), None) != name {
        assert!(since.elapsed() < PATIENCE, "it never became {name}");
    }
}

fn listed(upstream: &Site, name: &str) -> Value {
    let list: Value = serde_json::from_str(&run(upstream, &["site", "list", "--json"])).unwrap();
    list.as_array().unwrap().iter().find(|site| site["name"] == name).unwrap().clone()
}

#[test]
fn a_site_from_its_addition_to_its_removal() {
    let ((upstream, daemon), site) = (upstream(), Site::new());
    let text = run(&upstream, &["site", "add", "Lyon"]);
    assert!(text.starts_with("added the site lyon; run this there, before "), "{text}");
    assert!(text.contains("  pointsman site enroll main https://127.0.0.1:0 --token pm1."), "{text}");
    assert!(!text.contains("note:"), "{text}");
    let first = token(&upstream, "lyon");
    let enroll = ["site", "enroll", "main", &url(&daemon), "--token", &first];
    let text = run(&site, &enroll);
    assert!(text.contains("this server is the site `lyon` of that upstream; its certificate is in "), "{text}");
    assert!(!text.contains("note:"), "the certificate was not taken: {text}");
    let mode = |name: &str| {
        let path = site.path("state/upstream/main").join(name);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("site.key"), mode("site.pem") & 0o044, mode("ca.pem") & 0o044), (0o600, 0o044, 0o044));
    assert_eq!(file(&site, "ca.pem").trim(), std::fs::read_to_string(upstream.path("state/ca.pem")).unwrap().trim());
    assert_eq!(std::fs::read_dir(site.path("state/upstream/main")).unwrap().count(), 3);

    // What was printed is a configuration.
    let (_, lines) = text.split_once("\n\n").unwrap();
    site.edit("pointsman.toml", |config| format!("{config}\n{lines}"));
    let config = Config::read(&site.path("pointsman.toml")).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.upstreams["main"].url.as_ref().map(|url| url.as_str().to_owned()), Some(url(&daemon)));

    // A token is good once, and what was there stays until there is something new.
    let key = file(&site, "site.key");
    let text = refused(&site, &enroll);
    assert!(text.contains("site.key has the certificate of an earlier enrollment; `--force` replaces it"), "{text}");
    let text = refused(&site, &[&enroll[..], &["--force"]].concat());
    assert!(
        text.contains("the token was used already; `pointsman site add` at the upstream makes a new one"),
        "{text}"
    );
    assert_eq!(file(&site, "site.key"), key);
    assert_eq!(known_as(&daemon, Some(&site), &file(&site, "ca.pem"), None), "lyon");
    assert_eq!(std::fs::read_dir(site.path("state/upstream/main")).unwrap().count(), 3);

    let second = token(&upstream, "lyon");
    let old = Site::new();
    for name in ["ca.pem", "site.pem", "site.key"] {
        old.write(&format!("state/upstream/main/{name}"), &file(&site, name));
    }
    let text = run(&site, &["site", "enroll", "main", &url(&daemon), "--token", &second, "--force"]);
    assert!(text.contains("[upstream.main] is in "), "{text}");
    assert_ne!(file(&site, "site.key"), key);
    assert_eq!(known_as(&daemon, Some(&site), &file(&site, "ca.pem"), None), "lyon");
    wait_until_known(&daemon, &old, Value::Null);

    let entry = listed(&upstream, "lyon");
    assert!(entry["enrolled"].is_string() && entry["revoked"].is_null(), "{entry}");
    assert_eq!(run(&upstream, &["site", "revoke", "lyon"]), "lyon is revoked\n");
    assert_eq!(run(&upstream, &["site", "revoke", "lyon"]), "lyon was revoked before\n");
    wait_until_known(&daemon, &site, Value::Null);
    let text = run(&upstream, &["site", "list"]);
    assert!(text.starts_with("NAME  SHOWS        ENROLLED ") && text.contains("lyon  certificate  20"), "{text}");
    assert!(run(&upstream, &["site", "add", "lyon"]).starts_with("let in again the site lyon"));
    assert_eq!(run(&upstream, &["site", "remove", "lyon"]), "removed the site lyon\n");
    assert!(refused(&upstream, &["site", "remove", "lyon"]).contains("there is no site `lyon`"));
    assert!(run(&upstream, &["site", "list"]).starts_with("No sites. `pointsman site add NAME`"));
}

#[test]
fn a_token_is_told_to_its_own_upstream_only() {
    let ((upstream, daemon), site) = (upstream(), Site::new());
    let enroll = |url: &str, token: &str| {
        let text = refused(&site, &["site", "enroll", "main", url, "--token", token]);
        assert!(!site.path("state/upstream/main").exists(), "{text}");
        assert!(!text.contains(token) && !text.contains(&token[..44]), "{text}");
        text
    };
    let good = token(&upstream, "lyon");
    // Another server's token, as the site's own: the CA is another.
    let text = enroll(&url(&daemon), &token(&site, "lyon"));
    assert!(text.contains("somebody is in between; nothing was sent to it"), "{text}");
    assert!(!daemon.log().iter().any(|line| line["message"] == "a site server was refused"));
    let text = enroll(&url(&daemon).replace("127.0.0.1", "localhost"), &good);
    assert!(text.contains("is for other names and addresses"), "{text}");
    let text = enroll(&format!("https://127.0.0.1:{}", daemon.port("http")), &good);
    assert!(text.contains("is no decision API (it speaks no TLS); is the port that of [api]"), "{text}");
    let text = enroll(&format!("https://127.0.0.1:{}", daemon.port("https")), &good);
    assert!(text.contains("is no decision API (HTTP 404)"), "{text}");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = enroll(&format!("https://{closed}"), &good);
    assert!(text.contains("cannot be reached") && text.contains("is `enabled = true` in [api]"), "{text}");
    // After all that it is as good as new.
    run(&site, &["site", "enroll", "main", &url(&daemon), "--token", &good]);
}

#[test]
fn tokens_that_let_nobody_in_are_told_apart() {
    let ((upstream, daemon), site) = (upstream(), Site::new());
    let store = Store::on(Database::sqlite("store", &upstream.path("state/pointsman.db"))).unwrap();
    let authority = pointsman::tls::ensure_ca(&upstream.path("state")).unwrap();
    let new = || EnrollToken::new(authority.digest()).unwrap();
    let (old, unknown) = (new(), new());
    let past = Timestamp::now() - SignedDuration::from_secs(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let name = "old".parse().unwrap();
    runtime.block_on(store.add_site(&name, SiteToken::Enrollment(old.as_str(), past), past)).unwrap();
    let revoked = token(&upstream, "gone");
    run(&upstream, &["site", "revoke", "gone"]);
    for (token, expect) in [
        (old.as_str(), "the token is too old; `pointsman site add`"),
        (unknown.as_str(), "the token is not known; was it copied whole"),
        (revoked.as_str(), "the token is that of a site that was revoked"),
    ] {
        let text = refused(&site, &["site", "enroll", "main", &url(&daemon), "--token", token]);
        assert!(text.contains("the upstream says no: ") && text.contains(expect), "{text}");
    }
    let text = run(&upstream, &["site", "list"]);
    assert!(text.contains("old   token, too old"), "{text}");
}

#[test]
fn a_program_without_a_certificate_sends_a_token() {
    let (upstream, daemon) = upstream();
    let text = run(&upstream, &["site", "add", "probe", "--bearer"]);
    let bearer = text.split_whitespace().find(|word| word.starts_with("pmb1.")).unwrap();
    let ca = std::fs::read_to_string(upstream.path("state/ca.pem")).unwrap();
    assert_eq!(known_as(&daemon, None, &ca, Some(bearer)), "probe");
    assert_eq!(known_as(&daemon, None, &ca, Some("pmb1.0")), Value::Null);
    assert!(run(&upstream, &["site", "list"]).contains("probe  bearer token"));
    assert!(!run(&upstream, &["site", "list", "--json"]).contains(&bearer[5..]));
}

#[test]
fn what_is_wrong_is_said_before_anything_is_done() {
    let site = Site::new();
    let text = run(&site, &["site", "add", "lyon"]);
    assert!(text.contains("note: no site can ask yet; write `enabled = true` below [api] in "), "{text}");
    assert!(text.contains("https://127.0.0.1:4443 --token pm1."), "{text}");
    let token = token(&site, "lyon");
    assert!(run(&site, &["site", "list"]).contains("token until 20"));
    let wrong = |arguments: &[&str], expect: &str| {
        let output = site.run(&[&["site", "enroll"], arguments].concat());
        let text = printed(&output);
        assert!(!output.status.success() && text.contains(expect), "{arguments:?}: {text}");
        assert!(!site.path("state/upstream").exists(), "{arguments:?}");
    };
    wrong(&["main", "http://127.0.0.1:1", "--token", &token], "`http://127.0.0.1:1` is no address of a decision API");
    wrong(&["main", "127.0.0.1", "--token", &token], "is no address of a decision API; write https://HOST:4443");
    wrong(&["../x", "https://127.0.0.1:1", "--token", &token], "use letters, digits, `_` and `-`");
    wrong(&["main", "https://127.0.0.1:1", "--token", &token[..60]], "this is no enrollment token; copy it whole");
    // Nothing can be written there.
    site.write("state/upstream", "a file");
    let text = refused(&site, &["site", "enroll", "main", "https://127.0.0.1:1", "--token", &token]);
    assert!(text.contains("cannot make the folder "), "{text}");
}
