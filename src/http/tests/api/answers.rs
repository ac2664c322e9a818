//! Questions and events of sites that may ask.

use super::*;
use crate::api::{EventFacts, Health, ImagesAnswer, Report, VerdictAnswer};

#[tokio::test]
async fn a_verdict_goes_to_the_site_with_its_reason_and_rules_see_the_site() {
    let upstream = Upstream::start().await;
    let mut lyon = upstream.site("lyon").await;
    for (session, verdict) in
        [Verdict::allow(), Verdict::deny("not before 18:00"), Verdict::ignore("not ours")].into_iter().enumerate()
    {
        upstream.says(Some(verdict.clone()), None);
        let mut asked = question(session as u8, Stage::BootServer);
        asked.machine.insert("serial".into(), "X1".into());
        let reply = lyon.post("allow-boot", &asked).await;
        assert_eq!((reply.code(), reply.field("cache-control")), (200, "no-store"));
        let answer: VerdictAnswer = reply.json();
        assert_eq!((answer.answer, answer.handler.as_str()), (Some(verdict), "oracle"));
    }
    let asked = upstream.oracle.asked.lock().unwrap();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|request| &*request.network.site == "lyon" && &*request.network.interface == "eth0"));
    assert!(asked.iter().all(|request| request.stage == Stage::BootServer));
    assert!(asked.iter().all(|request| request.machine.is_empty()), "facts are not known at this stage");
    assert_eq!(asked[0].client, Client::new([2, 0, 0, 0, 0, 1].into(), Architecture::X64_UEFI));
    assert_eq!(upstream.count("answered"), 3);
}

#[tokio::test]
async fn images_go_to_the_site_with_the_names_of_their_files_and_the_machine_s_facts_reach_the_rules() {
    let upstream = Upstream::start().await;
    let mut lyon = upstream.site("lyon").await;
    let images = image("debian", Some("sql~a1"), "@s3/debian/linux");
    upstream.says(Some(Verdict::allow()), Some(images.clone()));
    let mut asked = question(1, Stage::Http);
    asked.machine = [("serial".into(), "X1".into()), ("nonsense".into(), "1".into())].into();
    let answer: ImagesAnswer = lyon.post("boot-images", &asked).await.json();
    assert_eq!((answer.answer, answer.images), (Some(Verdict::allow()), Some(images)));
    let requests = std::mem::take(&mut *upstream.oracle.asked.lock().unwrap());
    assert_eq!(requests.len(), 2, "the verdict, and the images");
    assert!(requests.iter().all(|request| request.machine.get("serial") == Some("X1")));
    // Allowed, with facts: they are known to `allow_boot` by HTTP.
    let mut asked = question(2, Stage::Http);
    asked.machine = [("serial".into(), "X2".into())].into();
    let answer: VerdictAnswer = lyon.post("allow-boot", &asked).await.json();
    assert_eq!(answer.answer, Some(Verdict::allow()));
    assert_eq!(upstream.oracle.asked.lock().unwrap()[0].machine.get("serial"), Some("X2"));
}

#[tokio::test]
async fn where_nobody_has_an_opinion_there_is_no_answer() {
    let upstream = Upstream::start().await;
    let mut lyon = upstream.site("lyon").await;
    let answer: VerdictAnswer = lyon.post("allow-boot", &question(1, Stage::Discover)).await.json();
    assert_eq!(answer.answer, None);
    let answer: ImagesAnswer = lyon.post("boot-images", &question(1, Stage::Http)).await.json();
    assert_eq!((answer.answer, answer.images), (None, None));
    upstream.says(Some(Verdict::allow()), None);
    let answer: ImagesAnswer = lyon.post("boot-images", &question(2, Stage::Http)).await.json();
    assert_eq!((answer.answer, answer.images), (Some(Verdict::allow()), None));
    upstream.says(Some(Verdict::allow()), Some(BootImages::none()));
    let answer: ImagesAnswer = lyon.post("boot-images", &question(3, Stage::Http)).await.json();
    assert_eq!(answer.images, Some(BootImages::none()), "its own disk is an opinion");
}

#[tokio::test]
async fn a_denial_is_a_denial_also_where_images_are_asked_for() {
    let upstream = Upstream::start().await;
    let mut lyon = upstream.site("lyon").await;
    upstream.says(Some(Verdict::deny("closed")), Some(image("debian", None, "linux")));
    let answer: ImagesAnswer = lyon.post("boot-images", &question(1, Stage::Http)).await.json();
    assert_eq!((answer.answer, answer.images), (Some(Verdict::deny("closed")), None));
}

