//! The sql handler on real databases: one list of scenarios, which every kind of database passes.
//!
//! The tables are such as a site could have; the queries are the same text for each kind.

use std::path::Path;
use std::time::Duration;

use pointsman::boot::{
    Architecture, BootImages, BootRequest, Client, Line, Machine, MachineId, Record, Stage, Value, Verdict,
};
use pointsman::config::{Config, HandlerSection};
use pointsman::database::{Database, Databases, Query};
use pointsman::decision::{Answer, BootEvent, Carrier, RequestHandler};
use pointsman::handlers::sql::SqlHandler;

const TABLES: &[&str] = &[
    "CREATE TABLE computer (id INTEGER PRIMARY KEY, name VARCHAR(64), uuid VARCHAR(36), maker VARCHAR(64), \
     serial VARCHAR(64), may_boot SMALLINT, why VARCHAR(255), owner VARCHAR(64))",
    "CREATE TABLE nic (mac VARCHAR(17), computer INTEGER)",
    "CREATE TABLE deployment (id INTEGER PRIMARY KEY, computer INTEGER, image VARCHAR(64), kernel VARCHAR(255), \
     forced SMALLINT, countdown INTEGER, starts VARCHAR(32), ends VARCHAR(32), place INTEGER, state VARCHAR(16), \
     session VARCHAR(32), said VARCHAR(255))",
    "INSERT INTO computer VALUES (7, 'lab-07', '4C4C4544-0057-5810-804A-C3C04F463707', 'Dell', 'S7', NULL, NULL, 'ada')",
    "INSERT INTO computer VALUES (8, 'lab-08', '4C4C4544-0057-5810-804A-C3C04F463708', 'Dell', 'S8', 0, 'in stock', NULL)",
    "INSERT INTO computer VALUES (9, 'twin-a', '4C4C4544-0057-5810-804A-C3C04F463709', 'HP', 'S9', NULL, NULL, NULL)",
    "INSERT INTO computer VALUES (10, 'twin-b', '4C4C4544-0057-5810-804A-C3C04F463709', 'HP', 'S10', NULL, NULL, NULL)",
    "INSERT INTO nic VALUES ('52:54:00:AB:CD:07', 7)",
    "INSERT INTO nic VALUES ('52:54:00:AB:CD:17', 7)",
    "INSERT INTO nic VALUES ('52:54:00:AB:CD:99', 8)",
    "INSERT INTO deployment VALUES (1, 7, 'memtest', 't/memtest', 0, NULL, NULL, NULL, 2, 'standing', NULL, NULL)",
    "INSERT INTO deployment VALUES (2, 7, 'debian', 'd/linux', 1, 5, '2026-01-01', '2027-01-01', 1, 'assigned', NULL, NULL)",
    "INSERT INTO deployment VALUES (3, 7, 'later', 'd/linux', 1, 5, '2026-06-01', NULL, 1, 'assigned', NULL, NULL)",
    "INSERT INTO deployment VALUES (4, 7, 'broken', '../linux', 1, 5, NULL, NULL, 1, 'assigned', NULL, NULL)",
];

const HANDLER: &str = r#"
[[handler]]
kind = "sql"
name = "cmdb"
database = "cmdb"
machine = """
    SELECT c.id AS machine_id, c.name AS hostname, c.may_boot AS allow, c.why AS reason, c.uuid AS uuid,
           c.maker AS manufacturer, c.serial AS serial, n.mac AS mac, c.owner AS owner
    FROM computer c LEFT JOIN nic n ON n.computer = c.id
    WHERE c.uuid = :uuid_upper OR c.serial = :serial
       OR c.id IN (SELECT computer FROM nic WHERE mac IN (:mac_upper, :mac_ipxe_upper, :sysmac_upper))"""
