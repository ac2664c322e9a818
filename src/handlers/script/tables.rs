//! The data files of the site: CSV, TSV, JSON, TOML and YAML files of the data folder, read when the scripts are loaded.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString};

use super::csv_file::Broken;
use super::document::{Format, Node};
use super::parts;
use super::rows::{CELLS_MAX, Rows};
use super::sandbox::fail;
use crate::nearest::{cut, remedy};

/// The files by name; one that could not be read is kept with the reason.
#[derive(Default)]
pub(super) struct Tables(BTreeMap<String, Result<File, Broken>>);

/// A file of the data folder.
struct File {
    /// Its rows, where it is a table.
    table: Option<Table>,
    /// What it says, where it is a document.
    document: Option<Node>,
}

/// A table in a script.
#[derive(Clone)]
pub(super) struct Table(pub(super) Arc<Rows>);

/// One row of a table in a script: its cells by the names of the columns.
#[derive(Clone)]
pub(super) struct Row {
    table: Arc<Rows>,
    row: usize,
}

type Found<T> = Result<T, Box<EvalAltResult>>;

impl Tables {
    /// Reads every data file of a folder; a folder that does not exist has none.
    pub(super) fn load(folder: &Path) -> Tables {
        let mut tables = Tables::default();
        let mut cells_left = CELLS_MAX;
        let Ok(entries) = std::fs::read_dir(folder) else { return tables };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        for name in names.into_iter().filter(|name| is_data(name)) {
            let file = read(&folder.join(&name), &name, &mut cells_left);
            tables.0.insert(name, file);
        }
        tables
    }

    /// The files that could not be read: name and reason.
    pub(super) fn broken(&self) -> impl Iterator<Item = (&str, &Broken)> {
        self.0.iter().filter_map(|(name, file)| Some((name.as_str(), file.as_ref().err()?)))
    }

    /// The rows of a table that `find` never gives when it looks for a MAC address in a column, because a row before
    /// them has the same.
    pub(super) fn hidden(&self, name: &str, column: &str) -> Vec<Broken> {
        self.column(name, column).map_or_else(Vec::new, |(rows, column)| rows.repeated_macs(column))
    }

    /// What keeps `find_network` from finding in a column.
    pub(super) fn wrong_networks(&self, name: &str, column: &str) -> Vec<Broken> {
        let wrong = self.column(name, column).map_or_else(Vec::new, |(rows, column)| rows.wrong_networks(column));
        wrong.into_iter().map(|wrong| wrong.broken).collect()
    }

    fn column(&self, name: &str, column: &str) -> Option<(&Rows, usize)> {
        let Table(rows) = self.0.get(name)?.as_ref().ok()?.table.as_ref()?;
        Some((rows, rows.position(column)?))
    }

    fn named(&self, name: &str) -> Found<&File> {
        match self.0.get(name) {
            Some(Ok(file)) => Ok(file),
            Some(Err(broken)) => fail(format!("the table `{name}` cannot be read: {broken}")),
            None if self.0.is_empty() => fail(format!(
                "there is no table `{}`; the data folder has no .csv, .tsv, .json, .toml or .yaml file",
                cut(name)
            )),
            None => {
                fail(format!("there is no table `{}`; {}", cut(name), remedy(name, self.0.keys().map(String::as_str))))
            }
        }
    }

    fn table(&self, name: &str) -> Found<Table> {
        match &self.named(name)?.table {
            Some(table) => Ok(table.clone()),
            None => fail(format!("`{name}` is no table: it holds no list of maps; read it with data(\"{name}\")")),
        }
    }

    fn document(&self, name: &str) -> Found<Dynamic> {
        match &self.named(name)?.document {
            Some(document) => Ok(parts::dynamic(document)),
            None => fail(format!("`{name}` is a table; read it with table(\"{name}\")")),
        }
    }
}

/// Whether a file of the data folder is one of ours. The cases of scripts may lie beside them.
fn is_data(name: &str) -> bool {
    delimiter(name).is_some() || Format::of(name).is_some() && !name.ends_with(".cases.toml")
}

fn delimiter(name: &str) -> Option<u8> {
    match name.rsplit_once('.')?.1 {
        "csv" => Some(b','),
        "tsv" => Some(b'\t'),
        _ => None,
    }
}

