//! What the file may say, and what is said about a file that is wrong.

use std::path::Path;
use std::time::Duration;

use crate::boot::Architecture;
use crate::decision::Policy;

use super::{Config, DatabaseSection, HandlerSection, UpstreamSection, WebhookSection};

const MINIMAL: &str = "[[handler]]\nkind = \"script\"\n";

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("/site/pointsman.toml"), text).map_err(|problems| problems.to_string())
}

#[test]
fn two_lines_are_a_site() {
    let config = parse(MINIMAL).unwrap();
    assert_eq!((config.dhcp.port, config.dhcp.boot_server_port, config.tftp.port), (67, 4011, 69));
    let HandlerSection::Script(script) = &config.handlers[0] else { panic!("{:?}", config.handlers) };
    assert_eq!(script.allow_boot, Path::new("/site/scripts/allow_boot.rhai"));
    assert_eq!(config.loaders.folders[1], Path::new("/usr/lib/ipxe"));
    assert_eq!(config.loaders.files[&Architecture::X64_UEFI], "snponly.efi");
    assert_eq!(config.decision.policy(), Policy::default());
}

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    let text = "[server]\ninterfacs = [\"eth0\"]\nsessions_max = \"many\"\n\n[dchp]\nport = 1\n\n\
                [decision]\nunknown = \"maybe\"\nremember = \"soon\"\n\n[[handler]]\nkind = \"sequel\"\n";
    let error = parse(text).unwrap_err();
    for expect in [
        "/site/pointsman.toml:2:1: unknown key `server.interfacs`",
        "did you mean `interfaces`?",
        "/site/pointsman.toml:3:16: server: expected a whole number that is not negative, not the text \"many\"",
        "/site/pointsman.toml:5:2: unknown table `dchp`",
        "did you mean `dhcp`?",
        ":9:11: decision: unknown variant `maybe`, expected one of `allow`, `deny`, `ignore`",
        ":10:12: decision: `soon` is no length of time",
        "`sequel` is no kind of handler",
    ] {
        assert!(error.contains(expect), "{expect} not in:\n{error}");
    }
}

#[test]
fn broken_syntax_is_told_with_its_line() {
    let error = parse("[server\ninterfaces = [\n").unwrap_err();
    assert!(error.contains("/site/pointsman.toml:1:"), "{error}");
}

#[test]
fn values_that_cannot_work_together_are_refused() {
    let check = |text: &str, expect: &str| {
        let error = parse(&format!("{text}\n{MINIMAL}")).unwrap_err();
        assert!(error.contains(expect), "{expect} not in:\n{error}");
    };
    check("[server]\naddress = \"10.0.0.2\"\ninterfaces = [\"eth0\"]", "both given");
    check("[server]\naddress = \"fd00::2\"", "needs an IPv4");
    check("[https]\nkey = \"k.pem\"", "belong together");
    check("[https]\nenabled = false\nipxe = \"https\"", "needs HTTPS");
    check("[tftp]\nblksize_max = 7", "blksize_max");
    check("[tftp]\nport_range = [9, 3]", "first, last");
    check("[decision]\nremember = \"48h\"", "out of range");
    check("[log]\nlevel = \"loud=very\"", "log level");
    check("[log]\nlevel = \"verbose\"", "`verbose` is no log level");
    check("[http]\nport = 443", "http.port and https.port are both 443");
    check("[tftp]\nport = 67", "dhcp.port and tftp.port are both 67");
    check(MINIMAL, "two handlers are called `script`");
    assert!(parse("").unwrap_err().contains("nobody would decide"));
    assert!(parse("handler = 3").unwrap_err().contains("two brackets"));
}

#[test]
fn values_are_taken_over() {
    let text = format!(
        "[decision]\nremember = \"5m\"\non_error = \"next\"\n[tftp]\nport_range = [3000, 3010]\n\
         [loaders.files]\nx64-uefi = \"ipxe.efi\"\n{MINIMAL}time_zone = \"Europe/Berlin\"\n"
    );
    let config = parse(&text).unwrap();
    assert_eq!(config.decision.remember, Duration::from_secs(300));
    assert_eq!(config.tftp.port_range, Some(3000..=3010));
    assert_eq!(config.loaders.files[&Architecture::X64_UEFI], "ipxe.efi");
    assert_eq!(config.loaders.files[&Architecture::X86_BIOS], "undionly.kpxe");
}

