//! Images: what can be booted, by name.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::name::cut;
use super::row::{Row, millis, object};
use super::sql::{Statement, parameters};
use super::{Name, Store, StoreError, Thing};
use crate::boot::{BootImage, Record};

/// An image as the store knows it: a kind, and what that kind needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageEntry {
    /// Short name; unique.
    pub id: Name,
    /// What the menu shows.
    pub title: String,
    /// `linux`, `wim`, ...
    pub kind: String,
    /// What the kind needs, by name: `kernel`, `initrd`, `cmdline`, ...
    pub attributes: BTreeMap<String, String>,
    /// When it was added.
    pub created: Timestamp,
    /// When it was last changed.
    pub changed: Timestamp,
}

impl ImageEntry {
    /// The most octets that the attributes of an image have, as JSON.
    pub const ATTRIBUTES_LEN_MAX: usize = 60 << 10;

    /// An image of attributes by name, `kind` and `title` among them.
    ///
    /// # Errors
    /// When they make no image that can be booted.
    pub fn new(id: Name, attributes: &BTreeMap<String, String>, now: Timestamp) -> Result<ImageEntry, StoreError> {
        let wrong = |what: String| StoreError::Invalid(format!("image `{id}`: {what}"));
        let image = BootImage::define(id.as_str(), attributes).map_err(|error| wrong(error.to_string()))?;
        let mut attributes = attributes.clone();
        attributes.remove("kind");
        attributes.remove("title");
        let entry = ImageEntry {
            title: cut(image.title.as_str(), 255),
            kind: image.kind.name().to_owned(),
            attributes,
            created: now,
            changed: now,
            id: id.clone(),
        };
        match object(&entry.attributes).to_text() {
            Some(text) if text.len() <= Self::ATTRIBUTES_LEN_MAX => Ok(entry),
            _ => Err(wrong(format!("its attributes have more than {} octets", Self::ATTRIBUTES_LEN_MAX))),
        }
    }

    fn read(record: &Record) -> Result<ImageEntry, StoreError> {
        let row = Row(record);
        Ok(ImageEntry {
            id: row.parsed("id")?,
            title: row.optional("title").unwrap_or_default(),
            kind: row.text("kind")?,
            attributes: row.texts("attributes")?,
            created: row.moment_given("created")?,
            changed: row.moment_given("changed")?,
        })
    }

    fn columns(&self) -> Record {
        parameters([
            ("id", self.id.as_str().into()),
            ("title", self.title.as_str().into()),
            ("kind", self.kind.as_str().into()),
            ("attributes", object(&self.attributes)),
            ("created", millis(self.created)),
            ("changed", millis(self.changed)),
        ])
    }
}

/// Whether an image that is there already is written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfThere {
    /// It is left, and that is an error.
    Refuse,
    /// It becomes what is given now.
    Replace,
}

static FIND: Statement =
    Statement::new("SELECT id, title, kind, attributes, created, changed FROM image WHERE id = :id");

static ALL: Statement = Statement::new(
    "SELECT id, title, kind, attributes, created, changed FROM image WHERE id > :after ORDER BY id LIMIT 500",
);

static INSERT: Statement = Statement::new(
    "INSERT INTO image (id, title, kind, attributes, created, changed) \
     VALUES (:id, :title, :kind, :attributes, :created, :changed)",
);

static UPDATE: Statement = Statement::new(
    "UPDATE image SET title = :title, kind = :kind, attributes = :attributes, changed = :changed WHERE id = :id",
);

static DELETE: Statement = Statement::new("DELETE FROM image WHERE id = :id");

static USES: Statement =
    Statement::new("SELECT id FROM assignment WHERE image = :id AND open_key IS NOT NULL ORDER BY created LIMIT 4");

impl Store {
    /// Adds an image. Returns whether there was one of that id.
    ///
    /// # Errors
    /// When there is one already and it is not to be replaced.
    pub async fn add_image(&self, entry: &ImageEntry, if_there: IfThere) -> Result<bool, StoreError> {
        let mut change = self.change(Self::PATIENCE).await?;
        let was_there = change.row(&FIND, &parameters([("id", entry.id.as_str().into())])).await?.is_some();
        if was_there && if_there == IfThere::Refuse {
            let remedy = "--replace writes it anew".to_owned();
            return Err(StoreError::Exists { what: Thing::Image, name: entry.id.to_string(), remedy });
        }
        change.execute(if was_there { &UPDATE } else { &INSERT }, &entry.columns()).await?;
        change.commit().await?;
        Ok(was_there)
    }

    /// An image by its id.
    ///
    /// # Errors
    /// When there is none; the error names the one that was probably meant.
    pub async fn image(&self, id: &Name) -> Result<ImageEntry, StoreError> {
        let rows = self.fresh(&FIND, &parameters([("id", id.as_str().into())]), Self::PATIENCE).await?;
        match rows.first() {
            Some(row) => ImageEntry::read(row),
            None => Err(self.no_image(id).await?),
        }
    }

    /// Images by id, those after `after`; at most 500.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn images(&self, after: Option<&Name>) -> Result<Vec<ImageEntry>, StoreError> {
        let values = parameters([("after", after.map(Name::as_str).unwrap_or_default().into())]);
        self.fresh(&ALL, &values, Self::PATIENCE).await?.iter().map(ImageEntry::read).collect()
    }

    /// Removes an image.
    ///
    /// # Errors
    /// When there is none, or it is assigned.
    pub async fn remove_image(&self, id: &Name) -> Result<(), StoreError> {
        let values = parameters([("id", id.as_str().into())]);
        let mut change = self.change(Self::PATIENCE).await?;
        let uses: Vec<_> = change.rows(&USES, &values).await?.iter().filter_map(|row| row.text("id")).collect();
        if !uses.is_empty() {
            let many = if uses.len() > 3 { ", ..." } else { "" };
            let by = format!("assignment {}{many}", uses.iter().take(3).cloned().collect::<Vec<_>>().join(", "));
            let remedy = "`pointsman unassign` ends one".to_owned();
            return Err(StoreError::InUse { what: Thing::Image, name: id.to_string(), by, remedy });
        }
        let removed = change.execute(&DELETE, &values).await?;
        change.commit().await?;
        if removed == 0 { Err(self.no_image(id).await?) } else { Ok(()) }
    }

    /// The error that names the nearest image.
    pub(super) async fn no_image(&self, id: &Name) -> Result<StoreError, StoreError> {
        let rows = self.fresh(&ALL, &parameters([("after", "".into())]), Self::PATIENCE).await?;
        let ids: Vec<_> = rows.iter().filter_map(|row| row.text("id")).collect();
        let remedy = match crate::nearest::nearest(id.as_str(), ids.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "`pointsman image list` shows them, `pointsman image add` adds one".to_owned(),
        };
        Ok(StoreError::NotFound { what: Thing::Image, name: id.to_string(), remedy })
    }
}
