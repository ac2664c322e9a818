//! What a machine is told and what it reports, from the offer of an assignment to the installer's last word.

use super::super::Limits;
use super::*;
use crate::boot::Menu;
use crate::tls;

const NO: &str = "order 17 was withdrawn; shell";

fn image(id: &str, assignment: Option<&str>) -> BootImage {
    let source = "debian/linux".parse().unwrap();
    BootImage {
        id: id.into(),
        title: Line::clean(id),
        assignment: assignment.map(Into::into),
        verify: None,
        choice: Default::default(),
        kind: ImageKind::Chain { source },
    }
}

fn offered(images: &[&str], assignments: &[&str]) -> BootEvent {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    BootEvent::Offered { images: owned(images), assignments: owned(assignments) }
}

fn started(assignment: &str) -> BootEvent {
    BootEvent::Started { image: "install".into(), assignment: assignment.into() }
}

impl Running {
    /// A server with an image that does assignment 17, and one that does none.
    async fn assigning() -> Running {
        let server = Running::start(Limits::default(), None::<tls::Acceptor>).await;
        let menu =
            Menu { title: Line::clean("Boot"), default: Some("install".into()), timeout: None, ..Menu::default() };
        let images = BootImages::new(vec![image("install", Some("17")), image("rescue", None)], Some(menu));
        *server.rules.images.lock().unwrap() = Some(images.unwrap());
        server
    }

    fn objects(&self, error: Option<HandlerError>) {
        *self.rules.objection.lock().unwrap() = error;
    }

    fn told(&self) -> Vec<BootEvent> {
        std::mem::take(&mut *self.rules.told.lock().unwrap())
    }

    fn seen(&self) -> Vec<BootEvent> {
        std::mem::take(&mut *self.rules.seen.lock().unwrap())
    }

    /// Asks as iPXE does, until the answer is not to ask again; how often it was.
    async fn patiently(&self, rest: &str) -> (Reply, usize) {
        let mut waits = 0;
        loop {
            let reply = self.get(rest).await;
            if !reply.status.contains(" 503 ") {
                return (reply, waits);
            }
            assert_eq!(reply.field("retry-after"), "5");
            waits += 1;
        }
    }

