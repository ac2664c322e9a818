//! The handler with rows from memory: what it says to both questions.

use std::sync::Mutex;

use jiff::Timestamp;

use super::*;
use crate::boot::{Architecture, Client, Machine, MachineId, Stage, Value};
use crate::database::Rows;

/// Rows that a database could give.
#[derive(Default)]
struct Memory {
    machines: Vec<Record>,
    images: Vec<Record>,
    unknown_images: Vec<Record>,
    described: Vec<Record>,
    /// How old the rows are.
    age: Option<Duration>,
    is_gone: bool,
    cannot_spend: bool,
    events: Mutex<Vec<BootEvent>>,
}

impl Memory {
    fn rows(&self, records: &[Record]) -> Result<Rows, HandlerError> {
        match self.is_gone {
            true => Err(HandlerError::new("database `cmdb`: connection refused")),
            false => Ok(Rows { records: records.to_vec(), age: self.age }),
        }
    }
}

#[async_trait]
impl Source for Memory {
    async fn machines(&self, _: &Asked<'_>) -> Result<Rows, HandlerError> {
        self.rows(&self.machines)
    }
    async fn images(&self, _: &Asked<'_>, machine: Option<&Candidate>) -> Result<Rows, HandlerError> {
        self.rows(if machine.is_some() { &self.images } else { &self.unknown_images })
    }
    async fn described(&self, image: &str, _: &Asked<'_>) -> Result<Option<Record>, HandlerError> {
        Ok(self.described.iter().find(|row| row.text("image").as_deref() == Some(image)).cloned())
    }
    async fn happened(&self, _: &Asked<'_>, event: &BootEvent) -> Result<(), HandlerError> {
        self.events.lock().unwrap().push(event.clone());
        Ok(())
    }
    async fn check(&self, _: Duration) -> Checked {
        Checked::default()
    }
    fn assignment(&self, id: &str) -> Result<String, String> {
        if self.cannot_spend { Err("nothing would spend it".into()) } else { Ok(format!("cmdb:{id}")) }
    }
}

fn rules() -> Rules {
    let style = Style { title: Line::clean("Choose"), timeout: Duration::from_secs(10) };
    Rules {
        unknown: UnknownMachine::Pass,
        no_image: NoImage::Local,
        ambiguous: Ambiguous::Local,
        shared_macs: SharedMacs::default(),
        style,
        allow_boot_limit: Duration::from_millis(400),
        boot_images_limit: Duration::from_secs(5),
    }
}

fn handler(source: Memory, rules: Rules) -> SqlHandler {
    SqlHandler { name: "cmdb".into(), source: Arc::new(source), rules, pace: Pace::default() }
}

fn row(pairs: &[(&str, &str)]) -> Record {
    pairs.iter().copied().collect()
}

fn request(stage: Stage, facts: &[(&str, &str)]) -> BootRequest {
    let mut client = Client::new("52:54:00:ab:cd:01".parse().unwrap(), Architecture::X64_UEFI);
    client.machine_id = Some(MachineId::from_uuid(UUID.parse().unwrap()));
    let mut machine = Machine::default();
    facts.iter().for_each(|(name, value)| assert!(machine.insert(name, value)));
    let now = Timestamp::UNIX_EPOCH;
    let session = "0001abcdefff".parse().unwrap();
    BootRequest { machine, ..BootRequest::new(session, stage, client, now) }
}

const UUID: &str = "4c4c4544-0057-5810-804a-c3c04f463701";

fn lab(extra: &[(&str, &str)]) -> Record {
    row(&[&[("machine_id", "7"), ("hostname", "lab-07"), ("uuid", UUID), ("owner", "ada")], extra].concat())
}

/// The answer in a few words: the verdict or `pass` or the noted record, and why.
async fn allowed(handler: &SqlHandler) -> String {
    match handler.allow_boot(&request(Stage::Discover, &[])).await {
        Ok(Answer::Explained { given: Some(verdict), why, .. }) => {
            format!("{} {} ({why})", verdict.name(), verdict.reason()).replace("  ", " ")
        }
        Ok(Answer::Explained { given: None, why, .. }) => format!("pass ({why})"),
        Ok(Answer::Identified { identity, why }) => format!("pass ({why}) {identity}"),
        Ok(Answer::Noted(record)) => format!("noted {}", record.text("matched_by").unwrap()),
        Ok(answer) => format!("{answer:?}"),
        Err(error) => format!("error {error}"),
    }
}

