//! The tables of the site: CSV and TSV files of the data folder, read when the scripts are loaded.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString};

use super::api::plain_type;
use super::csv_file::{self, Broken};
use super::sandbox::{fail, need_time};
use crate::nearest::{cut, remedy};

/// The tables by file name; a file that could not be read is kept with the reason.
#[derive(Default)]
pub(super) struct Tables(BTreeMap<String, Result<Table, Broken>>);

/// A table in a script.
#[derive(Clone)]
pub(super) struct Table(Arc<Content>);

/// One row of a table in a script: its cells by the names of the columns.
#[derive(Clone)]
pub(super) struct Row {
    table: Arc<Content>,
    row: usize,
}

struct Content {
    file: String,
    columns: Vec<ImmutableString>,
    /// All cells, row by row.
    cells: Vec<ImmutableString>,
    /// The line of each row.
    lines: Vec<u32>,
    /// For each column, made when it is first asked for: the rows with a key, in order.
    indexes: Vec<OnceLock<HashMap<String, Vec<u32>>>>,
}

type Found<T> = Result<T, Box<EvalAltResult>>;

impl Tables {
    /// Reads every `.csv` and `.tsv` file of a folder; a folder that does not exist has none.
    pub(super) fn load(folder: &Path) -> Tables {
        let mut tables = Tables::default();
        let mut cells_left = CELLS_MAX;
        let Ok(entries) = std::fs::read_dir(folder) else { return tables };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        for name in names {
            let delimiter = match name.rsplit_once('.') {
                Some((_, "csv")) => b',',
                Some((_, "tsv")) => b'\t',
                _ => continue,
            };
            let table = read(&folder.join(&name), &name, delimiter, cells_left);
            if let Ok(table) = &table {
                cells_left = cells_left.saturating_sub(table.0.cells.len());
            }
            tables.0.insert(name, table);
        }
        tables
    }

    /// The tables that could not be read: name and reason.
    pub(super) fn broken(&self) -> impl Iterator<Item = (&str, &Broken)> {
        self.0.iter().filter_map(|(name, table)| Some((name.as_str(), table.as_ref().err()?)))
    }

    /// The rows of a table that `find` never gives when it looks for a MAC address in a column, because a row before
    /// them has the same.
    pub(super) fn hidden(&self, name: &str, column: &str) -> Vec<Broken> {
        let Some(Ok(Table(content))) = self.0.get(name) else { return Vec::new() };
        let Some(index) = content.columns.iter().position(|known| known == column) else { return Vec::new() };
        content.repeated_macs(index)
    }

    fn named(&self, name: &str) -> Found<Table> {
        match self.0.get(name) {
            Some(Ok(table)) => Ok(table.clone()),
            Some(Err(broken)) => fail(format!("the table `{name}` cannot be read: {broken}")),
            None if self.0.is_empty() => {
                fail(format!("there is no table `{}`; the data folder has no .csv or .tsv file", cut(name)))
            }
            None => {
                fail(format!("there is no table `{}`; {}", cut(name), remedy(name, self.0.keys().map(String::as_str))))
            }
        }
    }
}

fn read(path: &Path, name: &str, delimiter: u8, cells_max: usize) -> Result<Table, Broken> {
    let whole = |message: String| Broken { line: None, message };
    let len = std::fs::metadata(path).map_err(|error| whole(error.to_string()))?.len();
    if len > FILE_LEN_MAX {
        return Err(whole(format!("it has {len} octets; at most {FILE_LEN_MAX} are read")));
    }
    let bytes = std::fs::read(path).map_err(|error| whole(error.to_string()))?;
    // Spreadsheets write a byte order mark.
    parse(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes), name, delimiter, cells_max)
}

fn parse(bytes: &[u8], name: &str, delimiter: u8, cells_max: usize) -> Result<Table, Broken> {
    csv_file::check_quotes(bytes, delimiter)?;
    let mut lines = csv_file::reader(bytes, delimiter);
    let header = lines.headers().map_err(|error| csv_file::plain(error, bytes))?;
    let columns: Vec<ImmutableString> = header.iter().map(ImmutableString::from).collect();
    let first = csv_file::line_of(bytes, header.position());
    let wrong = |line: u64, message: String| Err(Broken { line: Some(line), message });
    if columns.is_empty() || columns.iter().any(|column| column.is_empty()) {
        return wrong(first, "its first line must name the columns, each with a name".to_owned());
    }
    for (index, column) in columns.iter().enumerate() {
        if columns.iter().take(index).any(|other| other == column) {
            return wrong(first, format!("two columns have the name `{column}`"));
        }
    }
    // Values such as roles repeat in most rows and are kept once.
    let mut known: HashMap<String, ImmutableString> = HashMap::new();
    let mut content =
        Content { file: name.to_owned(), columns, cells: Vec::new(), lines: Vec::new(), indexes: Vec::new() };
    let mut record = csv::StringRecord::new();
    while lines.read_record(&mut record).map_err(|error| csv_file::plain(error, bytes))? {
        let line = csv_file::line_of(bytes, record.position());
        if content.cells.len() + content.columns.len() > cells_max {
            return wrong(line, format!("it is too large: all tables together may have {CELLS_MAX} cells"));
        }
        content.lines.push(u32::try_from(line).unwrap_or(u32::MAX));
        for cell in &record {
            let cell = match known.get(cell) {
                Some(cell) => cell.clone(),
                None => known.entry(cell.to_owned()).or_insert_with(|| cell.into()).clone(),
            };
            content.cells.push(cell);
        }
    }
    content.indexes = content.columns.iter().map(|_| OnceLock::new()).collect();
    Ok(Table(Arc::new(content)))
}

impl Content {
    fn rows(&self) -> usize {
        self.cells.len() / self.columns.len()
    }

