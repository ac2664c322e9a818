//! Machines that are handed over: to an HTTP server of the test that runs no code of ours, to another Pointsman, to boot
//! servers and files that firmware is sent to. What arrives there, and that nothing of ours does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::harness::{Daemon, Site, printed};

/// A web server that is not ours: keeps what it is asked, and answers every request with one script.
struct Elsewhere {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Elsewhere {
    fn start(script: &'static str) -> Elsewhere {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut head, mut length) = (String::new(), 0);
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|read| read > 0) {
                    let last = head.lines().last().unwrap_or_default().to_ascii_lowercase();
                    length = last.strip_prefix("content-length: ").map_or(length, |text| text.parse().unwrap());
                }
                // Who only looks whether somebody listens.
                if head.is_empty() {
                    continue;
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                kept.lock().unwrap().push(format!("{head}{}", String::from_utf8_lossy(&body)));
                let answer =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{script}", script.len());
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Elsewhere { port, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Shows every setting that could still hold something of the first server.
const SCRIPT: &str = "#!ipxe\necho left: ${filename}${chosen}${failure}${attempt}${asked}.\nexit 0\n";
const FACTS: [&str; 4] = ["--fact", "serial=7XK3N22", "--fact", "product=OptiPlex 7010"];

/// A site whose scripts refer every machine to `main`.
fn referring(upstream: &str) -> Site {
    let site =
        Site::with_rules("fn allow_boot(request) { refer(\"main\") }\nfn boot_images(request) { refer(\"main\") }\n");
    add_upstream(&site, upstream);
    site
}

fn add_upstream(site: &Site, upstream: &str) {
    let handler = "[[handler]]\nkind = \"referral\"\nupstreams = [\"main\"]\nmachines = \"named\"\n";
    site.edit("pointsman.toml", |text| {
        format!("{text}\n{handler}\n[upstream.main]\nstyle = \"redirect\"\n{upstream}\n")
    });
}

fn boot(daemon: &Daemon, more: &[&str]) -> Value {
    daemon.boot(&[&FACTS[..], more].concat())
}

/// Whether a text has a token of a session, or a path below one.
fn names_a_session(text: &str) -> bool {
    let is_token = |word: &str| word.len() >= 60 && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.contains("/b/") || text.contains("%2Fb%2F") || text.split(|c: char| !c.is_ascii_alphanumeric()).any(is_token)
}

#[test]
fn another_server_is_told_the_facts_and_nothing_of_ours() {
    let elsewhere = Elsewhere::start(SCRIPT);
    let site = referring(&format!("script = \"http://127.0.0.1:{}/2PXE/boot\"", elsewhere.port));
    let daemon = site.serve();
    let report = boot(&daemon, &[]);
    assert_eq!(report["ending"], serde_json::json!({ "exit": 0 }), "{report:#}");
    assert!(report["screen"].as_array().unwrap().contains(&"left: .".into()), "{report:#}");
    let asked = elsewhere.asked();
    let [request] = &asked[..] else { panic!("{asked:#?}") };
    assert!(request.starts_with("POST /2PXE/boot HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("serial=7XK3N22") && request.contains("product=OptiPlex%207010"), "{request}");
    assert!(!names_a_session(request), "{request}");
    let head = request.to_ascii_lowercase();
    assert!(!head.contains("referer:") && !head.contains("cookie:") && !head.contains("authorization:"), "{head}");
    // A build without forms.
    boot(&daemon, &["--no-params"]);
    let request = elsewhere.asked().pop().unwrap();
    assert!(request.starts_with("GET /2PXE/boot?asset=") && request.contains("&serial=7XK3N22&"), "{request}");
    assert!(!names_a_session(&request), "{request}");
    let decided = daemon.wait_for_log(|line| line["question"] == "allow_boot");
    assert_eq!((&decided["verdict"], &decided["reason"]), (&"refer".into(), &"main".into()), "{decided:#}");
}

/// As `chain https://boot.netboot.xyz`: no facts where none are wanted, and only when the item is chosen.
#[test]
fn a_menu_hands_over_what_is_chosen() {
    let elsewhere = Elsewhere::start(SCRIPT);
    let url = format!("http://127.0.0.1:{}/menu.ipxe", elsewhere.port);
    let site = Site::with_rules(&format!(
        "fn allow_boot(request) {{ allow() }}\nfn boot_images(request) {{\n  let xyz = #{{ id: \"xyz\", url: \"{url}?a=b\", facts: \"none\" }};\n  \
         let asked = #{{ id: \"asked\", url: \"{url}?a=b\", facts: \"query\" }};\n  \
         menu(#{{ images: [local_disk(), referral(xyz), referral(asked)], timeout: 5 }})\n}}\n"
    ));
    let daemon = site.serve();
    assert_eq!(boot(&daemon, &[])["ending"], serde_json::json!({ "exit": 1 }));
    assert_eq!(elsewhere.asked().len(), 0);
    boot(&daemon, &["--pick", "xyz"]);
    boot(&daemon, &["--pick", "asked"]);
    let asked = elsewhere.asked();
    assert!(asked[0].starts_with("GET /menu.ipxe?a=b HTTP/1.1\r\n"), "{asked:#?}");
    assert!(asked[1].starts_with("GET /menu.ipxe?a=b&asset=") && asked[1].contains("serial=7XK3N22"), "{asked:#?}");
    assert!(!asked.iter().any(|request| names_a_session(request)), "{asked:#?}");
}

#[test]
fn a_server_that_does_not_answer_is_reported_and_the_disk_starts() {
    // Nobody listens at a port that was just given back.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let site = referring(&format!("script = \"http://127.0.0.1:{port}/boot.ipxe\""));
    let daemon = site.serve();
    let output = daemon.simulate(&FACTS);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(&output)));
    assert_eq!(report["ending"], serde_json::json!({ "exit": 1 }), "{report:#}");
    let screen = report["screen"].to_string();
    assert!(screen.contains("main did not boot.") && screen.contains("Starting from the local disk."), "{screen}");
}

/// A real one, which takes machines that come without its own DHCP answer.
#[test]
fn another_pointsman_takes_over_with_a_session_of_its_own() {
    let upstream = Site::with_rules(
        "fn allow_boot(request) { allow() }\nfn boot_images(request) {\n  \
         linux(#{ id: \"debian\", kernel: \"debian/linux\", initrd: \"debian/initrd.gz\", cmdline: `serial=${request.serial}` })\n}\n",
    );
    upstream.configure("http", "entry = true");
    let main = upstream.serve();
    let site = referring(&format!("script = \"http://127.0.0.1:{}/boot\"", main.port("http")));
    let daemon = site.serve();
    let report = boot(&daemon, &["--mac", "02:00:00:00:00:07"]);
    assert_eq!(report["ending"], "booted", "{report:#}");
    let files = report["files"].to_string();
    assert!(files.contains(&format!("127.0.0.1:{}/", main.port("http"))), "{files}");
    let decided = main.wait_for_log(|line| line["question"] == "boot_images");
    assert_eq!((&decided["mac"], &decided["images"]), (&"02:00:00:00:00:07".into(), &"debian".into()), "{decided:#}");
    let here = daemon.wait_for_log(|line| line["question"] == "boot_images");
    assert_ne!(here["session"], decided["session"]);
    assert!(!daemon.log().iter().any(|line| line["message"] == "file sent" && line["file"] == "debian/linux"));
}

/// A boot server and its TFTP service, as far as one small file needs them, at an address of their own.
struct BootServer {
    ports: [String; 2],
    asked: Arc<Mutex<Vec<Vec<u8>>>>,
}

const BOOT_SERVER: &str = "127.0.0.9";
const BOOT_FILE: &str = "boot\\x64\\wdsmgfw.efi";

impl BootServer {
    fn start() -> BootServer {
        let sockets = [0, 1].map(|_| UdpSocket::bind((BOOT_SERVER, 0)).unwrap());
        let ports = [&sockets[0], &sockets[1]].map(|socket| socket.local_addr().unwrap().port().to_string());
        let asked: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let [boot_server, tftp] = sockets;
        let kept = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((len, peer)) = boot_server.recv_from(&mut buffer) {
                let request = buffer[..len].to_vec();
                let mut ack = request[..240].to_vec();
                ack[0] = 2;
                ack[20..24].copy_from_slice(&[127, 0, 0, 9]);
                ack[108..108 + BOOT_FILE.len()].copy_from_slice(BOOT_FILE.as_bytes());
                ack.extend([53, 1, 5, 60, 9]);
                ack.extend(b"PXEClient\xff");
                kept.lock().unwrap().push(request);
                boot_server.send_to(&ack, peer).unwrap();
            }
        });
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((len, peer)) = tftp.recv_from(&mut buffer) {
                let is_ours = buffer[2..len].starts_with(BOOT_FILE.as_bytes());
                let answer: &[u8] = match buffer[1] {
                    1 if is_ours => b"\0\x06blksize\x001468\0",
                    1 => b"\0\x05\0\x01not found\0",
                    4 if buffer[3] == 0 => b"\0\x03\0\x01a boot manager",
                    _ => continue,
                };
                tftp.send_to(answer, peer).unwrap();
            }
        });
        BootServer { ports, asked }
    }

