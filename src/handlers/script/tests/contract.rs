//! The documented fields and functions do what the tables say.

use super::*;
use crate::boot::{FACTS, ImageKind, IpxeBuild, Line, MachineId, Method, NicBus, Person, Relay};

#[test]
fn every_field_and_fact_can_be_read_and_has_its_type() {
    let mut expressions = Vec::new();
    for name in api::request_fields() {
        let kind = api::FIELDS.iter().find(|field| field.name == name).map_or("text", |field| field.kind);
        let rhai = match kind {
            "text" => "string",
            "true or false" => "bool",
            "array of text" => "array",
            "time" => "Time",
            "facts" => "Facts",
            "record" => "Record",
            "person" => "Person",
            other => panic!("{other}"),
        };
        expressions.push((format!("request.{name}"), rhai));
        expressions.push((format!("request[\"{name}\"]"), rhai));
    }
    for fact in FACTS {
        expressions.push((format!("request.facts.{}", fact.name), "string"));
    }
    for (name, kind, _, _) in api::PARTS {
        expressions.push((format!("request.now.{name}"), if *kind == "number" { "i64" } else { "string" }));
    }
    let checks = expressions.iter().map(|(expression, kind)| {
        format!(
            "if type_of({expression}) != \"{kind}\" {{ return deny(`{expression} is ${{type_of({expression})}}`); }}\n"
        )
    });
    let handler = load(&format!("fn allow_boot(request) {{ {}\ntrue }}", checks.collect::<String>()));
    let known = BootRequest { record: Some(Arc::default()), person: Some(Arc::new(ann())), ..request() };
    assert_eq!(block_on(handler.allow_boot(&known)), Ok(Answer::Given(Verdict::Allow)));
}

fn ann() -> Person {
    let groups = vec!["imaging".into(), "lab".into()];
    Person { name: Line::clean("ann"), method: Method::Login, groups, at: request().now }
}

#[test]
fn who_was_verified_is_seen_and_nobody_before() {
    let handler = load(
        "fn boot_images(request) {
            if request.person == () { return ask_login(#{ title: \"Imaging\", groups: \"imaging\" }); }
            let person = request.person;
            if \"imaging\" in person.groups && !(\"root\" in person.groups) && person.method == \"login\" {
                return linux(#{ kernel: \"k\", cmdline: `who=${person.name} at=${person.at.hour}` });
            }
            []
        }",
    );
    let asked = block_on(handler.boot_images(&request()));
    let Ok(Answer::Given(asked)) = asked else { panic!("{asked:?}") };
    let ask = asked.ask().unwrap();
    assert_eq!(
        (ask.method(), ask.title().as_str(), ask.groups()),
        (Method::Login, "Imaging", &["imaging".to_owned()][..])
    );
    let known = BootRequest { person: Some(Arc::new(ann())), ..request() };
    let booted = block_on(handler.boot_images(&known));
    let Ok(Answer::Given(booted)) = booted else { panic!("{booted:?}") };
    let ImageKind::Linux { cmdline, .. } = &booted.images()[0].kind else { panic!("{booted:?}") };
    assert!(cmdline.as_str().starts_with("who=ann at="), "{cmdline}");
    let wrong = load("fn boot_images(request) { request.person.nmae }");
    let error = block_on(wrong.boot_images(&known)).unwrap_err();
    assert!(error.message.contains("`name`"), "{error}");
}

#[test]
fn wrong_questions_and_choices_are_told() {
    let told = |source: &str, expect: &str| {
        let handler = load(&format!("fn boot_images(request) {{ {source} }}"));
        let error = block_on(handler.boot_images(&request())).unwrap_err();
        assert!(error.message.contains(expect), "{expect} not in: {error}");
    };
    told("ask_pin(#{ wait: 5 })", "ask_pin has no option `wait`");
    told("ask_approval(#{ wait: 1 })", "from 5 s to a day");
    told("ask_approval(#{ wait: -1 })", "from 5 s to a day");
    told("ask_login(#{ groups: [\"\"] })", "no name of a group");
    told("linux(#{ kernel: \"k\", key: \"ab\" })", "one letter or digit");
    told("linux(#{ kernel: \"k\", key: \"ä\" })", "one letter or digit");
    told("linux(#{ kernel: \"k\", hidden: true })", "chosen by its key");
    told("linux(#{ kernel: \"k\", needs: \"pin\" })", "must be a question");
    told("shell(#{ hidden: true, key: \"s\" })", "the only image");
    let two = "menu(#{ images: [shell(#{ key: \"s\" }), reboot(#{ key: \"s\" })] })";
    told(two, "`shell` and `reboot` have the same key `s`");
    let hidden = "menu(#{ default_image: \"shell\", images: [shell(#{ key: \"s\", hidden: true }), reboot()] })";
    told(hidden, "cannot be the default");
}

#[test]
fn every_example_runs() {
    let site = queries::Cmdb::new("");
    std::fs::create_dir(&site.config.data_dir).unwrap();
    std::fs::write(site.config.data_dir.join("machines.csv"), "mac,role\n525400123456,lab\n").unwrap();
    for function in api::FUNCTIONS {
        let source = format!("fn boot_images(request) {{ let x = {}; [] }}", function.example);
        std::fs::write(&site.config.boot_images, source).unwrap();
        let answer = block_on(site.load().boot_images(&request()));
        assert_eq!(answer, Ok(Answer::Given(BootImages::none())), "{}", function.name);
    }
}

#[test]
fn fields_hold_what_the_client_said() {
    let mut request = request();
    request.client.machine_id = Some(MachineId::from_uuid("4c4c4544-0057-5810-804a-c3c04f463732".parse().unwrap()));
    request.client.ipxe = Some(IpxeBuild {
        version: Some((1, 21, 1)),
        features: ["http", "menu"].into(),
        nic: Some(NicBus { bus: 1, vendor: 0x8086, device: 0x15bb }),
    });
    request.network.relay = Some(Relay {
        giaddr: [10, 7, 0, 1].into(),
        circuit_id: vec![0, 4, 255],
        remote_id: vec![],
        link_selection: None,
    });
    let handler = load(
        "fn allow_boot(r) {
           deny([r.uuid, r.architecture, r.platform, r.stage, r.is_ipxe, r.ipxe_features, r.ipxe_version, r.nic, r.giaddr,
                 r.circuit_id, r.remote_id, r.subnet_address, r.client_ip, r.session, r.product, r.facts.serial, r.hostname,
                 r.now.unix, r.now.weekday, r.now.date, r.now.time].to_string())
         }",
    );
    let Ok(Answer::Given(verdict)) = block_on(handler.allow_boot(&request)) else { panic!() };
    assert_eq!(
        verdict.reason(),
        "[\"4c4c4544-0057-5810-804a-c3c04f463732\", \"x64-uefi\", \"efi\", \"http\", true, [\"http\", \"menu\"], \"1.21.1\", \
         \"pci:8086:15bb\", \"10.7.0.1\", \"0004ff\", \"\", \"10.7.0.1\", \"10.1.2.3\", \"000102030405\", \"OptiPlex 7010\", \
         \"7XK3N22\", \"\", 1767254400, \"thursday\", \"2026-01-01\", \"08:00\"]"
    );
}

