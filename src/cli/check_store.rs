//! What `pointsman check` says of the databases: whether they answer, what they take the queries for, and what the store
//! holds.
//!
//! **Invariant**: it only reads; a store that nobody has used yet is not made by being looked at.

use std::time::Duration;

use super::check::Findings;
use crate::boot::{BootImage, BootImages};
use crate::config::HandlerSection;
use crate::database::{DatabaseError, NamedQueries};
use crate::site::Site;
use crate::store::{ImageEntry, Name, Store, StoreError};

/// How long each question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most images whose files are looked for.
const IMAGES_MAX: usize = 10_000;

/// Whether each database that the configuration names answers, and takes the queries of its handlers.
pub(super) async fn databases(site: &Site, findings: &mut Findings) {
    for name in site.config.databases.keys() {
        let Some(database) = site.databases.get(name) else { continue };
        match database.ping(PATIENCE).await {
            Ok(()) => findings.good(format!("database `{name}`: answers")),
            Err(error @ DatabaseError::Down { .. }) => findings.bad(format!(
                "{error}\n  help: see that it runs and lets this server in, and that `url` and the password of \
                 [database.{name}] are right"
            )),
            Err(error) => findings.bad(error.to_string()),
        }
    }
    for (section, built) in site.config.handlers.iter().zip(&site.handlers) {
        let (name, Some(handler)) = (section.display_name(), &built.sql) else { continue };
        let checked = handler.check(PATIENCE).await;
        checked.problems.iter().for_each(|problem| findings.bad(format!("handler `{name}`: {problem}")));
        checked.notes.iter().for_each(|note| findings.note(format!("handler `{name}`: {note}")));
        if checked.fitting > 0 && checked.problems.is_empty() {
            findings.good(format!("handler `{name}`: the database takes its {} queries", checked.fitting));
        }
    }
    named_queries(site, findings).await;
    store(site, findings).await;
}

/// Whether the databases take the queries that scripts ask by name. One that does not answer was told of before.
async fn named_queries(site: &Site, findings: &mut Findings) {
    let Ok(queries) = NamedQueries::read(&site.config, &site.databases) else { return };
    let (mut fitting, mut refused) = (0, 0);
    for query in queries.iter() {
        match query.describe(PATIENCE).await {
            Ok(_) => fitting += 1,
            Err(DatabaseError::Refused { error, .. }) => {
                refused += 1;
                findings.bad(format!("query `{}`: the database refuses it: {error}", query.name()));
            }
            Err(_) => {}
        }
    }
    if fitting > 0 && refused == 0 {
        findings.good(format!("scripts: the databases take {fitting} named queries"));
    }
}

/// What the store holds, where a handler asks it.
async fn store(site: &Site, findings: &mut Findings) {
    let asks = |section: &HandlerSection| matches!(section, HandlerSection::Sql(sql) if sql.database.is_none());
    let Some(position) = site.config.handlers.iter().position(asks) else { return };
    let names = site.config.handlers.iter().map(HandlerSection::display_name);
    let (before, at): (Vec<_>, _) = (names.clone().take(position).collect(), names.clone().nth(position));
    let at = at.unwrap_or_default();
    if !before.is_empty() {
        findings.note(format!(
            "handler `{at}`: the store is asked only about machines that `{}` passes on; to ask it first, put its \
             [[handler]] above",
            before.join("`, `")
        ));
    }
    let is_absent = site.config.store.database.is_none() && !site.config.server.state.join(Store::FILE_NAME).exists();
    let read = async {
        let store = Store::on(site.databases.store().clone())?;
        if is_absent || !store.has_tables(PATIENCE).await? {
            return Ok(None);
        }
        Ok::<_, StoreError>(Some((store.machine_count().await?, images(&store).await?)))
    };
    match read.await {
        Ok(None) => findings.note(format!(
            "handler `{at}`: the store is made at its first use; `pointsman machine add` and `pointsman image add` fill it"
        )),
        Ok(Some((machines, images))) => {
            let count = images.len();
            findings.good(format!("handler `{at}`: the store has {machines} machines and {count} images"));
            for image in images {
                missing(site, &image, findings).await;
            }
        }
        // The database that the store is in was told of already.
        Err(StoreError::Database(DatabaseError::Down { .. })) if site.config.store.database.is_some() => {}
        Err(error) => findings.bad(format!("handler `{at}`: {error}")),
    }
}

async fn images(store: &Store) -> Result<Vec<ImageEntry>, StoreError> {
    let mut images: Vec<ImageEntry> = Vec::new();
    loop {
        let after: Option<Name> = images.last().map(|image| image.id.clone());
        let page = store.images(after.as_ref()).await?;
        if page.is_empty() || images.len() >= IMAGES_MAX {
            return Ok(images);
        }
        images.extend(page);
    }
}

/// A file that is missing may be on its way: nobody need be assigned the image yet.
async fn missing(site: &Site, entry: &ImageEntry, findings: &mut Findings) {
    let mut attributes = entry.attributes.clone();
    attributes.insert("kind".into(), entry.kind.clone());
    let image = BootImage::define(entry.id.as_str(), &attributes).map_err(|error| error.to_string());
    match image.map(|image| BootImages::new(vec![image], None)) {
        Ok(Ok(images)) => {
            let absent = site.absent_files([&images]).await;
            for file in absent.missing.iter().chain(&absent.unsure) {
                let folder = site.config.images.folder.display();
                findings.note(format!("image `{}` of the store: {file}; images are in {folder}", entry.id));
            }
        }
        Ok(Err(_)) => {}
        Err(error) => findings.bad(format!("image `{}` of the store: {error}", entry.id)),
    }
}
