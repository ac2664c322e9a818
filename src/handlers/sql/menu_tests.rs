//! What a machine is offered.

use super::*;

fn offer(id: &str, order: f64) -> Offer {
    let image = BootImage {
        id: id.into(),
        title: Line::clean(&id.to_uppercase()),
        assignment: None,
        verify: None,
        choice: Default::default(),
        kind: ImageKind::Shell,
    };
    Offer { image, is_mandatory: false, countdown: None, sort_order: Some(order) }
}

fn mandatory(id: &str, order: f64, countdown: Option<u64>) -> Offer {
    Offer { is_mandatory: true, countdown: countdown.map(Duration::from_secs), ..offer(id, order) }
}

/// The ids in order, the default in brackets, and how long the menu waits.
fn shown(offers: Vec<Offer>) -> String {
    let style = Style { title: Line::clean("Choose"), timeout: Duration::from_secs(10) };
    let (images, dropped) = images(offers, &style);
    let default = images.menu().and_then(|menu| menu.default.clone());
    let id = |image: &BootImage| {
        if default.as_ref() == Some(&image.id) { format!("[{}]", image.id) } else { image.id.clone() }
    };
    let mut text = images.images().iter().map(id).collect::<Vec<_>>().join(" ");
    match images.menu() {
        None => text.push_str(" at once"),
        Some(menu) => text.push_str(&format!(" {:?}", menu.timeout.map(|timeout| timeout.as_secs()))),
    }
    dropped.iter().for_each(|line| text.push_str(&format!("; {line}")));
    text
}

#[test]
fn what_is_mandatory_starts_and_the_rest_is_a_choice() {
    let check = |offers: &[Offer], expect: &str| assert_eq!(shown(offers.to_vec()), expect);
    check(&[], " at once");
    check(&[offer("a", 1.0)], "[local] a Some(10)");
    check(&[offer("b", 2.0), offer("a", 1.0)], "[local] a b Some(10)");
    check(&[offer("b", 1.0), offer("a", 1.0)], "[local] a b Some(10)");
    check(&[mandatory("a", 1.0, Some(5))], "local [a] Some(5)");
    check(&[mandatory("a", 1.0, None)], "local [a] Some(30)");
    check(&[mandatory("a", 1.0, Some(0)), offer("b", 0.0)], "a at once");
    check(&[mandatory("b", 2.0, Some(0)), mandatory("a", 1.0, Some(7)), offer("c", 0.0)], "local c [a] b Some(7)");
}

#[test]
fn the_disk_is_shown_once_whatever_it_is_called() {
    let disk =
        |id: &str| Offer { image: BootImage { kind: ImageKind::LOCAL, ..offer(id, 2.0).image }, ..offer(id, 2.0) };
    assert_eq!(shown(vec![offer("a", 1.0), disk("home")]), "a [home] Some(10)");
    assert_eq!(shown(vec![offer("local", 1.0)]), "[local-2] local Some(10)");
    let none = Offer { sort_order: None, ..offer("a", 0.0) };
    assert_eq!(shown(vec![none, offer("z", 9.0)]), "[local] z a Some(10)", "what has no place comes last");
}

#[test]
fn a_menu_that_waits_for_ever_does() {
    let style = Style { title: Line::clean("Choose"), timeout: Duration::ZERO };
    assert_eq!(images(vec![offer("a", 1.0)], &style).0.menu().unwrap().timeout, None);
    let waits = images(vec![mandatory("a", 1.0, None)], &style).0.menu().unwrap().timeout;
    assert_eq!(waits, Some(COUNTDOWN), "what is mandatory does not wait for anybody");
}

#[test]
fn an_id_counts_once_and_a_menu_has_an_end() {
    let twice = vec![offer("a", 1.0), mandatory("a", 2.0, Some(3)), offer("b", 3.0)];
    assert_eq!(shown(twice), "local [a] b Some(3); image `a`: there are two rows; a mandatory one counts");
    let same = vec![offer("a", 1.0), offer("a", 1.0)];
    assert_eq!(shown(same), "[local] a Some(10)", "a join that doubles a row is nothing to tell");
    let mut many: Vec<_> = (0..150).map(|n| offer(&format!("i{n:03}"), f64::from(n))).collect();
    many.push(mandatory("must", 999.0, Some(3)));
    let text = shown(many);
    assert!(text.contains("151 images: a menu holds 99") && text.contains("[must] Some(3)"), "{text}");
}
