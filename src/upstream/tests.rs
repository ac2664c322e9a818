//! Upstreams of all kinds, good and hostile, behind real sockets.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;
use crate::api::Question;
use crate::boot::{Architecture, BootRequest, Client as BootClient, SessionId, Stage, Verdict};
use crate::cache::{Origin, OriginError};
use crate::config::Config;
use crate::decision::BootEvent;

/// What a made-up server does with a request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// This status and body.
    Say(u16, String),
    /// These octets, and then nothing more; the connection stays open.
    Octets(Vec<u8>),
    /// These octets over and over.
    Endless(Vec<u8>),
    /// Nothing.
    Nothing,
    /// The connection is closed.
    Close,
}

pub(crate) fn json(text: &str) -> Reply {
    Reply::Say(200, text.into())
}

type Rule = dyn Fn(&str, usize) -> Reply + Send + Sync;

/// A server of HTTP that does as it is told; ended when dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    /// First line, fields and body of each request, as they came.
    requests: Arc<Mutex<Vec<String>>>,
    rule: Arc<Mutex<Arc<Rule>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// One that answers by the first line of a request, and how many came before it.
    pub(crate) async fn start(rule: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let rule: Arc<Mutex<Arc<Rule>>> = Arc::new(Mutex::new(Arc::new(rule)));
        let (seen, ruled) = (Arc::clone(&requests), Arc::clone(&rule));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(connection(stream, Arc::clone(&seen), Arc::clone(&ruled)));
            }
        });
        Server { port, requests, rule, _tasks: tasks }
    }

    pub(crate) fn becomes(&self, rule: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) {
        *self.rule.lock().unwrap() = Arc::new(rule);
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn section(&self, name: &str, more: &str) -> String {
        format!("[upstream.{name}]\nurl = \"http://127.0.0.1:{}\"\n{more}\n", self.port)
    }
}

