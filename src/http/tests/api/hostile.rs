//! Those who may not ask, and those who ask nonsense.

use proptest::prelude::*;

use super::*;
use crate::api::{EventFacts, MESSAGE_LEN_MAX, Question as Asked, Report};

#[tokio::test]
async fn without_a_certificate_or_a_token_nothing_is_answered() {
    let upstream = Upstream::start().await;
    let mut stranger = upstream.connect(None).await.unwrap();
    for path in ["allow-boot", "boot-images", "events"] {
        let reply = stranger.post(path, &question(1, Stage::Http)).await;
        assert_eq!((reply.code(), reply.field("www-authenticate")), (401, "Bearer"));
        assert!(reply.problem().contains("pointsman site enroll"), "{}", reply.problem());
    }
    let text = serde_json::to_string(&question(1, Stage::Http)).unwrap();
    let reply = stranger.post_text("allow-boot", &text, "Authorization: Bearer guess\r\n").await;
    assert_eq!(reply.code(), 403);
    assert!(upstream.oracle.asked.lock().unwrap().is_empty());
    let reply = stranger.post_text("allow-boot", &text, "Authorization: Bearer token of oslo\r\n").await;
    assert_eq!(reply.code(), 200);
    assert_eq!(&*upstream.oracle.asked.lock().unwrap()[0].network.site, "oslo");
}

#[tokio::test]
async fn a_certificate_of_another_ca_ends_the_connection() {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().unwrap();
    let foreign = identity_of(&ensure_ca(folder.path()).unwrap(), "lyon");
    // In TLS 1.3 the client learns of it with its first read.
    let answer = async {
        let mut wire = upstream.connect(Some(&foreign)).await?;
        wire.stream.write_all(b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n").await?;
        wire.reply(false).await
    };
    let error = timeout(PATIENCE, answer).await.unwrap().unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("UnknownCA") || text.contains("CertificateUnknown") || text.contains("DecryptError"),
        "{text}"
    );
    let line = "pointsman_connections_refused_total{reason=\"client certificate not taken\"} 1";
    assert!(upstream.metrics.text().contains(line), "{}", upstream.metrics.text());
}

#[tokio::test]
async fn a_site_that_is_unknown_or_revoked_is_told_so() {
    let upstream = Upstream::start().await;
    let stranger = identity_of(&upstream.authority, "lyon");
    let mut wire = upstream.connect(Some(&stranger)).await.unwrap();
    let reply = wire.post("allow-boot", &question(1, Stage::Discover)).await;
    assert_eq!(reply.code(), 403, "its certificate says lyon, and no row says so");
    assert!(reply.problem().contains("no site that this server knows"), "{}", reply.problem());
    let revoked = identity_of(&upstream.authority, "oslo");
    upstream.stands(&revoked, Some(Standing { site: "oslo".into(), is_revoked: true }));
    let mut wire = upstream.connect(Some(&revoked)).await.unwrap();
    for reply in
        [wire.post("allow-boot", &question(1, Stage::Discover)).await, wire.get("files/debian/linux", "").await]
    {
        assert_eq!(reply.code(), 403);
        assert!(reply.problem().contains("`oslo` was revoked"), "{}", reply.problem());
    }
    assert!(upstream.oracle.asked.lock().unwrap().is_empty());
    assert_eq!((upstream.count("revoked"), upstream.count("unknown site")), (2, 1));
}

#[tokio::test]
async fn a_message_that_is_old_or_came_before_is_refused() {
    let upstream = Upstream::start().await;
    let mut lyon = upstream.site("lyon").await;
    for (ahead_s, words) in [(-300, " s behind"), (300, " s ahead of")] {
        let reply = lyon.post("allow-boot", &Asked { stamp: stamp(ahead_s), ..question(1, Stage::Discover) }).await;
        assert_eq!(reply.code(), 400);
        let problem = reply.problem();
        assert!(problem.contains("clock of the site server is ") && problem.contains(words), "{problem}");
    }
    let asked = question(1, Stage::Discover);
    assert_eq!(lyon.post("allow-boot", &asked).await.code(), 200);
    for path in ["allow-boot", "boot-images"] {
        let reply = lyon.post(path, &asked).await;
        assert_eq!(reply.code(), 409);
        assert!(reply.problem().contains("clock"), "{}", reply.problem());
    }
    let mut elsewhere = upstream.connect(Some(&upstream.enrolled("lyon"))).await.unwrap();
    assert_eq!(elsewhere.post("allow-boot", &asked).await.code(), 409, "by another connection too");
    assert_eq!((upstream.count("stale"), upstream.count("repeated")), (2, 3));
}

