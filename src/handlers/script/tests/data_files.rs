//! Data files of every kind, from a script: rows, documents, networks.

use super::*;

/// What a script denies with, beside these files.
fn said(body: &str, files: &[(&str, &str)]) -> String {
    let script = format!("fn allow_boot(request) {{ deny(`=${{{body}}}`) }}");
    let mut all = vec![("site.rhai", script.as_str())];
    all.extend_from_slice(files);
    let (_folder, config) = site(&all);
    let handler = ScriptHandler::load(&config).unwrap_or_else(|errors| panic!("{errors}"));
    match block_on(handler.allow_boot(&request())) {
        Ok(Answer::Given(verdict)) => verdict.reason().trim_start_matches('=').to_owned(),
        Err(error) => error.message,
        other => panic!("{other:?}"),
    }
}

const JSON: (&str, &str) = (
    "data/m.json",
    "[{\"mac\": [\"52-54-00-12-34-56\", \"525400123457\"], \"vlan\": 12, \"up\": true, \"at\": {\"rack\": \"B1\"}},\n {\"mac\": \"525400123458\", \"serial\": 77}]",
);
const TOML: (&str, &str) = (
    "data/s.toml",
    "title = \"ours\"\n[[site]]\nnetworks = [\"10.1.0.0/16\", \"10.2.0.0/16\"]\nname = \"lyon\"\n[[site]]\nnetworks = \"10.0.0.0/8 fd00::/8\"\nname = \"all\"\n",
);
const YAML: (&str, &str) = (
    "data/c.yaml",
    "gateway: 10.1.0.1\ndns: [10.1.0.2, 10.1.0.3]\nimages:\n  debian: {kernel: debian/linux}\nempty:\n",
);

#[test]
fn rows_of_documents_are_found_as_those_of_tables() {
    let check = |body: &str, expect: &str| assert_eq!(said(body, &[JSON]), expect, "{body}");
    check("table(\"m.json\").find(\"mac\", request.mac).vlan + 1", "13");
    check("table(\"m.json\").find(\"mac\", \"52:54:00:12:34:57\").up", "true");
    check("table(\"m.json\").find(\"mac\", \"5254.0012.3458\").serial", "77");
    check("table(\"m.json\").find(\"serial\", \"77\").vlan == ()", "true");
    check("table(\"m.json\").find(\"vlan\", 12).at.rack", "B1");
    check("table(\"m.json\").find(\"up\", true).mac[1]", "525400123457");
    check("table(\"m.json\").find(\"serial\", 78) == ()", "true");
    check("table(\"m.json\").rows().len()", "2");
    check("table(\"m.json\").rows()[0].keys()", "[\"at\", \"mac\", \"serial\", \"up\", \"vlan\"]");
    check("table(\"m.json\").rows()[0].get(\"nothing\") == ()", "true");
    assert!(said("table(\"m.json\").rows()[0].vlam", &[JSON]).contains("did you mean `vlan`?"));
    assert!(said("table(\"m.json\").find(\"macs\", request.mac)", &[JSON]).contains("did you mean `mac`?"));
}

#[test]
fn networks_are_found_by_their_longest_prefix() {
    let check = |body: &str, expect: &str| assert_eq!(said(body, &[TOML]), expect, "{body}");
    check("table(\"s.toml\").find_network(\"networks\", request.subnet_address).name", "lyon");
    check("table(\"s.toml\").find_network(\"networks\", \"10.9.0.1\").name", "all");
    check("table(\"s.toml\").find_network(\"networks\", \"fd00::1\").name", "all");
    check("table(\"s.toml\").find_network(\"networks\", \"192.0.2.1\") == ()", "true");
    check("table(\"s.toml\").find_network(\"networks\", \"\") == ()", "true");
    check("data(\"s.toml\").title", "ours");
}

