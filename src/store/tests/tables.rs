//! Tables of machines, as people make them.

use jiff::Timestamp;

use super::store::MachineTable;

fn problems(text: &str) -> Vec<String> {
    MachineTable::read(text.as_bytes(), Timestamp::UNIX_EPOCH).unwrap_err()
}

#[test]
fn every_problem_is_told_with_its_line() {
    assert_eq!(problems("mac,serial\n1,2\n"), ["line 1: no column `name`; the columns are mac, serial"]);
    assert_eq!(problems("name,mac,mac\n"), ["line 1: a column is there twice"]);
    let text = "name,mac,uuid,allow,groups\n\
                a,5,,,\n\
                b b,,,,\n\
                c,,none,,\n\
                d,,,perhaps,\n\
                e,,,,x/y\n\
                ,52:54:00:00:00:01,,,\n\
                f,52:54:00:00:00:02,,,\n\
                f,52:54:00:00:00:03,,,\n\
                g,1\n";
    let told = problems(text);
    for (problem, expect) in told.iter().zip([
        "line 2: column `mac`: `5` is not a MAC address",
        "line 3: `b b` is no name",
        "line 4: column `uuid`: `none` is no UUID",
        "line 5: column `allow`: `perhaps` is neither yes nor no",
        "line 6: column `groups`: `x/y` is no name",
        "line 7: no name",
        "line 9: machine `f` is there twice",
        "line 10: 2 cells, but the first line names 5",
    ]) {
        assert!(problem.starts_with(expect), "{problem}");
    }
    assert_eq!(told.len(), 8, "{told:?}");
    let many = format!("name\n{}", "a b\n".repeat(1000));
    assert_eq!(problems(&many).len(), 21);
}

#[test]
fn bytes_that_are_no_text_are_a_problem() {
    assert!(MachineTable::read(&b"name\n\xff\xfe\n"[..], Timestamp::UNIX_EPOCH).is_err());
    assert!(MachineTable::read(&b"\xff\n"[..], Timestamp::UNIX_EPOCH).is_err());
    assert!(MachineTable::read(&b""[..], Timestamp::UNIX_EPOCH).is_err());
    let table = MachineTable::read("Name , MAC\nlab-07 , 52:54:00:00:00:01\n".as_bytes(), Timestamp::UNIX_EPOCH);
    assert_eq!(table.unwrap().len(), 1);
}
