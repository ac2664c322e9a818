//! Webhooks: a real receiver on a socket is told what happens, signed; while it is down, slow or full, no boot waits.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use serde_json::Value;

use crate::harness::{Daemon, PATIENCE, Site, pointsman, printed};

const SECRET: &str = "3f1c0a5d8e7b46219c0d4f5a6b7c8d9e";
const RULES: &str = r#"
fn allow_boot(request) {
    if request.mac == "02:00:00:00:00:0d" { return deny("stolen in May"); }
    allow()
}
fn boot_images(request) { linux(#{ id: "debian", kernel: "debian/linux", cmdline: "tell={done_url} or={failed_url}" }) }
"#;

/// A request that came.
struct Told {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Told {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn event(&self) -> String {
        self.json()["event"].as_str().unwrap().to_owned()
    }
}

/// Answers each request as this says, and hands it on.
fn receiver(listener: TcpListener, mut answer: impl FnMut(&Told) -> String + Send + 'static) -> mpsc::Receiver<Told> {
    let (sender, told) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut reader = BufReader::new(&stream);
            while let Some(message) = request(&mut reader) {
                let answer = answer(&message);
                if sender.send(message).is_err() || (&stream).write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    told
}

fn request(reader: &mut impl BufRead) -> Option<Told> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    assert!(line.starts_with("POST /hook/token-of-the-url HTTP/1.1"), "{line}");
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").unwrap().1.parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Told { headers, body })
}

fn ok(_: &Told) -> String {
    "HTTP/1.1 204 No Content\r\n\r\n".into()
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

fn site(at: SocketAddr, keys: &str) -> Site {
    let site = Site::with_rules(RULES);
    site.write("state/webhook.secret", &format!("{SECRET}\n"));
    site.edit("pointsman.toml", |text| {
        format!(
            "{text}\n[[events.webhook]]\nname = \"test\"\nurl = \"http://{at}/hook/token-of-the-url\"\n\
             secret_file = \"state/webhook.secret\"\n{keys}\n"
        )
    });
    site
}

fn next(told: &mpsc::Receiver<Told>) -> Told {
    told.recv_timeout(PATIENCE).expect("a message")
}

/// The number behind a series of the metrics page; waits until it is this.
fn wait_for_count(daemon: &Daemon, outcome: &str, is_it: impl Fn(u64) -> bool) -> u64 {
    let since = Instant::now();
    loop {
        let page = daemon.get("/metrics");
        let line = page.lines().find(|line| {
            line.starts_with("pointsman_webhook_events_total") && line.contains(&format!("outcome=\"{outcome}\""))
        });
        let count = line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0);
        if is_it(count) {
            return count;
        }
        assert!(since.elapsed() < PATIENCE, "{outcome} is {count}\n{page}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn says_no_secret(daemon: &Daemon) {
    let log = format!("{:?}", daemon.log());
    assert!(!log.contains(SECRET) && !log.contains("token-of-the-url"), "{log}");
    assert!(!daemon.get("/metrics").contains("token-of-the-url"));
}

#[test]
fn what_happens_is_told_in_its_order_and_signed() {
    let (listening, at) = listener();
    let told = receiver(listening, ok);
    let site = site(at, "events = [\"deny\", \"offered\", \"done\", \"failed\"]");
    let daemon = site.serve();
    daemon.boot(&["--mac", "52:54:00:00:00:01", "--done"]);
    daemon.boot(&["--mac", "52:54:00:00:00:02", "--failed", "disk too small"]);
    let denied = daemon.simulate(&["--mac", "02:00:00:00:00:0d"]);
    assert!(!denied.status.success() || printed(&denied).contains("stolen in May"), "{}", printed(&denied));
    let messages: Vec<Told> = (0..5).map(|_| next(&told)).collect();
    let events: Vec<String> = messages.iter().map(Told::event).collect();
    assert_eq!(events, ["offered", "done", "offered", "failed", "deny"]);
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    for message in &messages {
        let digits = message.header("x-pointsman-signature").strip_prefix("sha256=").unwrap();
        let tag: Vec<u8> =
            (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).unwrap()).collect();
        hmac::verify(&key, &message.body, &tag).expect("the signature is good");
        let json = message.json();
        assert_eq!(message.header("x-pointsman-event"), json["event"].as_str().unwrap());
        assert_eq!(message.header("x-pointsman-delivery"), json["id"].as_str().unwrap());
        assert_eq!(message.header("content-type"), "application/json");
    }
    let failed = messages[3].json();
    assert_eq!(failed["machine"]["mac"], "52:54:00:00:00:02");
    assert_eq!(failed["detail"]["reason"], "disk too small");
    assert_eq!(messages[4].json()["detail"]["reason"], "stolen in May");
    wait_for_count(&daemon, "delivered", |count| count == 5);
    says_no_secret(&daemon);
}

#[test]
fn what_nobody_takes_is_tried_again_until_somebody_does() {
    let (listening, at) = listener();
    // Nobody is there at first.
    drop(listening);
    let site = site(at, "");
    let daemon = site.serve();
    let began = Instant::now();
    daemon.boot(&["--mac", "52:54:00:00:00:01", "--done"]);
    assert!(began.elapsed() < PATIENCE, "the boot does not wait");
    daemon.wait_for_log(|line| line["message"].to_string().contains("does not take messages"));
    // Overloaded twice, and then it takes everything.
    let mut left = 2;
    let busy = move |told: &Told| {
        if left > 0 {
            left -= 1;
            return "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".into();
        }
        ok(told)
    };
    let told = receiver(TcpListener::bind(at).unwrap(), busy);
    let messages: Vec<Told> = (0..4).map(|_| next(&told)).collect();
    let events: Vec<String> = messages.iter().map(Told::event).collect();
    assert_eq!(events, ["offered", "offered", "offered", "done"]);
    let ids: Vec<Value> = messages.iter().map(|message| message.json()["id"].clone()).collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3], "{ids:?}");
    daemon.wait_for_log(|line| line["message"].to_string().contains("takes messages again"));
    assert_eq!(wait_for_count(&daemon, "delivered", |count| count == 2), 2);
    says_no_secret(&daemon);
}

#[test]
fn a_slow_receiver_holds_no_boot_and_what_does_not_fit_is_dropped_and_counted() {
    // Connections are taken, and never answered.
    let (listening, at) = listener();
    let site = site(at, "timeout = \"400ms\"\nretry_for = \"1s\"\nqueue_max = 2");
    let daemon = site.serve();
    for number in 1..=4 {
        let report = daemon.boot(&["--mac", &format!("52:54:00:00:00:0{number}"), "--done"]);
        assert_eq!(report["ending"], "booted");
    }
    daemon.wait_for_log(|line| line["message"].to_string().contains("too many messages wait"));
    let dropped = wait_for_count(&daemon, "dropped_queue_full", |count| count > 0);
    // What found a place is given up in the end.
    wait_for_count(&daemon, "dropped_undelivered", |count| count == 8 - dropped);
    assert_eq!(daemon.stop(), Some(0));
    drop(listening);
}

#[test]
fn a_redirect_is_not_followed_and_a_no_is_final() {
    let (elsewhere, other) = listener();
    let stranger = receiver(elsewhere, ok);
    let (listening, at) = listener();
    let told = receiver(listening, move |told| match told.event().as_str() {
        "offered" => {
            let to = format!("Location: http://{other}/hook/token-of-the-url");
            format!("HTTP/1.1 307 Go\r\n{to}\r\nContent-Length: 0\r\n\r\n")
        }
        _ => "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n".into(),
    });
    let site = site(at, "");
    let daemon = site.serve();
    daemon.boot(&["--done"]);
    assert_eq!([next(&told).event(), next(&told).event()], ["offered", "done"]);
    wait_for_count(&daemon, "dropped_refused", |count| count == 2);
    let line = daemon.wait_for_log(|line| line["message"].to_string().contains("refuses a message"));
    assert!(line["why"].to_string().contains("redirects are not followed"), "{line}");
    assert!(stranger.try_recv().is_err(), "the other server was told nothing");
    assert!(told.try_recv().is_err(), "nothing is tried again");
}

#[test]
fn a_reload_brings_another_receiver_and_what_waits_is_tried_at_the_end() {
    let (first, at) = listener();
    let told = receiver(first, ok);
    let site = site(at, "");
    let daemon = site.serve();
    daemon.boot(&["--mac", "52:54:00:00:00:01"]);
    assert_eq!(next(&told).event(), "offered");
    let (second, there) = listener();
    site.edit("pointsman.toml", |text| text.replace(&at.to_string(), &there.to_string()));
    daemon.wait_for_log(|line| line["message"].to_string().contains("the new rules decide"));
    let told_there = receiver(second, ok);
    daemon.boot(&["--mac", "52:54:00:00:00:02"]);
    let message = next(&told_there);
    assert_eq!((message.event().as_str(), &message.json()["machine"]["mac"]), ("offered", &"52:54:00:00:00:02".into()));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn what_cannot_be_told_is_refused_by_check() {
    let told = |keys: &str| {
        let site = Site::new();
        site.edit("pointsman.toml", |text| text + "\n[[events.webhook]]\n" + keys + "\n");
        let output = pointsman(&["--config", &site.config(), "check"]);
        assert!(!output.status.success(), "{keys}");
        printed(&output)
    };
    assert!(told("").contains("events.webhook[0]: there is no url"));
    assert!(told("url = \"ftp://h/\"").contains("write url = \"https://HOST/PATH\""));
    assert!(told("url = \"https://u:p@h/\"").contains("leave them out"));
    let unknown = told("url = \"https://h/\"\nevents = [\"finished\"]");
    assert!(unknown.contains("`finished` is no event"), "{unknown}");
    assert!(told("url = \"https://h/\"\nqueue_max = 0").contains("queue_max is out of range"));
    assert!(told("url = \"https://h/\"\nsecret_file = \"nowhere\"").contains("openssl rand"));
    let twice = told("url = \"https://h/a\"\n[[events.webhook]]\nurl = \"https://h/b\"");
    assert!(twice.contains("give each its own name"), "{twice}");
}

/// A program that ends with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The receiver that the documentation shows, as it stands there.
#[test]
fn servers_in_python_as_the_docs_show_verify_what_they_are_told() {
    let page = include_str!("../../docs/watch-boots.md");
    let shown = page.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
    let (listening, at) = listener();
    drop(listening);
    assert!(shown.contains("8099"), "the port of the page");
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::write(folder.path().join("inventory.secret"), format!("{SECRET}\n")).unwrap();
    let mut command = Command::new("python3");
    command.args(["-c", &shown.replace("8099", &at.port().to_string())]).current_dir(folder.path());
    let mut receiver = Program(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut lines = BufReader::new(receiver.0.stdout.take().unwrap()).lines();
    let site = site(at, "events = [\"done\", \"failed\"]");
    let daemon = site.serve();
    daemon.boot(&["--mac", "52:54:00:00:00:01", "--done"]);
    let line = lines.next().unwrap().unwrap();
    assert!(line.contains("52:54:00:00:00:01 done {}"), "{line}");
    // Without a good signature nothing is read.
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(
            b"POST / HTTP/1.1\r\nX-Pointsman-Signature: sha256=00\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        )
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    daemon.boot(&["--mac", "52:54:00:00:00:02", "--failed", "disk too small"]);
    let line = lines.next().unwrap().unwrap();
    assert!(line.contains("52:54:00:00:00:02 failed {'reason': 'disk too small'}"), "{line}");
}
