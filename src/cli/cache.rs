//! `pointsman cache`: what was fetched from upstreams and object storage.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use indicatif::{DecimalBytes, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::machine::{MachineArgs, mac};
use super::output::{complain, say, say_json};
use super::table::Table;
use super::times::local;
use crate::boot::{Architecture, BootImage, BootImages, FileName, HardwareAddress};
use crate::cache::{Cache as Files, Entry, Library, Warmed};
use crate::config::Config;
use crate::observe::{LogTarget, start_logging};
use crate::site::{Purpose, Site, files_of, library};
use crate::store::{ImageEntry, Name, Store};

/// List, fetch, verify and tidy up the files of upstreams and object storage that are kept here
///
/// Files named @NAME/path come from [upstream.NAME] or [storage.NAME]. Each is fetched when a machine first asks for it,
/// and kept in the folder of [cache]. The server may run meanwhile.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman cache list
  pointsman cache warm @main/debian/12/linux     before a hundred machines ask for it
  pointsman cache verify                         after a disk was in doubt
  pointsman cache gc")]
pub(super) struct Cache {
    #[command(subcommand)]
    command: CacheCommand,
}

#[derive(Debug, Subcommand)]
enum CacheCommand {
    /// List the files that are kept, and those that are arriving
    List(List),
    /// Fetch files before a machine asks for them
    Warm(Warm),
    /// Read every file again, and remove those that are damaged
    Verify(Verify),
    /// Remove leftovers, files of origins that are not configured any more, and what is too much
    Gc(Gc),
}

#[derive(Debug, Args)]
#[command(after_help = "States:
  verified    all of it is here, and its digest is the one that its origin told
  unverified  all of it is here; its origin tells no digest
  partial     it is arriving, or its download was interrupted and goes on when it is asked for again")]
struct List {
    /// Print the files as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman cache warm @main/debian/12/linux @main/debian/12/initrd.gz
  pointsman cache warm --image debian            what the image `debian` of the store consists of
  pointsman cache warm --mac 52:54:00:12:34:56   what this machine would boot now, as `pointsman decide` tells

A download that was interrupted goes on where it stopped. `rate` and `windows` of the origin hold here as well.

Exit code: 0 when every file is here now, 1 when one could not be fetched.")]
struct Warm {
    /// The files, as scripts name them
    #[arg(value_name = "@NAME/FILE", required_unless_present_any = ["image", "all_images", "mac"])]
    names: Vec<FileName>,
    /// The files of this image of the store; may be given several times
    #[arg(long, value_name = "ID")]
    image: Vec<Name>,
    /// The files of all images of the store
    #[arg(long, conflicts_with = "image")]
    all_images: bool,
    /// The files that this machine would boot now; may be given several times
    #[arg(long, value_name = "MAC", value_parser = mac)]
    mac: Vec<HardwareAddress>,
    /// The client architecture of those machines
    #[arg(long, value_name = "NAME", default_value = "x64-uefi", requires = "mac")]
    arch: Architecture,
}

#[derive(Debug, Args)]
#[command(after_help = "What is damaged is removed, and fetched again when a machine asks for it.

Exit code: 0 when every file is as it was fetched, 1 when one was not.")]
struct Verify {}

#[derive(Debug, Args)]
#[command(
    after_help = "Removed are parts of downloads that nobody went on with for a week, files of upstreams and storages that the
configuration does not name any more, files that no origin confirmed for longer than `keep`, and, least recently used
first, files beyond `size_max` of [cache]. The server does the last of these by itself."
)]
struct Gc {}

pub(super) fn run(command: &Cache, file: &Path) -> anyhow::Result<ExitCode> {
    let mut config = super::read_config(file)?;
    // What goes wrong with a file is the answer of these two already.
    let tells = matches!(command.command, CacheCommand::Warm(_) | CacheCommand::Verify(_));
    config.log.level = if tells { "off" } else { "warn" }.into();
    start_logging(&config.log, LogTarget::Stderr);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match &command.command {
            CacheCommand::List(list) => show(&config, list),
            CacheCommand::Warm(warm) => fetch(config, warm).await,
            CacheCommand::Verify(_) => verify(&config).await,
            CacheCommand::Gc(_) => tidy(&config).await,
        }
    })
}