#[tokio::test]
async fn what_is_too_long_or_makes_no_sense_is_refused() {
    let upstream = Upstream::start().await;
    let mut lyon = upstream.site("lyon").await;
    let whole = serde_json::to_value(question(1, Stage::Discover)).unwrap();
    let with = |name: &str, value: serde_json::Value| {
        let mut other = whole.clone();
        other[name] = value;
        other.to_string()
    };
    for text in [
        String::new(),
        "null".into(),
        "[]".into(),
        "{".into(),
        "{}".into(),
        "[".repeat(100_000),
        with("id", "x".into()),
        with("at", "yesterday".into()),
        with("at", "+999999999-01-01T00:00:00Z".into()),
        with("session", "xyz".into()),
        with("stage", "moon".into()),
        with("client", serde_json::json!({ "mac": "nonsense", "arch": "x64-uefi" })),
        with("client", serde_json::json!({ "mac": "02:00:00:00:00:01", "arch": "x64-uefi", "hostname": "a\nb" })),
        with("machine", serde_json::json!({ "serial": 7 })),
    ] {
        let reply = lyon.post_text("allow-boot", &text, "").await;
        assert_eq!(reply.code(), 400, "{text:.80}");
        assert!(!reply.problem().is_empty());
    }
    let many = EventFacts::Offered { images: vec![Line::clean("a"); 101], assignments: Vec::new() };
    let reply = lyon.post("events", &Report { about: question(1, Stage::Http), event: many }).await;
    assert_eq!(reply.code(), 400);
    let long = with("x", "a".repeat(MESSAGE_LEN_MAX).into());
    assert_eq!(lyon.post_text("allow-boot", &long, "").await.code(), 413);
    // Without its length in front.
    let mut other = upstream.site("lyon").await;
    other.write("POST /api/v1/allow-boot HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    other.write(&format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len())).await;
    assert_eq!(other.reply(false).await.unwrap().code(), 413);
    assert!(upstream.oracle.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_a_later_version_adds_is_passed_over() {
    let upstream = Upstream::start().await;
    let mut lyon = upstream.site("lyon").await;
    let mut asked = serde_json::to_value(question(1, Stage::Discover)).unwrap();
    asked["weather"] = "fine".into();
    asked["client"]["shoe_size"] = 43.into();
    assert_eq!(lyon.post_text("allow-boot", &asked.to_string(), "").await.code(), 200);
}

#[tokio::test]
async fn the_api_has_no_other_path_and_no_other_listener_has_it() {
    let upstream = Upstream::start().await;
    let mut lyon = upstream.site("lyon").await;
    for path in ["/", "/healthz", "/readyz", "/metrics", "/ca.crt", "/b/x/boot.ipxe", "/api/v1", "/api/v2/health"] {
        let reply = lyon.ask("GET", path, "").await;
        assert_eq!(reply.code(), 404, "{path}");
        assert!(reply.problem().contains("openapi.json"));
    }
    for (method, path) in [("GET", "allow-boot"), ("DELETE", "files/big"), ("PUT", "files/big")] {
        assert_eq!(lyon.ask(method, &format!("/api/v1/{path}"), "").await.code(), 405, "{path}");
    }
    let other = Running::plain().await;
    for path in ["/api/v1/health", "/api/v1/openapi.json", "/api/v1/files/big"] {
        assert_eq!(other.connect().await.ask("GET", path, "").await.code(), 404);
    }
}

#[tokio::test]
async fn a_site_enrolls_with_its_token_and_guesses_are_few() {
    let upstream = Upstream::start().await;
    let mut wire = upstream.connect(None).await.unwrap();
    let request = site_request().unwrap().request_pem;
    let message = |token: &str, request: &str| crate::api::Enrollment { token: token.into(), request: request.into() };
    let enrolled: Enrolled = wire.post("enroll", &message("pm1.good", &request)).await.json();
    assert_eq!(enrolled.site.as_str(), "lyon");
    assert!(enrolled.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(wire.post("enroll", &message("pm1.good", "nonsense")).await.code(), 400);
    assert_eq!(wire.post("enroll", &message("pm1.good", &"a".repeat(17 * 1024))).await.code(), 413);
    wire = upstream.connect(None).await.unwrap();
    let mut codes = Vec::new();
    for _ in 0..8 {
        codes.push(wire.post("enroll", &message("pm1.guess", &request)).await.code());
    }
    assert_eq!(codes, [403, 403, 403, 403, 403, 403, 403, 429]);
    let reply = wire.post("enroll", &message("pm1.good", &request)).await;
    assert_eq!((reply.code(), reply.field("retry-after")), (429, "60"));
    // Who has a certificate is not held up by it.
    assert_eq!(upstream.site("lyon").await.post("allow-boot", &question(1, Stage::Discover)).await.code(), 200);
}

proptest! {
    /// Whatever comes, it is a message or it is none.
    #[test]
    fn any_octets_are_read_without_panic(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = serde_json::from_slice::<Report>(&octets);
    }

    /// A good message with something else in one place.
    #[test]
    fn any_value_in_any_place_is_read_without_panic(
        at in any::<proptest::sample::Index>(),
        text in "\\PC{0,20}|[0-9a-f:.+Z-]{0,30}|[0-9]{1,30}",
        is_text in any::<bool>(),
    ) {
        let event = EventFacts::Started { image: Line::clean("a"), assignment: Line::clean("b") };
        let whole = serde_json::to_value(Report { about: question(1, Stage::Http), event }).unwrap();
        let mut paths = Vec::new();
        leaves(&whole, String::new(), &mut paths);
        let mut other = whole;
        let number: Option<serde_json::Value> = text.parse::<u64>().ok().map(Into::into);
        let new = if is_text { text.clone().into() } else { number.unwrap_or(serde_json::Value::Null) };
        *other.pointer_mut(&paths[at.index(paths.len())]).unwrap() = new;
        if let Ok(report) = serde_json::from_str::<Report>(&other.to_string()) {
            let client = Client::from(&report.about.client);
            let network = report.about.network.of_site("lyon");
            prop_assert_eq!(&*network.site, "lyon");
            prop_assert!(client.hardware.octets().len() <= 16);
            let _ = BootEvent::from(&report.event);
        }
    }
}

fn leaves(value: &serde_json::Value, path: String, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| leaves(value, format!("{path}/{name}"), found));
        }
        _ => found.push(path),
    }
}