images = """
    SELECT d.image AS image, 'linux' AS kind, d.kernel AS kernel, d.forced AS mandatory, d.countdown AS countdown,
           d.starts AS available_from, d.ends AS expires, d.place AS sort_order,
           CASE WHEN d.state <> 'standing' THEN d.id END AS assignment
    FROM deployment d
    WHERE d.computer = :machine_id AND d.state IN ('standing', 'assigned', 'offered')"""
offered = "UPDATE deployment SET state = 'offered', session = :session WHERE id = :assignment AND state IN ('assigned', 'offered')"
started = """
    UPDATE deployment SET state = 'started', session = :session
    WHERE id = :assignment AND (state = 'offered' OR (state = 'started' AND session = :session))"""
done = "UPDATE deployment SET state = 'done' WHERE session = :session AND state = 'started'"
failed = """
    UPDATE deployment SET state = CASE WHEN :event = 'load-failed' THEN 'assigned' ELSE 'failed' END, said = :reason
    WHERE session = :session AND state = 'started'"""
"#;

/// A site's database with the tables above, and the handler that asks it.
pub(crate) struct Cmdb {
    pub(crate) handler: SqlHandler,
    pub(crate) database: Database,
}

pub(crate) const LIMIT: Duration = Duration::from_secs(10);

impl Cmdb {
    /// The tables are made in the database of this URL.
    pub(crate) async fn make(url: &str, more: &str, folder: &Path) -> Cmdb {
        let cmdb = Cmdb::open(url, more, folder);
        for statement in TABLES {
            cmdb.change(statement).await;
        }
        cmdb
    }

    pub(crate) fn open(url: &str, more: &str, folder: &Path) -> Cmdb {
        let text = format!("[database.cmdb]\nurl = \"{url}\"\n{HANDLER}{more}");
        let config = Config::parse(&folder.join("pointsman.toml"), &text).unwrap();
        let databases = Databases::open(&config, None).unwrap();
        let HandlerSection::Sql(section) = &config.handlers[0] else { panic!("{:?}", config.handlers) };
        let handler =
            SqlHandler::build("cmdb", section, &databases).map_err(|problems| format!("{problems:?}")).unwrap();
        Cmdb { handler, database: databases.get("cmdb").unwrap().clone() }
    }

    async fn change(&self, statement: &str) {
        let query = Query::parse(statement).unwrap();
        self.database.execute(&query, &Record::default(), LIMIT).await.unwrap();
    }

    /// The first column of a row.
    async fn cell(&self, statement: &str) -> String {
        let query = Query::parse(statement).unwrap();
        let rows = self.database.fresh_rows(&query, &Record::default(), LIMIT).await.unwrap();
        rows[0].iter().next().and_then(|(_, value)| value.to_text()).unwrap_or_else(|| "null".into())
    }

    pub(crate) async fn verdict(&self, request: &BootRequest) -> String {
        match self.handler.allow_boot(request).await {
            Ok(Answer::Explained { given: Some(Verdict::Allow(_)), why, .. }) => format!("allow: {why}"),
            Ok(Answer::Explained { given: Some(verdict), .. }) => format!("{}: {}", verdict.name(), verdict.reason()),
            Ok(Answer::Explained { given: None, why, .. }) => format!("pass: {why}"),
            other => format!("{other:?}"),
        }
    }

