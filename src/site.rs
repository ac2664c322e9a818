//! A site that is ready to serve: the configuration with its handlers, loaders and images.
//!
//! What `check` reports, what `decide` asks, what the daemon runs and what a reload builds anew is the same thing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::boot::{BootImages, FileName, Source};
use crate::cache::{Library, NotFound, Origin};
use crate::config::{Config, HandlerSection, Problem, Problems};
use crate::database::Databases;
use crate::decision::{DecisionEngine, Sessions, TokenKey, World};
use crate::events;
use crate::handlers::rollout::Rollouts;
use crate::handlers::{self, Built};
use crate::loaders::Loaders;
use crate::people::People;
use crate::store::Store;
use crate::upstream::{Storages, Upstreams, Webhook};

pub use crate::handlers::Purpose;

/// A site, read and compiled as a whole.
pub struct Site {
    /// Its configuration.
    pub config: Config,
    /// Its databases.
    pub databases: Databases,
    /// Its upstreams.
    pub upstreams: Upstreams,
    /// Its handlers, in the order they are asked.
    pub handlers: Vec<Built>,
    /// Its boot loaders.
    pub loaders: Loaders,
    /// The files of its images.
    pub images: Library,
    /// Its people.
    pub people: Arc<People>,
    /// The scripts that are to become its own, and what became of them so far; nothing where it does not serve.
    pub rollouts: Rollouts,
    /// Who is told what happens; nobody is before it serves.
    pub webhooks: Vec<Webhook>,
}

/// What goes on when a site that runs is made anew: connections, what was remembered, downloads.
#[derive(Clone, Copy)]
pub struct Running<'a> {
    /// Its databases.
    pub databases: &'a Databases,
    /// Its upstreams.
    pub upstreams: &'a Upstreams,
    /// The files of its images.
    pub images: &'a Library,
    /// The scripts that are to become its own.
    pub rollouts: &'a Rollouts,
}

/// Files that were looked for in vain, each with its name and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Absent {
    /// Those that are not there.
    pub missing: Vec<String>,
    /// Those whose origin does not say.
    pub unsure: Vec<String>,
}

/// Looks for the files of images, without fetching any.
pub async fn absent_in<'a>(library: &Library, images: impl IntoIterator<Item = &'a BootImages>) -> Absent {
    let mut absent = Absent::default();
    for name in files_of(images) {
        match library.look_for(&name).await {
            Ok(()) => {}
            Err(NotFound::Missing(why) | NotFound::Refused(why)) => absent.missing.push(format!("{name}: {why}")),
            Err(NotFound::Unsure(why)) => absent.unsure.push(format!("{name}: {why}")),
        }
    }
    absent
}

/// The names of files that images consist of, each once.
pub fn files_of<'a>(images: impl IntoIterator<Item = &'a BootImages>) -> BTreeSet<FileName> {
    let mut names = BTreeSet::new();
    let mut add = |source: &Source| {
        if let Source::File(name) = source {
            names.insert(name.clone());
        }
    };
    for images in images {
        let look = images.menu().and_then(|menu| menu.look.as_ref());
        look.and_then(|look| look.picture.as_ref()).into_iter().for_each(&mut add);
        for image in images.images() {
            for source in image.kind.sources() {
                add(source);
                image.signature(source).iter().for_each(&mut add);
            }
        }
    }
    names
}

/// The files that a configuration leads to. Blocks on the disk.
///
/// # Errors
/// As [`Site::load`], of where files come from.
pub fn library(config: &Config) -> Result<Library, Problems> {
    let mut problems = Problems::default();
    let upstreams = upstreams(config, None).map_err(|found| problems.extend(found)).ok();
    let library = images(config, upstreams.as_ref(), None).map_err(|found| problems.extend(found));
    library.ok().filter(|_| problems.is_empty()).ok_or(problems)
}

fn upstreams(config: &Config, before: Option<&Upstreams>) -> Result<Upstreams, Problems> {
    Upstreams::open(config, before).map_err(|found| {
        let mut problems = Problems::default();
        found.into_iter().for_each(|(what, remedy)| problems.push(Problem::of_file(&config.file, what, remedy)));
        problems
    })
}

/// The images folder with every origin there is.
fn images(config: &Config, upstreams: Option<&Upstreams>, before: Option<&Library>) -> Result<Library, Problems> {
    let mut problems = Problems::default();
    let storages = Storages::open(config).map_err(|found| problems.extend(found)).unwrap_or_default();
    let mut origins: Vec<Arc<dyn Origin>> = upstreams.map(Upstreams::origins).unwrap_or_default();
    origins.extend(storages.iter().map(|storage| Arc::clone(storage) as Arc<dyn Origin>));
    let library = Library::build(config, origins, before).map_err(|found| problems.extend(found));
    library.ok().filter(|_| problems.is_empty()).ok_or(problems)
}

/// Begins to compare the scripts that are to become live.
fn rollouts(config: &Config, handlers: &[Built], before: Option<&Rollouts>) -> Rollouts {
    let of_scripts = config.handlers.iter().zip(handlers);
    let of_scripts = of_scripts.filter(|(section, _)| matches!(section, HandlerSection::Script(_)));
    let of_scripts = of_scripts.map(|(section, built)| (section.display_name(), built.candidate.as_ref()));
    Rollouts::begin(of_scripts, before, &config.server.state)
}