#[tokio::test]
async fn an_answer_that_is_late_is_none_and_the_site_may_ask_again() {
    let upstream = Upstream::start().await;
    let mut lyon = upstream.site("lyon").await;
    *upstream.oracle.is_silent.lock().unwrap() = true;
    for (path, stage) in [("allow-boot", Stage::Discover), ("allow-boot", Stage::Http), ("boot-images", Stage::Http)] {
        let reply = lyon.post(path, &question(1, stage)).await;
        assert_eq!((reply.code(), reply.field("retry-after")), (503, "2"), "{}", reply.text());
        assert!(reply.problem().contains("pending"), "{}", reply.problem());
    }
    assert_eq!(upstream.count("pending"), 3);
}

#[tokio::test]
async fn an_event_is_noted_once_in_the_boot_that_it_is_about() {
    let upstream = Upstream::start().await;
    let mut lyon = upstream.site("lyon").await;
    upstream.says(Some(Verdict::allow()), Some(image("debian", Some("sql~a1"), "linux")));
    lyon.post("boot-images", &question(1, Stage::Http)).await;
    let started = EventFacts::Started { image: Line::clean("debian"), assignment: Line::clean("sql~a1") };
    let report = Report { about: question(1, Stage::Http), event: started };
    let reply = lyon.post("events", &report).await;
    assert_eq!((reply.code(), reply.body.len()), (204, 0));
    let again = lyon.post("events", &report).await;
    assert_eq!(again.code(), 409);
    assert!(again.problem().contains("came before"), "{}", again.problem());
    let told = upstream.oracle.told.lock().unwrap();
    let [(request, event)] = told.as_slice() else { panic!("told {} times", told.len()) };
    assert_eq!(*event, BootEvent::Started { image: "debian".into(), assignment: "sql~a1".into() });
    assert_eq!(&*request.network.site, "lyon");
    assert_eq!(request.session, upstream.oracle.asked.lock().unwrap()[0].session);
}

#[tokio::test]
async fn what_must_not_happen_is_told_apart_from_what_could_not_be_noted() {
    let upstream = Upstream::start().await;
    let mut lyon = upstream.site("lyon").await;
    for (objection, code, text) in [
        (HandlerError::refused("lab-07 has it already"), 409, "lab-07 has it already"),
        (HandlerError::new("no connection to the database"), 503, "no connection"),
    ] {
        *upstream.oracle.objection.lock().unwrap() = Some(objection);
        let reply = lyon.post("events", &Report { about: question(1, Stage::Http), event: EventFacts::Done }).await;
        assert_eq!(reply.code(), code);
        assert!(reply.problem().contains(text), "{}", reply.problem());
    }
    assert!(upstream.oracle.seen.lock().unwrap().is_empty(), "the history has nothing of it");
}

#[tokio::test]
async fn news_of_which_nobody_needs_to_agree_go_to_the_history_of_the_site() {
    let upstream = Upstream::start().await;
    let mut lyon = upstream.site("lyon").await;
    *upstream.oracle.objection.lock().unwrap() = Some(HandlerError::refused("never"));
    let sent = EventFacts::Sent { file: Line::clean("linux"), octets: 5, elapsed_ms: 7 };
    let offered = EventFacts::Offered { images: vec![Line::clean("debian")], assignments: Vec::new() };
    for event in [sent, offered] {
        let reply = lyon.post("events", &Report { about: question(1, Stage::Http), event }).await;
        assert_eq!(reply.code(), 204);
    }
    let seen = upstream.oracle.seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|(request, _)| &*request.network.site == "lyon"));
}

#[tokio::test]
async fn a_site_names_no_boot_but_its_own() {
    let upstream = Upstream::start().await;
    let (mut lyon, mut oslo) = (upstream.site("lyon").await, upstream.site("oslo").await);
    upstream.says(Some(Verdict::allow()), None);
    lyon.post("allow-boot", &question(1, Stage::Discover)).await;
    let of_lyon = upstream.oracle.asked.lock().unwrap()[0].session;
    // Oslo says the same as Lyon, and what the upstream itself calls Lyon's boot.
    for session in [SessionId([1; 6]), of_lyon] {
        let about = Asked { session, ..question(1, Stage::Http) };
        let reply = oslo.post("events", &Report { about, event: EventFacts::Done }).await;
        assert_eq!(reply.code(), 204);
    }
    let told = upstream.oracle.told.lock().unwrap();
    assert_eq!(told.len(), 2);
    for (request, _) in told.iter() {
        assert_ne!(request.session, of_lyon);
        assert_eq!(&*request.network.site, "oslo");
    }
}

#[tokio::test]
async fn health_says_who_is_known() {
    let upstream = Upstream::start().await;
    let site = |health: Health| (health.versions, health.site.map(|site| site.to_string()));
    let mut lyon = upstream.site("lyon").await;
    assert_eq!(site(lyon.get("health", "").await.json()), (vec![1], Some("lyon".into())));
    let mut stranger = upstream.connect(None).await.unwrap();
    assert_eq!(site(stranger.get("health", "").await.json()), (vec![1], None));
    let health = stranger.get("health", "Authorization: Bearer token of oslo\r\n").await;
    assert_eq!(site(health.json()), (vec![1], Some("oslo".into())));
}
