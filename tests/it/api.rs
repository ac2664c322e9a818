//! The decision API of a real daemon, asked by site servers made of `reqwest`: enrollment, both ways to show who asks,
//! revocation, and assignments of the store.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use pointsman::api::{ClientFacts, Digest, Enrolled, Enrollment, EventFacts, ImagesAnswer, Question, Report, Stamp};
use pointsman::boot::{Architecture, Client, Line, SessionId, Stage};
use pointsman::config::Config;
use pointsman::store::{Name, SiteToken, Store};
use pointsman::tls::site_request;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::assignments::{run, state};
use crate::harness::{Daemon, PATIENCE, Site};

/// An upstream that serves its API, and its store.
struct Upstream {
    daemon: Daemon,
    store: Store,
    site: Site,
}

/// Serves a site with the API.
fn serve(site: Site) -> Upstream {
    site.configure("api", "enabled = true\nport = 0");
    let daemon = site.serve();
    let store = Store::open(&Config::read(site.config().as_ref()).unwrap()).unwrap();
    Upstream { daemon, store, site }
}

/// A site server, as it appears on the wire.
struct Asker {
    http: reqwest::Client,
    base: String,
}

impl Upstream {
    /// A client that trusts the upstream's CA; with a certificate and its key (PEM), or a bearer token.
    fn client(&self, identity: Option<&str>, token: Option<&str>) -> Asker {
        let ca = std::fs::read(self.site.path("state/ca.pem")).unwrap();
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        }
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .default_headers(headers)
            .tls_certs_only(reqwest::Certificate::from_pem_bundle(&ca).unwrap());
        if let Some(pem) = identity {
            builder = builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).unwrap());
        }
        let base = format!("https://127.0.0.1:{}/api/v1", self.daemon.port("api"));
        Asker { http: builder.build().unwrap(), base }
    }

    /// A site that is let in, with the certificate that it got by its token.
    async fn enrolled(&self, name: &str) -> Asker {
        let now = Timestamp::now();
        let token = format!("pm1.{name}");
        let until = now + Duration::from_secs(600);
        self.store.add_site(&named(name), SiteToken::Enrollment(&token, until), now).await.unwrap();
        let request = site_request().unwrap();
        let message = Enrollment { token, request: request.request_pem };
        let response = self.client(None, None).post("enroll", &message).await;
        assert_eq!(response.status(), 200);
        let enrolled: Enrolled = response.json().await.unwrap();
        assert_eq!(enrolled.site.as_str(), name);
        self.client(Some(&format!("{}{}", enrolled.certificate, request.key_pem)), None)
    }
}

impl Asker {
    async fn post(&self, path: &str, message: &impl Serialize) -> reqwest::Response {
        self.http.post(format!("{}/{path}", self.base)).json(message).send().await.unwrap()
    }

    async fn status(&self, path: &str, message: &impl Serialize) -> u16 {
        self.post(path, message).await.status().as_u16()
    }
}

fn named(name: &str) -> Name {
    name.parse().unwrap()
}

/// What a site server asks of the machine that the store knows.
fn question(session: u8) -> Question {
    let client = Client::new([0x52, 0x54, 0, 0, 0, 7].into(), Architecture::X86_BIOS);
    Question {
        stamp: Stamp { id: Uuid::new_v4(), at: Timestamp::now() },
        session: SessionId([session; 6]),
        stage: Stage::Http,
        client: ClientFacts::from(&client),
        network: pointsman::api::NetworkFacts::default(),
        machine: [("serial".into(), "X7".into())].into(),
        person: None,
        asks: false,
    }
}

const RULES: &str = "fn allow_boot(r) { if r.site == \"oslo\" { deny(`closed at ${r.site}`) } else { allow() } }\n\
                     fn boot_images(r) { linux(#{ id: \"debian\", title: r.site, kernel: \"debian/linux\" }) }";

