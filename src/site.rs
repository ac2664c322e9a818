//! A site that is ready to serve: the configuration with its handlers, loaders and images.
//!
//! What `check` reports, what `decide` asks, what the daemon runs and what a reload builds anew is the same thing.

use std::path::PathBuf;
use std::sync::Arc;

use crate::boot::BootImages;
use crate::boot::Source;
use crate::config::{Config, Problem, Problems};
use crate::database::Databases;
use crate::decision::{DecisionEngine, Sessions, TokenKey, World};
use crate::files::FileRoot;
use crate::handlers::{self, Built};
use crate::loaders::Loaders;
use crate::upstream::Upstreams;

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
    /// Its images.
    pub images: FileRoot,
}

/// Files of images that are not in a folder, by name.
pub async fn missing_in(folder: &FileRoot, images: &BootImages) -> Vec<String> {
    let mut missing = Vec::new();
    for source in images.images().iter().flat_map(|image| image.kind.sources()) {
        if let Source::File(name) = source
            && let Err(error) = folder.open(name).await
        {
            missing.push(format!("{name}: {error}"));
        }
    }
    missing
}

impl Site {
    /// Reads everything that the configuration names. Blocks on the disk.
    ///
    /// # Errors
    /// Every problem that would keep the site from serving.
    pub fn load(config: Config, run_cases: bool) -> Result<Site, Problems> {
        Site::load_again(config, run_cases, None)
    }

    /// The same for a site that runs: its databases and upstreams go on with their connections and what they remember.
    ///
    /// # Errors
    /// As [`Site::load`].
    pub fn load_again(
        config: Config,
        run_cases: bool,
        before: Option<(&Databases, &Upstreams)>,
    ) -> Result<Site, Problems> {
        let mut problems = Problems::default();
        let upstreams = Upstreams::open(&config, before.map(|(_, upstreams)| upstreams));
        let upstreams = upstreams.map_err(|found| {
            found.into_iter().for_each(|(what, remedy)| problems.push(Problem::of_file(&config.file, what, remedy)));
        });
        let databases = Databases::open(&config, before.map(|(databases, _)| databases))
            .map_err(|found| problems.extend(found))
            .ok();
        let mut handlers = Vec::new();
        if let (Some(databases), Ok(upstreams)) = (&databases, &upstreams) {
            handlers = handlers::build(&config, databases, upstreams, run_cases).unwrap_or_else(|found| {
                problems.extend(found);
                Vec::new()
            });
        }
        let loaders = Loaders::read(&config.loaders.folders, &config.loaders.files);
        let images = FileRoot::new(&config.images.folder).map_err(|error| {
            let what = format!("images.folder: cannot open {}: {error}", config.images.folder.display());
            problems.push(Problem::of_file(&config.file, what, "make the folder, or name another"));
        });
        match (images, databases, upstreams) {
            (Ok(images), Some(databases), Ok(upstreams)) if problems.is_empty() => {
                Ok(Site { config, databases, upstreams, handlers, loaders, images })
            }
            _ => Err(problems),
        }
    }

    /// What decides at this site.
    pub fn world(&self) -> World {
        World {
            handlers: self.handlers.iter().map(|built| Arc::clone(&built.handler)).collect(),
            policy: self.config.decision.policy(),
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

    /// Files of images that are not there, by name.
    pub async fn missing_files(&self, images: &BootImages) -> Vec<String> {
        missing_in(&self.images, images).await
    }

    /// Folders whose files the site is made from.
    pub fn folders(&self) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> = self.handlers.iter().flat_map(|built| built.folders.clone()).collect();
        folders.push(self.config.folder().to_owned());
        folders.extend(self.config.loaders.folders.iter().cloned());
        let own = [&self.config.https.certificate, &self.config.https.key].into_iter();
        let upstreams = self.config.upstreams.values();
        let theirs = upstreams.flat_map(|to| [&to.ca, &to.certificate, &to.key, &to.token_file]);
        folders.extend(own.chain(theirs).flatten().filter_map(|file| file.parent()).map(Into::into));
        folders.sort();
        folders.dedup();
        folders
    }
}
