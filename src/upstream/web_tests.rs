//! Web services that answer, are slow, endless, gone, or lead elsewhere; and questions that try to.

use std::time::Instant;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::tests::{Reply, Server};
use super::*;
use crate::tls::{Acceptor, ensure_ca};

const MINUTE: Duration = Duration::from_secs(60);

fn service(text: &str) -> Result<WebService, String> {
    let text = format!("[[handler]]\nkind = \"script\"\n[web.nac]\n{text}");
    let config = Config::parse(std::path::Path::new("/nowhere/pointsman.toml"), &text).map_err(|e| e.to_string())?;
    let services = WebServices::open(&config, None).map_err(|wrong| format!("{wrong:?}"))?;
    Ok(services.find("nac").unwrap().clone())
}

fn of(server: &Server, more: &str) -> WebService {
    service(&format!("url = \"http://127.0.0.1:{}/api\"\n{more}", server.port)).unwrap()
}

fn get(path: &[&str]) -> WebQuestion {
    WebQuestion { path: path.iter().map(|part| (*part).to_owned()).collect(), ..WebQuestion::default() }
}

#[tokio::test]
async fn parts_and_values_are_encoded() {
    let server = Server::start(|line, _| Reply::Say(200, line.to_owned())).await;
    let service = of(&server, "");
    let question = WebQuestion {
        query: vec![("mac".into(), "a&b=c d#".into()), ("x".into(), "ü".into())],
        ..get(&["mab", "a/../b?c#d%2e", "ok"])
    };
    let answer = service.ask(&question, MINUTE).await.unwrap();
    assert_eq!(
        (answer.status, &*answer.body),
        (200, "GET /api/mab/a%2F..%2Fb%3Fc%23d%252e/ok?mac=a%26b%3Dc+d%23&x=%C3%BC HTTP/1.1")
    );
    for part in [".", ".."] {
        assert!(service.ask(&get(&["mab", part]), MINUTE).await.unwrap_err().contains("lead elsewhere"));
    }
    assert!(service.ask(&get(&[&"x".repeat(5000)]), MINUTE).await.unwrap_err().contains("octets"));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn an_answer_that_says_no_is_an_answer_and_a_redirect_is_not_followed() {
    let elsewhere = Server::start(|_, _| Reply::Say(200, "secret".into())).await;
    let to =
        format!("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{}/\r\nContent-Length: 2\r\n\r\nno", elsewhere.port);
    let server = Server::start(move |line, _| match line.contains("away") {
        true => Reply::Octets(to.clone().into_bytes()),
        false => Reply::Say(404, "who?".into()),
    })
    .await;
    let service = of(&server, "");
    let ask = async |path: &str| {
        service.ask(&get(&[path]), MINUTE).await.map(|answer| (answer.status, answer.body.to_string()))
    };
    assert_eq!(ask("x").await, Ok((404, "who?".into())));
    assert_eq!(ask("away").await, Ok((302, "no".into())));
    assert_eq!(elsewhere.requests().len(), 0);
}

#[tokio::test]
async fn a_body_that_is_posted_arrives_and_is_not_remembered() {
    let server = Server::start(|_, n| Reply::Say(201, n.to_string())).await;
    let service = of(&server, "cache = \"1h\"");
    let question = WebQuestion { body: Some((b"{\"a\":1}".to_vec(), "application/json")), ..get(&["x"]) };
    for n in ["0", "1"] {
        assert_eq!(&*service.ask(&question, MINUTE).await.unwrap().body, n);
    }
    let request = server.requests().pop().unwrap();
    assert!(request.starts_with("POST /api/x") && request.ends_with("{\"a\":1}"), "{request}");
    assert!(request.to_lowercase().contains("content-type: application/json"), "{request}");
}

#[tokio::test]
async fn answers_are_remembered_and_asked_for_once_at_a_time() {
    let server = Server::start(|_, n| Reply::Say(200, n.to_string())).await;
    let (kept, fresh) = (of(&server, "cache = \"1h\""), of(&server, ""));
    let (a, b, c) = (get(&["x"]), get(&["x"]), get(&["x"]));
    let all = tokio::join!(kept.ask(&a, MINUTE), kept.ask(&b, MINUTE), kept.ask(&c, MINUTE));
    assert_eq!(server.requests().len(), 1, "{all:?}");
    assert_eq!(kept.ask(&a, MINUTE).await, all.0);
    assert_eq!(server.requests().len(), 1);
    kept.ask(&get(&["y"]), MINUTE).await.unwrap();
    fresh.ask(&a, MINUTE).await.unwrap();
    fresh.ask(&a, MINUTE).await.unwrap();
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn what_says_nothing_costs_one_wait_and_comes_back() {
    let server = Server::start(|_, _| Reply::Nothing).await;
    let service = of(&server, "timeout = \"200ms\"\nretry_after = \"300ms\"");
    let began = Instant::now();
    let why = service.ask(&get(&["x"]), MINUTE).await.unwrap_err();
    assert!(why.starts_with("no answer within") && began.elapsed() >= Duration::from_millis(190), "{why}");
    let began = Instant::now();
    for _ in 0..50 {
        let why = service.ask(&get(&["x"]), MINUTE).await.unwrap_err();
        assert!(why.starts_with("it was not asked: it does not answer since"), "{why}");
    }
    assert!(began.elapsed() < Duration::from_millis(200));
    server.becomes(|_, _| Reply::Say(200, "back".into()));
    while service.ask(&get(&["x"]), MINUTE).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_is_too_long_no_text_or_gone_is_no_answer() {
    let long = Server::start(|_, _| Reply::Say(200, "x".repeat(2000))).await;
    let endless = Server::start(|_, _| Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\nxxxxxxxx".to_vec())).await;
    for server in [&long, &endless] {
        let why = of(server, "body_max = \"1kB\"").ask(&get(&["x"]), MINUTE).await.unwrap_err();
        assert_eq!(why, "its answer cannot be used: it has more than 1000 octets");
    }
    let octets =
        Server::start(|_, _| Reply::Octets(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\xff".to_vec())).await;
    assert!(of(&octets, "").ask(&get(&["x"]), MINUTE).await.unwrap_err().contains("UTF-8"));
    let port = octets.port;
    drop(octets);
    let gone = service(&format!("url = \"http://127.0.0.1:{port}\"")).unwrap();
    let why = gone.ask(&get(&["x"]), MINUTE).await.unwrap_err();
    assert!(!why.is_empty() && !why.contains("x/"), "{why}");
}

#[tokio::test]
async fn secrets_are_sent_and_shown_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let server = Server::start(|_, _| Reply::Say(200, String::new())).await;
    let (bearer, headers) = (file("b", "s3cret\n"), file("h", "X-Api-Key: k3y\n\nX-Site: lyon\n"));
    let service = of(&server, &format!("bearer_file = \"{bearer}\"\nheaders_file = \"{headers}\""));
    service.ask(&get(&["x"]), MINUTE).await.unwrap();
    let request = server.requests().pop().unwrap().to_lowercase();
    for expect in ["authorization: bearer s3cret", "x-api-key: k3y", "x-site: lyon"] {
        assert!(request.contains(expect), "{request}");
    }
    assert!(!format!("{service:?}").contains("s3cret"));
    let wrong = |text: &str, expect: &str| {
        let told = self::service(text).unwrap_err();
        assert!(told.contains(expect) && !told.contains("s3cret"), "{told}");
    };
    let bad = file("bad", "s3cret");
    wrong(&format!("url = \"https://h/\"\nheaders_file = \"{bad}\""), "line 1 is no header");
    wrong("url = \"https://h/\"\nbearer_file = \"/nowhere/b\"", "bearer_file: /nowhere/b");
    wrong(&format!("url = \"http://h/\"\nbearer_file = \"{bearer}\""), "plain text");
    wrong(&format!("url = \"https://h/\"\nca = \"{bearer}\""), ".ca: ");
    wrong("", "there is no url");
    wrong("url = \"https://h/?x=1\"", "no URL that a path can be put behind");
    wrong("url = \"https://h/\"\nbody_max = \"1MB\"", "out of range");
}

#[tokio::test]
async fn tls_is_verified_by_the_ca_of_the_section() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (authority, other) = (ensure_ca(ours.path()).unwrap(), ensure_ca(theirs.path()).unwrap());
    let identity = authority.identity(&[], &["127.0.0.1".parse().unwrap()], jiff::Timestamp::now()).unwrap();
    let acceptor = Acceptor::new(&identity).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut octets = [0; 1000];
            let _ = stream.read(&mut octets).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsafe").await;
        }
    });
    let ask = async |ca: &str| {
        let path = ours.path().join("used.pem");
        std::fs::write(&path, ca).unwrap();
        let service = service(&format!("url = \"https://127.0.0.1:{port}\"\nca = \"{}\"", path.display())).unwrap();
        service.ask(&get(&["x"]), MINUTE).await.map(|answer| answer.body.to_string())
    };
    assert_eq!(ask(authority.pem()).await.as_deref(), Ok("safe"));
    let why = ask(other.pem()).await.unwrap_err();
    assert!(why.contains("another CA"), "{why}");
    server.abort();
}

proptest! {
    /// Whatever a machine claims, the question goes to the service's own path.
    #[test]
    fn no_claim_leaves_the_path(part in "\\PC{0,40}", value in "\\PC{0,40}") {
        let service = service("url = \"https://nac.example.com/api\"").unwrap();
        let question = WebQuestion { query: vec![("q".into(), value.clone())], ..get(&["mab", &part]) };
        if let Ok(url) = service.url(&question) {
            prop_assert_eq!(url.host_str(), Some("nac.example.com"));
            prop_assert!(url.path().starts_with("/api/mab"), "{}", url);
            prop_assert!(url.path_segments().unwrap().count() <= 3, "{}", url);
            prop_assert_eq!(url.query_pairs().next().map(|(_, v)| v.into_owned()), Some(value));
            prop_assert_eq!(url.fragment(), None);
        }
    }
}
