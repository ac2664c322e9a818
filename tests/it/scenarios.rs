//! The scenarios of `scripts/`: each is the rules of a running server, and simulated machines boot by them.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use pointsman::config::Config;
use pointsman::site::{Purpose, files_of};
use serde_json::Value;

use crate::documents::{copy, make_database_named, on_loopback};
use crate::harness::{Daemon, Site, printed};
use crate::person;

/// A site whose rules are those of a scenario, with a stand-in for every file that its cases boot.
fn site_of(name: &str) -> Site {
    let site = Site::new();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name), &site.path("rules"));
    let keys = "allow_boot = \"rules/site.rhai\"\nboot_images = \"rules/site.rhai\"\nscripts = \"rules\"\n\
                data = \"rules\"\ntime_zone = \"UTC\"\n";
    site.edit("pointsman.toml", |text| text.replacen("kind = \"script\"\n", &format!("kind = \"script\"\n{keys}"), 1));
    site
}

/// Starts the server, once there is a stand-in for every file.
fn served(site: &Site) -> Daemon {
    let config = Config::read(Path::new(&site.config())).unwrap();
    let ready = pointsman::site::Site::load(config, Purpose::Check).unwrap_or_else(|problems| panic!("{problems}"));
    let images = ready.handlers.iter().flat_map(|built| &built.cases.images);
    for file in files_of(images) {
        site.write(&format!("images/{file}"), "what is loaded");
    }
    site.serve()
}

/// A running server with its folder.
struct Scenario {
    site: Site,
    daemon: Daemon,
}

impl Scenario {
    fn new(name: &str) -> Scenario {
        Scenario::with(name, |_| ())
    }

    /// A scenario that was changed before it is served.
    fn with(name: &str, change: impl FnOnce(&Site)) -> Scenario {
        let site = site_of(name);
        change(&site);
        let daemon = served(&site);
        Scenario { site, daemon }
    }

    /// A scenario with the handlers of its own `pointsman.toml`, changed before it is served.
    fn as_written(name: &str, change: impl FnOnce(&Site)) -> Scenario {
        let handlers = |site: &Site| {
            let written = std::fs::read_to_string(site.path("rules/pointsman.toml")).unwrap();
            let written = written.replace("\"site.rhai\"", "\"rules/site.rhai\"").replace("\".\"", "\"rules\"");
            site.edit("pointsman.toml", |text| {
                let (before, after) = text.split_at(text.find("[[handler]]").unwrap());
                format!("{before}{written}\n{}", &after[after.find("\n[log]").unwrap()..])
            });
            change(site);
        };
        Scenario::with(name, handlers)
    }

    /// A configuration of `examples/`.
    fn of_example(name: &str) -> Scenario {
        let site = Site::new();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name), &site.path(""));
        on_loopback(Path::new(&site.config()));
        let daemon = site.serve();
        Scenario { site, daemon }
    }

    /// How a boot ended, and what was loaded: `booted: debian/linux debian/initrd.gz`.
    fn boot(&self, arguments: &[&str]) -> String {
        let report = self.report(arguments);
        let files: Vec<&str> = report["files"].as_array().into_iter().flatten().filter_map(file_of).collect();
        let ending = match &report["ending"] {
            Value::String(word) => word.clone(),
            other => other.to_string().replace(['{', '}', '"'], ""),
        };
        if files.is_empty() { ending } else { format!("{ending}: {}", files.join(" ")) }
    }

    /// What a boot showed, also one that nobody answered.
    fn report(&self, arguments: &[&str]) -> Value {
        let output = self.daemon.simulate(arguments);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(&output)))
    }
}

/// A file below the session's path; loaders are no files of an image.
fn file_of(file: &Value) -> Option<&str> {
    file["name"].as_str()?.split_once("/f/").map(|(_, name)| name)
}

#[test]
fn the_asset_list_decides() {
    let lab = Scenario::new("asset-lookup");
    let installs = "booted: debian/linux debian/initrd.gz";
    assert_eq!(lab.boot(&["--fact", "serial=7XK3N22"]), installs);
    assert_eq!(lab.boot(&["--mac", "52:54:00:00:01:01", "--arch", "x86-bios", "--ipxe-rom"]), installs);
    assert_eq!(lab.boot(&["--fact", "serial=5CG1234ABC"]), "exit:1");
    assert_eq!(lab.boot(&["--fact", "serial=To Be Filled By O.E.M."]), "exit:1");
    assert_eq!(lab.boot(&["--mac", "52:54:00:00:01:04"]), "no_offer");
}