    pub(crate) async fn images(&self, request: &BootRequest) -> BootImages {
        match self.handler.boot_images(request).await {
            Ok(Answer::Explained { given: Some(images), .. }) => images,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn ids(&self, request: &BootRequest) -> String {
        let images = self.images(request).await;
        images.images().iter().map(|image| image.id.as_str()).collect::<Vec<_>>().join(" ")
    }
}

/// A machine whose UUID and MAC address end in these two digits, in the boot of this number.
pub(crate) fn machine(uuid: &str, mac: &str, facts: &[(&str, &str)], boot: u8) -> BootRequest {
    let mut client = Client::new(format!("52:54:00:ab:cd:{mac}").parse().unwrap(), Architecture::X64_UEFI);
    if !uuid.is_empty() {
        let uuid = format!("4c4c4544-0057-5810-804a-c3c04f4637{uuid}");
        client.machine_id = Some(MachineId::from_uuid(uuid.parse().unwrap()));
    }
    let mut machine = Machine::default();
    facts.iter().for_each(|(name, value)| assert!(machine.insert(name, value)));
    let stage = if facts.is_empty() { Stage::Discover } else { Stage::Http };
    let session = format!("0001abcdef{boot:02x}").parse().unwrap();
    let now = "2026-05-01T12:00:00Z".parse().unwrap();
    BootRequest { machine, ..BootRequest::new(session, stage, client, now) }
}

/// Every scenario, in the order that the assignments go on.
pub(crate) async fn every_scenario(cmdb: &Cmdb) {
    machines_are_found_and_told_apart(cmdb).await;
    hostile_facts_stay_values(cmdb).await;
    every_parameter_can_be_asked_with(cmdb).await;
    an_assignment_is_done_once(cmdb).await;
    a_load_that_failed_gives_it_back(cmdb).await;
    an_installer_has_the_last_word(cmdb).await;
}

async fn machines_are_found_and_told_apart(cmdb: &Cmdb) {
    let said = |request: BootRequest| async move { cmdb.verdict(&request).await };
    assert_eq!(said(machine("07", "07", &[], 1)).await, "allow: lab-07 (7) by uuid, mac");
    assert_eq!(said(machine("07", "55", &[], 1)).await, "allow: lab-07 (7) by uuid");
    assert_eq!(said(machine("", "17", &[], 1)).await, "allow: lab-07 (7) by mac", "the second of its addresses");
    assert_eq!(said(machine("08", "55", &[], 1)).await, "deny: in stock");
    assert_eq!(said(machine("55", "55", &[], 1)).await, "pass: not known");
    // A dongle that is written down with another machine.
    assert_eq!(
        said(machine("07", "99", &[], 1)).await,
        "allow: lab-07 (7) by uuid; lab-08 (8) has its mac, but another uuid"
    );
    assert_eq!(said(machine("55", "99", &[], 1)).await, "pass: not known; lab-08 (8) has its mac, but another uuid");
    let twins = "allow: one of several: twin-a (9) by uuid; twin-b (10) by uuid";
    let answer = said(machine("09", "55", &[], 1)).await;
    assert!(answer == twins || answer == "allow: one of several: twin-b (10) by uuid; twin-a (9) by uuid", "{answer}");
    let serial = [("serial", "S10"), ("manufacturer", "Hewlett-Packard")];
    assert_eq!(said(machine("09", "55", &serial, 1)).await, "allow: twin-b (10) by uuid, serial");
    assert!(
        cmdb.images(&machine("09", "55", &[("serial", "S77")], 1)).await.notice()[0]
            .as_str()
            .contains("one of several")
    );
    let uuid = [("uuid", "4c4c4544-0057-5810-804a-c3c04f463707")];
    assert_eq!(said(machine("", "55", &uuid, 1)).await, "allow: lab-07 (7) by uuid", "the fact, without option 97");
}

async fn hostile_facts_stay_values(cmdb: &Cmdb) {
    for text in
        ["S7' OR '1'='1", "'; DROP TABLE computer; --", "\\", "%", "$1 :uuid ?", "😀\u{202e}", "S7\\' OR 1=1 -- "]
    {
        let answer = cmdb.verdict(&machine("55", "55", &[("serial", text), ("product", text)], 1)).await;
        assert_eq!(answer, "pass: not known", "{text}");
    }
    assert_eq!(cmdb.cell("SELECT COUNT(*) AS n FROM computer").await, "4");
}

/// What the documentation lists is what a query may ask with.
async fn every_parameter_can_be_asked_with(cmdb: &Cmdb) {
    let table = pointsman::handlers::sql::reference();
    let names: Vec<&str> = table.lines().filter_map(|line| line.strip_prefix("| `:")?.split('`').next()).collect();
    assert!(names.len() > 40, "{names:?}");
    let all: Vec<String> = names.iter().map(|name| format!("owner = :{name}")).collect();
    let query = format!("SELECT id AS machine_id FROM computer WHERE name = 'lab-07' OR {}", all.join(" OR "));
    let text = format!(
        "[database.cmdb]\nurl = \"sqlite:unused.db\"\n[[handler]]\nkind = \"sql\"\ndatabase = \"cmdb\"\n\
         images = \"SELECT 1 AS image\"\nmachine = \"{query}\"\n"
    );
    let config = Config::parse(Path::new("pointsman.toml"), &text).unwrap();
    let HandlerSection::Sql(section) = &config.handlers[0] else { panic!() };
    let databases = Databases::open(&config, None).unwrap();
    assert!(SqlHandler::build("x", section, &databases).is_ok());
    let rows = cmdb.database.fresh_rows(&Query::parse(&query).unwrap(), &Record::default(), LIMIT).await.unwrap();
    assert_eq!(rows[0].get("machine_id"), Some(&Value::Integer(7)));
}

fn offered(assignment: &str) -> BootEvent {
    BootEvent::Offered { images: vec!["debian".into()], assignments: vec![assignment.into()] }
}

fn started(assignment: &str) -> BootEvent {
    BootEvent::Started { image: "debian".into(), assignment: assignment.into() }
}

async fn an_assignment_is_done_once(cmdb: &Cmdb) {
    let [first, second] = [1, 2].map(|boot| machine("07", "07", &[("serial", "S7")], boot));
    let images = cmdb.images(&first).await;
    assert_eq!(cmdb.ids(&first).await, "local debian memtest", "what is later or broken is not there");
    assert_eq!(images.assignments().collect::<Vec<_>>(), ["cmdb~2"]);
    let menu = images.menu().unwrap();
    assert_eq!((menu.default.as_deref(), menu.timeout), (Some("debian"), Some(Duration::from_secs(5))));
    let handler = &cmdb.handler;
    handler.boot_event(&first, &offered("cmdb~2")).await.unwrap();
    handler.boot_event(&first, &offered("other~2")).await.unwrap();
    handler.boot_event(&first, &started("other~2")).await.unwrap();
    assert_eq!(
        cmdb.cell("SELECT state FROM deployment WHERE id = 2").await,
        "offered",
        "another handler's is not ours"
    );
    handler.boot_event(&first, &started("cmdb~2")).await.unwrap();
    handler.boot_event(&first, &started("cmdb~2")).await.unwrap();
    let refused = handler.boot_event(&second, &started("cmdb~2")).await.unwrap_err();
    assert!(refused.is_refusal && refused.message == "assignment 2 is taken, or not open any more", "{refused:?}");
    assert!(handler.boot_event(&first, &started("cmdb~77")).await.unwrap_err().is_refusal);
    assert_eq!(cmdb.ids(&second).await, "local memtest", "it is not offered again");
}

async fn a_load_that_failed_gives_it_back(cmdb: &Cmdb) {
    let [first, second] = [1, 2].map(|boot| machine("07", "07", &[("serial", "S7")], boot));
    let failure = BootEvent::LoadFailed { image: "debian".into(), error: Some(0x2d0c_6139) };
    cmdb.handler.boot_event(&second, &failure).await.unwrap();
    assert_eq!(cmdb.ids(&first).await, "local memtest", "another boot's failure gives nothing back");
    cmdb.handler.boot_event(&first, &failure).await.unwrap();
    assert_eq!(cmdb.cell("SELECT said FROM deployment WHERE id = 2").await, "iPXE could not load it: error 2d0c6139");
    assert_eq!(cmdb.ids(&second).await, "local debian memtest");
}

async fn an_installer_has_the_last_word(cmdb: &Cmdb) {
    let second = machine("07", "07", &[("serial", "S7")], 2);
    let state = "SELECT state FROM deployment WHERE id = 2";
    for event in [offered("cmdb~2"), started("cmdb~2")] {
        cmdb.handler.boot_event(&second, &event).await.unwrap();
    }
    let elapsed = Duration::from_secs(1);
    let sent = BootEvent::FileSent { file: "d/linux".into(), octets: 5, elapsed, by: Carrier::Http };
    cmdb.handler.boot_event(&second, &sent).await.unwrap();
    assert_eq!(cmdb.cell(state).await, "started");
    cmdb.handler.boot_event(&second, &BootEvent::Done).await.unwrap();
    assert_eq!(cmdb.cell(state).await, "done");
    let failed = BootEvent::Failed { reason: Line::clean("too late") };
    cmdb.handler.boot_event(&second, &failed).await.unwrap();
    assert_eq!(cmdb.cell(state).await, "done");
}

#[tokio::test]
async fn sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let cmdb = Cmdb::make("sqlite:cmdb.db?mode=rwc", "", folder.path()).await;
    every_scenario(&cmdb).await;
    let checked = cmdb.handler.check(LIMIT).await;
    assert!(checked.problems.is_empty() && checked.notes.is_empty(), "{checked:?}");
}

#[tokio::test]
async fn a_database_that_is_not_there_fails_the_question_and_not_the_handler() {
    let folder = tempfile::tempdir().unwrap();
    let cmdb = Cmdb::open("sqlite:cmdb.db", "", folder.path());
    let request = machine("07", "07", &[], 1);
    let error = cmdb.handler.allow_boot(&request).await.unwrap_err();
    assert!(error.message.contains("cmdb") && !error.is_refusal, "{error}");
    Cmdb::make("sqlite:cmdb.db?mode=rwc", "", folder.path()).await;
    let mut waited = Duration::ZERO;
    while cmdb.verdict(&request).await != "allow: lab-07 (7) by uuid, mac" {
        assert!(waited < LIMIT, "{}", cmdb.verdict(&request).await);
        waited += Duration::from_millis(50);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A database that is gone gives what it said last, and nothing of what is done once.
#[tokio::test]
async fn what_was_known_stands_in_for_a_database_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    drop(Cmdb::make("sqlite:cmdb.db?mode=rwc", "", folder.path()).await);
    let cmdb = Cmdb::open("sqlite:cmdb.db", "", folder.path());
    let request = machine("07", "07", &[("serial", "S7")], 1);
    assert_eq!(cmdb.ids(&request).await, "local debian memtest");
    std::fs::rename(folder.path().join("cmdb.db"), folder.path().join("gone.db")).unwrap();
    let (images, verdict) = (cmdb.images(&request).await, cmdb.verdict(&request).await);
    assert_eq!(cmdb.ids(&request).await, "local memtest");
    assert_eq!(images.notice()[0].as_str(), "The database does not answer: what is to be installed waits.");
    assert!(verdict.starts_with("allow: lab-07 (7) by uuid, serial, mac; the answer of "), "{verdict}");
    assert!(
        cmdb.handler.boot_event(&request, &started("cmdb~2")).await.is_err(),
        "nothing begins that cannot be noted"
    );
}

/// What a check says of queries that the file alone could not tell.
#[tokio::test]
async fn queries_are_held_against_the_database() {
    let folder = tempfile::tempdir().unwrap();
    drop(Cmdb::make("sqlite:cmdb.db?mode=rwc", "", folder.path()).await);
    let checked = |machine: &str, images: &str, more: &str| {
        let text = format!(
            "[database.cmdb]\nurl = \"sqlite:cmdb.db\"\n[[handler]]\nkind = \"sql\"\ndatabase = \"cmdb\"\n\
             machine = \"{machine}\"\nimages = \"{images}\"\n{more}"
        );
        let config = Config::parse(&folder.path().join("pointsman.toml"), &text).unwrap();
        let HandlerSection::Sql(section) = &config.handlers[0] else { panic!() };
        let databases = Databases::open(&config, None).unwrap();
        let built = SqlHandler::build("cmdb", section, &databases);
        async move {
            match built {
                Ok(handler) => {
                    let checked = handler.check(LIMIT).await;
                    [checked.problems, checked.notes].concat().join("\n")
                }
                Err(problems) => problems.into_iter().map(|(what, help)| format!("{what}; {help}\n")).collect(),
            }
        }
    };
    let good = "SELECT id AS machine_id, uuid, owner FROM computer";
    let image = "SELECT image, 'local' AS kind FROM deployment WHERE computer = :machine_id";
    assert_eq!(checked(good, image, "").await, "");
    for (machine, images, more, expect) in [
        ("SELECT id FROM computer WHERE uuid = :uuid", image, "", "no column `machine_id` among id"),
        ("SELECT id AS machine_id FROM computer", image, "", "none of uuid, serial and mac"),
        ("SELECT id AS machine_id FROM computr", image, "", "machine: database `cmdb` refused the query"),
        ("SELEC 1", "SELECT 1 AS image, 'x' AS kind", "", "machine: database `cmdb` refused the query"),
        (good, "SELECT 1 AS picture, 'x' AS kind", "", "images: there is no column `image` among picture, kind"),
        (good, "SELECT 1 AS image", "", "the images are those of the store"),
        (good, "SELECT 1 AS image, 'x' AS kind, 1 AS once", "", "give the handler a query `started`"),
        (
            good,
            "SELECT 1 AS image, 'x' AS kind WHERE :ownr = :machine_owner",
            "",
            "parameter `:ownr`; did you mean `owner`?",
        ),
        ("SELECT :seriel AS machine_id", image, "", "machine: there is no parameter `:seriel`; did you mean `serial`?"),
        ("SELECT 'x AS machine_id", image, "", "machine: a string that begins at octet 7 has no end"),
        (good, image, "done = \"UPDATE x SET y = :machine_id\"", "done: there is no parameter `:machine_id`"),
        (good, image, "started = \"UPDATE x SET y = :assignmen\"", "did you mean `assignment`?"),
        (good, image, "shared_macs = [\"dongle\"]", "shared_macs: `dongle` is no MAC address"),
    ] {
        let text = checked(machine, images, more).await;
        assert!(text.contains(expect), "{machine} {images}: {expect} not in {text}");
    }
    std::fs::remove_file(folder.path().join("cmdb.db")).unwrap();
    assert!(checked(good, image, "").await.contains("cmdb.db"), "{}", checked(good, image, "").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_servers_postgres() {
    let (folder, mut server) = (tempfile::tempdir().unwrap(), crate::servers::Postgres::start());
    let cmdb = Cmdb::make(&server.url(), "", folder.path()).await;
    every_scenario(&cmdb).await;
    let checked = cmdb.handler.check(LIMIT).await;
    assert!(checked.problems.is_empty() && checked.notes.is_empty(), "{checked:?}");
    cmdb.change("UPDATE deployment SET state = 'assigned' WHERE id = 2").await;
    let request = machine("07", "07", &[("serial", "S7")], 3);
    assert_eq!(cmdb.ids(&request).await, "local debian memtest");
    server.kill();
    assert_eq!(cmdb.ids(&request).await, "local memtest", "nothing is installed by what was remembered");
    assert!(cmdb.handler.boot_event(&request, &started("cmdb~2")).await.is_err());
    let stranger = machine("66", "66", &[], 3);
    assert!(cmdb.handler.allow_boot(&stranger).await.is_err(), "of this one nothing is remembered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_servers_mariadb() {
    let (folder, server) = (tempfile::tempdir().unwrap(), crate::servers::MariaDb::start());
    let cmdb = Cmdb::make(&server.url(), "", folder.path()).await;
    every_scenario(&cmdb).await;
    let checked = cmdb.handler.check(LIMIT).await;
    assert!(checked.problems.is_empty() && checked.notes.is_empty(), "{checked:?}");
}
