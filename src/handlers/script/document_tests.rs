//! The same documents in three formats, and files that are broken or hostile.

use proptest::prelude::*;

use super::*;

const ALL: [Format; 3] = [Format::Json, Format::Toml, Format::Yaml];

fn shown(node: &Node) -> String {
    match node {
        Node::Nothing => "()".into(),
        Node::Truth(truth) => truth.to_string(),
        Node::Whole(number) => number.to_string(),
        Node::Fraction(number) => format!("{number:?}"),
        Node::Text(text) => format!("{text:?}"),
        Node::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" ")),
        Node::Map(map) => {
            let entry = |(key, value): (&ImmutableString, &Node)| format!("{key}={}", shown(value));
            format!("{{{}:{}}}", map.line, map.entries.iter().map(entry).collect::<Vec<_>>().join(" "))
        }
    }
}

fn read(format: Format, text: &str) -> String {
    match format.parse(text, 1000) {
        Ok(node) => shown(&node),
        Err(broken) => format!("{}:{}: {}", broken.line.unwrap_or(0), broken.column.unwrap_or(0), broken.message),
    }
}

#[test]
fn three_formats_say_the_same() {
    let json = "{\"sites\": [\n {\"name\": \"lyon\", \"vlan\": 12, \"on\": true,\n  \"nets\": [\"10.1.0.0/16\"]},\n {\"name\": \"kiel\"}\n], \"ratio\": 0.5}";
    assert_eq!(
        read(Format::Json, json),
        "{1:ratio=0.5 sites=[{2:name=\"lyon\" nets=[\"10.1.0.0/16\"] on=true vlan=12} {4:name=\"kiel\"}]}"
    );
    let toml = "ratio = 0.5\n\n[[sites]]\nname = \"lyon\"\nvlan = 12\non = true\nnets = [\"10.1.0.0/16\"]\n\n[[sites]]\nname = \"kiel\"\n";
    assert_eq!(
        read(Format::Toml, toml),
        "{1:ratio=0.5 sites=[{3:name=\"lyon\" nets=[\"10.1.0.0/16\"] on=true vlan=12} {9:name=\"kiel\"}]}"
    );
    let yaml =
        "ratio: 0.5\nsites:\n  - name: lyon\n    vlan: 12\n    on: true\n    nets: [10.1.0.0/16]\n  - name: kiel\n";
    assert_eq!(
        read(Format::Yaml, yaml),
        "{1:ratio=0.5 sites=[{3:name=\"lyon\" nets=[\"10.1.0.0/16\"] on=true vlan=12} {7:name=\"kiel\"}]}"
    );
}

#[test]
fn values_keep_what_was_written() {
    assert_eq!(read(Format::Json, "[null, 18446744073709551615, -1, 1e3]"), "[() \"18446744073709551615\" -1 1000.0]");
    assert_eq!(
        read(Format::Yaml, "- 52:54:00:12:34:56\n- 0123\n- no\n- 1_000\n- ~\n- 2026-01-01\n- \"7\"\n- 1.10.0"),
        "[\"52:54:00:12:34:56\" \"0123\" \"no\" \"1_000\" () \"2026-01-01\" \"7\" \"1.10.0\"]"
    );
    assert_eq!(
        read(Format::Toml, "a = 0x1F\nb = 1_000\nc = 2026-01-01\nd = {}"),
        "{1:a=31 b=1000 c=\"2026-01-01\" d={4:}}"
    );
}

#[test]
fn a_broken_file_is_told_with_its_place() {
    let check = |format, text: &str, expect: &str| {
        let found = read(format, text);
        assert!(found.starts_with(expect), "{format:?} {text:?}: {found}");
    };
    check(Format::Json, "{\n  \"a\": 1,\n  \"a\": 2\n}", "3:6: `a` is there twice; take one of them away");
    check(Format::Json, "[\n 1,\n]", "3:1: trailing comma");
    check(Format::Json, "[1] 2", "1:5: trailing characters");
    check(Format::Json, "", "1:");
    check(Format::Toml, "a = 1\na = 2\n", "2:1: duplicate key");
    check(Format::Toml, "a = \n", "1:");
    check(Format::Yaml, "a: 1\nb: 2\na: 3\n", "3:1: ");
    check(Format::Yaml, "a: [1\nb: 2\n", "2:");
    check(Format::Yaml, "a: 1\n---\nb: 2\n", "");
    assert!(Format::Yaml.parse("a: 1\n---\nb: 2\n", 1000).is_err(), "one document");
}

#[test]
fn what_is_too_large_or_too_deep_is_refused() {
    for format in ALL {
        let many = match format {
            Format::Toml => format!("a = [{}]", "1,".repeat(2000)),
            _ => format!("[{}1]", "1,".repeat(2000)),
        };
        assert!(read(format, &many).contains("too many values"), "{format:?} {}", read(format, &many));
        let deep = match format {
            Format::Toml => format!("a = {}{}", "[".repeat(60), "]".repeat(60)),
            _ => format!("{}{}", "[".repeat(60), "]".repeat(60)),
        };
        assert!(read(format, &deep).contains("nested deeper"), "{format:?} {}", read(format, &deep));
        let hostile = "[".repeat(100_000);
        assert!(format.parse(&hostile, 1_000_000).is_err(), "{format:?}");
    }
    let bomb = (1..30).fold("a0: &a0 [1,2,3,4,5,6,7,8,9]\n".to_owned(), |text, n| {
        let before = n - 1;
        format!("{text}a{n}: &a{n} [*a{before},*a{before},*a{before},*a{before},*a{before},*a{before}]\n")
    });
    assert!(Format::Yaml.parse(&bomb, 100_000).is_err());
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[-a-c:{}\\[\\],\"'&*0-9.~#|> =\\n\\t]{0,80}") {
        for format in ALL {
            if let Ok(node) = format.parse(&text, 50) {
                prop_assert!(shown(&node).len() < 10_000);
            }
        }
    }

    #[test]
    fn what_json_says_is_what_yaml_says(texts in prop::collection::vec("[ -~]{0,12}", 0..8), n in any::<i64>()) {
        let json = serde_json::json!([{ "texts": texts, "n": n }]).to_string();
        prop_assert_eq!(read(Format::Json, &json), read(Format::Yaml, &json));
    }
}
