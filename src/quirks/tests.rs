use super::*;
use crate::boot::Architecture;

fn quirks(text: &str) -> Quirks {
    Quirks::with(toml::from_str::<Table>(text).unwrap().quirk)
}

#[test]
fn the_shipped_table_reads_and_says_where_everything_is_from() {
    let shipped = Quirks::with(Vec::new());
    assert!(!shipped.entries().is_empty());
    for quirk in shipped.entries() {
        assert!(!quirk.matches.is_everybody(), "{} means every client", quirk.name);
        assert!(!quirk.manner.is_usual(), "{} sets nothing", quirk.name);
        let words = [&quirk.client, &quirk.symptom, &quirk.source];
        assert!(words.iter().all(|words| !words.is_empty()), "{} lacks client, symptom or source", quirk.name);
        let same = shipped.entries().iter().filter(|other| other.name == quirk.name);
        assert_eq!(same.count(), 1, "{} is there twice", quirk.name);
    }
}

#[test]
fn a_site_s_entry_comes_first_and_replaces_its_namesake() {
    let own = "[[quirk]]\nname = \"exit-opens-setup\"\nmatch = { oui = [\"02\"] }\nset = { delay_ms = 300 }\n";
    let quirks = quirks(own);
    let client = Client::new([2, 0, 0, 0, 0, 1].into(), Architecture::X64_UEFI);
    let mut machine = Machine::default();
    assert!(machine.insert("product", "PowerEdge R740"));
    let manner = quirks.manner(&client, &machine);
    assert_eq!((manner.delay_ms, manner.local_boot), (Some(300), None));
    let shipped = Quirks::with(Vec::new()).manner(&client, &machine);
    assert_eq!(shipped.local_boot, Some(crate::boot::LocalBoot::ExitFailed));
}

#[test]
fn the_page_shows_the_shipped_table() {
    let page = include_str!("../../docs/quirks.md");
    for quirk in Quirks::with(Vec::new()).entries() {
        let row = format!("| `{}` | {} | {} | {} |", quirk.name, quirk.client, quirk.symptom, quirk.source);
        assert!(page.contains(&row), "docs/quirks.md lacks this row:\n{row}");
    }
    let rows = page.split("## The shipped table").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = rows.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, Quirks::with(Vec::new()).entries().len());
}

#[test]
fn a_raspberry_pi_and_u_boot_take_the_first_answer() {
    let quirks = Quirks::with(Vec::new());
    let machine = Machine::default();
    for code in [41, 21, 22] {
        let client = Client::new([0xb8, 0x27, 0xeb, 0, 0, 1].into(), Architecture::from_code(code));
        assert_eq!(quirks.manner(&client, &machine).style, Some(crate::boot::Style::Pxe10), "{code}");
    }
    let client = Client::new([2, 0, 0, 0, 0, 1].into(), Architecture::X64_UEFI);
    assert!(quirks.manner(&client, &machine).is_usual());
}
