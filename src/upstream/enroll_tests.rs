//! Enrollment with an upstream that answers whatever it likes.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::tls::{Acceptor, Authority, ensure_ca, site_request};

struct Peer {
    _folder: tempfile::TempDir,
    authority: Authority,
    listener: TcpListener,
    acceptor: Acceptor,
}

async fn peer() -> Peer {
    let folder = tempfile::tempdir().unwrap();
    let authority = ensure_ca(folder.path()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().ip();
    let identity = authority.identity(&[], &[address], Timestamp::now()).unwrap();
    let acceptor = Acceptor::new(&identity).unwrap();
    Peer { _folder: folder, authority, listener, acceptor }
}

impl Peer {
    fn wanted(&self, state: &Path, limit: Duration) -> Enroll {
        Enroll {
            upstream: "main".into(),
            url: format!("https://{}", self.listener.local_addr().unwrap()),
            token: EnrollToken::new(self.authority.digest()).unwrap(),
            state: state.to_owned(),
            force: false,
            limit,
        }
    }

    /// Takes one request and answers this; then holds the connection open.
    async fn answer(&self, answer: &str) {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut stream = self.acceptor.accept(stream).await.unwrap();
        let mut octets = vec![0; 64 << 10];
        let mut read = 0;
        // The key is small: the request ends with the JSON object.
        while !octets[..read].ends_with(b"}") {
            read += stream.read(&mut octets[read..]).await.unwrap();
        }
        assert!(octets.starts_with(b"POST /api/v1/enroll HTTP/1.1\r\n"));
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.flush().await;
        std::future::pending().await
    }

    /// Enrolls with this answer; the error. Nothing is left behind.
    async fn refuse(&self, answer: &str, limit: Duration) -> EnrollError {
        let state = tempfile::tempdir().unwrap();
        let wanted = self.wanted(state.path(), limit);
        let error = tokio::select! {
            result = enroll(&wanted) => result.unwrap_err(),
            () = self.answer(answer) => unreachable!("it never ends"),
        };
        assert!(!state.path().join("upstream/main").exists(), "{error}");
        assert!(!error.to_string().contains(wanted.token.as_str()), "{error}");
        error
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\ncontent-type: application/json\r\n\r\n{body}", body.len())
}

fn enrolled(certificate: &str) -> String {
    ok(&serde_json::json!({ "site": "lyon", "certificate": certificate }).to_string())
}

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_answer_that_is_no_certificate_for_us_leaves_nothing() {
    let peer = peer().await;
    let for_another = peer.authority.issue_site("lyon", &site_request().unwrap().request_pem).unwrap();
    let (own, ca) = for_another.chain_pem.split_once("-----END CERTIFICATE-----\n").unwrap();
    let own = format!("{own}-----END CERTIFICATE-----\n");
    for (answer, expect) in [
        (ok("{"), "EOF"),
        (ok("[]"), "no JSON object"),
        (enrolled(""), "does not have the certificate of its CA"),
        (enrolled("-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----"), "something else than certificates"),
        (enrolled(&own), "does not have the certificate of its CA"),
        (enrolled(&format!("{own}{own}")), "does not have the certificate of its CA"),
        (enrolled(ca), "does not have the certificate of its CA"),
        (enrolled(&for_another.chain_pem), "its certificate is for another key"),
        (format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 10u64 << 30), "octets"),
        ("SSH-2.0-OpenSSH_9.6\r\n".into(), "invalid HTTP"),
        ("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n".into(), "content-length"),
        (format!("HTTP/1.1 200 OK\r\n\r\n{}", " ".repeat(2 << 20)), "octets"),
        (
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: https://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n".into(),
            "307",
        ),
    ] {
        let error = peer.refuse(&answer, LIMIT).await;
        let text = error.to_string();
        assert!(matches!(error, EnrollError::Nonsense { .. }) && text.contains(expect), "{expect}: {text}");
        assert!(text.len() < 1000, "{text}");
    }
}

#[tokio::test]
async fn what_the_upstream_says_is_quoted_clean() {
    let peer = peer().await;
    let problem = "{\"problem\": \"the token was used already\"}";
    let answer = format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\n\r\n{problem}", problem.len());
    let error = peer.refuse(&answer, LIMIT).await;
    assert_eq!(error.to_string(), "the upstream says no: the token was used already");
    let error = peer.refuse("HTTP/1.1 503 X\r\ncontent-length: 7\r\n\r\n\u{1b}[2J\nab", LIMIT).await.to_string();
    assert!(error.starts_with("the upstream says no: ") && !error.contains('\u{1b}'), "{error}");
}

#[tokio::test]
async fn an_upstream_that_hangs_is_left() {
    let peer = peer().await;
    let limit = Duration::from_secs(3);
    for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"] {
        let error = peer.refuse(answer, limit).await;
        assert!(matches!(error, EnrollError::TimedOut { .. }), "{error}");
    }
}

#[test]
fn a_token_is_read_as_it_was_printed() {
    let token = EnrollToken::new([0xab; 32]).unwrap();
    assert_eq!(token.as_str().len(), 4 + 40 + 1 + 64);
    for text in [token.as_str().to_owned(), format!(" {}\n", token.as_str())] {
        assert_eq!(text.parse().as_ref(), Ok(&token));
    }
    for text in [&token.as_str()[1..], &token.as_str()[..108], &format!("{}.", token.as_str()), "pm1..", ""] {
        assert_eq!(text.parse::<EnrollToken>(), Err(EnrollTokenError), "{text}");
    }
    assert_ne!(EnrollToken::new([0xab; 32]).unwrap(), token);
    assert!(!format!("{token:?}").contains(&token.as_str()[4..44]));
    assert!(EnrollToken::bearer().unwrap().parse::<EnrollToken>().is_err());
}

proptest! {
    #[test]
    fn what_is_no_token_is_refused(text in "(pm1\\.)?[0-9a-fé.]{0,120}") {
        if let Ok(token) = text.parse::<EnrollToken>() {
            prop_assert_eq!(token.as_str(), text.trim());
        }
    }
}