    fn column(&self, name: &str) -> Found<usize> {
        match self.columns.iter().position(|column| column == name) {
            Some(index) => Ok(index),
            None => {
                let remedy = remedy(name, self.columns.iter().map(|column| column.as_str()));
                fail(format!("the table `{}` has no column `{}`; {remedy}", self.file, cut(name)))
            }
        }
    }

    fn cell(&self, row: usize, column: usize) -> ImmutableString {
        self.cells.get(row * self.columns.len() + column).cloned().unwrap_or_default()
    }

    /// The rows whose cell in a column is `wanted`, in order.
    fn find(&self, column: &str, wanted: &Dynamic) -> Found<&[u32]> {
        let column = self.column(column)?;
        let key = match wanted.read_lock::<ImmutableString>() {
            Some(text) => key(&text),
            None if wanted.is_int() => wanted.to_string(),
            None if wanted.is_unit() => return Ok(&[]),
            None => return fail(format!("find looks for text, not {}", plain_type(wanted.type_name()))),
        };
        if key.is_empty() {
            return Ok(&[]);
        }
        let Some(index) = self.indexes.get(column) else { return Ok(&[]) };
        if index.get().is_none() && self.rows() > ROWS_INLINE_MAX {
            need_time()?;
        }
        let index = index.get_or_init(|| self.index(column));
        Ok(index.get(&key).map_or(&[], Vec::as_slice))
    }

    fn repeated_macs(&self, column: usize) -> Vec<Broken> {
        let mut first: HashMap<String, u32> = HashMap::new();
        let mut found = Vec::new();
        for (row, line) in self.lines.iter().enumerate() {
            let cell = self.cell(row, column);
            // Some lists have such an address for machines whose own is not known.
            let Some(mac) = mac(cell.trim()).filter(|mac| mac != "000000000000" && mac != "ffffffffffff") else {
                continue;
            };
            let before = *first.entry(mac).or_insert(*line);
            if before != *line && found.len() < REPEATED_MAX {
                let message = format!("{cell} stands in line {before} already, and `find` gives that line only");
                found.push(Broken { line: Some(u64::from(*line)), message });
            }
        }
        found
    }

    fn index(&self, column: usize) -> HashMap<String, Vec<u32>> {
        let mut index: HashMap<String, Vec<u32>> = HashMap::with_capacity(self.rows());
        for row in 0..self.rows() {
            index.entry(key(&self.cell(row, column))).or_default().push(row as u32);
        }
        index
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

impl Row {
    fn cell(&self, column: &str) -> Found<ImmutableString> {
        Ok(self.table.cell(self.row, self.table.column(column)?))
    }
}

/// Registers `table` and the types of tables and rows.
pub(super) fn register(engine: &mut Engine, tables: Arc<Tables>) {
    engine.register_type_with_name::<Table>("Table").register_type_with_name::<Row>("Row");
    engine.register_fn("table", move |name: ImmutableString| tables.named(&name));
    engine.register_fn("find", |table: &mut Table, column: ImmutableString, wanted: Dynamic| -> Found<Dynamic> {
        let first = table.0.find(&column, &wanted)?.first().copied();
        Ok(first.map_or(Dynamic::UNIT, |row| row_of(&table.0, row)))
    });
    engine.register_fn("find_all", |table: &mut Table, column: ImmutableString, wanted: Dynamic| -> Found<Array> {
        let rows = table.0.find(&column, &wanted)?;
        Ok(rows.iter().map(|row| row_of(&table.0, *row)).collect())
    });
    engine.register_fn("rows", |table: &mut Table| -> Array {
        (0..table.0.rows() as u32).map(|row| row_of(&table.0, row)).collect()
    });
    engine.register_fn("len", |table: &mut Table| table.0.rows() as i64);
    engine.register_indexer_get(|row: &mut Row, column: ImmutableString| row.cell(&column));
    engine.register_fn("contains", |row: &mut Row, column: ImmutableString| row.table.columns.contains(&column));
    engine.register_fn("keys", |row: &mut Row| -> Array {
        row.table.columns.iter().map(|name| name.clone().into()).collect()
    });
}

fn row_of(table: &Arc<Content>, row: u32) -> Dynamic {
    Dynamic::from(Row { table: Arc::clone(table), row: row as usize })
}

/// The largest table file, in octets.
const FILE_LEN_MAX: u64 = 64 << 20;
/// Cells of all tables together.
const CELLS_MAX: usize = 4_000_000;
/// How many repeated MAC addresses of one table are told.
const REPEATED_MAX: usize = 20;
/// The most rows that are indexed on the caller's thread: about a tenth of a millisecond.
const ROWS_INLINE_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<Table, String> {
        parse(text.as_bytes(), "t.csv", b',', 100).map_err(|broken| broken.to_string())
    }

    #[test]
    fn a_mac_is_found_in_every_spelling() {
        let table = table("mac,role\n52-54-00-12-34-56, web\n5254.0012.3457,db\nFFFFFFFFFFFF,x\n").unwrap();
        let find = |key: &str| table.0.find("mac", &key.into()).unwrap().to_vec();
        assert_eq!(find("52:54:00:12:34:56"), [0]);
        assert_eq!(find("525400123457"), [1]);
        assert_eq!(find("ff:ff:ff:ff:ff:ff"), [2]);
        assert_eq!(find("52:54:00:12:34:58"), [0u32; 0]);
        assert_eq!(find(""), [0u32; 0]);
        assert_eq!(table.0.cell(0, 1), "web");
    }

    #[test]
    fn serials_are_no_macs_and_case_does_not_count() {
        let table = table("serial\nAB-12\nab12\n7XK3N22\n").unwrap();
        let find = |key: &str| table.0.find("serial", &key.into()).unwrap().to_vec();
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
}
