//! The person at the machine, from outside: PINs, logins, approvals, lock-out and grants, with the real daemon and
//! simulated machines.

use std::time::{Duration, Instant};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params, PasswordHasher};
use serde_json::Value;

use crate::assignments::run;
use crate::harness::{Daemon, PATIENCE, Site, printed};

const LOGIN: &str = r#"
fn allow_boot(request) { allow() }
fn boot_images(request) {
    if request.person == () { return ask_login(#{ title: "Imaging" }); }
    if !("imaging" in request.person.groups) { return local_disk(); }
    linux(#{ id: "debian", kernel: "debian/linux", initrd: "debian/initrd.gz",
             cmdline: `who=${request.person.name} by=${request.person.method}` })
}
"#;

const MENU: &str = r#"
fn allow_boot(request) { allow() }
fn boot_images(request) {
    menu(#{ title: "Lab", images: [
        local_disk(),
        linux(#{ id: "debian", title: "Debian 12", group: "Install", key: "d", kernel: "debian/linux",
                 initrd: "debian/initrd.gz", needs: ask_pin("PIN of the lab") }),
        linux(#{ id: "wipe", title: "Wipe the disk", hidden: true, key: "w", kernel: "debian/linux",
                 cmdline: "wipe", needs: ask_pin(#{ groups: "admins" }) }),
        shell(#{ group: "Tools", key: "s", hidden: false }),
    ] })
}
"#;

const ANN: &str = "correct horse & battery+staple=";
const PIN: &str = "246810";

/// The cheapest hash there is: in a test nobody has time.
pub(crate) fn hash(secret: &str) -> String {
    let argon2 = Argon2::from(Params::new(8, 1, 1, None).unwrap());
    let hash: PasswordHash = argon2.hash_password(secret.as_bytes()).unwrap();
    hash.to_string()
}

/// A site with these rules, ann, bob and two PINs.
pub(crate) fn site(rules: &str, keys: &str) -> Site {
    let site = Site::with_rules(rules);
    site.configure("people", keys);
    site.configure("http", "entry = true");
    site.edit("pointsman.toml", |text| {
        let (ann, bob, lab, admins) = (hash(ANN), hash("bob's own"), hash(PIN), hash("13579"));
        format!(
            "{text}\n[people.user.ann]\nhash = \"{ann}\"\ngroups = [\"imaging\"]\n\
             [people.user.bob]\nhash = \"{bob}\"\n\
             [people.pin.lab]\nhash = \"{lab}\"\ngroups = [\"lab\"]\n\
             [people.pin.admins]\nhash = \"{admins}\"\ngroups = [\"admins\"]\n"
        )
    });
    for (name, secret) in [("ann", ANN), ("bob", "bob's own"), ("lab", PIN), ("admins", "13579"), ("wrong", "nonsense")]
    {
        site.write(&format!("typed/{name}"), &format!("{secret}\n"));
    }
    site
}

fn typed(site: &Site, name: &str) -> String {
    site.path(&format!("typed/{name}")).to_str().unwrap().to_owned()
}

/// A simulated machine that somebody types at.
fn boot(daemon: &Daemon, mac: &str, arguments: &[&str]) -> Value {
    let output = daemon.simulate(&[&["--mac", mac], arguments].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(&output)))
}

fn login(daemon: &Daemon, site: &Site, mac: &str, user: &str, password: &str) -> Value {
    boot(daemon, mac, &["--user", user, "--password-file", &typed(site, password)])
}

fn screen(report: &Value) -> String {
    report["screen"].as_array().unwrap().iter().map(|line| format!("{}\n", line.as_str().unwrap())).collect()
}

/// Nothing of what was typed is in the log, in no form.
fn nothing_leaked(daemon: &Daemon) {
    let log = format!("{:?}", daemon.log());
    for secret in [ANN, PIN, "nonsense", "bob's own"] {
        let digits: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!log.contains(secret) && !log.contains(&digits), "{secret} is in the log");
    }
}