/// What `pointsman init` writes shows every key with its default.
#[test]
fn the_starter_s_commented_keys_are_the_defaults() {
    let starter = include_str!("../../scripts/starter/pointsman.toml");
    let alternatives =
        ["address", "port_range", "certificate", "key", "http_boot_name", "name", "time_zone", "database"];
    // The example of a table with a name is commented out as a whole.
    let mut is_example = false;
    let uncommented: Vec<&str> = starter
        .lines()
        .map(|line| {
            is_example = (is_example || line.starts_with("# [")) && !line.is_empty();
            match line.strip_prefix("# ").filter(|_| !is_example) {
                Some(key) if key.split_once(" = ").is_some_and(|(name, _)| name.bytes().all(is_key)) => {
                    let name = key.split(" = ").next().unwrap_or_default();
                    if alternatives.contains(&name) { line } else { key }
                }
                _ => line,
            }
        })
        .collect();
    let spelled_out = parse(&uncommented.join("\n")).unwrap();
    let defaults = parse(starter).unwrap();
    assert_eq!(format!("{spelled_out:#?}"), format!("{defaults:#?}"));
    let keys = uncommented.iter().filter(|line| !line.starts_with('#') && line.contains(" = ")).count();
    assert!(keys > 35, "only {keys} keys are shown");
}

/// The keys of a table of the starter that is commented out as a whole.
fn example_keys(table: &str) -> String {
    let starter = include_str!("../../scripts/starter/pointsman.toml");
    let lines = starter.split(&format!("# [{table}]")).nth(1).unwrap().split("\n\n").next().unwrap().lines();
    let keys = lines.filter_map(|line| line.strip_prefix("# ")).filter(|line| line.contains(" = "));
    keys.fold(String::new(), |text, line| text + line + "\n")
}

#[test]
fn the_starter_s_database_shows_the_defaults() {
    let keys = example_keys("database.main");
    let config = parse(&format!("{MINIMAL}[database.main]\n{keys}")).unwrap();
    let shown = &config.databases["main"];
    let defaults =
        DatabaseSection { url: shown.url.clone(), password_file: shown.password_file.clone(), ..Default::default() };
    assert_eq!(format!("{shown:?}"), format!("{defaults:?}"));
    assert!(keys.lines().count() >= 5, "{keys}");
}

#[test]
fn the_starter_s_upstream_shows_the_defaults() {
    let keys = example_keys("upstream.main");
    let config = parse(&format!("{MINIMAL}[upstream.main]\n{keys}")).unwrap();
    let shown = &config.upstreams["main"];
    assert!(shown.rate == Some(2_500_000) && shown.windows[0].rate == Some(12_500_000), "{shown:?}");
    let defaults = UpstreamSection {
        url: shown.url.clone(),
        rate: shown.rate,
        windows: shown.windows.clone(),
        ..Default::default()
    };
    assert_eq!(*shown, defaults);
    assert!(keys.lines().count() >= 9, "{keys}");
}

#[test]
fn the_starter_s_webhook_and_look_are_examples_that_can_be() {
    let keys = example_keys("[events.webhook]");
    let config = parse(&format!("{MINIMAL}[[events.webhook]]\n{keys}")).unwrap();
    let shown = &config.events.webhook[0];
    let own = (shown.url.clone(), shown.secret_file.clone(), shown.ca.clone());
    assert!(own.0.is_some() && own.1.as_deref() == Some(Path::new("/site/state/webhook.secret")), "{shown:?}");
    let defaults = WebhookSection { url: own.0, secret_file: own.1, ca: own.2, ..Default::default() };
    assert_eq!(*shown, defaults);
    assert_eq!((shown.display_name().as_str(), keys.lines().count()), ("https://hooks.example.com", 7));
    let look = parse(&format!("{MINIMAL}[menu]\n{}", example_keys("menu"))).unwrap().menu.look().unwrap();
    assert!(look.picture.is_some() && look.size.is_some() && look.colors.text.is_some(), "{look:?}");
    assert_eq!(parse(MINIMAL).unwrap().menu.look(), None);
}