#[test]
fn the_model_decides() {
    let lab = Scenario::new("model-driven");
    let model = |product: &str, pick: &[&str]| {
        let fact = format!("product={product}");
        lab.boot(&[&["--fact", "manufacturer=Dell Inc.", "--fact", &fact], pick].concat())
    };
    assert!(model("OptiPlex 7010", &["--pick", "winpe-10"]).contains("winpe-10/boot.wim"));
    assert!(model("OptiPlex 7090", &["--pick", "winpe-dell"]).contains("winpe-dell/boot.wim"));
    assert_eq!(model("OptiPlex 7090", &[]), "exit:1");
    assert_eq!(model("Latitude E6430", &["--pick", "poweroff"]), "poweroff");
}

#[test]
fn the_place_decides() {
    let place = |kind: &str, arguments: &[&str]| {
        let here = format!("127.0.0.0/8,Here,{kind},mirror.example.com\n");
        let lab = Scenario::with("site-by-subnet", |site| site.edit("rules/sites.csv", |text| format!("{text}{here}")));
        lab.boot(arguments)
    };
    assert_eq!(place("depot", &[]), "booted: debian/linux debian/initrd.gz");
    assert_eq!(place("office", &[]), "exit:1");
    assert_eq!(place("office", &["--pick", "install"]), "booted: debian/linux debian/initrd.gz");
    assert_eq!(place("none", &[]), "no_offer");
    assert_eq!(Scenario::new("site-by-subnet").boot(&[]), "no_offer", "in no network of the list");
}

#[test]
fn installations_wait_for_their_window() {
    let window = |hours: &[[&str; 2]]| {
        let lines = hours.iter().map(|[from, to]| format!("tills,{DAYS},{from},{to}\n"));
        let lines: String = std::iter::once("group,days,from,to\n".to_owned()).chain(lines).collect();
        let change = |site: &Site| {
            site.write("rules/windows.csv", &lines);
            site.write("rules/freezes.csv", "first,last,why\n2001-01-01,2001-01-02,test\n");
            // Its cases are about the hours that it ships with.
            std::fs::remove_file(site.path("rules/site.cases.toml")).unwrap();
            site.write("images/reinstall/linux", "x");
            site.write("images/reinstall/initrd.gz", "x");
        };
        Scenario::with("maintenance-window", change).boot(&["--mac", "52:54:00:00:02:02"])
    };
    assert_eq!(window(&[["00:00", "12:00"], ["12:00", "00:00"]]), "booted: reinstall/linux reinstall/initrd.gz");
    assert_eq!(window(&[["00:00", "00:00"]]), "exit:1");
}

/// Every day of the week.
const DAYS: &str = "monday tuesday wednesday thursday friday saturday sunday";

#[test]
fn technicians_choose_tools() {
    let lab = Scenario::with("tools-menu", |site| {
        site.edit("rules/site.rhai", |text| text.replace("\"22:00\", \"06:00\"", "\"00:00\", \"00:00\""));
        site.edit("rules/site.cases.toml", |text| text.replace("expect = \"local\"", "expect = \"menu\""));
    });
    assert_eq!(lab.boot(&[]), "exit:1");
    assert_eq!(lab.boot(&["--pick", "rescue"]), "booted: rescue/linux rescue/initrd.img");
    assert_eq!(lab.boot(&["--pick", "memtest", "--arch", "x86-bios"]), "booted: tools/memtest.bin");
    assert_eq!(lab.boot(&["--pick", "poweroff"]), "poweroff");
    assert_eq!(lab.boot(&["--pick", "shell"]), "shell");
    let title = lab.report(&["--fact", "product=OptiPlex 7010"])["script"].to_string();
    assert!(title.contains("menu Tools: OptiPlex 7010"), "{title}");
}

/// The customer's server is another Pointsman, which decides by rules of its own.
#[test]
fn the_bench_hands_machines_over_to_their_customers() {
    let rules = "fn allow_boot(request) { allow() }\nfn boot_images(request) {\n\
                 if request.serial != \"7XK3N22\" { return local_disk(); }\n\
                 linux(#{ id: \"d\", kernel: \"debian/linux\" }) }";
    let customer = Site::with_rules(rules);
    customer.configure("http", "entry = true");
    let theirs = customer.serve();
    let bench = Scenario::with("staging-bench", |site| {
        let address = format!("http://127.0.0.1:{}", theirs.port("http"));
        site.edit("rules/orders.csv", |text| text.replace("http://boot.acme.example", &address));
    });
    assert_eq!(bench.boot(&["--fact", "serial=7XK3N22"]), "booted: debian/linux");
    assert_eq!(bench.boot(&["--fact", "serial=9QQ1111"]), "exit:1", "nobody chose");
    assert_eq!(bench.boot(&["--fact", "serial=9QQ1111", "--pick", "acme"]), "exit:1", "the customer's rules: its disk");
    theirs.wait_for_log(|line| line["question"] == "boot_images" && line["images"] == "d");
}