impl Site {
    /// Reads everything that the configuration names. Blocks on the disk.
    ///
    /// # Errors
    /// Every problem that would keep the site from serving.
    pub fn load(config: Config, purpose: Purpose) -> Result<Site, Problems> {
        Site::load_again(config, purpose, None)
    }

    /// The same for a site that runs: its databases, upstreams and downloads go on.
    ///
    /// # Errors
    /// As [`Site::load`].
    pub fn load_again(config: Config, purpose: Purpose, before: Option<Running<'_>>) -> Result<Site, Problems> {
        let mut problems = Problems::default();
        let upstreams = upstreams(&config, before.map(|before| before.upstreams));
        let upstreams = upstreams.map_err(|found| problems.extend(found)).ok();
        let databases = Databases::open(&config, before.map(|before| before.databases))
            .map_err(|found| problems.extend(found))
            .ok();
        let mut handlers = Vec::new();
        if let (Some(databases), Some(upstreams)) = (&databases, &upstreams) {
            handlers = handlers::build(&config, databases, upstreams, purpose).unwrap_or_else(|found| {
                problems.extend(found);
                Vec::new()
            });
        }
        let own = &config.loaders;
        let loaders = Loaders::read(&own.folders, &own.files, &own.names, &own.own_names);
        let images = images(&config, upstreams.as_ref(), before.map(|before| before.images));
        let images = images.map_err(|found| problems.extend(found)).ok();
        let store = databases.as_ref().and_then(|databases| Store::on(databases.store().clone()).ok());
        let people = People::open(&config, store).map_err(|found| problems.extend(found)).ok();
        let webhooks = events::webhooks(&config).map_err(|found| problems.extend(found)).unwrap_or_default();
        match (images, databases, upstreams, people) {
            (Some(images), Some(databases), Some(upstreams), Some(people)) if problems.is_empty() => {
                let rollouts = match purpose {
                    Purpose::Serve => rollouts(&config, &handlers, before.map(|before| before.rollouts)),
                    Purpose::Check | Purpose::DryRun => Rollouts::default(),
                };
                let people = Arc::new(people);
                Ok(Site { config, databases, upstreams, handlers, loaders, images, people, rollouts, webhooks })
            }
            _ => Err(problems),
        }
    }

    /// What decides at this site.
    pub fn world(&self) -> World {
        World {
            handlers: self.handlers.iter().map(|built| Arc::clone(&built.handler)).collect(),
            policy: self.config.decision.policy(),
            keys: Arc::clone(&self.config.identity),
            quirks: Arc::clone(&self.config.quirks),
            site: self.config.server.site.as_str().into(),
        }
    }

    /// An engine of its own for this site, with sessions that no other process knows.
    ///
    /// # Errors
    /// When the operating system has no random numbers.
    pub fn private_engine(&self) -> std::io::Result<DecisionEngine> {
        let key = TokenKey::new(&TokenKey::random_secret()?);
        Ok(DecisionEngine::new(self.world(), Sessions::new(key, self.config.server.sessions_max)))
    }

    /// Looks for the files of images.
    pub async fn absent_files<'a>(&self, images: impl IntoIterator<Item = &'a BootImages>) -> Absent {
        absent_in(&self.images, images).await
    }

    /// Folders whose files the site is made from.
    pub fn folders(&self) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> = self.handlers.iter().flat_map(|built| built.folders.clone()).collect();
        let candidates = self.handlers.iter().filter_map(|built| built.candidate.as_ref());
        folders.extend(candidates.flat_map(|candidate| candidate.folders.iter().chain([&candidate.folder])).cloned());
        // A candidate comes and goes beside the scripts.
        let sections = self.config.handlers.iter();
        folders.extend(sections.filter_map(|section| match section {
            HandlerSection::Script(section) => section.candidate.parent().map(Into::into),
            HandlerSection::Sql(_) | HandlerSection::Referral(_) => None,
        }));
        folders.push(self.config.folder().to_owned());
        folders.extend(self.config.loaders.folders.iter().cloned());
        let own = [&self.config.https.certificate, &self.config.https.key].into_iter();
        let upstreams = self.config.upstreams.values();
        let theirs = upstreams.flat_map(|to| [&to.ca, &to.certificate, &to.key, &to.token_file]);
        let storages = self.config.storages.values();
        let keys = storages.flat_map(|storage| [&storage.ca, &storage.secret_key_file]);
        let webs = self.config.webs.values();
        let keys = keys.chain(webs.flat_map(|web| [&web.ca, &web.bearer_file, &web.headers_file]));
        let webhooks = self.config.events.webhook.iter().flat_map(|hook| [&hook.ca, &hook.secret_file]);
        let keys = keys.chain(webhooks);
        folders.extend(own.chain(theirs).chain(keys).flatten().filter_map(|file| file.parent()).map(Into::into));
        folders.sort();
        folders.dedup();
        folders
    }
}