    async fn post(&self, rest: &str, kind: &str, body: &str) -> Reply {
        let mut wire = self.connect().await;
        let head = format!("Host: x\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
        wire.write(&format!("POST {} HTTP/1.1\r\n{head}\r\n{body}", self.path(rest))).await;
        wire.reply(false).await.unwrap()
    }
}

#[tokio::test]
async fn an_assignment_is_offered_and_started_only_after_it_was_noted() {
    let server = Running::assigning().await;
    let script = server.get("script.ipxe").await.text();
    assert!(script.contains("/start.ipxe?image=install&assignment=17 || goto not-started\n"), "{script}");
    assert_eq!(server.told(), [offered(&["install", "rescue"], &["17"])]);
    // Twice is once: iPXE asks again when an answer was lost.
    for _ in 0..2 {
        let reply = server.get("start.ipxe?image=install&assignment=17").await;
        assert_eq!((&*reply.status, reply.text()), ("HTTP/1.1 200 OK", "#!ipxe\n".into()));
    }
    assert_eq!(server.told(), [started("17"), started("17")]);
    assert_eq!(server.seen().len(), 3, "the observer is told what the handlers agreed to");
}

#[tokio::test]
async fn without_an_assignment_no_handler_holds_up_the_script() {
    let server = Running::plain().await;
    server.objects(Some(HandlerError::new("the database is gone")));
    let reply = server.get("script.ipxe").await;
    assert!(reply.status.contains(" 200 ") && reply.text().contains("chain --replace"), "{}", reply.text());
    assert_eq!((server.told(), server.seen()), (vec![], vec![offered(&["one"], &[])]));
}

#[tokio::test]
async fn an_offer_that_is_refused_leaves_the_rest_and_the_screen_says_why() {
    let server = Running::assigning().await;
    server.objects(Some(HandlerError::refused(NO)));
    let reply = server.get("script.ipxe").await;
    let script = reply.text();
    assert!(reply.status.contains(" 200 ") && !script.contains("start.ipxe"), "{script}");
    let notice = format!("#!ipxe\necho Left out what this machine was assigned: {NO}\nprompt --timeout=20000 ");
    assert!(script.starts_with(&notice) && script.contains("item rescue"), "{script}");
    assert_eq!(server.seen(), [offered(&["rescue"], &[])], "what was handed out");
}

#[tokio::test]
async fn an_offer_that_cannot_be_noted_waits_for_the_database_and_then_does_without() {
    let server = Running::assigning().await;
    server.objects(Some(HandlerError::new("cannot reach ${db}\nshell")));
    let (reply, waits) = server.patiently("script.ipxe").await;
    assert_eq!(waits, 6);
    let script = reply.text();
    assert!(script.contains("cannot reach $ {db} shell\n") && !script.contains("start.ipxe"), "{script}");
    server.objects(None);
    assert!(server.get("script.ipxe").await.text().contains("start.ipxe"), "it is back, and so is the assignment");
}

#[tokio::test]
async fn a_start_that_cannot_be_noted_waits_and_then_fails() {
    let server = Running::assigning().await;
    server.objects(Some(HandlerError::new("the database is gone")));
    let (reply, waits) = server.patiently("start.ipxe?image=install&assignment=17").await;
    assert_eq!((&*reply.status, waits), ("HTTP/1.1 200 OK", 6));
    assert!(reply.text().contains("echo the database is gone\n") && reply.text().ends_with("\nexit 1\n"));
    server.objects(None);
    assert_eq!(server.get("start.ipxe?image=install&assignment=17").await.text(), "#!ipxe\n");
}

#[tokio::test]
async fn only_a_script_of_our_own_that_fails_answers_a_start_that_must_not_be() {
    let server = Running::assigning().await;
    let denied = |reply: Reply, why: &str| {
        let text = reply.text();
        assert!(text.starts_with("#!ipxe\n") && text.contains(why) && text.ends_with("\nexit 1\n"), "{text}");
        assert!(!text.contains("sanboot"), "a BIOS iPXE would come back from it with success: {text}");
    };
    // A BIOS machine, whose way to its disk ends in success.
    server.get("script.ipxe?platform=pcbios").await;
    server.objects(Some(HandlerError::refused(NO)));
    denied(server.get("start.ipxe?image=install&assignment=17").await, NO);
    server.objects(None);
    server.told();
    let long = format!("start.ipxe?image=install&assignment={}", "a".repeat(200));
    for nonsense in [
        "start.ipxe",
        "start.ipxe?image=a%20b&assignment=1",
        "start.ipxe?image=a&assignment_hex=6",
        "start.ipxe?%ff",
        &long,
    ] {
        denied(server.get(nonsense).await, "names no image");
    }
    let denied_machine = Running::assigning().await;
    denied_machine.says(Verdict::deny("not before 18:00"));
    denied(denied_machine.get("start.ipxe?image=install&assignment=17&platform=pcbios").await, "not before 18:00");
    assert_eq!((server.told(), denied_machine.told()), (vec![], vec![]));
}

#[tokio::test]
async fn an_id_of_any_characters_is_started_as_it_is() {
    let server = Running::assigning().await;
    let id = "2024/ü &assignment=18 || shell";
    let images = BootImages::new(vec![image("install", Some(id))], None).unwrap();
    *server.rules.images.lock().unwrap() = Some(images);
    let script = server.get("script.ipxe").await.text();
    let line = script.lines().find(|line| line.contains("start.ipxe")).unwrap();
    let url = line.strip_prefix("chain ").unwrap().strip_suffix(" || goto not-started").unwrap();
    let rest = url.split_once(&server.token).unwrap().1.trim_start_matches('/');
    assert_eq!(server.get(rest).await.text(), "#!ipxe\n");
    assert_eq!(server.told().last(), Some(&started(id)));
}

#[tokio::test]
async fn an_installer_reports_its_end_and_hears_what_became_of_it() {
    let server = Running::assigning().await;
    assert_eq!(server.get("done").await.text(), "noted\n");
    assert_eq!(server.post("done", "text/plain", "ignored").await.status, "HTTP/1.1 200 OK");
    assert_eq!(server.told(), [BootEvent::Done, BootEvent::Done]);
    server.objects(Some(HandlerError::refused(NO)));
    let reply = server.get("done").await;
    assert_eq!((&*reply.status, reply.text()), ("HTTP/1.1 409 Conflict", format!("{NO}\n")));
    server.objects(Some(HandlerError::new("password of db7 is wrong")));
    for _ in 0..20 {
        let reply = server.get("done").await;
        assert_eq!((&*reply.status, reply.field("retry-after")), ("HTTP/1.1 503 Service Unavailable", "5"));
        assert!(!reply.text().contains("db7"), "an installer says it again; why is for the log");
    }
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_failed_installer_may_say_why_in_any_way() {
    let server = Running::assigning().await;
    let form = "application/x-www-form-urlencoded";
    let long = "x".repeat(20_000);
    for (kind, body, expect) in [
        (form, "reason=disk%20too+small", "disk too small"),
        (form, "disk too small", "disk too small"),
        (form, "disk=full", "disk=full"),
        ("text/plain", "a\nb ${c}\n", "a b $ {c}"),
        ("text/plain", "reason=x", "reason=x"),
        ("text/plain", "  ", "no reason given"),
        ("", "", "no reason given"),
        ("text/plain", &long, "no reason given"),
    ] {
        assert_eq!(server.post("failed", kind, body).await.text(), "noted\n", "{body:.40}");
        assert_eq!(server.told(), [BootEvent::Failed { reason: Line::clean(expect) }]);
    }
    server.get("failed?reason=no%20disk").await;
    server.post("failed?reason=query", form, "reason=form").await;
    server.get("failed").await;
    let reasons = ["no disk", "query", "no reason given"].map(|why| BootEvent::Failed { reason: Line::clean(why) });
    assert_eq!(server.told(), reasons);
}

#[tokio::test]
async fn what_ipxe_could_not_load_is_reported_and_goes_on_either_way() {
    let server = Running::assigning().await;
    server.objects(Some(HandlerError::new("the database is gone")));
    let text = server.get("failed.ipxe?image=install&error=2d0c613b").await.text();
    assert!(text.contains("echo install did not boot.\n"), "{text}");
    assert_eq!(server.told(), [BootEvent::LoadFailed { image: "install".into(), error: Some(0x2d0c_613b) }]);
}

#[tokio::test]
async fn head_changes_nothing_and_only_what_takes_a_post_takes_one() {
    let server = Running::assigning().await;
    let mut wire = server.connect().await;
    let head = wire.ask("HEAD", &server.path("script.ipxe"), "").await;
    for (method, name, allowed) in [
        ("HEAD", "start.ipxe?image=install&assignment=17", "GET"),
        ("HEAD", "failed.ipxe?image=install", "GET"),
        ("HEAD", "done", "GET, POST"),
        ("HEAD", "failed", "GET, POST"),
        ("POST", "start.ipxe?image=install&assignment=17", "GET"),
        ("POST", "failed.ipxe", "GET"),
        ("POST", "boot.ipxe", "GET, HEAD"),
        ("POST", "f/debian/linux", "GET, HEAD"),
    ] {
        let reply = server.connect().await.ask(method, &server.path(name), "").await;
        assert_eq!((&*reply.status, reply.field("allow")), ("HTTP/1.1 405 Method Not Allowed", allowed), "{name}");
    }
    wire.ask("HEAD", &server.path("f/debian/linux"), "").await;
    assert_eq!((server.told(), server.seen()), (vec![], vec![]));
    assert!(!server.metrics.text().contains("script_served"), "{}", server.metrics.text());
    let get = server.get("script.ipxe").await;
    assert_eq!(head.field("content-length"), get.body.len().to_string());
}

#[tokio::test]
async fn a_denied_machine_and_a_stranger_report_nothing() {
    let server = Running::assigning().await;
    server.says(Verdict::deny("not this one"));
    for name in ["done", "failed?reason=x"] {
        let reply = server.get(name).await;
        assert_eq!((&*reply.status, reply.text()), ("HTTP/1.1 403 Forbidden", "access denied: not this one\n".into()));
    }
    server.get("failed.ipxe?image=install&error=1").await;
    let forged = format!("/b/{}0/", &server.token[..47]);
    for name in ["done", "failed", "start.ipxe?image=install&assignment=17"] {
        let reply = server.connect().await.ask("GET", &format!("{forged}{name}"), "").await;
        assert_eq!(reply.status, "HTTP/1.1 404 Not Found");
    }
    assert_eq!((server.told(), server.seen()), (vec![], vec![]));
}

#[tokio::test]
async fn a_file_that_was_sent_whole_is_told_and_a_part_is_not() {
    let server = Running::assigning().await;
    let mut wire = server.connect().await;
    wire.ask("GET", &server.path("f/debian/linux"), "Range: bytes=0-1\r\n").await;
    wire.ask("GET", &server.path("f/debian/linux"), "").await;
    let seen = server.seen();
    let [BootEvent::FileSent { file, octets: 6, .. }] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((file.as_str(), server.told()), ("debian/linux", vec![]));
}