/// What the inventory's rows say, in a database of the test.
#[test]
fn the_inventory_finds_the_machine_and_the_script_refines() {
    let lab = Scenario::as_written("record-and-script", |site| {
        let change = |text: String| {
            let text = text.replace("postgres://pointsman@db.example.com/inventory", "sqlite:inventory.db?mode=rwc");
            text.replace("password_file = \"inventory.password\"\n", "")
        };
        site.edit("pointsman.toml", change);
        site.write("schema.sql", INVENTORY);
        make_database_named("inventory", &site.path(""));
    });
    assert_eq!(lab.boot(&["--mac", "52:54:00:00:05:01"]), "booted: debian/linux debian/initrd.gz");
    assert_eq!(lab.boot(&["--mac", "52:54:00:00:05:02"]), "booted: kiosk/linux kiosk/initrd.img");
    assert_eq!(lab.boot(&["--mac", "52:54:00:00:05:03"]), "no_offer");
    assert_eq!(lab.boot(&["--mac", "52:54:00:00:05:09", "--pick", "poweroff"]), "poweroff");
}

const INVENTORY: &str = "\
CREATE TABLE machines (id INTEGER, uuid TEXT, manufacturer TEXT, serial TEXT, mac TEXT, hostname TEXT, role TEXT, disk TEXT, team TEXT);
CREATE TABLE jobs (machine_id INTEGER, os TEXT, done_at TEXT, created_at TEXT);
CREATE TABLE kiosks (team TEXT, page TEXT);
INSERT INTO machines VALUES (1, NULL, NULL, NULL, '52:54:00:00:05:01', 'web-01', 'server', NULL, 'web');
INSERT INTO machines VALUES (2, NULL, NULL, NULL, '52:54:00:00:05:02', 'hall-1', 'kiosk', NULL, 'museum');
INSERT INTO machines VALUES (3, NULL, NULL, NULL, '52:54:00:00:05:03', 'old-3', 'retired', NULL, NULL);
INSERT INTO jobs VALUES (1, 'debian', NULL, '2026-01-01');
";

/// The example of installations by order: once, and then the machine's own disk.
#[test]
fn an_ordered_installation_is_done_once() {
    let lab = Scenario::of_example("assignments");
    let run = |arguments: &[&str]| crate::assignments::run(&lab.site, arguments);
    let line = "auto=true url={files_url}/debian/preseed.cfg report={done_url}";
    let files = ["--kernel", "debian/linux", "--initrd", "debian/initrd.gz", "--cmdline", line];
    run(&[&["image", "add", "debian", "--kind", "linux"], &files[..]].concat());
    run(&["machine", "add", "lab-07", "--mac", "52:54:00:40:00:07"]);
    run(&["assign", "lab-07", "debian", "--mandatory", "--spent-by", "done"]);
    let boot = |more: &[&str]| lab.boot(&[&["--mac", "52:54:00:40:00:07"], more].concat());
    let installs = "booted: debian/linux debian/initrd.gz";
    assert_eq!(boot(&["--failed", "no disk"]), installs);
    run(&["assign", "lab-07", "debian", "--mandatory", "--spent-by", "done"]);
    assert_eq!(boot(&[]), installs, "nothing was reported: it begins anew");
    assert_eq!(boot(&["--done"]), installs);
    assert_eq!(boot(&[]), "exit:1");
    assert_eq!(lab.boot(&["--mac", "52:54:00:40:00:08"]), "exit:1", "its screen says what to type");
}

