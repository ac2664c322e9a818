//! A site server that leans on an upstream: two real daemons, with the store's assignments at the upstream.

use std::net::TcpListener;
use std::time::Duration;

use jiff::Timestamp;
use pointsman::config::Config;
use pointsman::store::{Asked, Name, SiteToken, Store};
use pointsman::tls::{ensure_ca, site_request};

use crate::assignments::{MACHINE, boots, ending, run, state};
use crate::harness::{Daemon, PATIENCE, Site};

/// An upstream: a site with a decision API, whose store knows a machine and an image.
pub(crate) struct Upstream {
    pub(crate) site: Site,
    pub(crate) port: u16,
}

impl Upstream {
    /// One with the store's machine, image, and nothing assigned.
    pub(crate) fn with_store() -> Upstream {
        let upstream = Upstream::serving(crate::assignments::site());
        upstream
            .site
            .edit("pointsman.toml", |text| text.replace("kind = \"sql\"\n", "kind = \"sql\"\nname = \"store\"\n"));
        upstream
    }

    /// One with these rules.
    pub(crate) fn with_rules(rules: &str) -> Upstream {
        Upstream::serving(Site::with_rules(rules))
    }

    fn serving(site: Site) -> Upstream {
        let port = free_port();
        site.configure("api", &format!("enabled = true\nport = {port}"));
        site.configure("decision", "allow_boot_limit = \"5s\"");
        Upstream { site, port }
    }

    /// Lets a site in, as `site add` and `site enroll` do it together.
    pub(crate) fn enroll(&self, name: &str, site: &Site, upstream: &str) {
        let authority = ensure_ca(&self.site.path("state")).unwrap();
        let request = site_request().unwrap();
        let issued = authority.issue_site(name, &request.request_pem).unwrap();
        let now = Timestamp::now();
        let (token, until) = (format!("pm1-{name}"), now + Duration::from_secs(600));
        in_store(&self.site, async |store| {
            let (site, limit) = (name.parse::<Name>().unwrap(), Duration::from_secs(20));
            store.add_site(&site, SiteToken::Enrollment(&token, until), now).await.unwrap();
            store.enroll_site(&token, &issued.fingerprint, now, limit).await.unwrap();
        });
        site.write(&format!("state/upstream/{upstream}/ca.pem"), authority.pem());
        site.write(&format!("state/upstream/{upstream}/site.pem"), &issued.chain_pem);
        site.write(&format!("state/upstream/{upstream}/site.key"), &request.key_pem);
    }
}

fn in_store<T>(site: &Site, work: impl AsyncFnOnce(Store) -> T) -> T {
    let config = Config::read(site.config().as_ref()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { work(Store::open(&config).unwrap()).await })
}

