//! The rows of a table, and how they are found: by a key, and by the network that an address lies in.
//!
//! **Invariant**: a table never changes. The index of a column is made once, when it is first asked for, and never on
//! the thread of a caller where that takes long.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use rhai::{Dynamic, EvalAltResult, ImmutableString};

use super::api::plain_type;
use super::csv_file::{self, Broken};
use super::document::{Node, NodeMap};
use super::prefixes::{self, Prefixes};
use super::sandbox::{fail, need_time};
use super::who::Keys;
use crate::nearest::{cut, remedy};

/// The rows of a table.
#[derive(Default)]
pub(super) struct Rows {
    /// The name of the file.
    pub(super) file: String,
    pub(super) columns: Vec<ImmutableString>,
    /// All cells, row by row.
    cells: Vec<Node>,
    /// The line of each row.
    lines: Vec<u32>,
    indexes: Vec<Indexes>,
    machines: OnceLock<Keys>,
}

/// What a column is searched by, made when it is first asked for.
#[derive(Default)]
struct Indexes {
    /// The rows with a key, in order.
    keys: OnceLock<HashMap<String, Vec<u32>>>,
    networks: OnceLock<Prefixes>,
}

type Found<T> = Result<T, Box<EvalAltResult>>;

impl Rows {
    /// Reads CSV or TSV, of at most so many cells.
    pub(super) fn of_csv(bytes: &[u8], name: &str, delimiter: u8, cells_max: usize) -> Result<Rows, Broken> {
        csv_file::check_quotes(bytes, delimiter)?;
        let mut lines = csv_file::reader(bytes, delimiter);
        let header = lines.headers().map_err(|error| csv_file::plain(error, bytes))?;
        let columns: Vec<ImmutableString> = header.iter().map(ImmutableString::from).collect();
        let first = csv_file::line_of(bytes, header.position());
        if columns.is_empty() || columns.iter().any(|column| column.is_empty()) {
            return wrong(first, "its first line must name the columns, each with a name");
        }
        for (index, column) in columns.iter().enumerate() {
            if columns.iter().take(index).any(|other| other == column) {
                return wrong(first, format!("two columns have the name `{column}`"));
            }
        }
        // Values such as roles repeat in most rows and are kept once.
        let mut known: HashMap<String, ImmutableString> = HashMap::new();
        let mut rows = Rows { file: name.to_owned(), columns, ..Rows::default() };
        let mut record = csv::StringRecord::new();
        while lines.read_record(&mut record).map_err(|error| csv_file::plain(error, bytes))? {
            let line = csv_file::line_of(bytes, record.position());
            if rows.cells.len() + rows.columns.len() > cells_max {
                return wrong(line, too_large());
            }
            rows.lines.push(u32::try_from(line).unwrap_or(u32::MAX));
            for cell in &record {
                let cell = match known.get(cell) {
                    Some(cell) => cell.clone(),
                    None => known.entry(cell.to_owned()).or_insert_with(|| cell.into()).clone(),
                };
                rows.cells.push(Node::Text(cell));
            }
        }
        Ok(rows.indexed())
    }

    /// The rows that a document holds: a list of maps, at its top or as the only such list in its top map; none when it
    /// is no table.
    pub(super) fn of_document(document: &Node, name: &str, cells_max: usize) -> Result<Option<Rows>, Broken> {
        let Some(maps) = list_of_maps(document) else { return Ok(None) };
        let names: BTreeSet<&ImmutableString> = maps.iter().flat_map(|map| map.entries.keys()).collect();
        let first = maps.first().map_or(1, |map| u64::from(map.line));
        if names.len() > COLUMNS_MAX {
            return wrong(first, format!("its rows have more than {COLUMNS_MAX} names together"));
        }
        if maps.len().saturating_mul(names.len()) > cells_max {
            return wrong(first, too_large());
        }
        let columns: Vec<ImmutableString> = names.into_iter().cloned().collect();
        let mut rows = Rows { file: name.to_owned(), columns, ..Rows::default() };
        for map in maps {
            rows.lines.push(map.line);
            let cells = rows.columns.iter().map(|column| map.entries.get(column).cloned().unwrap_or(Node::Nothing));
            rows.cells.extend(cells);
        }
        Ok(Some(rows.indexed()))
    }