#[test]
fn a_new_image_comes_to_a_few_first() {
    let rings = |lines: &str| {
        let change = |site: &Site| {
            site.write("rules/rings.csv", &format!("from,percent\n{lines}\n"));
            site.write("rules/freezes.csv", "first,last,before,why\n2001-01-01,2001-01-02,2000-12-31,test\n");
            std::fs::remove_file(site.path("rules/site.cases.toml")).unwrap();
            for name in ["debian-12", "debian-13"] {
                site.write(&format!("images/{name}/linux"), "x");
                site.write(&format!("images/{name}/initrd.gz"), "x");
            }
        };
        let lab = Scenario::with("staged-rollout", change);
        let boot = |mac: &str| {
            let uuid = format!("00000000-1111-4222-8333-{}", mac.replace(':', ""));
            lab.boot(&["--mac", mac, "--uuid", &uuid]).contains("debian-13")
        };
        (0..12).map(|n| boot(&format!("52:54:00:00:08:{n:02x}"))).collect::<Vec<bool>>()
    };
    let (few, more, all) = (rings("2001-01-01,20"), rings("2001-01-01,60"), rings("2001-01-01,100"));
    assert!(all.iter().all(|has| *has));
    assert!(few.iter().zip(&more).all(|(before, now)| !before || *now), "who has it keeps it: {few:?} {more:?}");
    assert!(more.iter().any(|has| *has) && more.iter().any(|has| !has), "{more:?}");
}

#[test]
fn the_bios_comes_first_and_not_for_ever() {
    let lab = Scenario::new("firmware-upgrade");
    let version = |version: &str| {
        let fact = format!("bios_version={version}");
        lab.boot(&["--mac", "52:54:00:00:09:01", "--fact", "product=OptiPlex 7090", "--fact", &fact])
    };
    let (installs, updates) = ("booted: debian/linux debian/initrd.gz", "firmware/OptiPlex_7090_1.10.0.efi");
    assert_eq!(version("1.10.0"), installs);
    assert!(version("1.9.0").contains(updates));
    assert!(version("1.9.0").contains(updates), "the second try");
    assert_eq!(version("1.9.0"), installs, "it did not help");
    let metrics = lab.daemon.get("/metrics");
    assert!(metrics.contains("firmware_update_gave_up"), "{metrics}");
}

/// The network access control of the test: first it knows no machine, then its port is pending, then open.
#[test]
fn a_machine_waits_until_its_port_is_open() {
    let nac = Nac::start();
    let lab = Scenario::as_written("network-gate", |site| {
        site.edit("pointsman.toml", |text| {
            let text = text.replace("https://nac.example.com/api", &format!("http://127.0.0.1:{}", nac.port));
            text.replace("ca = \"nac-ca.pem\"\nbearer_file = \"nac.token\"\n", "")
        });
    });
    // A simulated machine does not wait ten seconds before it asks again; it is started again.
    let boot = || lab.boot(&["--mac", "52:54:00:00:0a:01", "--fact", "serial=7XK3N22"]);
    let boots: Vec<String> = (0..4).map(|_| boot()).collect();
    assert_eq!(boots.first().map(String::as_str), Some("exit:1"));
    assert_eq!(boots.last().map(String::as_str), Some("booted: debian/linux debian/initrd.gz"), "{boots:?}");
    let asked = nac.asked.lock().unwrap().clone();
    assert_eq!(asked.first().map(String::as_str), Some("GET /ports/52:54:00:00:0a:01"), "{asked:?}");
    assert!(asked.contains(&"POST /exceptions".to_owned()), "{asked:?}");
    assert_eq!(lab.boot(&["--mac", "52:54:00:00:0a:0d", "--fact", "serial=7XK3N22"]), "no_offer", "stolen");
    let before = nac.asked.lock().unwrap().len();
    assert_eq!(lab.boot(&["--mac", "52:54:00:00:0a:02", "--fact", "serial=9QQ1111"]), "exit:1", "not of ours");
    assert_eq!(nac.asked.lock().unwrap().len(), before);
}

struct Nac {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Nac {
    fn start() -> Nac {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut request = [0; 4096];
                let read = stream.read(&mut request).unwrap_or(0);
                let head = String::from_utf8_lossy(&request[..read]).into_owned();
                let line: Vec<&str> = head.lines().next().unwrap_or_default().split(' ').take(2).collect();
                let mut asked = kept.lock().unwrap();
                asked.push(line.join(" "));
                let (status, state) = match asked.len() {
                    1 => ("404 Not Found", "unknown"),
                    2 => ("201 Created", "pending"),
                    3 => ("200 OK", "pending"),
                    _ => ("200 OK", "open"),
                };
                let body = format!("{{\"state\":\"{state}\"}}");
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(format!("{head}{body}").as_bytes());
            }
        });
        Nac { port, asked }
    }
}