/// Waits until the site has kept what was decided on this question for this machine.
fn wait_until_kept(site: &Site, mac: &str, question: Asked) {
    let key = format!("00000000-0000-8000-8000-{}", mac.replace(':', ""));
    let since = std::time::Instant::now();
    let is_kept = || {
        let read = async |store: Store| store.last_known("referral", &key, PATIENCE).await.unwrap();
        in_store(site, read).iter().any(|known| known.question == question)
    };
    while !is_kept() {
        assert!(since.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A port that nobody listens on, and that a daemon which is started again gets again.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A site that refers all machines to these upstreams, called `main`, `second` and so on.
pub(crate) fn leaning_on(upstreams: &[&Upstream], handler: &str, section: &str) -> Site {
    let site = Site::new();
    let names = &["main", "second", "third"][..upstreams.len()];
    let mut text = String::new();
    for (name, upstream) in names.iter().zip(upstreams) {
        upstream.enroll("lyon", &site, name);
        text += &format!(
            "[upstream.{name}]\nurl = \"https://127.0.0.1:{}\"\nallow_boot_limit = \"4s\"\n{section}\n",
            upstream.port
        );
    }
    site.configure("decision", "allow_boot_limit = \"5s\"");
    site.edit("pointsman.toml", |config| {
        let handler = format!("[[handler]]\nkind = \"referral\"\nupstreams = {names:?}\n{handler}\n");
        let config =
            config.replacen("[[handler]]\nkind = \"script\"", &format!("{handler}[[handler]]\nkind = \"script\""), 1);
        format!("{config}\n{text}")
    });
    site.configure("http", "entry = true");
    site
}

fn pair(handler: &str, section: &str) -> (Upstream, Site) {
    let upstream = Upstream::with_store();
    let site = leaning_on(&[&upstream], handler, section);
    (upstream, site)
}

fn install(upstream: &Upstream, more: &[&str]) {
    run(&upstream.site, &[&["assign", "lab-07", "debian", "--mandatory", "--countdown", "0"], more].concat());
}

#[test]
fn what_the_upstream_assigns_is_installed_once() {
    let (upstream, site) = pair("", "");
    let (above, daemon) = (upstream.site.serve(), site.serve());
    assert_eq!(ending(&daemon), "local_disk", "nothing is assigned yet");
    install(&upstream, &["--spent-by", "done"]);
    let report = daemon.boot(&[&MACHINE[..], &["--done"]].concat());
    assert_eq!(report["ending"], "booted", "{report:#}");
    let script = report["script"].as_str().unwrap();
    assert!(script.contains("/f/%40main/debian/linux") && script.contains("assignment"), "{script}");
    assert_eq!(state(&upstream.site), "done");
    assert_eq!(ending(&daemon), "local_disk", "it is spent");
    let said = run(&site, &["decide", "--mac", "52:54:00:00:00:07"]);
    assert!(said.contains("by upstream main: store in"), "{said}");
    // The upstream's history has what the site reported.
    let history = boots(&upstream.site, 3);
    assert!(history.iter().any(|boot| boot["images"] == "debian"), "{history:#?}");
    drop(above);
}

#[test]
fn a_dry_run_at_the_site_changes_nothing() {
    let (upstream, site) = pair("", "");
    let above = upstream.site.serve();
    install(&upstream, &["--spent-by", "script"]);
    for _ in 0..3 {
        let said = run(&site, &["decide", "--mac", "52:54:00:00:00:07", "--fact", "serial=X7"]);
        assert!(said.contains("debian (linux): Debian 12"), "{said}");
    }
    assert_eq!(state(&upstream.site), "assigned");
    drop(above);
    let said = crate::harness::printed(&site.run(&["decide", "--mac", "52:54:00:00:00:07"]));
    assert!(said.contains("nothing that was decided for this machine before can stand in"), "{said}");
}

/// A machine that came without DHCP: its script, and the paths in it.
struct Boot(String);

impl Boot {
    fn begin(daemon: &Daemon, mac: &str) -> Boot {
        let form = format!("mac={mac}&platform=pcbios&buildarch=i386&serial=X7");
        let head =
            "POST /boot HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded";
        Boot(daemon.http(&format!("{head}\r\nContent-Length: {}\r\n\r\n{form}", form.len())))
    }

    /// The path of the first URL with this in it.
    fn path(&self, part: &str) -> String {
        let word = self.0.split_whitespace().find(|word| word.contains(part) && word.contains("/b/"));
        let url = word.unwrap_or_else(|| panic!("no {part} in {}", self.0));
        let url = url.split_once("http").map_or(url, |(_, rest)| rest);
        format!("/b/{}", url.split_once("/b/").unwrap().1)
    }

    fn start(&self, daemon: &Daemon) -> String {
        daemon.get(&self.path("start.ipxe"))
    }
}

const MAC: &str = "52:54:00:00:00:07";

#[test]
fn an_upstream_that_dies_before_the_start_starts_nothing_and_nothing_is_done_twice() {
    let (upstream, site) = pair("", "retry_after = \"1s\"");
    let (above, daemon) = (upstream.site.serve(), site.serve());
    install(&upstream, &[]);
    let first = Boot::begin(&daemon, MAC);
    let other = Boot::begin(&daemon, MAC);
    drop(above); // SIGKILL
    let answer = first.start(&daemon);
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!(state(&upstream.site), "offered");
    let above = upstream.site.serve();
    wait_until_up(&daemon);
    // The second boot was offered it after the first one: that one holds it now.
    let refused = first.start(&daemon);
    assert!(refused.starts_with("HTTP/1.1 200") && refused.contains("since offered to boot"), "{refused}");
    let started = other.start(&daemon);
    assert!(started.starts_with("HTTP/1.1 200") && !started.contains("offered"), "{started}");
    assert_eq!(state(&upstream.site), "started");
    // Killed after it: the machine goes on, and what it reports meanwhile is asked for again.
    drop(above);
    assert!(daemon.get(&other.path("/done")).starts_with("HTTP/1.1 503"));
    let _above = upstream.site.serve();
    wait_until_up(&daemon);
    assert!(daemon.get(&other.path("/done")).starts_with("HTTP/1.1 200"));
    assert_eq!(state(&upstream.site), "done");
}

#[test]
fn the_site_s_own_restart_loses_no_report() {
    let (upstream, site) = pair("", "");
    let (_above, daemon) = (upstream.site.serve(), site.serve());
    install(&upstream, &["--spent-by", "done"]);
    let boot = Boot::begin(&daemon, MAC);
    drop(daemon); // SIGKILL
    let daemon = site.serve();
    let started = boot.start(&daemon);
    assert!(started.starts_with("HTTP/1.1 200"), "{started}");
    drop(daemon);
    let daemon = site.serve();
    let done = daemon.get(&boot.path("/done"));
    assert!(done.starts_with("HTTP/1.1 200"), "{done}");
    let since = std::time::Instant::now();
    while state(&upstream.site) != "done" {
        assert!(since.elapsed() < PATIENCE, "{:#?}", daemon.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn wait_until_up(daemon: &Daemon) {
    wait_for_state(daemon, "up");
}

fn wait_for_state(daemon: &Daemon, state: &str) {
    let since = std::time::Instant::now();
    while !daemon.get("/readyz").contains(&format!("upstream main: {state}")) {
        assert!(since.elapsed() < PATIENCE, "{}", daemon.get("/readyz"));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn without_the_upstream_a_machine_boots_what_was_last_decided_and_installs_nothing() {
    let (upstream, site) = pair("", "failures_max = 1\nretry_after = \"1s\"");
    let (above, daemon) = (upstream.site.serve(), site.serve());
    run(&upstream.site, &["assign", "lab-07", "debian", "--always", "--mandatory", "--countdown", "0"]);
    assert_eq!(ending(&daemon), "booted");
    wait_until_kept(&site, MAC, Asked::BootImages);
    wait_until_kept(&site, MAC, Asked::AllowBoot);
    assert_eq!(above.stop(), Some(0));
    let report = daemon.boot(&MACHINE);
    assert_eq!(report["ending"], "booted", "{report:#}");
    let screen = report["screen"].to_string();
    assert!(screen.contains("The boot server main does not answer") && screen.contains("second"), "{screen}");
    daemon.wait_for_log(|line| line["message"].to_string().contains("what it last decided stands in"));
    assert!(daemon.get("/readyz").starts_with("HTTP/1.1 200"), "shown, and no reason to be unready");
    assert!(daemon.get("/metrics").contains("pointsman_upstream_up{upstream=\"main\"} 0"));
    // A machine that nothing is known of gets the policy's answer.
    let stranger = daemon.simulate(&["--mac", "52:54:00:00:00:99"]);
    assert_eq!(stranger.status.code(), Some(1), "{}", crate::harness::printed(&stranger));
    // Back again, and used at once.
    let _above = upstream.site.serve();
    wait_until_up(&daemon);
    daemon.wait_for_log(|line| line["message"] == "upstream is back");
    run(&upstream.site, &["unassign", "lab-07"]);
    assert_eq!(ending(&daemon), "local_disk");
    // What is done once is never done from memory.
    install(&upstream, &[]);
    let offered = Boot::begin(&daemon, MAC);
    drop(_above);
    let report = daemon.boot(&MACHINE);
    assert_ne!(report["ending"], "booted", "{report:#}");
    drop(offered);
}

#[test]
fn a_machine_that_the_upstream_refused_stays_refused() {
    let upstream = Upstream::with_rules(
        "fn allow_boot(r) { if r.mac.ends_with(\"09\") { deny(\"stolen\") } else { allow() } }\n\
         fn boot_images(r) { linux(#{ id: \"debian\", kernel: \"debian/linux\" }) }",
    );
    for on_error in ["last_known", "local"] {
        let site = leaning_on(&[&upstream], &format!("on_error = \"{on_error}\""), "failures_max = 1");
        let (above, daemon) = (upstream.site.serve(), site.serve());
        let thief = ["--mac", "52:54:00:00:00:09"];
        assert_eq!(daemon.simulate(&thief).status.code(), Some(1));
        wait_until_kept(&site, thief[1], Asked::AllowBoot);
        drop(above);
        wait_for_state(&daemon, "down");
        drop(daemon);
        let daemon = site.serve();
        let output = daemon.simulate(&thief);
        assert_eq!(output.status.code(), Some(1), "{on_error}: {}", crate::harness::printed(&output));
        let other = daemon.simulate(&["--mac", "52:54:00:00:00:08"]);
        let may_boot = on_error != "last_known";
        assert_eq!(other.status.success(), may_boot, "{on_error}: {}", crate::harness::printed(&other));
    }
}

#[test]
fn the_second_upstream_stands_in_for_the_first_and_the_first_comes_back() {
    let rules = |id: &str| {
        format!(
            "fn allow_boot(r) {{ allow() }}\nfn boot_images(r) {{ linux(#{{ id: \"{id}\", kernel: \"debian/linux\" }}) }}"
        )
    };
    let (one, two) = (Upstream::with_rules(&rules("one")), Upstream::with_rules(&rules("two")));
    let site = leaning_on(&[&one, &two], "on_error = \"local\"", "failures_max = 1\nretry_after = \"1s\"");
    let (first, _second, daemon) = (one.site.serve(), two.site.serve(), site.serve());
    let kernel = |daemon: &Daemon| {
        let report = daemon.boot(&MACHINE);
        assert_eq!(report["ending"], "booted", "{report:#}");
        report["script"].as_str().unwrap().contains("%40second")
    };
    assert!(!kernel(&daemon));
    drop(first);
    assert!(kernel(&daemon), "the second one stands in");
    let _first = one.site.serve();
    wait_until_up(&daemon);
    assert!(!kernel(&daemon), "the first one is back");
}

#[test]
fn check_says_how_the_upstream_knows_this_site_or_what_is_wrong() {
    let (upstream, site) = pair("", "");
    let output = site.run(&["check"]);
    let said = crate::harness::printed(&output);
    assert!(
        !output.status.success() && said.contains("upstream `main` cannot be reached") && said.contains("help:"),
        "{said}"
    );
    let _above = upstream.site.serve();
    let said = run(&site, &["check"]);
    assert!(said.contains("upstream `main`: answers, and knows this site as `lyon`"), "{said}");
    in_store(&upstream.site, async |store| {
        assert!(store.revoke_site(&"lyon".parse().unwrap(), Timestamp::now()).await.unwrap());
    });
    let since = std::time::Instant::now();
    loop {
        let said = crate::harness::printed(&site.run(&["check"]));
        if said.contains("refuses this site") && said.contains("site enroll") {
            break;
        }
        assert!(since.elapsed() < PATIENCE, "{said}");
    }
    std::fs::remove_file(site.path("state/upstream/main/site.key")).unwrap();
    let said = crate::harness::printed(&site.run(&["check"]));
    assert!(said.contains("site.key") && said.contains("pointsman site enroll"), "{said}");
}

#[test]
fn a_server_that_another_ca_vouches_for_is_not_asked() {
    let (upstream, site) = pair("on_error = \"retry\"\nretry_wait = \"7s\"", "");
    let stranger = tempfile::tempdir().unwrap();
    site.write("state/upstream/main/ca.pem", ensure_ca(stranger.path()).unwrap().pem());
    let (_above, daemon) = (upstream.site.serve(), site.serve());
    install(&upstream, &[]);
    let said = Boot::begin(&daemon, MAC).0;
    assert!(said.contains("The boot server main does not answer") && said.contains("certificate"), "{said}");
    assert!(said.contains("in 7 s") && said.contains("script.ipxe") && !said.contains("debian"), "{said}");
    assert_eq!(state(&upstream.site), "assigned");
    let checked = crate::harness::printed(&site.run(&["check"]));
    assert!(checked.contains("another CA"), "{checked}");
}