async fn images(handler: &SqlHandler) -> (Answer<BootImages>, String) {
    let answer = handler.boot_images(&request(Stage::Http, &[])).await.unwrap();
    let text = match &answer {
        Answer::Explained { given: Some(images), .. } => {
            let ids: Vec<_> = images.images().iter().map(|image| image.id.as_str()).collect();
            let notice: Vec<_> = images.notice().iter().map(Line::as_str).collect();
            format!("{} | {}", ids.join(" "), notice.join(" | "))
        }
        Answer::Explained { given: None, .. } => "pass".into(),
        Answer::Identified { identity, .. } => format!("pass {identity}"),
        Answer::Noted(record) => format!("noted {}", record.text("owner").unwrap()),
        answer => format!("{answer:?}"),
    };
    (answer, text)
}

async fn shown(machines: &[Record], rows: &[Record], change: impl FnOnce(&mut Memory, &mut Rules)) -> String {
    let (mut memory, mut rules) = (Memory::default(), rules());
    (memory.machines, memory.images) = (machines.to_vec(), rows.to_vec());
    change(&mut memory, &mut rules);
    images(&handler(memory, rules)).await.1
}

#[tokio::test(start_paused = true)]
async fn the_row_says_whether_a_machine_may_boot() {
    for (allow, reason, expect) in [
        (Value::Null, Value::Null, "allow (lab-07 (7) by uuid)"),
        (Value::Bool(true), Value::Null, "allow (lab-07 (7) by uuid)"),
        (Value::from("yes "), Value::Null, "allow (lab-07 (7) by uuid)"),
        (Value::Integer(0), Value::from("in stock"), "deny in stock (lab-07 (7) by uuid)"),
        (Value::from("Deny"), Value::Null, "deny the database says no (lab-07 (7) by uuid)"),
        (Value::Bool(false), Value::from("a\n${b}"), "deny a $ {b} (lab-07 (7) by uuid)"),
        (Value::from("ignore"), Value::from("quiet"), "ignore quiet (lab-07 (7) by uuid)"),
        (Value::from("pass"), Value::Null, "noted uuid"),
        (
            Value::from("perhaps"),
            Value::Null,
            "error machine lab-07 (7): `allow` is `perhaps`; write 1 or 0, yes or no, allow, deny, ignore or pass",
        ),
    ] {
        let mut machine = lab(&[]);
        machine.insert("allow", allow.clone());
        machine.insert("reason", reason);
        let memory = Memory { machines: vec![machine], ..Memory::default() };
        assert_eq!(allowed(&handler(memory, rules())).await, expect, "{allow:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_not_known_gets_what_the_site_says() {
    for (unknown, verdict, offered) in [
        (UnknownMachine::Pass, "pass (not known)", "pass"),
        (UnknownMachine::Allow, "allow (not known)", "local register | "),
        (
            UnknownMachine::Deny,
            "deny This machine is not in the database (not known)",
            " | This machine is not in the database",
        ),
        (
            UnknownMachine::Ignore,
            "ignore This machine is not in the database (not known)",
            " | This machine is not in the database",
        ),
    ] {
        let unknown_images = vec![row(&[("image", "register"), ("kind", "chain"), ("source", "http://h/register")])];
        let handler = handler(Memory { unknown_images, ..Memory::default() }, Rules { unknown, ..rules() });
        assert_eq!((allowed(&handler).await.as_str(), images(&handler).await.1.as_str()), (verdict, offered));
    }
}

#[tokio::test(start_paused = true)]
async fn rows_are_a_menu_and_bad_ones_cost_themselves_only() {
    let rows = [
        row(&[("image", "debian"), ("kind", "linux"), ("kernel", "d/linux"), ("sort_order", "2")]),
        row(&[("image", "broken"), ("kind", "linux")]),
        row(&[("image", "later"), ("kind", "local"), ("available_from", "2000-01-01")]),
        row(&[("image", "memtest"), ("sort_order", "1")]),
        row(&[("image", "missing"), ("sort_order", "1")]),
        row(&[("kind", "shell")]),
    ];
    let described = vec![row(&[("image", "memtest"), ("kind", "efi"), ("source", "tools/memtest.efi")])];
    let text = shown(&[lab(&[])], &rows, |memory, _| memory.described = described).await;
    assert_eq!(text, "local memtest debian | ");
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_an_image_starts_from_its_disk_or_is_left_to_the_next_handler() {
    assert_eq!(shown(&[lab(&[])], &[], |_, _| ()).await, " | ");
    let pass = |_: &mut Memory, rules: &mut Rules| rules.no_image = NoImage::Pass;
    assert_eq!(shown(&[lab(&[])], &[], pass).await, "noted ada");
    let image = [row(&[("image", "x"), ("kind", "shell")])];
    assert_eq!(shown(&[lab(&[])], &image, pass).await, "local x | ", "one that has an image is not left to anybody");
}

/// At DHCP it may have been one of several, and allowed for that.
#[tokio::test(start_paused = true)]
async fn a_machine_that_turns_out_to_be_a_denied_one_gets_no_image() {
    let image = [row(&[("image", "x"), ("kind", "shell")])];
    let denied = lab(&[("allow", "0"), ("reason", "in stock")]);
    assert_eq!(shown(&[denied], &image, |_, _| ()).await, " | in stock");
}

#[tokio::test(start_paused = true)]
async fn one_of_several_is_not_guessed() {
    let twins = || vec![lab(&[]), row(&[("machine_id", "8"), ("uuid", UUID), ("allow", "1")])];
    let handler = |memory, ambiguous| handler(memory, Rules { ambiguous, ..rules() });
    let memory = || Memory { machines: twins(), ..Memory::default() };
    let local = handler(memory(), Ambiguous::Local);
    assert_eq!(allowed(&local).await, "allow (one of several: lab-07 (7) by uuid; 8 by uuid)");
    assert_eq!(
        images(&local).await.1,
        " | This machine could be one of several, so it starts from its own disk: |   lab-07 (7) by uuid |   8 by uuid \
         | Give each its own UUID, serial number or MAC address in the database."
    );
    let pass = handler(memory(), Ambiguous::Pass);
    assert!(allowed(&pass).await.starts_with("pass (one of several"));
    assert_eq!(images(&pass).await.1, "pass ambiguous: lab-07 (7), 8");
    let none_may = twins().into_iter().map(|mut machine| {
        machine.insert("allow", false);
        machine
    });
    let denied = handler(Memory { machines: none_may.collect(), ..Memory::default() }, Ambiguous::Local);
    assert!(allowed(&denied).await.starts_with("deny the database says no (one of several"));
    let many = (0..40).map(|n| row(&[("machine_id", &n.to_string()), ("uuid", UUID)])).collect();
    let many = handler(Memory { machines: many, ..Memory::default() }, Ambiguous::Local);
    let text = images(&many).await.1;
    assert!(text.contains("7 by uuid |   and 32 more | Give each"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_of_a_lost_database_starts_nothing_that_is_done_once() {
    let rows = [
        row(&[("image", "install"), ("kind", "shell"), ("mandatory", "1"), ("once", "1")]),
        row(&[("image", "rescue"), ("kind", "shell")]),
    ];
    let fresh = shown(&[lab(&[])], &rows, |_, _| ()).await;
    assert_eq!(fresh, "local install rescue | ");
    let old = |memory: &mut Memory, _: &mut Rules| memory.age = Some(Duration::from_secs(300));
    let text = shown(&[lab(&[])], &rows, old).await;
    assert_eq!(text, "local rescue | The database does not answer: what is to be installed waits.");
    let memory = Memory { machines: vec![lab(&[])], age: Some(Duration::from_secs(300)), ..Memory::default() };
    let handler = handler(memory, rules());
    assert_eq!(allowed(&handler).await, "allow (lab-07 (7) by uuid; the answer of 5 min ago)");
}

#[tokio::test(start_paused = true)]
async fn an_assignment_has_its_name_and_one_that_nothing_spends_is_left_out() {
    let rows =
        [row(&[("image", "install"), ("kind", "shell"), ("assignment", "17"), ("mandatory", "1"), ("countdown", "0")])];
    let memory = Memory { machines: vec![lab(&[])], images: rows.to_vec(), ..Memory::default() };
    let (answer, text) = images(&handler(memory, rules())).await;
    assert_eq!(text, "install | ");
    let Answer::Explained { given: Some(images), why, .. } = answer else { panic!("{answer:?}") };
    assert_eq!((images.assignments().collect::<Vec<_>>(), why.as_str()), (vec!["cmdb:17"], "lab-07 (7) by uuid"));
    assert_eq!(shown(&[lab(&[])], &rows, |memory, _| memory.cannot_spend = true).await, " | ");
}

#[tokio::test(start_paused = true)]
async fn a_database_that_fails_is_an_error_and_not_an_answer() {
    let handler = handler(Memory { is_gone: true, ..Memory::default() }, rules());
    assert_eq!(allowed(&handler).await, "error database `cmdb`: connection refused");
    assert!(handler.boot_images(&request(Stage::Http, &[])).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn more_is_known_once_ipxe_runs() {
    let twins =
        [("7", "S1"), ("8", "S2")].map(|(id, serial)| row(&[("machine_id", id), ("uuid", UUID), ("serial", serial)]));
    let image = vec![row(&[("image", "x"), ("kind", "shell")])];
    let memory = Memory { machines: twins.to_vec(), images: image, ..Memory::default() };
    let handler = handler(memory, rules());
    assert_eq!(allowed(&handler).await, "allow (one of several: 7 by uuid; 8 by uuid)");
    let answer = handler.boot_images(&request(Stage::Http, &[("serial", "s2")])).await.unwrap();
    let Answer::Explained { given: Some(images), why, .. } = answer else { panic!("{answer:?}") };
    assert_eq!((images.images().len(), why.as_str()), (2, "8 by uuid, serial"));
}
