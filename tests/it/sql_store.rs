//! The sql handler on the store: what is assigned is offered, begun and done once, whatever the database.

use std::path::Path;

use jiff::SignedDuration;
use pointsman::boot::BootRequest;
use pointsman::config::{Config, HandlerSection};
use pointsman::database::Databases;
use pointsman::decision::{Answer, BootEvent, RequestHandler};
use pointsman::handlers::sql::SqlHandler;
use pointsman::store::{IfThere, ImageEntry, MachineEntry, Mode, Name, NewAssignment, SpentBy, State, Store, Target};

use crate::sql_rows::machine;

struct Place {
    handler: SqlHandler,
    store: Store,
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

impl Place {
    /// A handler on a store that has two machines and two images; `database` is a table of the configuration.
    async fn make(database: &str, folder: &Path) -> Place {
        let store = if database.is_empty() { "" } else { "[store]\ndatabase = \"main\"\n" };
        let text = format!("{store}{database}\n[[handler]]\nkind = \"sql\"\nunknown = \"allow\"\n");
        let config = Config::parse(&folder.join("pointsman.toml"), &text).unwrap();
        std::fs::create_dir_all(&config.server.state).unwrap();
        let databases = Databases::open(&config, None).unwrap();
        let HandlerSection::Sql(section) = &config.handlers[0] else { panic!("{:?}", config.handlers) };
        let handler =
            SqlHandler::build("sql", section, &databases).map_err(|problems| format!("{problems:?}")).unwrap();
        let place = Place { handler, store: Store::on(databases.store().clone()).unwrap() };
        place.fill().await;
        place
    }

    async fn fill(&self) {
        let now = machine("", "07", &[], 1).now;
        for (text, uuid, mac) in [("lab-07", "07", "07"), ("lab-08", "08", "99")] {
            let mut entry = MachineEntry::new(name(text), now);
            entry.uuid = Some(format!("4c4c4544-0057-5810-804a-c3c04f4637{uuid}").parse().unwrap());
            entry.macs.insert(format!("52:54:00:ab:cd:{mac}").parse().unwrap());
            entry.serial = Some(format!("S{uuid}"));
            self.store.add_machine(entry).await.unwrap();
        }
        for (id, kernel) in [("debian", "d/linux"), ("memtest", "t/memtest"), ("register", "r/linux")] {
            let attributes = [("kind", "linux"), ("kernel", kernel)].map(|(name, value)| (name.into(), value.into()));
            let entry = ImageEntry::new(name(id), &attributes.into(), now).unwrap();
            self.store.add_image(&entry, IfThere::Refuse).await.unwrap();
        }
    }

    async fn assign(&self, target: Target, image: &str, change: impl FnOnce(&mut NewAssignment)) -> String {
        let mut new = NewAssignment::new(target, name(image));
        change(&mut new);
        let now = machine("", "07", &[], 1).now;
        self.store.assign(&new, now).await.unwrap().new[0].1.clone()
    }

    async fn once(&self, spent_by: SpentBy) -> String {
        let mandatory = |new: &mut NewAssignment| (new.mandatory, new.spent_by) = (true, spent_by);
        self.assign(Target::Machine(name("lab-07")), "debian", mandatory).await
    }

    /// The ids of what is offered, and the assignments in brackets.
    async fn offered(&self, request: &BootRequest) -> String {
        match self.handler.boot_images(request).await {
            Ok(Answer::Explained { given: Some(images), .. }) => {
                let id = |image: &pointsman::boot::BootImage| match image.assignment {
                    Some(_) => format!("[{}]", image.id),
                    None => image.id.clone(),
                };
                images.images().iter().map(id).collect::<Vec<_>>().join(" ")
            }
            other => panic!("{other:?}"),
        }
    }

    async fn offer(&self, request: &BootRequest, id: &str) -> Result<(), String> {
        let event = BootEvent::Offered { images: vec!["debian".into()], assignments: vec![id.into(), "cmdb~9".into()] };
        self.tell(request, &event).await
    }

    async fn start(&self, request: &BootRequest, id: &str) -> Result<(), String> {
        self.tell(request, &BootEvent::Started { image: "debian".into(), assignment: id.into() }).await
    }

    async fn tell(&self, request: &BootRequest, event: &BootEvent) -> Result<(), String> {
        let told = self.handler.boot_event(request, event).await;
        told.map_err(|error| if error.is_refusal { error.message } else { panic!("{error}") })
    }