async fn connection(mut stream: TcpStream, seen: Arc<Mutex<Vec<String>>>, rule: Arc<Mutex<Arc<Rule>>>) {
    while let Some(request) = read_request(&mut stream).await {
        let line = request.lines().next().unwrap_or_default().to_owned();
        let count = {
            let mut seen = seen.lock().unwrap();
            seen.push(request);
            seen.len() - 1
        };
        let rule = Arc::clone(&rule.lock().unwrap());
        let sent = match rule(&line, count) {
            Reply::Say(status, body) => {
                let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await
            }
            Reply::Octets(octets) => stream.write_all(&octets).await,
            Reply::Endless(octets) => loop {
                if let Err(error) = stream.write_all(&octets).await {
                    break Err(error);
                }
            },
            Reply::Nothing => Ok(()),
            Reply::Close => return,
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut octets = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&octets).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return Some(text);
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(count @ 1..) => octets.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}

/// The provider of TLS, as the program installs it.
pub(crate) fn with_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

pub(crate) fn config(folder: &Path, text: &str) -> Config {
    with_provider();
    let handler = "[[handler]]\nkind = \"script\"\n";
    Config::parse(&folder.join("pointsman.toml"), &format!("{handler}{text}")).unwrap_or_else(|error| panic!("{error}"))
}

fn upstream(server: &Server, more: &str) -> Upstream {
    let config = config(Path::new("/site"), &server.section("main", more));
    Upstreams::open(&config, None).unwrap().get("main").unwrap().clone()
}

pub(crate) fn request(last: u8) -> BootRequest {
    BootRequest::new(
        SessionId([last; 6]),
        Stage::Http,
        BootClient::new([0x52, 0x54, 0, 0, 0, last].into(), Architecture::X64_UEFI),
        Timestamp::now(),
    )
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_question_has_a_stamp_of_its_own_and_an_answer_is_typed() {
    let server = Server::start(|line, _| match line.contains("allow-boot") {
        true => json(r#"{"answer": {"verdict": "deny", "reason": "stolen"}, "handler": "script", "later": 1}"#),
        false => json(r#"{"images": {"images": [{"id": "d", "title": "D", "kind": "local"}]}}"#),
    })
    .await;
    let upstream = upstream(&server, "");
    let answer = upstream.allow_boot(&request(1), LONG).await.unwrap();
    assert_eq!((answer.answer, answer.handler.as_str()), (Some(Verdict::deny("stolen")), "script"));
    let answer = upstream.boot_images(&request(1), LONG).await.unwrap();
    assert_eq!((answer.answer, answer.images.unwrap().images().len()), (None, 1));
    assert_eq!(upstream.state(), UpstreamState::Up);
    let asked: Vec<Question> = server
        .requests()
        .iter()
        .map(|request| serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap())
        .collect();
    assert_ne!(asked[0].stamp.id, asked[1].stamp.id);
    assert_eq!(asked[0].session, request(1).session);
    assert!(server.requests()[0].starts_with("POST /api/v1/allow-boot HTTP/1.1\r\n"), "{:?}", server.requests());
}

#[tokio::test]
async fn hostile_answers_are_errors_in_bounded_time_and_memory() {
    let too_long = format!("HTTP/1.1 200 x\r\ncontent-length: {}\r\n\r\n", 2 << 20).into_bytes();
    let deep = format!("{{\"answer\": {}{}}}", "[".repeat(5000), "]".repeat(5000));
    for (reply, expect) in [
        (json("{"), "makes no sense: EOF"),
        (json("[]"), "no JSON object"),
        (json(r#"{"answer": "allow"}"#), "makes no sense"),
        (json(r#"{"answer": {"verdict": "perhaps"}}"#), "unknown variant `perhaps`"),
        (json(r#"{"answer": {"verdict": "deny", "reason": "${net0/mac}"}}"#), "iPXE would expand"),
        (json(r#"{"answer": {"verdict": "deny", "reason": 7}}"#), "invalid type"),
        (json(&deep), "makes no sense"),
        (Reply::Say(204, String::new()), "no content"),
        (Reply::Say(302, String::new()), "HTTP 302, as of another service"),
        (Reply::Say(200, "x".repeat(2 << 20)), "more than 1048576 octets"),
        (Reply::Octets(too_long), "more than 1048576 octets"),
        (Reply::Octets(b"SSH-2.0-OpenSSH_9\r\n".to_vec()), "cannot be reached"),
        (Reply::Octets(b"HTTP/1.1 200 x\r\ncontent-length: 5\r\n\r\n{".to_vec()), "did not answer within 300 ms"),
        (Reply::Octets(b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec()), "cannot be reached"),
        (Reply::Endless(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()), ""),
        (Reply::Nothing, "did not answer within 300 ms"),
        (Reply::Close, "cannot be reached"),
        (Reply::Say(500, "<b>oops</b>".into()), "failed (HTTP 500): <b>oops</b>"),
        (Reply::Say(403, r#"{"problem": "the site `lyon` was revoked"}"#.into()), "refuses this site: the site `lyon`"),
        (Reply::Say(429, String::new()), "at present"),
        (Reply::Say(422, String::new()), "did not take the message (HTTP 422)"),
        (Reply::Octets(b"HTTP/1.1 503 x\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n".to_vec()), "at present"),
    ] {
        let server = Server::start(move |_, _| reply.clone()).await;
        let upstream = upstream(&server, "boot_images_limit = \"300ms\"");
        let begun = std::time::Instant::now();
        let error = upstream.allow_boot(&request(1), LONG).await.unwrap_err().to_string();
        assert!(error.contains(expect) && error.contains("`main`"), "{expect}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{expect}");
    }
    // Endless, in pieces: it ends at the limit of a message.
    let chunk = [b"1000\r\n".to_vec(), vec![b' '; 4096], b"\r\n".to_vec()].concat();
    let head = b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let server = Server::start(move |_, _| Reply::Endless([head.clone(), chunk.repeat(300)].concat())).await;
    let error = upstream(&server, "").boot_images(&request(1), LONG).await.unwrap_err().to_string();
    assert!(error.contains("more than 1048576 octets"), "{error}");
}

#[tokio::test]
async fn a_question_is_asked_again_over_a_new_connection_and_a_report_is_not() {
    let (asked, told) = (
        Server::start(|_, count| if count == 0 { Reply::Close } else { json("{}") }).await,
        Server::start(|_, count| if count == 0 { Reply::Close } else { Reply::Say(204, String::new()) }).await,
    );
    assert!(upstream(&asked, "").boot_images(&request(1), LONG).await.is_ok());
    let stamps: Vec<_> =
        asked.requests().iter().map(|text| text.split_once("\"id\":").unwrap().1[..40].to_owned()).collect();
    assert_eq!(stamps.len(), 2);
    assert_ne!(stamps[0], stamps[1], "each has a stamp of its own");
    let upstream = upstream(&told, "");
    let error = upstream.report(&request(1), &BootEvent::Done).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unreachable { .. }), "{error}");
    assert_eq!(told.requests().len(), 1);
    assert_eq!(upstream.report(&request(1), &BootEvent::Done).await, Ok(()));
}

#[tokio::test]
async fn a_flood_of_machines_opens_a_bounded_number_of_connections_and_leaves_room_for_reports() {
    let server = Server::start(|line, _| match line.contains("events") {
        true => Reply::Say(204, String::new()),
        false => Reply::Nothing,
    })
    .await;
    let upstream = upstream(&server, "boot_images_limit = \"1s\"");
    let requests: Vec<_> = (0..200).map(|number| request(number as u8)).collect();
    let asked = futures_util::future::join_all(requests.iter().map(|request| upstream.boot_images(request, LONG)));
    let files: Vec<_> = (0..100).map(|number| format!("f{number}").parse().unwrap()).collect();
    let described = futures_util::future::join_all(files.iter().map(|file| upstream.describe(file)));
    let about = request(1);
    let told = async {
        while server.requests().len() < 48 + 32 {
            tokio::task::yield_now().await;
        }
        upstream.report(&about, &BootEvent::Done).await
    };
    let (asked, described, told) = tokio::join!(asked, described, told);
    assert_eq!(told, Ok(()));
    assert!(asked.iter().all(Result::is_err) && described.iter().all(Result::is_err));
    let count = |path: &str| server.requests().iter().filter(|request| request.contains(path)).count();
    assert_eq!((count("boot-images"), count("/files/"), count("events")), (48, 32, 1));
    // The places are free again, and what found none is no failure of the upstream's.
    assert!(!upstream.is_down());
    server.becomes(|_, _| json("{}"));
    assert!(upstream.boot_images(&request(1), LONG).await.is_ok());
}

#[tokio::test]
async fn a_report_that_must_not_happen_is_told_from_one_that_failed() {
    let server = Server::start(|_, _| Reply::Say(409, r#"{"problem": "it was started by another boot"}"#.into())).await;
    let error = upstream(&server, "").report(&request(1), &BootEvent::Done).await.unwrap_err();
    assert!(matches!(&error, UpstreamError::Refused { problem, .. } if problem == "it was started by another boot"));
}

#[tokio::test]
async fn while_it_is_down_nobody_waits_for_it_and_the_check_brings_it_back() {
    let server = Server::start(|_, _| Reply::Close).await;
    let config = config(Path::new("/site"), &server.section("main", "retry_after = \"1h\""));
    let upstreams = Upstreams::open(&config, None).unwrap();
    let upstream = upstreams.get("main").unwrap();
    for _ in 0..10 {
        assert!(upstream.allow_boot(&request(1), LONG).await.is_err());
    }
    assert_eq!(server.requests().len(), 6, "it is left alone after three questions, each asked twice");
    assert!(upstream.is_down());
    let health = format!("{{\"versions\": [1, 2], \"site\": \"lyon\", \"now\": \"{}\"}}", Timestamp::now());
    server.becomes(move |line, _| json(if line.contains("health") { &health } else { "{}" }));
    upstreams.watch();
    let back = async {
        while upstream.is_down() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, back).await.unwrap();
    assert!(upstream.allow_boot(&request(1), LONG).await.is_ok());
    let counts: std::collections::BTreeMap<_, _> = upstream.counts().into_iter().collect();
    assert_eq!((counts["unreachable"], counts["held_back"]), (3, 7));
}

#[tokio::test]
async fn health_tells_what_is_of_no_use() {
    let now = Timestamp::now();
    let late = now - Duration::from_secs(1000);
    for (reply, expect) in [
        (json(&format!("{{\"versions\": [2], \"site\": \"lyon\", \"now\": \"{now}\"}}")), "speaks versions [2]"),
        (json(&format!("{{\"versions\": [1], \"now\": \"{now}\"}}")), "does not know this site"),
        (json(&format!("{{\"versions\": [1], \"site\": \"lyon\", \"now\": \"{late}\"}}")), "set both by NTP"),
        (Reply::Say(404, "not found".into()), "no decision API at this address"),
    ] {
        let server = Server::start(move |_, _| reply.clone()).await;
        let error = upstream(&server, "").health_check().await.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
}

#[tokio::test]
async fn a_token_goes_with_each_request_and_is_in_no_message() {
    let server = Server::start(|_, _| Reply::Say(403, String::new())).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "s3cret\n").unwrap();
    let config = config(folder.path(), &server.section("main", "token_file = \"token\""));
    let upstreams = Upstreams::open(&config, None).unwrap();
    let error = upstreams.get("main").unwrap().allow_boot(&request(1), LONG).await.unwrap_err();
    assert!(server.requests()[0].contains("authorization: Bearer s3cret\r\n"));
    assert!(!format!("{error} {error:?} {upstreams:?}").contains("s3cret"));
    // Kept over a reload while nothing changed, and made anew with another token.
    let again = Upstreams::open(&config, Some(&upstreams)).unwrap();
    let is_same = |other: &Upstreams| other.get("main").unwrap().is_same(upstreams.get("main").unwrap());
    assert!(is_same(&again) && again.get("main").unwrap().is_down());
    let later = std::time::SystemTime::now() + Duration::from_secs(60);
    let file = std::fs::File::options().write(true).open(folder.path().join("token")).unwrap();
    file.set_modified(later).unwrap();
    assert!(!is_same(&Upstreams::open(&config, Some(&upstreams)).unwrap()));
}

#[test]
fn what_is_missing_is_named_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let check = |section: &str, expect: &[&str]| {
        let wrong = Upstreams::open(&config(folder.path(), section), None).unwrap_err();
        let text = wrong.iter().map(|(what, remedy)| format!("{what}; {remedy}")).collect::<String>();
        expect.iter().for_each(|expect| assert!(text.contains(expect), "{text}"));
    };
    check("[upstream.main]\nurl = \"https://h:4443\"", &["upstream/main/ca.pem", "pointsman site enroll"]);
    std::fs::create_dir_all(folder.path().join("state/upstream/main")).unwrap();
    std::fs::write(folder.path().join("state/upstream/main/ca.pem"), "nonsense").unwrap();
    check("[upstream.main]\nurl = \"https://h:4443\"", &["site.pem", "pointsman site enroll"]);
    std::fs::write(folder.path().join("t"), "token").unwrap();
    check("[upstream.main]\nurl = \"https://h:4443\"\ntoken_file = \"t\"", &["certificate", "pointsman site enroll"]);
}

fn answered(head: &str, body: &str) -> Reply {
    let mut octets = format!("HTTP/1.1 {head}\r\n\r\n").into_bytes();
    octets.extend_from_slice(body.as_bytes());
    Reply::Octets(octets)
}

#[tokio::test]
async fn files_are_described_read_and_vouched_for() {
    let digest = "ab".repeat(32);
    let vouched = format!("{{\"sha256\": \"{digest}\", \"length\": 5}}");
    let server = Server::start(move |line, _| match line {
        "HEAD /api/v1/files/a%20b/@s3/%23 HTTP/1.1" => answered("200 x\r\ncontent-length: 5\r\netag: \"v1\"", ""),
        line if line.starts_with("HEAD") => Reply::Say(404, String::new()),
        line if line.contains("digests") => json(&vouched),
        _ => answered("206 x\r\ncontent-length: 3\r\netag: \"v1\"\r\ncontent-range: bytes 2-4/5", "cde"),
    })
    .await;
    let upstream = upstream(&server, "");
    let name = |text: &str| text.parse::<crate::boot::FileName>().unwrap();
    let file = name("a b/@s3/#");
    let described = upstream.describe(&file).await.unwrap();
    assert_eq!((described.length, described.tag.as_str()), (5, "\"v1\""));
    assert_eq!(upstream.describe(&name("other")).await, Err(OriginError::NotFound));
    let pieces: Vec<_> = upstream.read(&file, "\"v1\"", 2).await.unwrap().collect().await;
    assert_eq!(pieces, [Ok("cde".into())]);
    let asked = server.requests().pop().unwrap();
    assert!(asked.contains("range: bytes=2-\r\n") && asked.contains("if-match: \"v1\"\r\n"), "{asked}");
    assert_eq!(upstream.digest(&file, "\"v1\"").await.unwrap().unwrap().to_string(), digest);
    assert!(server.requests().pop().unwrap().starts_with("GET /api/v1/digests/a%20b/@s3/%23 HTTP"));
    assert_eq!(upstream.read(&file, "\"v2\"", 2).await.err(), Some(OriginError::Changed), "another tag");
    assert!(upstream.read(&file, "\"v1\"", 1).await.is_err(), "another range");
    assert!(upstream.read(&file, "\"v1\"", 0).await.is_err(), "a part where the whole was wanted");
}

#[tokio::test]
async fn one_file_that_is_refused_takes_nothing_down_and_a_body_that_breaks_off_is_an_error() {
    for (reply, expect) in [
        (Reply::Say(403, r#"{"problem": "not a file that is served"}"#.into()), "the origin refuses: Forbidden"),
        (Reply::Say(412, String::new()), "changed"),
        (Reply::Say(500, String::new()), "HTTP 500"),
        (answered("200 x\r\netag: W/\"v1\"\r\ncontent-length: 1", ""), "strong ETag"),
        (answered("200 x\r\netag: \"v1\"", ""), "without its length"),
    ] {
        let server = Server::start(move |_, _| reply.clone()).await;
        let upstream = upstream(&server, "failures_max = 1");
        let error = upstream.describe(&"x".parse().unwrap()).await.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
        assert!(!upstream.is_down(), "{expect}");
    }
    let cut = Server::start(|_, count| match count {
        0 => answered("200 x\r\ncontent-length: 9\r\netag: \"v1\"", "abc"),
        _ => Reply::Close,
    })
    .await;
    let upstream = upstream(&cut, "");
    let mut pieces = upstream.read(&"x".parse().unwrap(), "\"v1\"", 0).await.unwrap();
    assert_eq!(pieces.next().await, Some(Ok("abc".into())));
    drop(cut);
    assert!(matches!(pieces.next().await, Some(Err(OriginError::Unreachable(_)))));
    assert!(pieces.next().await.is_none());
}

#[tokio::test]
async fn pixiecore_is_asked_once_for_both_questions() {
    let server = Server::start(|line, _| match line {
        "GET /v1/boot/52:54:00:00:00:01 HTTP/1.1" => json(r#"{"kernel": "k", "initrd": ["i"], "cmdline": "x"}"#),
        line if line.contains("52:54:00:00:00:02") => Reply::Say(404, "not found".into()),
        _ => json(r#"{"kernel": 7}"#),
    })
    .await;
    let upstream = upstream(&server, "kind = \"pixiecore\"");
    let allowed = upstream.allow_boot(&request(1), LONG).await.unwrap();
    let images = upstream.boot_images(&request(1), LONG).await.unwrap().images.unwrap();
    assert_eq!((allowed.answer, server.requests().len()), (Some(Verdict::allow()), 1));
    let kernel = images.images()[0].kind.sources()[0].to_string();
    assert_eq!(kernel, format!("http://127.0.0.1:{}/k", server.port));
    assert!(upstream.boot_images(&request(1), LONG).await.is_ok());
    assert_eq!(server.requests().len(), 2, "who asks again wants to know anew");
    assert_eq!(upstream.allow_boot(&request(2), LONG).await.unwrap().answer, None);
    assert_eq!(upstream.boot_images(&request(2), LONG).await.unwrap().images, None);
    assert!(upstream.allow_boot(&request(3), LONG).await.is_err());
    assert_eq!(upstream.report(&request(1), &BootEvent::Done).await, Ok(()));
}

#[tokio::test]
async fn one_that_is_only_handed_over_to_is_known_by_its_connection() {
    let server = Server::start(|_, _| Reply::Nothing).await;
    let section = |port| {
        format!(
            "[upstream.main]\nstyle = \"redirect\"\nfailures_max = 1\nscript = \"http://127.0.0.1:{port}/boot.ipxe\"\n"
        )
    };
    let open = |port| Upstreams::open(&config(Path::new("/site"), &section(port)), None).unwrap();
    let upstreams = open(server.port);
    let upstream = upstreams.get("main").unwrap();
    assert_eq!((upstream.health_check().await, upstream.state()), (Ok(None), UpstreamState::Up));
    assert!(matches!(upstream.allow_boot(&request(1), LONG).await, Err(UpstreamError::NoUrl { .. })));
    assert!(upstreams.origins().is_empty());
    let upstreams = open(1);
    assert!(upstreams.get("main").unwrap().health_check().await.is_err() && upstreams.get("main").unwrap().is_down());
}