    fn indexed(mut self) -> Rows {
        self.indexes = self.columns.iter().map(|_| Indexes::default()).collect();
        self
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// How many cells there are.
    pub(super) fn cells(&self) -> usize {
        self.cells.len()
    }

    /// The line of a row.
    pub(super) fn line(&self, row: usize) -> u32 {
        self.lines.get(row).copied().unwrap_or(0)
    }

    /// The place of a column.
    pub(super) fn column(&self, name: &str) -> Found<usize> {
        match self.position(name) {
            Some(index) => Ok(index),
            None => {
                let remedy = remedy(name, self.columns.iter().map(|column| column.as_str()));
                fail(format!("the table `{}` has no column `{}`; {remedy}", self.file, cut(name)))
            }
        }
    }

    /// The place of a column, if there is such a one.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    /// A cell.
    pub(super) fn cell(&self, row: usize, column: usize) -> &Node {
        self.cells.get(row * self.columns.len() + column).unwrap_or(&Node::Nothing)
    }

    /// The texts that a row is found by in a column: those of a list, each by itself.
    pub(super) fn texts(&self, row: usize, column: usize) -> Vec<ImmutableString> {
        match self.cell(row, column) {
            Node::List(items) => items.iter().filter_map(text).collect(),
            cell => text(cell).into_iter().collect(),
        }
    }

    /// The rows whose cell in a column is `wanted`, in order.
    pub(super) fn find(&self, column: &str, wanted: &Dynamic) -> Found<&[u32]> {
        if self.lines.is_empty() {
            return Ok(&[]);
        }
        let column = self.column(column)?;
        let key = match wanted.read_lock::<ImmutableString>() {
            Some(text) => key(&text),
            None if wanted.is_int() || wanted.is_bool() => wanted.to_string(),
            None if wanted.is_unit() => return Ok(&[]),
            None => return fail(format!("find looks for text, not {}", plain_type(wanted.type_name()))),
        };
        if key.is_empty() {
            return Ok(&[]);
        }
        Ok(self.keys(column)?.get(&key).map_or(&[], Vec::as_slice))
    }

    /// The rows with a key in a column, which is in the form of [`key`].
    fn keys(&self, column: usize) -> Found<&HashMap<String, Vec<u32>>> {
        static NONE: OnceLock<HashMap<String, Vec<u32>>> = OnceLock::new();
        let Some(indexes) = self.indexes.get(column) else { return Ok(NONE.get_or_init(HashMap::new)) };
        self.make_room(indexes.keys.get().is_none())?;
        Ok(indexes.keys.get_or_init(|| {
            let mut index: HashMap<String, Vec<u32>> = HashMap::with_capacity(self.len());
            for row in 0..self.len() {
                for text in self.texts(row, column) {
                    let rows = index.entry(key(&text)).or_default();
                    if rows.last() != Some(&(row as u32)) {
                        rows.push(row as u32);
                    }
                }
            }
            index
        }))
    }

    /// The row whose network in a column holds an address, and is the smallest that does.
    pub(super) fn find_network(&self, column: &str, address: &str) -> Found<Option<u32>> {
        if self.lines.is_empty() {
            return Ok(None);
        }
        let column = self.column(column)?;
        if address.trim().is_empty() {
            return Ok(None);
        }
        let Ok(address) = address.trim().parse::<IpAddr>() else {
            return fail(format!("`{}` is no IP address; use a field such as request.subnet_address", cut(address)));
        };
        let Some(indexes) = self.indexes.get(column) else { return Ok(None) };
        if indexes.networks.get().is_none() {
            self.make_room(true)?;
            if let Some(broken) = self.wrong_networks(column).into_iter().find(|broken| broken.is_final) {
                return fail(format!("the table `{}`: {}", self.file, broken.broken));
            }
        }
        let networks = indexes.networks.get_or_init(|| {
            let mut networks = Prefixes::default();
            for row in 0..self.len() {
                for text in self.texts(row, column) {
                    for network in prefixes::networks(&text).filter_map(prefixes::network) {
                        networks.insert(network, row as u32);
                    }
                }
            }
            networks
        });
        Ok(networks.find(address))
    }

    /// The rows by the keys of machines.
    pub(super) fn machine_keys(&self) -> Found<&Keys> {
        self.make_room(self.machines.get().is_none())?;
        Ok(self.machines.get_or_init(|| Keys::of(self)))
    }

    /// An index of many rows is not made on the caller's thread.
    fn make_room(&self, is_missing: bool) -> Found<()> {
        if is_missing && self.len() > ROWS_INLINE_MAX { need_time() } else { Ok(()) }
    }

    /// What is no network in a column, and what no address finds because a row before has the same network.
    pub(super) fn wrong_networks(&self, column: usize) -> Vec<WrongNetwork> {
        let mut networks = Prefixes::default();
        let mut found = Vec::new();
        for row in 0..self.len() {
            for text in self.texts(row, column) {
                for part in prefixes::networks(&text) {
                    let (is_final, message) = match prefixes::network(part) {
                        None => (true, format!("`{}` is no network; write it like 10.1.0.0/16", cut(part))),
                        Some(network) => match networks.insert(network, row as u32) {
                            Some(before) => {
                                let line = self.line(before as usize);
                                (false, format!("{part} stands in line {line} already, which is the one that is found"))
                            }
                            None => continue,
                        },
                    };
                    if found.len() < TOLD_MAX {
                        let broken = Broken { line: Some(u64::from(self.line(row))), column: None, message };
                        found.push(WrongNetwork { is_final, broken });
                    }
                }
            }
        }
        found
    }

    /// The rows that `find` never gives when it looks for a MAC address in a column, because a row before has the same.
    pub(super) fn repeated_macs(&self, column: usize) -> Vec<Broken> {
        let mut first: HashMap<String, u32> = HashMap::new();
        let mut found = Vec::new();
        for row in 0..self.len() {
            let line = self.line(row);
            for cell in self.texts(row, column) {
                // Some lists have such an address for machines whose own is not known.
                let Some(mac) = mac(cell.trim()).filter(|mac| mac != "000000000000" && mac != "ffffffffffff") else {
                    continue;
                };
                let before = *first.entry(mac).or_insert(line);
                if before != line && found.len() < TOLD_MAX {
                    let message = format!("{cell} stands in line {before} already, and `find` gives that line only");
                    found.push(Broken { line: Some(u64::from(line)), column: None, message });
                }
            }
        }
        found
    }
}

/// A network that is never found.
pub(super) struct WrongNetwork {
    /// Whether nothing can be found before it is put right.
    pub(super) is_final: bool,
    pub(super) broken: Broken,
}

fn wrong<T>(line: u64, message: impl Into<String>) -> Result<T, Broken> {
    Err(Broken { line: Some(line), column: None, message: message.into() })
}

fn too_large() -> String {
    format!("it is too large: all tables together may have {CELLS_MAX} cells")
}

fn list_of_maps(document: &Node) -> Option<Vec<&Arc<NodeMap>>> {
    match document {
        Node::List(items) => maps(items),
        Node::Map(map) => {
            let lists = map.entries.values().filter_map(|value| match value {
                Node::List(items) if !items.is_empty() => maps(items),
                _ => None,
            });
            let mut lists = lists.collect::<Vec<_>>();
            if lists.len() == 1 { lists.pop() } else { None }
        }
        _ => None,
    }
}

fn maps(items: &[Node]) -> Option<Vec<&Arc<NodeMap>>> {
    items.iter().map(|item| if let Node::Map(map) = item { Some(map) } else { None }).collect()
}

/// What a cell is found by.
fn text(cell: &Node) -> Option<ImmutableString> {
    match cell {
        Node::Text(text) => Some(text.clone()),
        Node::Whole(number) => Some(number.to_string().into()),
        Node::Truth(truth) => Some(truth.to_string().into()),
        Node::Fraction(number) => Some(number.to_string().into()),
        Node::Nothing | Node::List(_) | Node::Map(_) => None,
    }
}

/// The form in which cells are compared: without regard to case and spaces around, MAC addresses in one spelling.
fn key(text: &str) -> String {
    mac(text.trim()).unwrap_or_else(|| text.trim().to_ascii_lowercase())
}

/// The digits of a MAC address, in small letters.
fn mac(text: &str) -> Option<String> {
    let is_mac = match text.len() {
        12 => text.bytes().all(|byte| byte.is_ascii_hexdigit()),
        14 => text.bytes().filter(|byte| *byte == b'.').count() == 2,
        17 => text.bytes().filter(|byte| matches!(byte, b':' | b'-')).count() == 5,
        _ => false,
    };
    if !is_mac {
        return None;
    }
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).map(|c| c.to_ascii_lowercase()).collect();
    (digits.len() == 12).then_some(digits)
}