    async fn state(&self, id: &str) -> State {
        self.store.assignment(id).await.unwrap().state
    }
}

/// The boot of this number, of the machine that is known.
fn boot(number: u8) -> BootRequest {
    let mut request = machine("07", "07", &[("serial", "S07")], number);
    request.now += SignedDuration::from_secs(i64::from(number) * 60);
    request
}

/// Every scenario; each leaves nothing open behind.
async fn every_scenario(place: &Place) {
    machines_have_what_is_assigned_to_them(place).await;
    begun_is_begun_once(place).await;
    a_script_that_was_served_can_be_all_it_takes(place).await;
    until_it_is_done_it_comes_again_and_not_for_ever(place).await;
}

async fn machines_have_what_is_assigned_to_them(place: &Place) {
    assert_eq!(place.offered(&boot(1)).await, "");
    let always = |new: &mut NewAssignment| new.mode = Mode::Always;
    let all = place.assign(Target::All, "memtest", always).await;
    let unknown = place.assign(Target::Unknown, "register", always).await;
    let once = place.once(SpentBy::Image).await;
    assert_eq!(place.offered(&boot(1)).await, "local [debian] memtest");
    assert_eq!(place.offered(&machine("08", "99", &[("serial", "S08")], 1)).await, "local memtest");
    assert_eq!(place.offered(&machine("55", "55", &[("serial", "S55")], 1)).await, "local register");
    // Found by what only iPXE tells: the address of the NIC, and a UUID in the other byte order.
    assert_eq!(place.offered(&machine("", "55", &[("mac", "52:54:00:ab:cd:99")], 1)).await, "local memtest");
    let turned = [("uuid", "44454c4c-5700-1058-804a-c3c04f463708")];
    assert_eq!(place.offered(&machine("", "55", &turned, 1)).await, "local memtest");
    for id in [all, unknown, once] {
        place.store.unassign(&id).await.unwrap();
    }
}

async fn begun_is_begun_once(place: &Place) {
    let id = place.once(SpentBy::Image).await;
    let (first, second) = (boot(2), boot(3));
    assert!(place.start(&first, &id).await.unwrap_err().contains("is not given out"), "it was never offered");
    place.offer(&first, &id).await.unwrap();
    place.offer(&first, &id).await.unwrap();
    place.start(&first, &id).await.unwrap();
    place.start(&first, &id).await.unwrap();
    assert!(place.offer(&second, &id).await.is_err() && place.start(&second, &id).await.is_err());
    assert_eq!(place.offered(&second).await, "", "it is not there any more");
    place.tell(&first, &BootEvent::LoadFailed { image: "debian".into(), error: None }).await.unwrap();
    assert_eq!(place.offered(&second).await, "local [debian]", "what could not be loaded is not taken");
    place.offer(&second, &id).await.unwrap();
    place.start(&second, &id).await.unwrap();
    place.tell(&second, &BootEvent::Done).await.unwrap();
    assert_eq!(place.state(&id).await, State::Done);
    assert!(place.start(&second, "no-such-id").await.is_err());
}

async fn a_script_that_was_served_can_be_all_it_takes(place: &Place) {
    let id = place.once(SpentBy::Script).await;
    place.offer(&boot(4), &id).await.unwrap();
    assert_eq!(place.offered(&boot(5)).await, "");
    assert_eq!(place.offered(&boot(4)).await, "local [debian]", "the same boot may ask again");
    place.tell(&boot(4), &BootEvent::Failed { reason: pointsman::boot::Line::clean("no disk") }).await.unwrap();
    assert_eq!(place.state(&id).await, State::Failed);
}

async fn until_it_is_done_it_comes_again_and_not_for_ever(place: &Place) {
    let id = place.once(SpentBy::Done).await;
    for number in 6..9 {
        assert_eq!(place.offered(&boot(number)).await, "local [debian]");
        place.offer(&boot(number), &id).await.unwrap();
        place.start(&boot(number), &id).await.unwrap();
    }
    let held = place.offer(&boot(9), &id).await.unwrap_err();
    assert!(held.contains("held back: offered to 3 boots within"), "{held}");
    assert_eq!(place.state(&id).await, State::Failed);
    assert_eq!(place.offered(&boot(10)).await, "");
}

#[tokio::test]
async fn sqlite_without_any_setup() {
    let folder = tempfile::tempdir().unwrap();
    every_scenario(&Place::make("", folder.path()).await).await;
    assert!(folder.path().join("state/pointsman.db").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_servers_postgres() {
    let (folder, server) = (tempfile::tempdir().unwrap(), crate::servers::Postgres::start());
    every_scenario(&Place::make(&format!("[database.main]\nurl = \"{}\"\n", server.url()), folder.path()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_servers_mariadb() {
    let (folder, server) = (tempfile::tempdir().unwrap(), crate::servers::MariaDb::start());
    every_scenario(&Place::make(&format!("[database.main]\nurl = \"{}\"\n", server.url()), folder.path()).await).await;
}