#[tokio::test(flavor = "multi_thread")]
async fn a_site_enrolls_asks_by_its_name_gets_files_and_is_revoked() {
    let upstream = serve(Site::with_rules(RULES));
    let (lyon, oslo) = (upstream.enrolled("lyon").await, upstream.enrolled("oslo").await);
    let answer: ImagesAnswer = lyon.post("boot-images", &question(1)).await.json().await.unwrap();
    assert_eq!(answer.images.unwrap().images()[0].title.as_str(), "lyon");
    let denied: Value = oslo.post("allow-boot", &question(1)).await.json().await.unwrap();
    assert_eq!(denied["answer"]["reason"], "closed at oslo");
    let line = upstream.daemon.wait_for_log(|line| line["message"] == "boot decided" && line["verdict"] == "deny");
    assert_eq!((&line["site"], &line["reason"]), (&"oslo".into(), &"closed at oslo".into()));
    let file = lyon.http.get(format!("{}/files/debian/linux", lyon.base)).send().await.unwrap();
    assert_eq!(file.bytes().await.unwrap().len(), 100_000);
    upstream.store.revoke_site(&named("lyon"), Timestamp::now()).await.unwrap();
    let since = Instant::now();
    // At once: the answer of the store is remembered for two seconds.
    while lyon.status("allow-boot", &question(1)).await != 403 {
        assert!(since.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    assert_eq!(oslo.status("allow-boot", &question(1)).await, 200);
    assert!(upstream.daemon.get("/metrics").contains("pointsman_api_requests_total{outcome=\"revoked\"} 1"));
    assert!(upstream.daemon.get("/api/v1/health").starts_with("HTTP/1.1 404"), "not by plain HTTP");
    let seen = upstream.store.site(&named("oslo")).await.unwrap().unwrap().last_seen;
    assert!(seen.is_some(), "when it was last heard of is known");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_come_with_one_token_one_gets_in() {
    let upstream = serve(Site::with_rules(RULES));
    let now = Timestamp::now();
    let until = now + Duration::from_secs(600);
    upstream.store.add_site(&named("lyon"), SiteToken::Enrollment("pm1.once", until), now).await.unwrap();
    let stranger = upstream.client(None, None);
    let message = || Enrollment { token: "pm1.once".into(), request: site_request().unwrap().request_pem };
    let (one, other) = (message(), message());
    let mut codes: [u16; 2] = tokio::join!(stranger.status("enroll", &one), stranger.status("enroll", &other)).into();
    codes.sort_unstable();
    assert_eq!(codes, [200, 403]);
    let refused: Value = stranger.post("enroll", &message()).await.json().await.unwrap();
    assert!(refused["problem"].as_str().unwrap().contains("the token was used already"), "{refused}");
    assert_eq!(stranger.status("allow-boot", &question(1)).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_token_is_as_good_as_a_certificate() {
    let upstream = serve(Site::with_rules(RULES));
    upstream.store.add_site(&named("rome"), SiteToken::Bearer("pm2.secret"), Timestamp::now()).await.unwrap();
    let rome = upstream.client(None, Some("pm2.secret"));
    let answer: ImagesAnswer = rome.post("boot-images", &question(1)).await.json().await.unwrap();
    assert_eq!(answer.images.unwrap().images()[0].title.as_str(), "rome");
    assert_eq!(upstream.client(None, Some("pm2.guess")).status("allow-boot", &question(1)).await, 403);
    let text: String = upstream.daemon.log().iter().map(Value::to_string).collect();
    assert!(!text.contains("pm2."), "no token is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assignment_is_done_once_and_only_in_the_boot_that_it_was_offered_to() {
    let upstream = serve(crate::assignments::site());
    run(&upstream.site, &["assign", "lab-07", "debian", "--mandatory", "--countdown", "0"]);
    let (lyon, oslo) = (upstream.enrolled("lyon").await, upstream.enrolled("oslo").await);
    let answer: ImagesAnswer = lyon.post("boot-images", &question(1)).await.json().await.unwrap();
    let assignment = Line::clean(answer.images.unwrap().assignments().next().unwrap());
    let image = || Line::clean("debian");
    let report = |event| Report { about: question(1), event };
    let offered = EventFacts::Offered { images: vec![image()], assignments: vec![assignment.clone()] };
    let started = EventFacts::Started { image: image(), assignment };
    assert_eq!(lyon.status("events", &report(offered)).await, 204);
    assert_eq!(state(&upstream.site), "offered");
    // The same words of another site are about another boot.
    assert_eq!(oslo.status("events", &report(started.clone())).await, 409);
    assert_eq!(state(&upstream.site), "offered");
    let once = report(started.clone());
    assert_eq!(lyon.status("events", &once).await, 204);
    assert_eq!(state(&upstream.site), "started");
    assert_eq!(lyon.status("events", &once).await, 409, "the same message");
    let next: ImagesAnswer = lyon.post("boot-images", &question(2)).await.json().await.unwrap();
    assert_eq!(next.images.map_or(0, |images| images.assignments().count()), 0, "it is spent");
    let late = Report { about: question(2), event: started };
    assert_eq!(lyon.status("events", &late).await, 409, "another boot does not begin it");
}

#[test]
fn files_of_another_origin_go_to_the_site_with_their_digests() {
    // It has a runtime of its own, which cannot end within another.
    let server = crate::library::server();
    let upstream = serve(crate::library::site(&server, ""));
    tokio::runtime::Runtime::new().unwrap().block_on(load_from_another_origin(&upstream));
}

async fn load_from_another_origin(upstream: &Upstream) {
    let lyon = upstream.enrolled("lyon").await;
    let answer: ImagesAnswer = lyon.post("boot-images", &question(1)).await.json().await.unwrap();
    let images = answer.images.unwrap();
    let name = images.images()[0].kind.sources()[0].to_string();
    assert_eq!(name, "@s3/debian/linux");
    let file = lyon.http.get(format!("{}/files/{name}", lyon.base)).send().await.unwrap();
    assert_eq!(file.status(), 200);
    let tag = file.headers()["etag"].clone();
    assert!(file.bytes().await.unwrap().iter().eq([b'k'; 300_000].iter()));
    let asked = lyon.http.get(format!("{}/digests/{name}", lyon.base)).header("if-match", tag);
    let digest: Digest = asked.send().await.unwrap().json().await.unwrap();
    let expect = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &[b'k'; 300_000]);
    let digits: String = expect.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!((digest.sha256, digest.length), (digits, 300_000));
}

#[test]
fn without_its_section_the_api_is_not_served() {
    let daemon = Site::new().serve();
    let line = daemon.wait_for_log(|line| line["message"] == "serving");
    assert_eq!(line.get("api"), None);
}