/// Cells of all tables together.
pub(super) const CELLS_MAX: usize = 4_000_000;
/// Names of all rows of one document together.
const COLUMNS_MAX: usize = 256;
/// How many problems of one table are told.
const TOLD_MAX: usize = 20;
/// The most rows that are indexed on the caller's thread: about a tenth of a millisecond.
const ROWS_INLINE_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<Rows, String> {
        Rows::of_csv(text.as_bytes(), "t.csv", b',', 100).map_err(|broken| broken.to_string())
    }

    #[test]
    fn a_mac_is_found_in_every_spelling() {
        let table = table("mac,role\n52-54-00-12-34-56, web\n5254.0012.3457,db\nFFFFFFFFFFFF,x\n").unwrap();
        let find = |key: &str| table.find("mac", &key.into()).unwrap().to_vec();
        assert_eq!(find("52:54:00:12:34:56"), [0]);
        assert_eq!(find("525400123457"), [1]);
        assert_eq!(find("ff:ff:ff:ff:ff:ff"), [2]);
        assert_eq!(find("52:54:00:12:34:58"), [0u32; 0]);
        assert_eq!(find(""), [0u32; 0]);
        assert_eq!(table.cell(0, 1), &Node::Text("web".into()));
    }

    #[test]
    fn serials_are_no_macs_and_case_does_not_count() {
        let table = table("serial\nAB-12\nab12\n7XK3N22\n").unwrap();
        let find = |key: &str| table.find("serial", &key.into()).unwrap().to_vec();
        assert_eq!((find("ab-12"), find("AB12"), find(" 7xk3n22 ")), (vec![0], vec![1], vec![2]));
    }

    #[test]
    fn broken_tables_say_where() {
        let error = |text: &str| table(text).err().unwrap();
        assert!(
            error("a,b\n1,2\n1,2,3\n").starts_with("line 3: it has 3 cells, the first line has 2"),
            "{}",
            error("a,b\n1,2\n1,2,3\n")
        );
        assert!(error("a,a\n").contains("two columns"));
        assert!(error("a,\n").contains("first line"));
        assert!(error("").contains("first line"));
        assert!(error(&format!("a\n{}", "x\n".repeat(101))).contains("too large"));
    }

    #[test]
    fn networks_are_found_by_address_and_told_when_they_are_none() {
        let table = table("net,site\n10.0.0.0/8,all\n10.1.0.0/16 10.2.0.0/16,two\nfd00::/8,six\n").unwrap();
        let find = |address: &str| table.find_network("net", address).unwrap();
        assert_eq!((find("10.2.3.4"), find("10.3.3.4"), find("fd00::1"), find("")), (Some(1), Some(0), Some(2), None));
        assert!(table.find_network("net", "lab").is_err() && table.find_network("nets", "10.0.0.1").is_err());
        let wrong = self::table("net\n10.0.0.0/8\n10.0.0.0/33\n10.7.0.0/8\n\n").unwrap();
        let told: Vec<_> = wrong.wrong_networks(0).iter().map(|wrong| wrong.broken.to_string()).collect();
        assert_eq!(told[0], "line 3: `10.0.0.0/33` is no network; write it like 10.1.0.0/16");
        assert_eq!(told[1], "line 4: 10.7.0.0/8 stands in line 2 already, which is the one that is found");
        assert!(wrong.find_network("net", "10.0.0.1").is_err());
    }
}