#[test]
fn a_name_for_urls_is_a_host_name() {
    let named = |name: &str| parse(&format!("{MINIMAL}[server]\nname = \"{name}\"\n"));
    for good in ["boot", "boot.example.com", "BOOT-2.example", "3com.example"] {
        let config = named(good).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.https.certificate_names(&config.server), [good]);
    }
    for bad in ["", ".", "a.", "a..b", "-a", "a-", "10.0.0.2", "a_b", "a/b", "a:80", "b\u{fc}ro", &"a".repeat(64)] {
        assert!(named(bad).unwrap_err().contains("write it like boot.example.com"), "{bad}");
    }
    let both = parse(&format!("{MINIMAL}[server]\nname = \"Boot\"\n[https]\nnames = [\"boot\", \"b\"]\n")).unwrap();
    assert_eq!(both.https.certificate_names(&both.server), ["boot", "b"], "it is there once");
}

fn is_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

#[test]
fn databases_and_their_handlers_fit_together() {
    let text = "[store]\ndatabase = \"mian\"\n\
                [database.main]\nurl = \"oracle://x\"\npassword_file = \"a\"\npassword_env = \"B\"\n\
                [database.two]\nconnections_max = 0\n[database.two.queries]\n\"a.b\" = \"select 1\"\n\
                [[handler]]\nkind = \"sql\"\nname = \"a\"\ndatabase = \"man\"\nmachine = \"select 1\"\n\
                [[handler]]\nkind = \"sql\"\nname = \"b~c\"\nimages = \"select 1\"\nboots_max = 0\n\
                [[handler]]\nkind = \"sql\"\nname = \"c\"\ndatabase = \"two\"\nmachine = \"x\"\nimages = \"x\"\n\
                unknown_images = \"x\"\n";
    let error = parse(text).unwrap_err();
    for expect in [
        "store.database: there is no [database.mian]\n  help: did you mean `main`?",
        "database.main.url: `oracle` is no kind of database\n  help: write url = \"sqlite:FILE\"",
        "database.main: password_file and password_env are both given",
        "database.two: there is no url",
        "database.two.connections_max is 0",
        "database.two: `a.b` is no name for a database or a query",
        "handler `a`.database: there is no [database.man]\n  help: did you mean `main`?",
        "handler `a`: it has a database, but no query `images`",
        "handler `b~c`: its name has a `~`",
        "handler `b~c`: `images` is a query for a database of the site, and no `database` is named",
        "handler `b~c`: boots_max is 0",
        "handler `c`: `unknown_images` is never asked\n  help: set unknown = \"allow\"",
    ] {
        assert!(error.contains(expect), "{expect} not in:\n{error}");
    }
    assert_eq!(error.matches("help:").count(), 12, "{error}");
    let error =
        parse("[[handler]]\nkind = \"sql\"\ndatabase = \"cmdb\"\nmachine = \"x\"\nimages = \"x\"\n").unwrap_err();
    assert!(error.contains("add [database.cmdb] with its url"), "{error}");
    assert!(parse("[[handler]]\nkind = \"sql\"\n").is_ok(), "the store needs one line");
    let row_only = "[database.a]\nurl = \"sqlite:a\"\n[[handler]]\nkind = \"sql\"\ndatabase = \"a\"\nmachine = \"x\"\n\
                    no_image = \"pass\"\n";
    assert!(parse(row_only).is_ok(), "the row may be all that is wanted");
}