#[test]
fn who_shares_an_adapter_is_known_by_what_is_its_own() {
    let lab = Scenario::as_written("shared-adapter", |_| ());
    let run = |arguments: &[&str]| crate::assignments::run(&lab.site, arguments);
    run(&["machine", "add", "nb-01", "--uuid", "4c4c4544-0057-5810-804a-c3c04f463732", "--serial", "7XK3N22"]);
    run(&["machine", "add", "nb-02", "--serial", "5CG1234ABC", "--manufacturer", "HP"]);
    let boot = |serial: &str, uuid: &str, more: &[&str]| {
        let fact = format!("serial={serial}");
        let own = ["--mac", "00:e0:4c:68:00:01", "--uuid", uuid, "--fact", &fact, "--fact", "manufacturer=HP"];
        lab.report(&[&own[..], more].concat())
    };
    let line = |report: &Value| {
        let script = report["script"].as_str().unwrap().to_owned();
        script.split_whitespace().find(|word| word.starts_with("hostname=")).unwrap_or("none").to_owned()
    };
    let (first, none) = ("4c4c4544-0057-5810-804a-c3c04f463732", "ffffffff-ffff-ffff-ffff-ffffffffffff");
    assert_eq!(line(&boot("7XK3N22", first, &[])), "hostname=nb-01");
    assert_eq!(line(&boot("5CG1234ABC", none, &[])), "hostname=nb-02", "the same adapter, a placeholder for a UUID");
    let stranger = boot("9QQ1111", none, &[]);
    assert!(stranger["screen"].to_string().contains("its adapter is a shared one"), "{stranger:#}");
    let both = boot("5CG1234ABC", first, &["--pick", "poweroff"]);
    assert!(both["script"].as_str().unwrap().contains("nothing is installed"), "{both:#}");
}

#[test]
fn technicians_log_in_before_they_install() {
    let lab = Scenario::as_written("technician-login", |site| {
        let keys = site.path("pointsman.toml");
        let text = std::fs::read_to_string(&keys).unwrap();
        let hashes = [person::hash("battery staple"), person::hash("2468")];
        let mut hashes = hashes.iter();
        let ours = |line: &str| match line.starts_with("hash = ") {
            true => format!("hash = \"{}\"\n", hashes.next().unwrap()),
            false => format!("{line}\n"),
        };
        std::fs::write(&keys, text.lines().map(ours).collect::<String>()).unwrap();
        site.write("typed/right", "battery staple\n");
        site.write("typed/wrong", "battery\n");
        site.write("typed/pin", "2468\n");
    });
    let typed = |name: &str| lab.site.path("typed").join(name).to_str().unwrap().to_owned();
    assert_eq!(lab.boot(&[]), "exit:1", "nobody pressed a key");
    let login = |password: &str, mac: &str, more: &[&str]| {
        let file = typed(password);
        lab.boot(&[&["--mac", mac, "--user", "ann", "--password-file", &file], more].concat())
    };
    let (installs, rescues) = ("booted: debian/linux debian/initrd.gz", "booted: rescue/linux rescue/initrd.img");
    assert_eq!(login("right", "52:54:00:00:0b:01", &["--pick", "debian"]), installs);
    assert_eq!(login("right", "52:54:00:00:0b:02", &["--pick", "rescue"]), rescues);
    assert!(!login("wrong", "52:54:00:00:0b:03", &["--pick", "debian"]).contains("debian"));
    let wiped = lab.boot(&["--mac", "52:54:00:00:0b:04", "--keys", "w", "--pin-file", &typed("pin")]);
    assert_eq!(wiped, "booted: tools/wipe");
}

#[test]
fn a_stranger_waits_for_somebody_to_agree() {
    let lab = Scenario::as_written("unknown-machine", |_| ());
    let run = |arguments: &[&str]| crate::assignments::run(&lab.site, arguments);
    run(&["machine", "add", "pc-101", "--mac", "52:54:00:00:0c:01"]);
    assert_eq!(lab.boot(&["--mac", "52:54:00:00:0c:01"]), "exit:1", "it is known, and has nothing to do");
    let stranger = || lab.boot(&["--mac", "52:54:00:00:0c:02", "--fact", "serial=9QQ1111"]);
    for (answer, ending) in [("approve", "booted: inventory/linux inventory/initrd.img"), ("deny", "exit:1")] {
        std::thread::scope(|scope| {
            let machine = scope.spawn(stranger);
            let waits = person::pending(&lab.site);
            assert!(waits["title"].as_str().unwrap().contains("9QQ1111 is new"), "{waits}");
            run(&[answer, waits["id"].as_str().unwrap()]);
            assert_eq!(machine.join().unwrap(), ending);
        });
    }
}