fn open(config: &Config) -> anyhow::Result<Files> {
    Files::open(&config.cache).map_err(|error| {
        anyhow::anyhow!("{error}; run this as root or as the account of the server, or name another folder in [cache]")
    })
}

/// A kept file, as JSON.
#[derive(Serialize)]
struct Shown {
    name: String,
    length: u64,
    present: u64,
    state: &'static str,
    digest: Option<String>,
    fetched: jiff::Timestamp,
    used: jiff::Timestamp,
}

fn state(entry: &Entry) -> &'static str {
    match (entry.complete, entry.digest) {
        (false, _) => "partial",
        (true, Some(_)) => "verified",
        (true, None) => "unverified",
    }
}

fn show(config: &Config, list: &List) -> anyhow::Result<ExitCode> {
    let entries = open(config)?.entries();
    if list.json {
        let shown = |entry: &Entry| Shown {
            name: format!("@{}/{}", entry.origin, entry.name),
            length: entry.length,
            present: entry.present,
            state: state(entry),
            digest: entry.digest.map(|digest| digest.to_string()),
            fetched: entry.fetched,
            used: entry.used,
        };
        say_json(&entries.iter().map(shown).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&["file", "size", "state", "fetched", "last used"]);
    for entry in &entries {
        let done = match state(entry) {
            "partial" => format!("partial, {} %", entry.present.saturating_mul(100) / entry.length.max(1)),
            state => state.to_owned(),
        };
        let name = format!("@{}/{}", entry.origin, entry.name);
        table.row([name, size(entry.length), done, local(entry.fetched), local(entry.used)]);
    }
    table
        .print("Nothing is cached yet. `pointsman cache warm @NAME/FILE` fetches a file before a machine asks for it.");
    if !entries.is_empty() {
        let present = entries.iter().map(|entry| entry.present).fold(0, u64::saturating_add);
        let (count, folder) = (files(entries.len()), config.cache.folder.display());
        say(&format!("{count}, {} of at most {} in {folder}", size(present), size(config.cache.size_max)));
    }
    Ok(ExitCode::SUCCESS)
}

async fn fetch(config: Config, warm: &Warm) -> anyhow::Result<ExitCode> {
    let (library, names) = wanted(config, warm).await?;
    let (ours, local): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.as_str().starts_with('@'));
    if !local.is_empty() {
        say(&format!("{} of them are in the images folder, and need not be fetched", files(local.len())));
    }
    if ours.is_empty() {
        say("There is nothing to fetch.");
    }
    let mut failed = 0;
    for name in &ours {
        let bar = bar(name.as_str());
        let warmed = library.warm(name, &|done, all| progress(&bar, done, all)).await;
        bar.finish_and_clear();
        match warmed {
            Ok(warmed) => say(&format!("{name}: {}", told(&warmed))),
            Err(why) => {
                failed += 1;
                complain(&format!("error: {name}: {why}"));
            }
        }
    }
    if failed > 0 {
        complain(&format!("{} could not be fetched", files(failed)));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn told(warmed: &Warmed) -> String {
    let (all, fetched) = (size(warmed.length), size(warmed.fetched));
    let digest = if warmed.digest.is_some() { "verified" } else { "its origin tells no digest" };
    match warmed.fetched {
        0 => format!("{all} are here, {digest}"),
        some if some < warmed.length => format!("the last {fetched} of {all} fetched, {digest}"),
        _ => format!("{all} fetched, {digest}"),
    }
}

/// The files that the arguments name, and where they come from.
async fn wanted(config: Config, warm: &Warm) -> anyhow::Result<(Library, BTreeSet<FileName>)> {
    for name in &warm.names {
        if !name.as_str().starts_with('@') {
            bail!(
                "`{name}` is in the images folder, if anywhere; files of upstreams and storages are named @NAME/FILE"
            );
        }
    }
    let mut names: BTreeSet<FileName> = warm.names.iter().cloned().collect();
    if !warm.image.is_empty() || warm.all_images {
        names.extend(files_of(&of_the_store(&config, warm).await?));
    }
    if warm.mac.is_empty() {
        let library = library(&config).map_err(|problems| anyhow::anyhow!("the site has problems\n{problems}"))?;
        return Ok((library, names));
    }
    let site =
        Site::load(config, Purpose::DryRun).map_err(|problems| anyhow::anyhow!("the site has problems\n{problems}"))?;
    for mac in &warm.mac {
        let machine = MachineArgs { mac: *mac, uuid: None, arch: warm.arch, facts: Vec::new() };
        let decision = super::decide::what_boots(&machine, &site.private_engine()?).await;
        let Some(images) = &decision.images else {
            let verdict = &decision.verdict;
            bail!(
                "{mac} boots nothing: {} {}; `pointsman decide --mac {mac}` tells more",
                verdict.name(),
                verdict.reason()
            );
        };
        names.extend(files_of([images]));
    }
    Ok((site.images, names))
}

async fn of_the_store(config: &Config, warm: &Warm) -> anyhow::Result<Vec<BootImages>> {
    let store = Store::open(config)?;
    let mut entries: Vec<ImageEntry> = Vec::new();
    for id in &warm.image {
        entries.push(store.image(id).await?);
    }
    if warm.all_images {
        entries = all_images(&store).await?;
    }
    let images = |entry: &ImageEntry| {
        let mut attributes = entry.attributes.clone();
        attributes.insert("kind".into(), entry.kind.clone());
        let image = BootImage::define(entry.id.as_str(), &attributes)
            .map_err(|error| anyhow::anyhow!("image `{}` of the store: {error}", entry.id))?;
        Ok(BootImages::new(vec![image], None)?)
    };
    entries.iter().map(images).collect()
}

async fn all_images(store: &Store) -> anyhow::Result<Vec<ImageEntry>> {
    let mut entries: Vec<ImageEntry> = Vec::new();
    loop {
        let page = store.images(entries.last().map(|entry| &entry.id)).await?;
        if page.is_empty() {
            return Ok(entries);
        }
        entries.extend(page);
    }
}

async fn verify(config: &Config) -> anyhow::Result<ExitCode> {
    let cache = open(config)?;
    let bar = bar("reading");
    let damages = cache.verify(&|done, all| progress(&bar, done, all)).await;
    bar.finish_and_clear();
    let sound = cache.entries().iter().filter(|entry| entry.complete).count();
    let count = sound + damages.len();
    for damage in &damages {
        complain(&format!("@{}/{}: {}; removed", damage.origin, damage.name, damage.what));
    }
    if damages.is_empty() {
        say(&format!("{}, all as they were fetched", files(sound)));
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!(
        "{} of {count} damaged and removed: they are fetched again when a machine asks, or by `pointsman cache warm`",
        damages.len()
    ));
    Ok(ExitCode::FAILURE)
}

async fn tidy(config: &Config) -> anyhow::Result<ExitCode> {
    let origins: Vec<&str> = config.upstreams.keys().chain(config.storages.keys()).map(String::as_str).collect();
    let gone = open(config)?.gc(&origins).await?;
    say(&format!(
        "{} freed: {} expired or of no origin any more, {} evicted, {} left over",
        size(gone.octets),
        gone.expired,
        gone.evicted,
        gone.leftovers
    ));
    Ok(ExitCode::SUCCESS)
}

/// Draws on standard error, and only on a terminal.
fn bar(message: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("  {msg} {wide_bar} {decimal_bytes}/{decimal_total_bytes} {eta}");
    let bar = ProgressBar::new(0).with_message(message.to_owned());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn progress(bar: &ProgressBar, done: u64, all: u64) {
    bar.set_length(all);
    bar.set_position(done);
}

fn size(octets: u64) -> String {
    DecimalBytes(octets).to_string()
}

fn files(count: usize) -> String {
    if count == 1 { "1 file".into() } else { format!("{count} files") }
}
