//! What is wrong in a table is found when the scripts are loaded, with its line.

use super::*;

const FIND: &str = "fn allow_boot(request) { let t = table(\"m.csv\"); t.find(\"mac\", request.mac) != () }";

fn table(script: &str, text: &str) -> String {
    problems(&[("site.rhai", script), ("data/m.csv", text)])
}

#[test]
fn a_quote_that_is_not_closed_is_told_with_its_line() {
    let errors = table(FIND, "# ours\nmac,name\n52:54:00:00:00:01,\"web-01\n52:54:00:00:00:02,web-02\n");
    let expect = "data/m.csv:3:1: a double quote opens a cell and is not closed; close it, or take it away\n  \
                  3 | 52:54:00:00:00:01,\"web-01\n    | ^";
    assert_eq!(errors, expect);
}

#[test]
fn a_row_that_find_never_gives_is_told_with_both_lines() {
    let text = "\u{feff}# ours\n\nmac,name\n52:54:00:00:00:01,a\n# comment\n5254.0000.0002,\"b\nc\"\r\n\n# comment\r\n52-54-00-00-00-01,d\n";
    let errors = table(FIND, text);
    let expect = "data/m.csv:10:1: 52-54-00-00-00-01 stands in line 4 already, and `find` gives that line only\n  \
                  10 | 52-54-00-00-00-01,d\n     | ^\n  \
                  fix: take one of them away, or ask for all: find_all(\"mac\", ...)";
    assert_eq!(errors, expect);
}

#[test]
fn rows_with_the_same_address_may_be_meant() {
    let twice = "mac,name\n52:54:00:00:00:01,a\n52:54:00:00:00:01,b\n";
    let all = "fn allow_boot(request) { table(\"m.csv\").find_all(\"mac\", request.mac).len() > 0 }";
    let rows =
        "fn allow_boot(request) { for row in table(\"m.csv\").rows() { if row.mac == request.mac { return true; } } }";
    let other = "fn allow_boot(request) { table(\"m.csv\").find(\"name\", request.hostname) != () }";
    for script in [all, rows, other, &format!("{FIND}\nfn jobs(request) {{ table(\"m.csv\").find_all(\"mac\", 1) }}")] {
        assert_eq!(table(script, twice), "", "{script}");
    }
    let unknown = "mac,name\n00:00:00:00:00:00,a\n00:00:00:00:00:00,b\n,c\n,d\nto come,e\nto come,f\n";
    assert_eq!(table(FIND, unknown), "");
}

#[test]
fn a_broken_table_is_told_with_its_line() {
    let check = |text: &str, expect: &str| {
        let errors = table(FIND, text);
        assert!(errors.starts_with(expect), "{errors}");
    };
    check("mac,name\nx\n", "data/m.csv:2:1: it has 1 cell, the first line has 2; put text with commas between");
    check("\nmac,mac\n", "data/m.csv:2:1: two columns have the name `mac`\n  2 | mac,mac");
    check("mac,name\n# ours\n\nx,y\n\n# theirs\nz\n", "data/m.csv:7:1: it has 1 cell, ");
    check("mac,\n", "data/m.csv:1:1: its first line must name the columns");
}