#[test]
fn now_is_in_the_time_zone_of_the_site() {
    let (_folder, mut config) =
        site(&[("site.rhai", "fn allow_boot(request) { deny(`${request.now.hour} ${request.now}`) }")]);
    config.time_zone = TimeZone::fixed(jiff::tz::offset(9));
    let handler = ScriptHandler::load(&config).unwrap();
    let Ok(Answer::Given(verdict)) = block_on(handler.allow_boot(&request())) else { panic!() };
    assert!(verdict.reason().starts_with("17 2026-01-01T17:00:00+09:00"), "{verdict:?}");
}

#[test]
fn a_table_gives_one_row_several_or_all() {
    let (_folder, config) = site(&[
        (
            "site.rhai",
            "fn allow_boot(request) { let t = table(\"m.tsv\"); let n = 0; for row in t.rows() { if row.role == \"lab\" { n += 1; } } deny(`${t.len()} ${n} ${t.find_all(\"role\", \"LAB\").len()} ${t.find(\"asset tag\", 7)[\"asset tag\"]} ${t.find(\"role\", \"x\") == ()} ${t.find(\"role\", ()) == ()}`) }",
        ),
        ("data/m.tsv", "\u{feff}# comment\nrole\tasset tag\nlab\t7\nlab\t8\nweb\t9\n"),
    ]);
    let handler = ScriptHandler::load(&config).unwrap();
    assert_eq!(block_on(handler.allow_boot(&request())), Ok(Answer::Given(Verdict::deny("3 2 2 7 true true"))));
}

#[test]
fn methods_of_fields_and_cells_can_be_called() {
    assert_eq!(value("request.product.contains(\"7010\")"), "true");
    assert_eq!(value("request.product.to_upper()"), "OPTIPLEX 7010");
    assert_eq!(value("{ let p = request.product; p.replace(\"7010\", \"x\"); p }"), "OptiPlex x");
    assert_eq!(value("request.ipxe_features.len()"), "0");
    assert_eq!(value("request.now.weekday.len()"), "8");
    assert_eq!(value("request.product == \"OptiPlex 7010\" && !request.is_ipxe && request.now.hour < 9"), "true");
}

#[test]
fn the_uuid_is_that_of_dhcp_else_the_reported_one_but_no_placeholder() {
    let uuid = |wire: Option<[u8; 16]>, fact: &str| {
        let mut request = BootRequest { machine: Machine::default(), ..request() };
        request.client.machine_id = wire.map(MachineId::from_wire);
        request.machine.insert("uuid", fact);
        match block_on(load("fn allow_boot(request) { deny(`=${request.uuid}`) }").allow_boot(&request)) {
            Ok(Answer::Given(verdict)) => verdict.reason().to_owned(),
            other => panic!("{other:?}"),
        }
    };
    let reported = "4C4C4544-0057-5810-804A-C3C04F463732";
    assert_eq!(uuid(None, reported), "=4c4c4544-0057-5810-804a-c3c04f463732");
    assert_eq!(uuid(Some([0; 16]), reported), "=4c4c4544-0057-5810-804a-c3c04f463732");
    assert_eq!(uuid(Some([1; 16]), reported), "=01010101-0101-0101-0101-010101010101");
    assert_eq!(uuid(None, "00000000-0000-0000-0000-000000000000"), "=");
    assert_eq!(uuid(None, "to be filled"), "=");
}
