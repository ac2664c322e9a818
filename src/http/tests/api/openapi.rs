//! The description of the API against what the API says and takes.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::*;
use crate::api::{Digest, EventFacts, Health, ImagesAnswer, Report, VerdictAnswer};
use crate::boot::{
    Ask, BootMenu, Choice, Colors, FactsForm, FirmwareHandOver, InjectedFile, IpxeBuild, IpxeOption, LocalBoot, Look,
    Manner, Menu, MenuBoots, MenuEntry, Method, NicBus, Offer, Person, Prompt, Referral, Relay, ScriptHandOver, Source,
    Style, UnlessAble, Verify,
};

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../api/openapi.json")).unwrap());

/// What is wrong with a value, by the schema of this name.
fn problems(schema: &str, value: &Value) -> Vec<String> {
    let schema = json!({ "$ref": format!("#/components/schemas/{schema}"), "components": DOCUMENT["components"] });
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[track_caller]
fn fits(schema: &str, message: &impl Serialize) {
    let value = serde_json::to_value(message).unwrap();
    assert_eq!(problems(schema, &value), [""; 0], "{value:#}");
}

#[track_caller]
fn does_not_fit(schema: &str, value: Value) {
    assert!(!problems(schema, &value).is_empty(), "{value:#}");
}

/// A question in which every field is set.
fn full_question() -> Asked {
    let mut client = Client::new([2, 0, 0, 0, 0, 1].into(), Architecture::ARM64_UEFI);
    client.machine_id = Some(crate::boot::MachineId::from_uuid(Uuid::new_v4()));
    (client.vendor_class, client.user_class) = ("PXEClient:Arch:00011".into(), "iPXE".into());
    (client.undi, client.hostname) = (Some((3, 16)), "lab-07".into());
    let nic = Some(NicBus { bus: 1, vendor: 0x8086, device: 0x15b8 });
    client.ipxe = Some(IpxeBuild { version: Some((1, 21, 1)), features: ["http", "efi"].into(), nic });
    let relay = Relay {
        giaddr: [10, 1, 0, 1].into(),
        circuit_id: vec![0, 4, 0xff],
        remote_id: vec![1],
        link_selection: Some([10, 7, 0, 0].into()),
    };
    let network = crate::boot::Network {
        interface: "eth0".into(),
        server: Some([10, 0, 0, 2].into()),
        client: Some("2001:db8::5".parse().unwrap()),
        relay: Some(relay),
        site: "lyon".into(),
    };
    Asked {
        client: ClientFacts::from(&client),
        network: NetworkFacts::from(&network),
        machine: [("serial".into(), "X1".into())].into(),
        asks: true,
        person: Some(Person {
            name: Line::clean("ann"),
            method: Method::Pin,
            groups: vec!["lab".into()],
            at: Timestamp::now(),
        }),
        ..question(1, Stage::Http)
    }
}

fn every_kind() -> Vec<ImageKind> {
    let source = |name: &str| name.parse::<Source>().unwrap();
    let file = InjectedFile { source: source("winpeshl.ini"), name: Line::clean("winpeshl.ini") };
    vec![
        ImageKind::Linux {
            kernel: source("@s3/debian/linux"),
            initrd: vec![source("http://10.0.0.9/initrd.gz")],
            cmdline: Line::clean("quiet"),
        },
        ImageKind::Wim {
            wimboot: source("wimboot"),
            bcd: Some(source("bcd")),
            boot_sdi: None,
            wim: source("boot.wim"),
            files: vec![file],
            args: Line::clean("gui"),
        },
        ImageKind::Chain { source: source("next.ipxe") },
        ImageKind::Efi { source: source("shell.efi"), cmdline: Line::default() },
        ImageKind::Sanboot { source: source("iscsi:10.0.0.9::::iqn.2026-01.example:x") },
        ImageKind::Ipxe { text: "echo hello\nshell\n".into() },
        ImageKind::Referral { url: "http://up/boot.ipxe".parse().unwrap(), facts: FactsForm::Query },
        ImageKind::Retry { wait: Duration::from_secs(15) },
        ImageKind::LOCAL,
        ImageKind::Reboot,
        ImageKind::Poweroff,
        ImageKind::Shell,
    ]
}

fn prompt() -> Option<Prompt> {
    Prompt::new(Some(Line::clean("Press I")), Some('i'), 10).ok()
}

fn every_image() -> BootImages {
    let image = |(index, kind): (usize, ImageKind)| BootImage {
        id: format!("image-{index}"),
        title: Line::clean("An image"),
        assignment: (index == 0).then(|| "sql~a1".into()),
        verify: (index == 1).then(|| Verify::new(".sig", UnlessAble::Boot).unwrap()),
        choice: match index {
            1 => Choice { group: Some(Line::clean("Install")), key: Some('d'), prompt: prompt(), ..Choice::default() },
            2 => Choice {
                key: Some('w'),
                hidden: true,
                needs: Some(Box::new(Ask::new(Method::Pin, Line::clean("PIN"), Vec::new()).unwrap())),
                ..Choice::default()
            },
            _ => Choice::default(),
        },
        kind,
    };
    let images = every_kind().into_iter().enumerate().map(image).collect();
    let timeout = Some(Duration::from_secs(30));
    let color = "#102030".parse().ok();
    let colors =
        Colors { text: color, background: color, selected_text: color, selected_background: color, heading: color };
    let look = Look { picture: "menu/back.png".parse().ok(), size: [1024, 768].try_into().ok(), colors };
    let menu = Menu {
        title: Line::clean("Boot"),
        default: Some("image-1".into()),
        timeout,
        look: Some(Box::new(look)),
        prompt: prompt(),
    };
    BootImages::new(images, Some(menu)).unwrap().with_notice([Line::clean("Hello.")])
}

fn every_verdict() -> Vec<Verdict> {
    let file = FirmwareHandOver::File { server: [10, 0, 0, 9].into(), file: Line::clean("boot\\x64\\wdsmgfw.efi") };
    let hand_overs = [
        FirmwareHandOver::Loader,
        file,
        FirmwareHandOver::Url("http://up/ipxe.efi".parse().unwrap()),
        FirmwareHandOver::BootServers(vec![[10, 0, 0, 9].into()]),
        FirmwareHandOver::Silence,
    ];
    let script = ScriptHandOver { url: "http://up/boot.ipxe".parse().unwrap(), facts: FactsForm::Form };
    let refer =
        |firmware| Verdict::Refer(Referral { upstream: Line::clean("main"), firmware, script: Some(script.clone()) });
    let mut verdicts: Vec<_> = hand_overs.into_iter().map(refer).collect();
    let manner = Manner {
        style: Some(Style::Pxe10),
        delay_ms: Some(200),
        secs_min: Some(4),
        loader: Some("undionly.kkpxe".parse().unwrap()),
        local_boot: Some(LocalBoot::ExitFailed),
        blksize_max: Some(1024),
        file_option: Some(true),
        file_size: Some(false),
        ipxe_option: Some(IpxeOption::Url),
    };
    let line = Line::clean;
    let entries = vec![
        MenuEntry { title: line("Debian"), boots: MenuBoots::Image("debian".into()) },
        MenuEntry { title: line("Memory test"), boots: MenuBoots::Loader("memtest.0".parse().unwrap()) },
    ];
    let menu = BootMenu::new(line("F8"), 3, line("Local disk"), entries).unwrap();
    verdicts.push(Verdict::Allow(Offer { manner, menu: Some(Box::new(menu)) }));
    verdicts.extend([Verdict::allow(), Verdict::deny("closed"), Verdict::ignore("not ours")]);
    verdicts
}

fn every_event() -> Vec<EventFacts> {
    let line = || Line::clean("debian");
    vec![
        EventFacts::Offered { images: vec![line()], assignments: vec![line()] },
        EventFacts::Started { image: line(), assignment: line() },
        EventFacts::LoadFailed { image: line(), error: Some(0x3e11_6001) },
        EventFacts::LoadFailed { image: line(), error: None },
        EventFacts::Sent { file: line(), octets: 5_000_000_000, elapsed_ms: 7 },
        EventFacts::Person { name: line(), method: Method::Approval },
        EventFacts::Done,
        EventFacts::Failed { reason: line() },
    ]
}

#[test]
fn every_message_is_as_it_is_described() {
    for about in [question(1, Stage::Discover), full_question()] {
        fits("Question", &about);
        for event in every_event() {
            fits("Report", &Report { about: about.clone(), event });
        }
    }
    let handler = Line::clean("oracle");
    fits("VerdictAnswer", &VerdictAnswer { answer: None, handler: handler.clone() });
    for verdict in every_verdict() {
        fits("VerdictAnswer", &VerdictAnswer { answer: Some(verdict), handler: handler.clone() });
    }
    let ask = Ask::new(Method::Approval, Line::clean("?"), vec!["lab".into()]).unwrap();
    for images in [None, Some(BootImages::none()), Some(every_image()), Some(BootImages::asking(ask))] {
        fits("ImagesAnswer", &ImagesAnswer { answer: Some(Verdict::allow()), images, handler: handler.clone() });
    }
    fits("Digest", &Digest { sha256: "0".repeat(64), length: 0 });
    fits("Health", &Health { versions: vec![1], site: Some(handler.clone()), now: Timestamp::now() });
    fits("Enrollment", &crate::api::Enrollment { token: "pm1.x".into(), request: "PEM".into() });
    fits("Enrolled", &Enrolled { site: handler.clone(), certificate: "PEM".into() });
    fits("Problem", &Problem { problem: handler });
}

#[test]
fn what_is_not_described_does_not_fit() {
    let good = serde_json::to_value(full_question()).unwrap();
    let with = |at: &str, value: Value| {
        let mut other = good.clone();
        *other.pointer_mut(at).unwrap() = value;
        other
    };
    for (at, value) in [
        ("/id", json!("x")),
        ("/at", json!("yesterday")),
        ("/session", json!("0001abcdef")),
        ("/stage", json!("moon")),
        ("/client/mac", json!("x")),
        ("/client/hostname", json!("a\nb")),
        ("/client/undi", json!([1])),
        ("/network/server", json!("boot.example")),
        ("/network/relay/circuit_id", json!("f")),
        ("/machine/serial", json!(7)),
    ] {
        does_not_fit("Question", with(at, value));
    }
    does_not_fit("Question", json!({}));
    does_not_fit("Verdict", json!({ "verdict": "perhaps" }));
    does_not_fit("Verdict", json!({ "verdict": "deny" }));
    does_not_fit("Verdict", json!({ "verdict": "allow", "manner": { "style": "pxe" } }));
    does_not_fit("Verdict", json!({ "verdict": "allow", "menu": { "prompt": "F8" } }));
    does_not_fit("Event", json!({ "kind": "started", "image": "a" }));
    does_not_fit("BootImage", json!({ "id": "a b", "title": "", "kind": "local" }));
    does_not_fit("BootImage", json!({ "id": "a", "title": "", "kind": "linux" }));
    does_not_fit("Digest", json!({ "sha256": "0", "length": 0 }));
}

#[tokio::test]
async fn real_answers_are_as_they_are_described() {
    let upstream = Upstream::start().await;
    let mut lyon = upstream.site("lyon").await;
    let fits = |schema: &str, reply: &Reply| fits(schema, &reply.json::<Value>());
    upstream.says(Some(Verdict::allow()), Some(every_image()));
    fits("VerdictAnswer", &lyon.post("allow-boot", &full_question()).await);
    let reply = lyon.post("boot-images", &full_question()).await;
    fits("ImagesAnswer", &reply);
    assert_eq!(reply.json::<ImagesAnswer>().images, Some(every_image()));
    fits("Health", &lyon.get("health", "").await);
    let tag = lyon.ask("HEAD", "/api/v1/files/big", "").await.field("etag").to_owned();
    fits("Digest", &lyon.get("digests/big", &format!("If-Match: {tag}\r\n")).await);
    let request = site_request().unwrap().request_pem;
    let enrollment = crate::api::Enrollment { token: "pm1.good".into(), request };
    fits("Enrolled", &lyon.post("enroll", &enrollment).await);
    fits("Problem", &lyon.get("files/nosuch", "").await);
    let described: Value = lyon.get("openapi.json", "").await.json();
    assert_eq!(described, *DOCUMENT);
}

#[tokio::test]
async fn every_route_is_described_and_everything_described_is_a_route() {
    let upstream = Upstream::start().await;
    let source = include_str!("../../api/mod.rs");
    let in_source: Vec<String> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix(".route(\"")?.split('"').next())
        .map(|path| path.replace("{*name}", "{name}"))
        .collect();
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let mut described: Vec<_> = paths.keys().cloned().collect();
    let mut routes = in_source.clone();
    described.sort();
    routes.sort();
    assert_eq!(described, routes);
    let mut stranger = upstream.connect(None).await.unwrap();
    for (path, methods) in paths {
        let path = path.replace("{name}", "big");
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let is_described = methods.get(method.to_lowercase()).is_some();
            let code = stranger.ask(method, &path, "").await.code();
            assert_eq!(is_described, code != 405, "{method} {path}: {code}");
            let codes = &methods[method.to_lowercase()]["responses"];
            assert!(!is_described || codes.get(code.to_string()).is_some(), "{method} {path} answers {code}");
        }
    }
}

/// Every `$ref` leads somewhere, and nothing is described that nobody uses.
#[test]
fn the_document_hangs_together() {
    let text = DOCUMENT.to_string();
    for part in ["schemas", "responses"] {
        for name in DOCUMENT["components"][part].as_object().unwrap().keys() {
            assert!(text.contains(&format!("\"#/components/{part}/{name}\"")), "{name} is not used");
        }
    }
    for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(DOCUMENT.pointer(reference).is_some(), "{reference} leads nowhere");
    }
}
