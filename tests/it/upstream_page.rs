//! `docs/refer-to-upstream.md` is true: its lines and configurations, run by two real servers, do what it says.

use std::path::Path;
use std::time::Instant;

use crate::documents::blocks;
use crate::harness::{Daemon, PATIENCE, Site, pointsman, printed};

/// A machine that the starter's rules install.
const MACHINE: [&str; 2] = ["--mac", "52:54:00:00:00:01"];

/// The first block of a language of which `with` is a part.
fn block(language: &str, with: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/refer-to-upstream.md");
    let blocks = blocks(&std::fs::read_to_string(page).unwrap(), language);
    blocks.into_iter().find(|block| block.contains(with)).unwrap_or_else(|| panic!("no block {language}: {with}"))
}

/// A server with a configuration of the page, on loopback ports that the kernel chooses.
struct Server(Site);

impl Server {
    fn new(configuration: &str) -> Server {
        let site = Site::new();
        let mut table: toml::Table = configuration.parse().unwrap();
        for (section, keys) in [
            ("server", "address = \"127.0.0.1\""),
            ("dhcp", "port = 0\nboot_server_port = 0"),
            ("tftp", "port = 0"),
            ("http", "port = 0"),
            ("https", "port = 0"),
            ("api", "port = 0"),
            ("loaders", "folders = [\"loaders\"]"),
            ("log", "format = \"json\""),
            ("decision", "allow_boot_limit = \"5s\""),
        ] {
            let section = table.entry(section).or_insert_with(|| toml::Table::new().into());
            section.as_table_mut().unwrap().extend(keys.parse::<toml::Table>().unwrap());
        }
        site.write("page.toml", &toml::to_string(&table).unwrap());
        Server(site)
    }

    fn serve(&self) -> Daemon {
        self.0.serve_config(&self.0.path("page.toml"))
    }

    /// Runs a line of the page; its exit code, and what it said.
    fn run(&self, line: &str) -> (i32, String) {
        let config = self.0.path("page.toml");
        let arguments: Vec<&str> = line.trim_start_matches("# ").split_whitespace().skip(1).collect();
        let output = pointsman(&[&["--config", config.to_str().unwrap()], &arguments[..]].concat());
        (output.status.code().unwrap(), printed(&output))
    }

    /// Runs a line that must succeed; what it said.
    fn does(&self, line: &str) -> String {
        let (code, text) = self.run(line);
        assert_eq!(code, 0, "{line}\n{text}");
        text
    }
}

/// The upstream of the page, a site that was enrolled as it says, and what it said.
fn enrolled() -> (Server, Daemon, Server) {
    let upstream = Server::new(&block("toml", "[api]"));
    let daemon = upstream.serve();
    let own = |text: String| text.replace("boot.example.com:4443", &format!("127.0.0.1:{}", daemon.port("api")));
    let said: String = block("sh", "site list").lines().map(|line| upstream.does(line)).collect();
    assert!(said.contains("leipzig  token until "), "{said}");
    let token = said.split_whitespace().find(|word| word.starts_with("pm1.")).unwrap();
    let site = Server::new(&own(block("toml", "site = \"leipzig\"")));
    let line = own(block("console", "site enroll")).replace("pm1.SECRET.FINGERPRINT", token);
    let said = site.does(&line);
    assert!(said.contains("this server is the site `leipzig`") && said.contains("state/upstream/main"), "{said}");
    (upstream, daemon, site)
}

#[test]
fn a_site_asks_keeps_and_is_revoked_as_the_page_says() {
    let (upstream, upstream_daemon, site) = enrolled();
    let said = site.does("pointsman check");
    assert!(said.contains("upstream `main`: answers, and knows this site as `leipzig`"), "{said}");

    let warm = block("console", "cache warm");
    let said = site.does(&warm);
    assert_eq!(said.matches("100.00 kB fetched, verified").count(), 2, "{said}");
    let daemon = site.serve();
    let report = daemon.boot(&MACHINE);
    assert_eq!(report["ending"], "booted", "{report:#}");
    assert!(report.to_string().contains("/f/%40main/debian/linux"), "{report:#}");
    let said: String = block("sh", "cache list").lines().map(|line| site.does(line)).collect();
    for expect in ["@main/debian/linux ", "@main/debian/initrd.gz ", "2 files, all as they were fetched", "0 B freed"] {
        assert!(said.contains(expect), "{expect} is not in:\n{said}");
    }

    // "Revoke it, and the next question is refused, within two seconds"
    block("sh", "site revoke").lines().for_each(|line| drop(upstream.does(line)));
    let since = Instant::now();
    while site.run("pointsman check").0 == 0 {
        assert!(since.elapsed() < PATIENCE, "it is never refused");
    }
    let said = site.run("pointsman check").1;
    assert!(said.contains("upstream `main` refuses this site: ") && said.contains("1 to put right."), "{said}");
    let (code, said) = site.run("pointsman cache warm @main/debian/other");
    assert!(code == 1 && said.contains("the origin refuses: "), "{said}");

    // "boots what was last decided for it, from the cache; its screen and the log say how old that is"
    assert_eq!(upstream_daemon.stop(), Some(0));
    let report = daemon.boot(&MACHINE);
    assert_eq!(report["ending"], "booted", "{report:#}");
    assert!(report.to_string().contains("This is what it last decided, "), "{report:#}");
    daemon.wait_for_log(|line| line["message"] == "no upstream answers; what it last decided stands in");
    // "A machine that is not known starts from its own disk"
    let report = daemon.simulate(&["--mac", "52:54:00:77:77:77"]);
    assert!(!printed(&report).contains("booted"), "{}", printed(&report));
    assert_eq!(site.does(&warm).matches("are here, verified").count(), 2);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_machine_is_handed_over_as_the_page_says() {
    let customer = Server::new("[http]\nentry = true\n[[handler]]\nkind = \"script\"\n");
    let customer_daemon = customer.serve();
    let there = format!("127.0.0.1:{}", customer_daemon.port("http"));
    for with in ["style = \"redirect\"\nscript", "machines = \"named\""] {
        let site = Server::new(&block("toml", with).replace("10.20.0.5", &there));
        site.0.write("scripts/allow_boot.rhai", "fn allow_boot(request) { refer(\"customer\") }\n");
        site.0.write("scripts/boot_images.rhai", "fn boot_images(request) { refer(\"customer\") }\n");
        for cases in ["scripts/allow_boot.cases.toml", "scripts/boot_images.cases.toml"] {
            std::fs::remove_file(site.0.path(cases)).unwrap();
        }
        let daemon = site.serve();
        let report = daemon.boot(&MACHINE);
        assert_eq!(report["ending"], "booted", "{with}: {report:#}");
        assert!(report.to_string().contains(&format!("http://{there}/b/")), "{with}: {report:#}");
        assert_eq!(daemon.stop(), Some(0));
    }
}