fn read(path: &Path, name: &str, cells_left: &mut usize) -> Result<File, Broken> {
    let whole = |message: String| Broken { line: None, column: None, message };
    let len = std::fs::metadata(path).map_err(|error| whole(error.to_string()))?.len();
    if len > FILE_LEN_MAX {
        return Err(whole(format!("it has {len} octets; at most {FILE_LEN_MAX} are read")));
    }
    let bytes = std::fs::read(path).map_err(|error| whole(error.to_string()))?;
    // Spreadsheets write a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let file = match (delimiter(name), Format::of(name)) {
        (Some(delimiter), _) => {
            let rows = Rows::of_csv(bytes, name, delimiter, *cells_left)?;
            File { table: Some(Table(Arc::new(rows))), document: None }
        }
        (None, Some(format)) => {
            let text = std::str::from_utf8(bytes)
                .map_err(|_| whole("it is not UTF-8 text; save the file as UTF-8".to_owned()))?;
            let document = format.parse(text, *cells_left)?;
            let rows = Rows::of_document(&document, name, *cells_left)?;
            File { table: rows.map(|rows| Table(Arc::new(rows))), document: Some(document) }
        }
        (None, None) => return Err(whole("it is no data file".to_owned())),
    };
    let used = match &file {
        File { table: Some(Table(rows)), .. } => rows.cells(),
        File { document: Some(document), .. } => elements(document),
        File { .. } => 0,
    };
    *cells_left = cells_left.saturating_sub(used);
    Ok(file)
}

fn elements(node: &Node) -> usize {
    match node {
        Node::List(items) => 1 + items.iter().map(elements).sum::<usize>(),
        Node::Map(map) => 1 + map.entries.values().map(elements).sum::<usize>(),
        _ => 1,
    }
}

impl Row {
    fn cell(&self, column: &str) -> Found<Dynamic> {
        Ok(parts::dynamic(self.table.cell(self.row, self.table.column(column)?)))
    }

    /// The cell of a column; `()` where there is no such column.
    fn get(&self, column: &str) -> Dynamic {
        let column = self.table.position(column);
        column.map_or(Dynamic::UNIT, |column| parts::dynamic(self.table.cell(self.row, column)))
    }
}

/// Registers `table`, `data` and the types of tables and rows.
pub(super) fn register(engine: &mut Engine, tables: Arc<Tables>) {
    parts::register(engine);
    engine.register_type_with_name::<Table>("Table").register_type_with_name::<Row>("Row");
    let documents = Arc::clone(&tables);
    engine.register_fn("data", move |name: ImmutableString| documents.document(&name));
    engine.register_fn("table", move |name: ImmutableString| tables.table(&name));
    engine.register_fn("find", |table: &mut Table, column: ImmutableString, wanted: Dynamic| -> Found<Dynamic> {
        let first = table.0.find(&column, &wanted)?.first().copied();
        Ok(first.map_or(Dynamic::UNIT, |row| row_of(&table.0, row)))
    });
    engine.register_fn("find_all", |table: &mut Table, column: ImmutableString, wanted: Dynamic| -> Found<Array> {
        let rows = table.0.find(&column, &wanted)?;
        Ok(rows.iter().map(|row| row_of(&table.0, *row)).collect())
    });
    engine.register_fn(
        "find_network",
        |table: &mut Table, column: ImmutableString, address: ImmutableString| -> Found<Dynamic> {
            let row = table.0.find_network(&column, &address)?;
            Ok(row.map_or(Dynamic::UNIT, |row| row_of(&table.0, row)))
        },
    );
    engine.register_fn("rows", |table: &mut Table| -> Array {
        (0..table.0.len() as u32).map(|row| row_of(&table.0, row)).collect()
    });
    engine.register_fn("len", |table: &mut Table| table.0.len() as i64);
    engine.register_indexer_get(|row: &mut Row, column: ImmutableString| row.cell(&column));
    engine.register_fn("get", |row: &mut Row, column: ImmutableString| row.get(&column));
    engine.register_fn("contains", |row: &mut Row, column: ImmutableString| row.table.columns.contains(&column));
    engine.register_fn("keys", |row: &mut Row| -> Array {
        row.table.columns.iter().map(|name| name.clone().into()).collect()
    });
}

/// A row in a script.
pub(super) fn row_of(table: &Arc<Rows>, row: u32) -> Dynamic {
    Dynamic::from(Row { table: Arc::clone(table), row: row as usize })
}

/// The largest data file, in octets.
const FILE_LEN_MAX: u64 = 64 << 20;
