//! `table("machines.csv").identify(request)`: which machine of a table asks.
//!
//! **Invariant**: it is the server's one answer to that question, [`resolve`], over the rows that have one of the
//! machine's keys; what it does not know for sure it does not say.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString};
use uuid::Uuid;

use super::identity::{self, IDENTITY_PARTS, Who};
use super::request::Request;
use super::rows::Rows;
use super::sandbox::fail;
use super::tables::{Table, row_of};
use crate::boot::keys::{Claims, Serial, SharedMacs, read_asset, read_mac, read_uuid, swapped, values};
use crate::boot::{BootRequest, HardwareAddress, Record};
use crate::handlers::identity::{Candidate, Identity, resolve};
use crate::nearest::cut;

/// The rows of a table by the keys of machines; made when it is first asked for.
#[derive(Default)]
pub(super) struct Keys {
    uuids: HashMap<Uuid, Vec<u32>>,
    serials: HashMap<String, Vec<u32>>,
    assets: HashMap<String, Vec<u32>>,
    macs: HashMap<HardwareAddress, Vec<u32>>,
    columns: Columns,
}

/// Where the keys are.
#[derive(Clone, Default)]
struct Columns {
    uuid: Vec<usize>,
    serial: Vec<usize>,
    maker: Vec<usize>,
    asset: Vec<usize>,
    mac: Vec<usize>,
    name: Vec<usize>,
}

impl Columns {
    fn of(rows: &Rows) -> Columns {
        let named = |names: &[&str]| {
            let is_one = |column: &ImmutableString| names.iter().any(|name| column.eq_ignore_ascii_case(name));
            (0..).zip(&rows.columns).filter(|(_, column)| is_one(column)).map(|(index, _)| index).collect()
        };
        Columns {
            uuid: named(&["uuid"]),
            serial: named(&["serial"]),
            maker: named(&["manufacturer"]),
            asset: named(&["asset"]),
            mac: named(&["mac", "macs", "sysmac"]),
            name: named(&["name", "hostname", "machine"]),
        }
    }
}

impl Keys {
    /// Reads the keys of all rows.
    pub(super) fn of(rows: &Rows) -> Keys {
        let columns = Columns::of(rows);
        let mut keys = Keys { columns: columns.clone(), ..Keys::default() };
        for row in 0..rows.len() {
            let candidate = candidate(rows, &columns, row);
            let row = row as u32;
            candidate.uuids.iter().for_each(|uuid| put(&mut keys.uuids, *uuid, row));
            candidate.serials.iter().for_each(|serial| put(&mut keys.serials, serial.number().to_owned(), row));
            candidate.assets.iter().for_each(|asset| put(&mut keys.assets, asset.clone(), row));
            candidate.macs.iter().for_each(|mac| put(&mut keys.macs, *mac, row));
        }
        keys
    }

    fn has_keys(&self) -> bool {
        let Columns { uuid, serial, asset, mac, .. } = &self.columns;
        [uuid, serial, asset, mac].iter().any(|columns| !columns.is_empty())
    }

    /// The rows that have one of these keys, in order; not more than so many of a key that many have.
    fn rows(&self, claims: &Claims) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        let mut add = |rows: Option<&Vec<u32>>| found.extend(rows.into_iter().flatten().take(ROWS_MAX));
        add(claims.uuid.and_then(|uuid| self.uuids.get(&uuid)));
        add(claims.uuid.and_then(|uuid| self.uuids.get(&swapped(&uuid))));
        add(claims.serial.as_ref().and_then(|serial| self.serials.get(serial.number())));
        add(claims.asset.as_ref().and_then(|asset| self.assets.get(asset)));
        claims.sysmac.iter().chain(claims.macs()).for_each(|mac| add(self.macs.get(mac)));
        found
    }
}

fn put<K: Hash + Eq>(index: &mut HashMap<K, Vec<u32>>, key: K, row: u32) {
    let rows = index.entry(key).or_default();
    if rows.last() != Some(&row) {
        rows.push(row);
    }
}

/// The machine of a row. What identifies nobody is left out of it.
fn candidate(rows: &Rows, columns: &Columns, row: usize) -> Candidate {
    let texts = |columns: &[usize]| -> Vec<ImmutableString> {
        columns.iter().flat_map(|column| rows.texts(row, *column)).filter(|text| !text.trim().is_empty()).collect()
    };
    let maker = texts(&columns.maker);
    let maker = maker.first().map(ImmutableString::as_str);
    let line = || format!("line {}", rows.line(row));
    Candidate {
        id: texts(&columns.name).first().map_or_else(line, ToString::to_string),
        hostname: None,
        uuids: texts(&columns.uuid).iter().filter_map(|text| read_uuid(text)).collect(),
        serials: texts(&columns.serial).iter().filter_map(|text| Serial::read(text, maker)).collect(),
        assets: texts(&columns.asset).iter().filter_map(|text| read_asset(text)).collect(),
        macs: texts(&columns.mac).iter().flat_map(|text| values(text)).filter_map(read_mac).collect(),
        has_keys: true,
        record: Record::default(),
    }
}

/// Who of a table it is.
#[derive(Clone)]
struct Match {
    who: Who,
    row: Dynamic,
}

/// Which machine of a table asks, and its row.
fn identify(rows: &Arc<Rows>, request: &BootRequest) -> Result<Match, Box<EvalAltResult>> {
    let keys = rows.machine_keys()?;
    if rows.len() > 0 && !keys.has_keys() {
        return fail(format!(
            "the table `{}` has no column to know machines by; name one uuid, serial, asset, mac or sysmac",
            cut(&rows.file)
        ));
    }
    let claims = Claims::of(request, &SharedMacs::default());
    let found: Vec<u32> = keys.rows(&claims).into_iter().collect();
    let candidates: Vec<Candidate> = found.iter().map(|row| candidate(rows, &keys.columns, *row as usize)).collect();
    let resolved = resolve(&claims, &candidates);
    let row = match &resolved.identity {
        Identity::Known(index, _) => found.get(*index).map(|row| row_of(rows, *row)),
        Identity::Unknown | Identity::Ambiguous(_) => None,
    };
    let who = Who(Arc::new(resolved.in_words(&candidates, &request.identity)));
    Ok(Match { who, row: row.unwrap_or(Dynamic::UNIT) })
}

/// Registers `identify` and what it gives.
pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Match>("Match");
    for part in IDENTITY_PARTS {
        engine.register_get(part.name, |found: &mut Match| part.read(&found.who.0));
    }
    engine.register_get("row", |found: &mut Match| found.row.clone());
    engine.register_indexer_get(|found: &mut Match, name: ImmutableString| match name.as_str() {
        "row" => Ok(found.row.clone()),
        name => identity::part(&found.who.0, name),
    });
    engine.register_fn("to_string", |found: &mut Match| ImmutableString::from(found.who.0.to_string()));
    engine.register_fn("identify", |table: &mut Table, request: Request| identify(&table.0, request.seen()));
}

/// Rows that are compared of those that have one key: a placeholder that nobody knows yet is in many.
const ROWS_MAX: usize = 50;

#[cfg(test)]
#[path = "who_tests.rs"]
mod tests;
