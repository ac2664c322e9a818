//! What firmware and iPXE ask for, as they ask for it.

use std::time::Duration;

use tokio::time::timeout;

use super::super::Limits;
use super::{BIG, PATIENCE, Running, big_file};
use crate::boot::Verdict;

// UEFI HTTP Boot

#[tokio::test]
async fn head_answers_200_with_the_length_and_get_the_same_and_the_type_is_exact() {
    let server = Running::plain().await;
    let mut wire = server.connect().await;
    for name in ["f/boot.efi", "snponly.efi"] {
        let head = wire.ask("HEAD", &server.path(name), "").await;
        let get = wire.ask("GET", &server.path(name), "").await;
        assert_eq!((&*head.status, &*get.status), ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK"));
        assert_eq!(head.field("content-length"), get.body.len().to_string());
        assert_eq!(get.field("content-length"), get.body.len().to_string());
        assert!(head.body.is_empty() && !get.body.is_empty());
        assert_eq!(get.field("content-type"), "application/efi");
    }
}

#[tokio::test]
async fn a_request_whose_host_lacks_the_port_is_served() {
    let server = Running::plain().await;
    let mut wire = server.connect().await;
    for host in ["Host: 127.0.0.1", "Host: something.else:1", "Host: "] {
        wire.write(&format!("GET {} HTTP/1.1\r\n{host}\r\n\r\n", server.path("f/boot.efi"))).await;
        assert_eq!(wire.reply(false).await.unwrap().body, b"MZ");
    }
}

#[tokio::test]
async fn a_range_with_the_same_tag_is_206_and_a_changed_tag_is_412() {
    let server = Running::plain().await;
    let mut wire = server.connect().await;
    let path = server.path("f/big");
    let tag = wire.ask("HEAD", &path, "").await.field("etag").to_owned();
    let part = wire.ask("GET", &path, &format!("Range: bytes=5000000-\r\nIf-Match: {tag}\r\n")).await;
    assert_eq!(part.status, "HTTP/1.1 206 Partial Content");
    assert_eq!(part.field("content-range"), format!("bytes 5000000-{}/{BIG}", BIG - 1));
    assert!(part.body == big_file()[5_000_000..]);
    std::fs::write(server.images.path().join("big.new"), "other").unwrap();
    std::fs::rename(server.images.path().join("big.new"), server.images.path().join("big")).unwrap();
    let part = wire.ask("GET", &path, &format!("Range: bytes=1-\r\nIf-Match: {tag}\r\n")).await;
    assert_eq!(part.status, "HTTP/1.1 412 Precondition Failed");
    let unchanged = wire.ask("GET", &path, &format!("If-None-Match: {tag}\r\n")).await;
    assert_eq!((&*unchanged.status, &*unchanged.body), ("HTTP/1.1 200 OK", &b"other"[..]));
}

#[tokio::test]
async fn no_path_is_answered_with_a_redirect() {
    let server = Running::plain().await;
    let mut wire = server.connect().await;
    let path = server.path("f/debian/linux");
    let doubled = format!("/{}", path.replace('/', "//"));
    assert_eq!(wire.ask("GET", &doubled, "").await.body, b"kernel");
    for path in
        ["/", "//", "/b", "/b/", "/b//x", &format!("{path}/"), &server.path("f/debian"), &server.path("f"), "/B/x/y"]
    {
        let status = wire.ask("GET", path, "").await.status;
        assert!(!status.contains(" 30"), "{path}: {status}");
    }
    assert_eq!(wire.ask("GET", &server.path("f/a%20b%20%C3%BC"), "").await.body, b"odd");
}

#[tokio::test]
async fn iso_and_img_have_their_efi_types() {
    let server = Running::plain().await;
    assert_eq!(server.get("f/disk.iso").await.field("content-type"), "application/vnd.efi-iso");
    assert_eq!(server.get("f/disk.IMG").await.field("content-type"), "application/vnd.efi-img");
}

// HTTP

#[tokio::test]
async fn the_status_line_has_a_reason_and_everything_a_length_and_the_connection_stays() {
    let server = Running::plain().await;
    let mut wire = server.connect().await;
    let accept = "Accept-Encoding: gzip, peerdist\r\n";
    for (path, expect) in [
        (server.path("boot.ipxe"), "HTTP/1.1 200 OK"),
        (server.path("script.ipxe"), "HTTP/1.1 200 OK"),
        (server.path("f/empty"), "HTTP/1.1 200 OK"),
        (server.path("f/nosuch"), "HTTP/1.1 404 Not Found"),
        ("/healthz".into(), "HTTP/1.1 200 OK"),
        ("/metrics".into(), "HTTP/1.1 200 OK"),
        ("/ca.crt".into(), "HTTP/1.1 200 OK"),
        ("/nosuch".into(), "HTTP/1.1 404 Not Found"),
    ] {
        let reply = wire.ask("GET", &path, accept).await;
        assert_eq!(reply.status, expect, "{path}");
        assert!(reply.field("content-length").parse::<u64>().is_ok(), "{path}");
    }
    assert_eq!(wire.ask("DELETE", "/healthz", "").await.status, "HTTP/1.1 405 Method Not Allowed");
    assert_eq!(wire.ask("POST", &server.path("boot.ipxe"), "").await.status, "HTTP/1.1 405 Method Not Allowed");
    assert!(Limits::default().head >= Duration::from_secs(15));
}

#[tokio::test]
async fn while_a_decision_is_pending_the_answer_is_503_with_retry_after_and_then_200() {
    let server = Running::plain().await;
    let (decide, pending) = tokio::sync::oneshot::channel();
    *server.rules.pending.lock().unwrap() = Some(pending);
    let reply = server.get("script.ipxe?serial=X1").await;
    assert_eq!((&*reply.status, reply.field("retry-after")), ("HTTP/1.1 503 Service Unavailable", "5"));
    decide.send(()).unwrap();
    let asked = async {
        loop {
            let reply = server.get("script.ipxe?serial=X1").await;
            if reply.status.contains(" 200 ") {
                return reply;
            }
        }
    };
    let reply = timeout(PATIENCE, asked).await.unwrap();
    assert!(reply.text().contains("echo X1\n"), "{}", reply.text());
}

#[tokio::test]
async fn facts_come_by_form_or_query_and_stay_with_the_session() {
    let server = Running::plain().await;
    let mut wire = server.connect().await;
    let form = "serial=7XK%3B+%24%7Bx%7D&platform=pcbios&nonsense=1";
    let path = server.path("script.ipxe");
    let length = form.len();
    let head = format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n");
    wire.write(&format!("POST {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n{form}")).await;
    let reply = wire.reply(false).await.unwrap();
    let text = reply.text();
    assert!(text.contains("echo 7XK; $ {x}\n") && text.contains("sanboot --no-describe"), "{text}");
    assert_eq!(reply.field("content-type"), "text/plain");
    assert_eq!(server.get("script.ipxe").await.text(), text);
    assert!(server.get("script.ipxe?serial=B").await.text().contains("echo B\n"));
}

#[tokio::test]
async fn a_form_that_is_too_long_is_refused() {
    let server = Running::plain().await;
    let mut wire = server.connect().await;
    let head = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 70000\r\n";
    let path = server.path("script.ipxe");
    wire.write(&format!("POST {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n{}", "a".repeat(70_000))).await;
    assert_eq!(wire.reply(false).await.unwrap().status, "HTTP/1.1 413 Payload Too Large");
}

#[tokio::test]
async fn a_failure_is_told_by_title_and_error() {
    let server = Running::plain().await;
    server.get("script.ipxe?serial=Debian").await;
    let text = server.get("failed.ipxe?image=one&error=2d0c613b").await.text();
    assert!(text.contains("echo Debian did not boot.\n") && text.contains("https://ipxe.org/2d0c613b"), "{text}");
    let text = server.get("failed.ipxe?image=%24%7Bx%7D%0Ashell&error=zz").await.text();
    assert!(text.contains("echo -- $ {x} shell did not boot.\n") && !text.contains("\nshell"), "{text}");
}

#[tokio::test]
async fn a_denied_machine_sees_why_and_gets_no_file() {
    let server = Running::plain().await;
    server.says(Verdict::deny("not before 18:00; shell"));
    for script in ["boot.ipxe", "autoexec.ipxe", "script.ipxe", "failed.ipxe"] {
        let reply = server.get(script).await;
        assert_eq!(reply.status, "HTTP/1.1 200 OK");
        assert!(reply.text().contains("echo not before 18:00; shell\n"), "{}", reply.text());
        assert!(reply.text().ends_with("exit 1\n"));
    }
    for file in ["f/debian/linux", "snponly.efi", "f/nosuch"] {
        let reply = server.get(file).await;
        assert_eq!(reply.status, "HTTP/1.1 403 Forbidden");
        assert_eq!(reply.text(), "access denied: not before 18:00; shell\n");
    }
}

#[tokio::test]
async fn an_ignored_machine_is_not_told_why() {
    let server = Running::plain().await;
    server.says(Verdict::ignore("secret rule"));
    let script = server.get("script.ipxe").await.text();
    assert!(script.ends_with("exit 1\n") && !script.contains("secret"), "{script}");
    assert_eq!(server.get("f/debian/linux").await.status, "HTTP/1.1 404 Not Found");
}

#[tokio::test]
async fn without_a_token_of_ours_nothing_is_served() {
    let server = Running::plain().await;
    let mut wire = server.connect().await;
    let forged = format!("{}0", &server.token[..47]);
    for token in ["", "x", &forged, &"0".repeat(48)] {
        for rest in ["boot.ipxe", "script.ipxe", "f/debian/linux", "snponly.efi"] {
            let reply = wire.ask("GET", &format!("/b/{token}/{rest}"), "").await;
            assert_eq!(reply.status, "HTTP/1.1 404 Not Found");
        }
    }
}

#[tokio::test]
async fn no_path_leaves_the_images_folder() {
    let server = Running::plain().await;
    std::os::unix::fs::symlink("/etc/passwd", server.images.path().join("link")).unwrap();
    let mut wire = server.connect().await;
    for escape in [
        "f/../../../etc/passwd",
        "f/%2e%2e/%2e%2e/etc/passwd",
        "f/..%2f..%2fetc%2fpasswd",
        "f/..%5c..%5cetc%5cpasswd",
        "f/%00",
        "f/debian%00/linux",
        "f/%ff%fe",
        "f//etc/passwd",
        "f/C:%5Cx",
        "f/link",
        "f/%252e%252e/x",
        "f/.",
        "..",
        "f/debian/../../../x",
        "%2e%2e/%2e%2e/healthz",
        "f/%0d%0aX:1",
    ] {
        let reply = wire.ask("GET", &server.path(escape), "").await;
        let status = &reply.status;
        assert!([" 400 ", " 403 ", " 404 "].iter().any(|code| status.contains(code)), "{escape}: {status}");
        assert!(!String::from_utf8_lossy(&reply.body).contains("root:"), "{escape}");
    }
}