#[test]
fn a_login_is_verified_by_the_server_and_boots() {
    let site = site(LOGIN, "");
    site.configure("log", "level = \"debug\"");
    let daemon = site.serve();
    for (mac, build) in [
        ("52:54:00:00:00:01", &["--arch", "x64-uefi"][..]),
        // An old build: no forms, neither for people nor for servers.
        ("52:54:00:00:00:02", &["--arch", "x86-bios", "--no-params"]),
    ] {
        let report = boot(&daemon, mac, &[build, &["--user", "ann", "--password-file", &typed(&site, "ann")]].concat());
        assert_eq!(report["ending"], "booted", "{report:#}");
        assert!(report["script"].as_str().unwrap().contains("who=ann by=login"), "{report:#}");
    }
    let report = login(&daemon, &site, "52:54:00:00:00:03", "bob", "bob");
    assert_ne!(report["ending"], "booted", "he is not in the group: {report:#}");
    let report = boot(&daemon, "52:54:00:00:00:04", &[]);
    assert_ne!(report["ending"], "booted", "nobody answers: {report:#}");
    assert!(screen(&report).contains("form: Imaging (User name, Password)"), "{report:#}");
    daemon.wait_for_log(|line| line["message"] == "person verified" && line["name"] == "ann");
    let metrics = daemon.get("/metrics");
    assert!(metrics.contains("pointsman_people_total{outcome=\"verified\"} 3"), "{metrics}");
    nothing_leaked(&daemon);
    let since = Instant::now();
    let story = || {
        let boots: Value = serde_json::from_str(&run(&site, &["history", "52:54:00:00:00:01", "--json"])).unwrap();
        boots[0]["session"].as_str().map_or_else(String::new, |session| run(&site, &["history", "--session", session]))
    };
    while !story().contains("ann; by login") {
        assert!(since.elapsed() < PATIENCE, "{}", story());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn after_wrong_answers_the_machine_and_the_name_are_locked_for_both_servers_and_a_restart() {
    let site = site(LOGIN, "lockout_failures = 3");
    let daemon = site.serve();
    let report = login(&daemon, &site, "52:54:00:00:00:01", "ann", "wrong");
    assert_ne!(report["ending"], "booted");
    let shown = screen(&report);
    for (text, times) in [("That is not right. 2 more", 1), ("0 more may be wrong", 1), ("Too many wrong answers", 1)] {
        assert_eq!(shown.matches(text).count(), times, "{text}: {shown}");
    }
    daemon.wait_for_log(|line| line["message"] == "locked after too many wrong answers");
    // The name, from another machine; and the machine, by another name: on a server beside it.
    let other = site.serve();
    for (server, mac, user) in [(&other, "52:54:00:00:00:02", "ann"), (&other, "52:54:00:00:00:01", "bob")] {
        let report = login(server, &site, mac, user, user);
        assert!(screen(&report).contains("Too many wrong answers"), "{mac} {user}: {report:#}");
    }
    assert_eq!(daemon.stop(), Some(0));
    let daemon = site.serve();
    let report = login(&daemon, &site, "52:54:00:00:00:01", "bob", "bob");
    assert!(screen(&report).contains("Too many wrong answers"), "{report:#}");
    let report = login(&daemon, &site, "52:54:00:00:00:09", "bob", "bob");
    assert!(!screen(&report).contains("Too many"), "nobody did anything there: {report:#}");
    // An unknown name is answered like a wrong password.
    let report = login(&daemon, &site, "52:54:00:00:00:05", "nobody", "wrong");
    assert!(screen(&report).contains("That is not right. 2 more"), "{report:#}");
    nothing_leaked(&daemon);
}

#[test]
fn an_image_is_guarded_by_its_pin_and_a_hidden_one_is_chosen_by_its_key() {
    let site = site(MENU, "");
    let daemon = site.serve();
    let report = boot(&daemon, "52:54:00:00:00:01", &["--keys", "d", "--pin-file", &typed(&site, "lab")]);
    assert_eq!(report["ending"], "booted", "{report:#}");
    let shown = screen(&report);
    assert!(shown.contains("menu: Lab\n  [local] Start"), "{shown}");
    assert!(shown.contains("  Install\n  [debian] [d] Debian 12\n"), "{shown}");
    assert!(shown.contains("form: PIN of the lab (PIN)"), "{shown}");
    assert!(!shown.contains("Wipe"), "{shown}");
    // The PIN of the lab is no PIN of the admins, and with theirs only the hidden image boots.
    let report = boot(&daemon, "52:54:00:00:00:02", &["--keys", "w", "--pin-file", &typed(&site, "lab")]);
    assert_ne!(report["ending"], "booted");
    assert!(screen(&report).contains("lab may not do this"), "{report:#}");
    let old = ["--arch", "x86-bios", "--no-params", "--keys", "w", "--pin-file", &typed(&site, "admins")];
    for arguments in [&old[3..], &old] {
        let report = boot(&daemon, "52:54:00:00:00:03", arguments);
        assert_eq!(report["ending"], "booted", "{report:#}");
        assert!(report["script"].as_str().unwrap().contains(" wipe"), "{report:#}");
    }
    let output =
        daemon.simulate(&["--mac", "52:54:00:00:00:04", "--pick", "wipe", "--pin-file", &typed(&site, "admins")]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_ne!(report["ending"], "booted", "nobody can see it: {report:#}");
    nothing_leaked(&daemon);
}

#[test]
fn nothing_secret_is_asked_for_by_http_where_the_site_says_so() {
    let site = site(LOGIN, "require_https = true");
    let daemon = site.serve();
    let report = login(&daemon, &site, "52:54:00:00:00:01", "ann", "ann");
    assert_ne!(report["ending"], "booted");
    assert!(screen(&report).contains("by HTTPS only: Imaging"), "{report:#}");
    assert!(!screen(&report).contains("form:"), "{report:#}");
}

/// The way of a machine without DHCP: its first answer, and the path of its session.
fn enter(daemon: &Daemon, mac: &str) -> (String, String) {
    let answer = daemon.get(&format!("/boot?mac={mac}&platform=efi&buildarch=x86_64"));
    let path = answer.split("/b/").nth(1).unwrap_or_else(|| panic!("{answer}")).split('/').next().unwrap();
    (format!("/b/{path}"), answer.clone())
}

fn digits(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn answered(daemon: &Daemon, path: &str, user: &str, secret: &str) -> String {
    daemon.get(&format!("{path}/person.ipxe?user_hex={}&secret_hex={}", digits(user), digits(secret)))
}

/// Our signed word in a script that asks again.
fn grant(script: &str) -> String {
    let found = script.lines().find_map(|line| line.strip_prefix("param grant "));
    found.unwrap_or_else(|| panic!("{script}")).to_owned()
}

const WAITS: &str = r#"
fn allow_boot(request) { allow() }
fn boot_images(request) {
    if request.person == () { return ask_login("Imaging"); }
    retry(#{ title: `hello ${request.person.name}`, wait: 5 })
}
"#;

const ASKS: &str = "form Imaging";

#[test]
fn a_grant_is_good_on_another_server_and_nothing_else_is() {
    let site = site(WAITS, "");
    let (one, two) = (site.serve(), site.serve());
    let (path, asked) = enter(&one, "52:54:00:00:00:01");
    assert!(asked.contains(ASKS), "{asked}");
    let claims = "authmethod=ok&person=ann&name=ann&user=ann&groups=imaging&method=login";
    for claim in [claims, "grant=", "grant=ann", "grant=0000000000000000000000000000000000000000"] {
        for script in ["script.ipxe", "person.ipxe"] {
            let answer = one.get(&format!("{path}/{script}?{claim}"));
            assert!(answer.contains(ASKS) && !answer.contains("hello"), "{script}?{claim}: {answer}");
        }
    }
    let answer = answered(&one, &path, "ann", ANN);
    assert!(answer.contains("hello ann") && answer.contains("clear password ||"), "{answer}");
    let good = grant(&answer);
    assert!(one.get(&format!("{path}/script.ipxe")).contains("hello ann"), "the session knows");
    // The other server has not seen the boot.
    assert!(two.get(&format!("{path}/script.ipxe")).contains(ASKS));
    let (first, rest) = good.split_at(9);
    let altered = format!("{first}{}{}", if rest.starts_with('0') { '1' } else { '0' }, &rest[1..]);
    for refused in [altered.as_str(), &good[1..], &format!("{good}0")] {
        assert!(two.get(&format!("{path}/script.ipxe?grant={refused}")).contains(ASKS), "{refused}");
    }
    two.wait_for_log(|line| line["message"] == "a grant is refused" && line["error"] == "not a grant of this server");
    let (other, _) = enter(&two, "52:54:00:00:00:02");
    assert!(two.get(&format!("{other}/script.ipxe?grant={good}")).contains(ASKS), "it is of another boot");
    two.wait_for_log(|line| line["message"] == "a grant is refused" && line["error"] == "a grant of another boot");
    assert!(two.get(&format!("{path}/script.ipxe?grant={good}")).contains("hello ann"));
    // When the boot is over it counts no more, and the next boot begins anew.
    assert!(two.get(&format!("{path}/done")).contains("200 OK"));
    assert!(two.get(&format!("{path}/script.ipxe?grant={good}")).contains(ASKS));
    two.wait_for_log(|line| line["error"] == "the boot that it was given to is over");
    assert!(enter(&one, "52:54:00:00:00:01").1.contains(ASKS));
    for daemon in [&one, &two] {
        assert!(!format!("{:?}", daemon.log()).contains(&good), "the grant is in the log");
    }
}

#[test]
fn a_grant_expires() {
    let site = site(WAITS, "grant = \"2s\"");
    let daemon = site.serve();
    let (path, _) = enter(&daemon, "52:54:00:00:00:01");
    let good = grant(&answered(&daemon, &path, "ann", ANN));
    let since = Instant::now();
    while !daemon.get(&format!("{path}/script.ipxe?grant={good}")).contains(ASKS) {
        assert!(since.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(100));
    }
    daemon.wait_for_log(|line| line["message"] == "a grant is refused" && line["error"] == "the grant has expired");
}

#[test]
fn hostile_answers_are_no_answers() {
    let site = site(LOGIN, "");
    let daemon = site.serve();
    let (path, _) = enter(&daemon, "52:54:00:00:00:01");
    let long = "41".repeat(20_000);
    for query in [
        "user_hex=zz&secret_hex=zz".to_owned(),
        "user_hex=616e6e&secret_hex=".to_owned(),
        "user_hex=&secret_hex=41".to_owned(),
        "user_hex=ff&secret_hex=ff".to_owned(),
        format!("user_hex=616e6e&secret_hex={long}"),
        "image=nosuch&user_hex=616e6e&secret_hex=41".to_owned(),
    ] {
        let answer = daemon.get(&format!("{path}/person.ipxe?{query}"));
        assert!(!answer.contains("who=ann"), "{}", &query[..query.len().min(60)]);
    }
    let body = format!("user_hex=616e6e&secret_hex={long}");
    let answer = daemon.http(&format!(
        "POST {path}/person.ipxe HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}",
        body.len()
    ));
    assert!(answer.contains("That is not right"), "{answer}");
}

const APPROVED: &str = r#"
fn allow_boot(request) { allow() }
fn boot_images(request) {
    if request.person == () { return ask_approval(#{ title: "Exam room", groups: "exams", wait: WAIT }); }
    linux(#{ id: "debian", kernel: "debian/linux", initrd: "debian/initrd.gz",
             cmdline: `ok=${request.person.name} by=${request.person.method}` })
}
"#;

/// The one request that is pending, once it is there.
pub(crate) fn pending(site: &Site) -> Value {
    let since = Instant::now();
    loop {
        let list: Vec<Value> = serde_json::from_str(&run(site, &["approvals", "--json"])).unwrap();
        if let Some(one) = list.into_iter().next() {
            return one;
        }
        assert!(since.elapsed() < PATIENCE, "nothing waits");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_machine_waits_until_somebody_approves() {
    let site = site(&APPROVED.replace("WAIT", "600"), "");
    let daemon = site.serve();
    std::thread::scope(|scope| {
        let machine = scope.spawn(|| boot(&daemon, "52:54:00:00:00:01", &[]));
        let request = pending(&site);
        assert_eq!(
            (request["mac"].as_str(), request["title"].as_str()),
            (Some("52:54:00:00:00:01"), Some("Exam room"))
        );
        let number = request["id"].as_str().unwrap();
        run(&site, &["approve", number, "--as", "ann", "--groups", "exams,lab"]);
        let again = site.run(&["approve", number]);
        assert!(printed(&again).contains("no machine waits for approval"), "{}", printed(&again));
        let report = machine.join().unwrap();
        assert_eq!(report["ending"], "booted", "{report:#}");
        assert!(report["script"].as_str().unwrap().contains("ok=ann by=approval"), "{report:#}");
        assert!(screen(&report).contains(&format!("Waiting for approval. Number: {number}")), "{report:#}");
    });
    // By the machine's address; not by somebody of another group; not at all; and only for this boot.
    for (arguments, shown) in [
        (&["approve", "52:54:00:00:00:01", "--as", "bob", "--groups", "lab"][..], "bob approved, and may not do this"),
        (&["deny", "52:54:00:00:00:01", "--reason", "room 12 only"], "Not approved: room 12 only"),
    ] {
        std::thread::scope(|scope| {
            let machine = scope.spawn(|| boot(&daemon, "52:54:00:00:00:01", &[]));
            pending(&site);
            run(&site, arguments);
            let report = machine.join().unwrap();
            assert_ne!(report["ending"], "booted", "{report:#}");
            assert!(screen(&report).contains(shown), "{report:#}");
        });
    }
}

#[test]
fn where_nobody_approves_the_disk_boots() {
    let site = site(&APPROVED.replace("WAIT", "5"), "");
    let daemon = site.serve();
    let report = boot(&daemon, "52:54:00:00:00:01", &[]);
    assert_ne!(report["ending"], "booted", "{report:#}");
    assert!(screen(&report).contains("Nobody approved in time"), "{report:#}");
    assert!(run(&site, &["approvals", "--all"]).contains("pending"), "it is still to be seen");
}

#[test]
fn a_hash_is_made_and_tried_and_a_plain_secret_refused() {
    let site = site(LOGIN, "");
    let typed = |arguments: &[&str], text: &str| site.run_typing(arguments, text);
    let output = typed(&["people", "hash"], "s3cret pass\n");
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(line.starts_with("hash = \"$argon2id$v=19$"), "{line}");
    site.edit("pointsman.toml", |text| format!("{text}\n[people.user.eve]\ngroups = [\"lab\"]\n{line}"));
    let output = typed(&["people", "verify", "eve"], "s3cret pass\n");
    assert!(
        output.status.success() && printed(&output).contains("eve is verified; groups: lab"),
        "{}",
        printed(&output)
    );
    let output = typed(&["people", "verify", "eve"], "wrong\n");
    assert!(!output.status.success() && printed(&output).contains("That is not right"), "{}", printed(&output));
    let output = typed(&["people", "verify", "--pin"], &format!("{PIN}\n"));
    assert!(printed(&output).contains("lab is verified; groups: lab"), "{}", printed(&output));
    assert!(!typed(&["people", "hash"], "123\n").status.success(), "too short");
    site.edit("pointsman.toml", |text| format!("{text}\n[people.pin.plain]\nhash = \"1234\"\n"));
    let output = site.run(&["check"]);
    assert!(printed(&output).contains("people.pin.plain.hash: this is no argon2id hash"), "{}", printed(&output));
    assert!(printed(&output).contains("pointsman people hash"), "{}", printed(&output));
    assert!(!printed(&output).contains("1234"), "{}", printed(&output));
}