#[test]
fn what_is_shown_of_a_database_has_no_password() {
    let text = "[[handler]]\nkind = \"script\"\n[database.cmdb]\nurl = \"postgres://u:s3cret@db/cmdb\"\n";
    let shown = format!("{:?}", Config::parse(Path::new("pointsman.toml"), text).unwrap());
    assert!(shown.contains("postgres") && !shown.contains("s3cret"), "{shown}");
}

#[test]
fn upstreams_storages_and_their_handlers_fit_together() {
    let text = "[upstream.\"a.b\"]\nurl = \"http://boot.example.com\"\n\
                [upstream.main]\ncertificate = \"c\"\ntoken_file = \"t\"\nfailures_max = 0\n\
                windows = [{ from = \"08:00:00\", to = \"08:00:00\" }]\n\
                [upstream.over]\nstyle = \"redirect\"\n\
                [upstream.wds]\nstyle = \"redirect\"\nfirmware = \"file\"\n\
                [upstream.far]\nstyle = \"redirect\"\nfirmware = \"boot-servers\"\nserver = \"255.255.255.255\"\n\
                [upstream.far.files]\nx64-uefi = \"\"\n\
                [upstream.hand]\nstyle = \"redirect\"\nscript = \"http://10.0.0.9/x.ipxe\"\nurl = \"tftp://x\"\n\
                [storage.main]\n\
                [storage.s3]\nurl = \"s3://bucket/../x\"\nendpoint = \"minio:9000\"\naccess_key = \"A\"\nregion = \"\"\n\
                [storage.s4]\nurl = \"https://bucket\"\nendpoint = \"https://u:p@minio\"\n\
                [cache]\nsize_max = \"0B\"\nfolder = \"images/cache\"\n\
                [[handler]]\nkind = \"referral\"\nname = \"a\"\n\
                [[handler]]\nkind = \"referral\"\nname = \"b~c\"\nupstreams = [\"mian\", \"wds\", \"wds\"]\nstyle = \"ask\"\n\
                [[handler]]\nkind = \"referral\"\nname = \"c\"\nupstreams = [\"main\"]\nstyle = \"redirect\"\n";
    let error = parse(text).unwrap_err();
    for expect in [
        "upstream.a.b: this is no name for an upstream or a storage\n  help: use letters",
        "upstream.a.b.url: `http://boot.example.com` is asked without encryption\n  help: write https://",
        "upstream.main: there is no url to ask\n  help: write url = ",
        "upstream.main: certificate and key belong together",
        "upstream.main: certificate and token_file are both given",
        "upstream.main.failures_max is 0",
        "upstream.main.windows: from and to are both 08:00:00",
        "upstream.over: style is \"redirect\", but nothing says where machines go\n  help: write script = ",
        "upstream.wds: firmware = \"file\" needs the boot server's address",
        "upstream.wds: firmware = \"file\" needs the boot files",
        "upstream.far.server: 255.255.255.255 is no server's address",
        "upstream.far.files.x64-uefi: `` does not fit into an offer",
        "upstream.hand.url: `tftp://x` is no address of a web server",
        "upstream.main and storage.main have one name\n  help: give one of them another",
        "storage.main: there is no url\n  help: write url = \"s3://BUCKET\"",
        "storage.s3.url: `s3://bucket/../x` is no place in object storage",
        "storage.s3.endpoint: `minio:9000` is no address of a web server",
        "storage.s3.region: `` is no region",
        "storage.s3: access_key and secret_key_file belong together",
        "storage.s4.url: `https://bucket` is no place in object storage",
        "storage.s4.endpoint: `https://u:p@minio` is no address",
        "cache.size_max is 0",
        "cache.folder is in images.folder",
        "handler `a`: it refers all machines, and names no upstream\n  help: write upstreams = ",
        "handler `b~c`: its name has a `~`",
        "handler `b~c`.upstreams: there is no [upstream.mian]\n  help: did you mean `main`?",
        "handler `b~c`: upstream `wds` is named twice",
        "handler `b~c`: upstream.wds: there is no url to ask",
        "handler `c`: upstream.main: style is \"redirect\", but nothing says where machines go",
    ] {
        assert!(error.contains(expect), "{expect} not in:\n{error}");
    }
    assert_eq!(error.matches("there is no url to ask").count(), 3, "{error}");
    let error = parse("[[handler]]\nkind = \"referral\"\nmachines = \"named\"\n").unwrap_err();
    assert!(error.contains("there is no upstream that a script could name"), "{error}");
    let error = parse("[[handler]]\nkind = \"referral\"\nupstreams = [\"x\"]\n").unwrap_err();
    assert!(error.contains("help: add [upstream.x] with its url"), "{error}");
}

