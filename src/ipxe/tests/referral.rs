//! What hands a machine over, and what asks again.

use super::*;
use crate::boot::FactsForm;

fn referral(url: &str, facts: FactsForm) -> ImageKind {
    ImageKind::Referral { url: url.parse().unwrap(), facts }
}

fn text(kind: ImageKind) -> String {
    render(&images(&one(kind), Platform::Efi, &urls()))
}

/// The words of every command but `param`, between two lines.
fn part<'a>(script: &'a str, from: &str, to: &str) -> Vec<&'a str> {
    let lines = script.lines().skip_while(|line| *line != from).take_while(|line| *line != to);
    lines.filter(|line| !line.starts_with("param ")).collect()
}

#[test]
fn a_machine_is_handed_over_with_its_facts_and_nothing_of_ours() {
    let script = text(referral("http://up.example.com:8050/2PXE/boot", FactsForm::Form));
    let lines = part(&script, "imgfree", "goto local");
    let [clear @ .., params, chain, label, by_query, back, set, failed] = lines.as_slice() else { panic!("{script}") };
    let cleared = [
        "asked:int32",
        "attempt:int32",
        "chosen",
        "failure",
        "proxydhcp/filename",
        "pxebs/filename",
        "username",
        "password",
    ];
    let expected: Vec<String> = cleared.iter().map(|name| format!("clear {name} ||")).collect();
    assert_eq!(clear[1..], expected, "{script}");
    assert_eq!(*params, "params || goto query-one");
    assert_eq!(*chain, "chain --replace http://up.example.com:8050/2PXE/boot##params || goto back-one");
    assert_eq!(*label, ":query-one");
    assert!(
        by_query.starts_with("chain --replace http://up.example.com:8050/2PXE/boot?asset=${asset:uristring}&bios_")
    );
    assert!(by_query.contains("&mac=${netX/mac}&") && by_query.ends_with("&uuid=${uuid} || goto back-one"), "{script}");
    assert_eq!([*back, *set, *failed], [":back-one", "set chosen one", "goto failed"]);
    for fact in FACTS {
        assert!(script.contains(&format!("param {} ${{{}}}\n", fact.name, fact.setting)), "{}", fact.name);
    }
    // The token stands only where iPXE reports a failure to us.
    let to_us: Vec<&str> = script.lines().filter(|line| line.contains("TOKEN")).collect();
    assert_eq!(to_us, ["chain http://10.0.0.2/b/TOKEN/failed.ipxe?image=${chosen}&error=${failure} ||"]);
}

#[test]
fn facts_go_on_in_a_query_that_is_there_already() {
    let check = |url: &str, expected: &str| {
        let script = text(referral(url, FactsForm::Query));
        assert!(script.contains(&format!("chain --replace {expected}asset=${{asset:uristring}}&")), "{script}");
        assert!(!script.contains("param"), "{script}");
    };
    check("https://up/boot", "https://up/boot?");
    check("https://up/boot?site=lyon", "https://up/boot?site=lyon&");
    check("https://up/boot?site=lyon&", "https://up/boot?site=lyon&");
    check("https://up/boot?", "https://up/boot?");
    check("https://up/boot?a=b#top", "https://up/boot?a=b&");
    let form = text(referral("https://up/boot?a=b", FactsForm::Form));
    assert!(form.contains("chain --replace https://up/boot?a=b##params || goto back-one\n"), "{form}");
    assert!(form.contains("chain --replace https://up/boot?a=b&asset="), "{form}");
}

#[test]
fn facts_stay_where_they_are_not_wanted_or_cannot_go() {
    for (url, facts) in [
        ("https://boot.netboot.xyz", FactsForm::None),
        ("tftp://10.0.0.9/undionly.kpxe", FactsForm::Form),
        ("nfs://h/x", FactsForm::Query),
    ] {
        let script = text(referral(url, facts));
        assert!(script.contains(&format!("chain --replace {url} || goto back-one\n:back-one\n")), "{script}");
        assert!(!script.contains("param") && !script.contains("${serial"), "{script}");
    }
}

#[test]
fn a_machine_that_is_to_ask_again_reads_why_waits_and_asks_but_not_for_ever() {
    let kind = ImageKind::Retry { wait: Duration::from_secs(15) };
    let list = one(kind).with_notice([Line::clean("The boot server of this site does not answer.")]);
    let script = render(&images(&list, Platform::Efi, &urls()));
    let head = "#!ipxe\necho The boot server of this site does not answer.\nset chosen one\necho One\n\
        :again-one\ninc asked:int32\niseq ${asked:int32} 10 && goto local ||\n\
        prompt --timeout=15000 Asking again in 15 seconds; press a key to ask at once. ||\nparams || goto ask-one\nparam ";
    assert!(script.starts_with(head), "{script}");
    assert!(
        script.contains("chain --replace http://10.0.0.2/b/TOKEN/script.ipxe##params || goto again-one\n"),
        "{script}"
    );
    assert!(script.contains(":ask-one\nchain --replace http://10.0.0.2/b/TOKEN/script.ipxe?asset="), "{script}");
    let text = render(&bootstrap(&urls(), Platform::Efi));
    assert!(text.starts_with("#!ipxe\nset asked:int32 0\nset attempt:int32 0\n"), "each boot begins to count: {text}");
}

/// Every label that is gone to is there.
#[test]
fn several_that_hand_over_have_places_of_their_own() {
    let kinds = [
        referral("http://a/", FactsForm::Form),
        referral("http://b/", FactsForm::Form),
        ImageKind::Retry { wait: Duration::from_secs(1) },
        ImageKind::Retry { wait: Duration::from_secs(2) },
    ];
    let list = kinds.into_iter().enumerate().map(|(index, kind)| image(&index.to_string(), "T", kind)).collect();
    let script = run(&images(&BootImages::new(list, None).unwrap(), Platform::Efi, &urls()));
    let mut labels: Vec<_> =
        script.iter().filter_map(|read| if let Read::Label(name) = read { Some(name) } else { None }).collect();
    let count = labels.len();
    labels.sort();
    labels.dedup();
    assert_eq!(labels.len(), count, "{labels:?}");
    for read in &script {
        if let Read::Run(words) = read
            && let [goto, label] = words.as_slice()
            && goto == "goto"
            // Its end is a setting, which has no value here.
            && label != "image-"
        {
            assert!(labels.contains(&label), "{label} in {labels:?}");
        }
    }
}

proptest! {
    /// Whatever the URL is, it is one word, and no fact of the machine becomes a command.
    #[test]
    fn any_url_is_one_argument(rest in "[!-~]{0,60}", serial in "\\PC{0,20}") {
        let Ok(url) = format!("http://h/{rest}").parse() else { return Ok(()) };
        for facts in FactsForm::ALL {
            let kind = ImageKind::Referral { url: crate::boot::Url::clone(&url), facts };
            let settings = BTreeMap::from([("serial", serial.as_str()), ("serial:uristring", "x")]);
            let script = read(&text(kind), &settings).unwrap();
            let chains: Vec<_> = script
                .iter()
                .filter_map(|read| if let Read::Run(words) = read { Some(words) } else { None })
                .filter(|words| words[0] == "chain" && words[1] == "--replace")
                .collect();
            prop_assert_eq!(chains.len(), if facts == FactsForm::Form { 2 } else { 1 });
            for chain in chains {
                prop_assert_eq!(operands(chain).len(), 1);
                prop_assert!(operands(chain)[0].starts_with("http://h/"));
            }
        }
    }
}