    fn boot(&self, daemon: &Daemon, more: &[&str]) -> std::process::Output {
        let dhcp = daemon.port("dhcp").to_string();
        let [boot_server, tftp] = &self.ports;
        let ports = ["--dhcp-port", &dhcp, "--boot-server-port", boot_server, "--tftp-port", tftp];
        crate::harness::pointsman(&[&["simulate", "--json"], &ports[..], more].concat())
    }
}

fn report(output: &std::process::Output) -> Value {
    assert!(output.status.success(), "{}", printed(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn files() -> String {
    format!("[upstream.main.files]\nx64-uefi = {:?}\n", BOOT_FILE)
}

#[test]
fn firmware_asks_the_boot_server_of_the_list() {
    let elsewhere = BootServer::start();
    let site = referring(&format!("firmware = \"boot-servers\"\nserver = \"{BOOT_SERVER}\""));
    let daemon = site.serve();
    for architecture in ["x64-uefi", "x86-bios"] {
        let report = report(&elsewhere.boot(&daemon, &["--arch", architecture]));
        let steps = report["steps"].to_string();
        assert!(steps.contains("boot server 127.0.0.9: REQUEST -> ACK: boot"), "{steps}");
        assert!(steps.contains("wdsmgfw.efi (14 octets)"), "{steps}");
        assert_eq!(report["ending"], "chained", "iPXE is left alone: {report:#}");
    }
    let asked = elsewhere.asked.lock().unwrap();
    let item = [43, 7, 71, 4, 0x80, 0, 0, 0, 255];
    assert!(asked.iter().all(|request| request.windows(9).any(|octets| octets == item)), "{asked:02x?}");
}

#[test]
fn firmware_loads_the_file_of_another_server_and_ipxe_gets_our_script() {
    let (boot_server, elsewhere) = (BootServer::start(), Elsewhere::start(SCRIPT));
    let script = format!("script = \"http://127.0.0.1:{}/boot.ipxe\"", elsewhere.port);
    let site = referring(&format!("firmware = \"file\"\nserver = \"{BOOT_SERVER}\"\n{script}\n{}", files()));
    let daemon = site.serve();
    let report = report(&boot_server.boot(&daemon, &FACTS));
    let steps = report["steps"].to_string();
    assert!(steps.contains("firmware DISCOVER -> OFFER: boot") && steps.contains("wdsmgfw.efi (14 octets)"), "{steps}");
    assert_eq!(report["ending"], serde_json::json!({ "exit": 0 }), "{report:#}");
    assert_eq!(elsewhere.asked().len(), 1);
    // An architecture without a file: the machine gets no answer, and the log says what to write.
    let output = boot_server.boot(&daemon, &["--arch", "x86-bios", "--mac", "02:00:00:00:00:08"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("no_offer"), "{}", printed(&output));
    let missing = "write x86-bios = \\\"FILE\\\" in [upstream.main.files]";
    daemon.wait_for_log(|line| line.to_string().contains(missing));
}

#[test]
fn silence_leaves_the_machine_to_the_other_server() {
    let site = referring("firmware = \"silence\"");
    let daemon = site.serve();
    for more in [&[][..], &["--ipxe-rom"], &["--arch", "x86-bios"], &["--arch", "x64-uefi-http"]] {
        let output = daemon.simulate(more);
        assert!(String::from_utf8_lossy(&output.stdout).contains("no_offer"), "{more:?}: {}", printed(&output));
    }
    let decided = daemon.wait_for_log(|line| line["question"] == "allow_boot");
    assert_eq!(decided["verdict"], "refer", "{decided:#}");
}

/// What the rules see is what their cases and `decide` show.
#[test]
fn decide_and_cases_show_a_referral() {
    let elsewhere = Elsewhere::start(SCRIPT);
    let url = format!("http://127.0.0.1:{}/boot.ipxe", elsewhere.port);
    let site = referring(&format!("script = \"{url}\"\nfacts = \"query\""));
    site.write(
        "scripts/allow_boot.cases.toml",
        "[[case]]\nname = \"all\"\nquestion = \"allow_boot\"\nsite = \"lyon\"\nexpect = \"refer main\"\n",
    );
    let checked = site.run(&["check"]);
    assert!(checked.status.success(), "{}", printed(&checked));
    let decided = printed(&site.run(&["decide", "--stage", "discover", "--site", "lyon"]));
    assert!(decided.contains("verdict  refer: main"), "{decided}");
    assert!(decided.contains("refers the machine to main"), "{decided}");
    let decided = printed(&site.run(&["decide", "--mac", "02:00:00:00:00:01"]));
    assert!(decided.contains("(referral)"), "{decided}");
    assert!(decided.contains(&format!("chain --replace {url}?asset=")), "{decided}");
    let json = site.run(&["decide", "--stage", "discover", "--json"]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&json["verdict"], &json["upstream"], &json["firmware"]),
        (&"refer".into(), &"main".into(), &"loader".into())
    );
    assert_eq!(json["ipxe"]["facts"], "query", "{json:#}");
}

#[test]
fn rules_see_the_site() {
    let site =
        Site::with_rules("fn allow_boot(request) { deny(`site=${request.site}`) }\nfn boot_images(request) { () }\n");
    site.configure("server", "site = \"own\"");
    let own = printed(&site.run(&["decide", "--stage", "discover"]));
    assert!(own.contains("verdict  deny: site=own"), "{own}");
    let named = printed(&site.run(&["decide", "--stage", "discover", "--site", "lyon"]));
    assert!(named.contains("verdict  deny: site=lyon"), "{named}");
}
