//! What scripts reach, with a running server: a web service that goes away, notes over a restart and on two servers, a
//! data file that changes.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::harness::{Daemon, Site, printed};
use crate::servers::Postgres;

/// A web service that answers with who asked, or says nothing at all.
struct Service {
    port: u16,
    is_silent: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    _thread: JoinHandle<()>,
}

impl Service {
    fn start() -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (is_silent, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (silent, count) = (Arc::clone(&is_silent), Arc::clone(&asked));
        // It ends with the process: accept has nothing to wake it.
        let thread = std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let mut octets = [0; 4096];
                let length = stream.read(&mut octets).unwrap_or(0);
                count.fetch_add(1, Ordering::SeqCst);
                if silent.load(Ordering::SeqCst) {
                    held.push(stream);
                    continue;
                }
                let line = String::from_utf8_lossy(&octets[..length]).lines().next().unwrap_or_default().to_owned();
                let body = format!("{{\"line\": \"{line}\"}}");
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(format!("{head}{body}").as_bytes());
            }
        });
        Service { port, is_silent, asked, _thread: thread }
    }
}

/// What the machine with this number is told on its screen.
fn screen(daemon: &Daemon, mac: u8) -> String {
    let report = daemon.boot(&["--ipxe-rom", "--mac", &format!("52:54:00:00:02:{mac:02x}")]);
    report["screen"].to_string()
}

#[test]
fn a_web_service_that_goes_away_costs_one_wait() {
    let service = Service::start();
    let rules = "fn allow_boot(request) { allow() }\nfn boot_images(request) {\n\
    try { return ipxe(\"echo \" + http_get(\"nac\", [\"mab\", request.mac]).json.line); } catch (error) { return ipxe(`echo failed ${error}`); }\n}\n";
    let site = Site::with_rules(rules);
    let web = format!(
        "[web.nac]\nurl = \"http://127.0.0.1:{}/api\"\ntimeout = \"500ms\"\nretry_after = \"1h\"\n",
        service.port
    );
    site.edit("pointsman.toml", |text| format!("{text}\n{web}"));
    let daemon = site.serve();
    let script = |mac: u8| {
        let report = daemon.boot(&["--ipxe-rom", "--mac", &format!("52:54:00:00:02:{mac:02x}")]);
        report["script"].to_string()
    };
    let first = script(1);
    assert!(first.contains("GET /api/mab/52:54:00:00:02:01 HTTP/1.1"), "{first}");
    service.is_silent.store(true, Ordering::SeqCst);
    let second = script(2);
    assert!(second.contains("failed") && second.contains("no answer within"), "{second}");
    let asked = service.asked.load(Ordering::SeqCst);
    let began = Instant::now();
    for mac in 3..6 {
        let next = script(mac);
        assert!(next.contains("it was not asked"), "{next}");
    }
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(service.asked.load(Ordering::SeqCst), asked, "nobody asks it meanwhile");
}

const COUNTS: &str = "fn allow_boot(request) { allow() }\nfn boot_images(request) {\n\
    state.add(\"tries\", 1); count(\"tried\");\n ipxe(`echo this is try ${state.get(\"tries\")}`)\n}\n";

fn tries(daemon: &Daemon) -> String {
    let report = daemon.boot(&["--ipxe-rom", "--mac", "52:54:00:00:02:77"]);
    let script = report["script"].to_string();
    script.split("this is try ").nth(1).unwrap_or(&script).chars().take_while(char::is_ascii_digit).collect()
}

#[test]
fn notes_outlive_the_server_and_a_dry_run_changes_none() {
    let site = Site::with_rules(COUNTS);
    let daemon = site.serve();
    assert_eq!(tries(&daemon), "1");
    assert!(daemon.get("/metrics").contains("pointsman_script_events_total{name=\"tried\"} 1"));
    assert_eq!(daemon.stop(), Some(0));
    let dry = site.run(&["decide", "--mac", "52:54:00:00:02:77"]);
    assert!(printed(&dry).contains("this is try") || dry.status.success(), "{}", printed(&dry));
    let daemon = site.serve();
    assert_eq!(tries(&daemon), "2");
    let list = printed(&site.run(&["notes", "list"]));
    assert!(list.contains("tries") && list.contains(" 2 "), "{list}");
    let machine = list.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert!(site.run(&["notes", "set", &machine, "tries", "40"]).status.success());
    assert_eq!(tries(&daemon), "41");
    assert!(site.run(&["notes", "clear", &machine]).status.success());
    assert_eq!(tries(&daemon), "1");
}

#[test]
fn servers_share_the_notes_of_machines() {
    let database = Postgres::start();
    let sites = [Site::with_rules(COUNTS), Site::with_rules(COUNTS)];
    for site in &sites {
        site.configure("store", "database = \"main\"\n");
        site.edit("pointsman.toml", |text| format!("{text}\n[database.main]\nurl = \"{}\"\n", database.url()));
    }
    let daemons = [sites[0].serve(), sites[1].serve()];
    let all: Vec<String> = [0, 1, 0, 1].iter().map(|at| tries(&daemons[*at])).collect();
    assert_eq!(all, ["1", "2", "3", "4"]);
}

#[test]
fn a_data_file_that_changes_is_read_again_and_a_broken_one_is_not_taken_over() {
    let rules = "fn allow_boot(request) { deny(data(\"site.yaml\").greeting) }\n";
    let site = Site::with_rules(rules);
    site.write("data/site.yaml", "greeting: good morning\n");
    let daemon = site.serve();
    assert!(screen(&daemon, 1).contains("good morning"));
    site.write("data/site.yaml", "greeting: good evening\n");
    daemon.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.starts_with("reloaded")));
    assert!(screen(&daemon, 2).contains("good evening"));
    site.write("data/site.yaml", "greeting: good\ngreeting: bad\n");
    let line = daemon.wait_for_log(|line| line["level"] == "ERROR");
    assert!(line["message"].as_str().unwrap().contains("site.yaml:2:"), "{line}");
    assert!(screen(&daemon, 3).contains("good evening"));
}
