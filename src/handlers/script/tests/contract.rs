//! The documented fields and functions do what the tables say.

use super::*;
use crate::boot::{FACTS, ImageKind, IpxeBuild, Line, MachineId, Method, NicBus, Person, Relay};

#[test]
fn every_field_and_fact_can_be_read_and_has_its_type() {
    let mut expressions = Vec::new();
    for name in super::super::request::names() {
        let kind = api::FIELDS.iter().find(|field| field.name == name).map_or("text", |field| field.kind);
        let rhai = match kind {
            "text" => "string",
            "true or false" => "bool",
            "array of text" => "array",
            "time" => "Time",
            "facts" => "Facts",
            "identity" => "Identity",
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
        expressions.push((
            format!("request.now.{name}"),
            match *kind {
                "number" => "i64",
                "true or false" => "bool",
                _ => "string",
            },
        ));
    }
    let checks = expressions.iter().map(|(expression, kind)| {
        format!(
            "if type_of({expression}) != \"{kind}\" {{ return deny(`{expression} is ${{type_of({expression})}}`); }}\n"
        )
    });
    let handler = load(&format!("fn allow_boot(request) {{ {}\ntrue }}", checks.collect::<String>()));
    let known = BootRequest { record: Some(Arc::default()), person: Some(Arc::new(ann())), ..request() };
    assert_eq!(block_on(handler.allow_boot(&known)), Ok(Answer::Given(Verdict::allow())));
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
    std::fs::write(site.config.data_dir.join("sites.json"), "[{\"network\": \"10.1.0.0/16\"}]").unwrap();
    std::fs::write(site.config.data_dir.join("site.yaml"), "gateway: 10.1.0.1\n").unwrap();
    for function in api::FUNCTIONS {
        let source = format!("fn boot_images(request) {{ let x = {}; [] }}", function.example);
        std::fs::write(&site.config.boot_images, source).unwrap();
        let handler = site.load();
        // No web service is there to be asked.
        if function.name.starts_with("http_") {
            let mut answers = outside::Answers::default();
            for asked in ["GET nac /mab/52:54:00:12:34:56", "POST nac /mab"] {
                answers.insert(&format!("http {asked}"), None, Ok(serde_json::json!({ "status": 200, "body": "" })));
            }
            let run =
                || handler.program.run(Question::BootImages, &request(), handler.program.inline(), answer::images);
            let (ended, unanswered) = outside::with_answers(&Arc::new(answers), run);
            assert!(
                ended.value.is_ok() && unanswered.is_none(),
                "{}: {:?} {unanswered:?}",
                function.name,
                ended.value.err()
            );
            continue;
        }
        let answer = block_on(handler.boot_images(&request()));
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
    assert_eq!(uuid(Some([1; 16]), reported), "=4c4c4544-0057-5810-804a-c3c04f463732");
    let own = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17];
    assert_eq!(uuid(Some(own), reported), "=04030201-0605-0807-090a-0b0c0d0e0f11");
    assert_eq!(uuid(None, "00000000-0000-0000-0000-000000000000"), "=");
    assert_eq!(uuid(None, "to be filled"), "=");
}

/// Every way to call a function that the engine knows is in the contract, and the other way round.
#[test]
fn calls_are_those_that_the_engine_has() {
    let engine = api::engine(Arc::default(), &Arc::default(), &Reach::default());
    let all = engine.gen_fn_signatures(false);
    for function in api::FUNCTIONS {
        let mut known: Vec<usize> = all.iter().filter_map(|signature| parameters(signature, function.name)).collect();
        let mut said: Vec<usize> = function.calls.iter().map(|call| said_parameters(call)).collect();
        // What only tells that an argument is missing is no way to call it.
        known.retain(|count| *count > 0 || said.contains(&0));
        known.sort_unstable();
        said.sort_unstable();
        assert_eq!(said, known, "{}", function.name);
        assert!(function.calls.iter().all(|call| call.contains(function.name) && call.contains(" -> ")));
    }
}

fn parameters(signature: &str, name: &str) -> Option<usize> {
    // `state.get` is a function whose first parameter is the state.
    let (receiver, name) = name.split_once('.').unwrap_or(("", name));
    let rest = signature.strip_prefix(name)?.strip_prefix('(')?;
    if !receiver.is_empty() && !rest.split(',').next()?.to_lowercase().contains(receiver) {
        return None;
    }
    Some(rest.split(") ->").next()?.matches("_:").count())
}

fn said_parameters(call: &str) -> usize {
    let head = call.split(" -> ").next().unwrap_or_default();
    head.matches(": ").count() + usize::from(head.split('(').next().is_some_and(|name| name.contains('.')))
}

#[test]
fn every_function_is_in_one_topic() {
    for function in api::FUNCTIONS {
        let topics = crate::handlers::script::contract::TOPICS
            .iter()
            .filter(|(_, names)| names.contains(&function.name))
            .count();
        assert_eq!(topics, usize::from(function.name != "log"), "{}: name it in contract::TOPICS", function.name);
    }
}

#[test]
fn options_have_the_type_that_the_table_says() {
    let mut checked = 0;
    for function in
        api::FUNCTIONS.iter().filter(|function| function.name != "refer" && !function.name.starts_with("http_"))
    {
        for option in function.options {
            let others = function.options.iter().filter(|other| other.is_needed && other.name != option.name);
            let others: String = others.map(|other| format!("{}: {}, ", other.name, right(other))).collect();
            let wrong = if option.kind.contains("text") { "5" } else { "\"five\"" };
            let error = images(&format!("{}(#{{ {others}{}: {wrong} }})", function.name, option.name)).unwrap_err();
            let expect = format!("{}: `{}` ", function.name, option.name);
            assert!(error.contains(&expect) && error.contains("must be"), "{error}");
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
}

fn right(option: &api::OptionKey) -> &'static str {
    match option.name {
        "images" => "[local_disk()]",
        "wait" => "5",
        "url" => "\"http://192.0.2.1/\"",
        _ => "\"x\"",
    }
}

#[test]
fn options_that_must_be_there_are_missed() {
    for function in api::FUNCTIONS.iter().filter(|function| function.options.iter().any(|option| option.is_needed)) {
        let error = images(&format!("{}(#{{}})", function.name)).unwrap_err();
        let needed = function.options.iter().find(|option| option.is_needed).unwrap();
        assert!(error.contains(&format!("needs `{}`", needed.name)), "{error}");
    }
}