#[test]
fn upstreams_and_storages_that_are_right_are_taken() {
    let text = "[upstream.main]\nurl = \"https://boot.example.com:4443\"\ncertificate = \"c\"\nkey = \"k\"\n\
                [upstream.test]\nurl = \"http://[::1]:8080\"\ntoken_file = \"t\"\n\
                [upstream.pixie]\nkind = \"pixiecore\"\nurl = \"http://10.0.0.3:4444/api\"\n\
                [upstream.wds]\nstyle = \"redirect\"\nfirmware = \"file\"\nserver = \"10.0.0.2\"\n\
                [upstream.wds.files]\nx64-uefi = \"boot\\\\x64\\\\wdsmgfw.efi\"\n\
                [upstream.far]\nstyle = \"redirect\"\nfirmware = \"silence\"\n\
                [storage.s3]\nurl = \"s3://bucket/a/b/\"\nendpoint = \"http://10.0.0.4:9000\"\n\
                access_key = \"A\"\nsecret_key_file = \"secret\"\n\
                [storage.aws]\nurl = \"s3://my.bucket\"\nregion = \"eu-central-1\"\n\
                [api]\nenabled = true\n\
                [[handler]]\nkind = \"referral\"\nupstreams = [\"main\", \"pixie\"]\n\
                [[handler]]\nkind = \"referral\"\nname = \"named\"\nmachines = \"named\"\n";
    let config = parse(text).unwrap_or_else(|error| panic!("{error}"));
    let places: Vec<_> = config.storages.values().map(|storage| storage.place().unwrap()).collect();
    assert_eq!(places, [("my.bucket", None), ("bucket", Some("a/b".parse().unwrap()))]);
    assert_eq!(config.storages["s3"].secret_key_file.as_deref(), Some(Path::new("/site/secret")));
}

#[test]
fn a_candidate_has_a_folder_of_its_own_and_a_canary_has_machines() {
    let text = "[[handler]]\nkind = \"script\"\ncandidate = \"scripts/next\"\ncanary_percent = 101\n\
                canary_machines = [\"pc-1\"]\nrevisions_max = 0\n";
    let error = parse(text).unwrap_err();
    for expect in [
        "handler `script`.candidate: scripts/next is where the scripts are\n  help: give the candidate a folder",
        "handler `script`.canary_percent: 101 is no percentage\n  help: use 0 to 100",
        "handler `script`.canary_machines: `pc-1` is no MAC address and no UUID",
        "handler `script`.revisions_max is 0",
    ] {
        assert!(error.contains(expect), "{expect} not in:\n{error}");
    }
    let config = parse("[[handler]]\nkind = \"script\"\nscripts = \"rules\"\n").unwrap();
    let HandlerSection::Script(script) = &config.handlers[0] else { panic!("{:?}", config.handlers) };
    assert_eq!(script.candidate, Path::new("/site/rules.next"));
    assert!(script.in_folder(Path::new("/x")).is_none(), "the scripts are not in the folder of the scripts");
    let config = parse("[[handler]]\nkind = \"script\"\ncanary_networks = [\"10.1.0.0/16\"]\n").unwrap();
    let HandlerSection::Script(script) = &config.handlers[0] else { panic!("{:?}", config.handlers) };
    assert!(script.has_canary() && script.shadow);
    let moved = script.in_folder(Path::new("/x")).unwrap();
    assert_eq!((&*moved.allow_boot, &*moved.scripts), (Path::new("/x/allow_boot.rhai"), Path::new("/x")));
}