#[test]
fn documents_are_read_by_name() {
    let check = |body: &str, expect: &str| assert_eq!(said(body, &[YAML]), expect, "{body}");
    check("data(\"c.yaml\").gateway", "10.1.0.1");
    check("data(\"c.yaml\").dns[1]", "10.1.0.3");
    check("data(\"c.yaml\").images.debian.kernel", "debian/linux");
    check("data(\"c.yaml\")[\"images\"].keys()", "[\"debian\"]");
    check("\"debian\" in data(\"c.yaml\").images", "true");
    check("data(\"c.yaml\").empty == ()", "true");
    check("data(\"c.yaml\").get(\"nothing\") == ()", "true");
    check("data(\"c.yaml\").images.debian.to_map()", "#{\"kernel\": \"debian/linux\"}");
    check("data(\"c.yaml\").images.len()", "1");
    let told = said("data(\"c.yaml\").gatway", &[YAML]);
    assert!(told.contains("there is no `gatway`; did you mean `gateway`?"), "{told}");
    assert!(said("table(\"c.yaml\")", &[YAML]).contains("read it with data(\"c.yaml\")"));
    assert!(said("data(\"m.csv\")", &[("data/m.csv", "a\n1\n")]).contains("read it with table(\"m.csv\")"));
    assert_eq!(said("table(\"e.json\").find(\"mac\", request.mac) == ()", &[("data/e.json", "[]")]), "true");
}

#[test]
fn what_is_wrong_in_a_document_is_told_with_its_place() {
    let found = |name: &str, text: &str, body: &str| {
        problems(&[("site.rhai", &format!("fn allow_boot(request) {{ {body} == () }}")), (name, text)])
    };
    let twice = found("data/c.json", "{\n  \"a\": 1,\n  \"a\": 2\n}", "data(\"c.json\").a");
    assert_eq!(twice, "data/c.json:3:6: `a` is there twice; take one of them away\n  3 |   \"a\": 2\n    |      ^");
    let open = found("data/c.yaml", "a: [1, 2\nb: 3\n", "data(\"c.yaml\").a");
    assert!(open.starts_with("data/c.yaml:2:"), "{open}");
    let toml = found("data/c.toml", "a = 1\nb = \n", "data(\"c.toml\").a");
    assert!(toml.starts_with("data/c.toml:2:"), "{toml}");
    let mac = "[{\"mac\": \"525400000001\"},\n {\"mac\": \"52:54:00:00:00:01\"}]";
    let again = found("data/m.json", mac, "table(\"m.json\").find(\"mac\", request.mac)");
    assert!(again.starts_with("data/m.json:2:1: 52:54:00:00:00:01 stands in line 1 already"), "{again}");
    let net =
        found("data/n.csv", "net\n10.0.0.0/8\nlab\n", "table(\"n.csv\").find_network(\"net\", request.client_ip)");
    assert!(net.starts_with("data/n.csv:3:1: `lab` is no network; write it like 10.1.0.0/16\n  3 | lab"), "{net}");
    // What no script reads may be as it likes.
    assert_eq!(found("data/other.json", "{", "request.hostname"), "");
}

#[test]
fn patterns_versions_and_rings() {
    let check = |body: &str, expect: &str| assert_eq!(value(body), expect, "{body}");
    check("matches(request.product, `^OptiPlex \\d+$`)", "true");
    check("request.product.matches(\"(?i)optiplex\")", "true");
    check("request.product.matches(\"^7010\")", "false");
    check("captures(request.product, `(\\w+) (\\d+)`)", "[\"OptiPlex 7010\", \"OptiPlex\", \"7010\"]");
    check("captures(request.product, \"z(y)?\")", "[]");
    check("captures(request.product, \"O(x)?\")", "[\"O\", \"\"]");
    check("compare_versions(\"1.9.0\", \"1.10.0\")", "-1");
    check("version_at_least(\"L01 v02.75\", \"02.75\")", "true");
    check("ring(request) == ring(request) && ring(request, \"a\") < 100", "true");
    check("`${in_ring(request, 0)} ${in_ring(request, 100)}`", "false true");
    check("request.now.in_zone(\"Asia/Tokyo\").time", "17:00");
    check("`${request.now.is_on(\"thu\")} ${request.now.is_between(\"2026-01-01\", \"2026-01-01\")}`", "true true");
    assert!(allow("in_ring(request, 101)").unwrap_err().contains("no percentage"));
    let wrong = problems(&[("site.rhai", "fn allow_boot(request) {\n  request.product.matches(`Opti(`)\n}")]);
    assert_eq!(
        wrong,
        "site.rhai:2:27: `Opti(` is no pattern: unclosed group\n  2 |   request.product.matches(`Opti(`)\n    |                           ^"
    );
}
