//! `pointsman image`: what can be assigned to machines.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::output::{complain, say, say_json};
use super::store::{Desk, at_desk};
use super::table::Table;
use super::times::local;
use crate::boot::BootImages;
use crate::store::{IfThere, ImageEntry, Name};

/// Add, show, list and remove images that machines can be assigned
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman image add debian --kind linux --kernel debian/linux --initrd debian/initrd.gz
  pointsman image show debian
  pointsman image list --json
  pointsman image remove debian                  once nobody is assigned it")]
pub(super) struct Image {
    #[command(subcommand)]
    command: ImageCommand,
}

#[derive(Debug, Subcommand)]
enum ImageCommand {
    /// Add an image
    Add(Box<Add>),
    /// Show an image
    Show(Named),
    /// List the images
    List(List),
    /// Remove an image that nobody is assigned
    Remove(Named),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman image add debian --kind linux --kernel debian/linux --initrd debian/initrd.gz --title \"Debian 12\" \\
      --cmdline \"auto=true url={files_url}/debian/preseed.cfg\"
  pointsman image add winpe --kind wim --wim winpe/boot.wim --bcd winpe/BCD --boot-sdi winpe/boot.sdi
  pointsman image add disk --kind local
  pointsman image add menu --kind chain --source http://boot.example.com/menu.ipxe

Files are those of the site's images folder; http:// and other URLs are loaded from where they are. In a command line,
{files_url} is the address of the images folder for this boot, {done_url} and {failed_url} are where an installer
reports that it is done or that it failed.")]
struct Add {
    /// Its id: letters, digits, `.`, `_` and `-`
    id: Name,
    /// linux, wim, chain, efi, sanboot, ipxe, local, reboot, poweroff or shell
    #[arg(long, value_name = "KIND")]
    kind: String,
    /// What the menu shows
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// linux: the kernel
    #[arg(long, value_name = "FILE")]
    kernel: Option<String>,
    /// linux: an initial RAM disk; may be given several times
    #[arg(long, value_name = "FILE")]
    initrd: Vec<String>,
    /// linux, efi: the command line
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    cmdline: Option<String>,
    /// wim: the Windows image
    #[arg(long, value_name = "FILE")]
    wim: Option<String>,
    /// wim: the wimboot program
    #[arg(long, value_name = "FILE")]
    wimboot: Option<String>,
    /// wim: boot configuration data
    #[arg(long, value_name = "FILE")]
    bcd: Option<String>,
    /// wim: boot.sdi
    #[arg(long, value_name = "FILE")]
    boot_sdi: Option<String>,
    /// wim: a file that Windows finds in X:\\Windows\\System32; may be given several times
    #[arg(long = "file", value_name = "NAME=FILE")]
    files: Vec<String>,
    /// wim: arguments of wimboot
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    args: Option<String>,
    /// chain, efi, sanboot: what to load
    #[arg(long, value_name = "FILE|URL")]
    source: Option<String>,
    /// ipxe: the commands
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// linux, wim, chain, efi: every file must be signed: `required`, or `if-able`
    #[arg(long, value_name = "WORD")]
    verify: Option<String>,
    /// What the names of the signature files end in; .sig when absent
    #[arg(long, value_name = "ENDING")]
    signature: Option<String>,
    /// Write an image of this id anew
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, Args)]
struct Named {
    /// Its id
    id: Name,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct List {
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Image, file: &Path) -> anyhow::Result<ExitCode> {
    match &command.command {
        ImageCommand::Add(image) => at_desk(file, async |desk| add(&desk, image).await),
        ImageCommand::Show(named) => at_desk(file, async |desk| show(&desk, named).await),
        ImageCommand::List(list) => at_desk(file, async |desk| list_all(&desk, list).await),
        ImageCommand::Remove(named) => at_desk(file, async |desk| {
            desk.store.remove_image(&named.id).await?;
            say(&format!("removed {}", named.id));
            Ok(())
        }),
    }
}

impl Add {
    fn attributes(&self) -> BTreeMap<String, String> {
        let words = |words: &[String]| (!words.is_empty()).then(|| words.join(" "));
        let (initrd, files) = (words(&self.initrd), words(&self.files));
        let given = [
            ("kind", &Some(self.kind.clone())),
            ("title", &self.title),
            ("kernel", &self.kernel),
            ("initrd", &initrd),
            ("cmdline", &self.cmdline),
            ("wim", &self.wim),
            ("wimboot", &self.wimboot),
            ("bcd", &self.bcd),
            ("boot_sdi", &self.boot_sdi),
            ("files", &files),
            ("args", &self.args),
            ("source", &self.source),
            ("text", &self.text),
            ("verify", &self.verify),
            ("signature", &self.signature),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))).collect()
    }
}

async fn add(desk: &Desk, command: &Add) -> anyhow::Result<()> {
    let entry = ImageEntry::new(command.id.clone(), &command.attributes(), desk.now)?;
    let if_there = if command.replace { IfThere::Replace } else { IfThere::Refuse };
    let was_there = desk.store.add_image(&entry, if_there).await?;
    say(&format!("{} {}: {} ({})", if was_there { "replaced" } else { "added" }, entry.id, entry.title, entry.kind));
    for name in missing(desk, command).await {
        complain(&format!("note: {name}; images are in {}", desk.config.images.folder.display()));
    }
    Ok(())
}

/// Files that the image needs and that are not there yet.
async fn missing(desk: &Desk, command: &Add) -> Vec<String> {
    let Ok(image) = crate::boot::BootImage::define(command.id.as_str(), &command.attributes()) else {
        return Vec::new();
    };
    let (Ok(library), Ok(images)) = (crate::site::library(&desk.config), BootImages::new(vec![image], None)) else {
        return Vec::new();
    };
    let absent = crate::site::absent_in(&library, [&images]).await;
    absent.missing.into_iter().chain(absent.unsure).collect()
}

async fn show(desk: &Desk, named: &Named) -> anyhow::Result<()> {
    let entry = desk.store.image(&named.id).await?;
    if named.json {
        return say_json(&entry);
    }
    let mut table = Table::new(&["what", "is"]);
    table.row(["id", entry.id.as_str()]);
    table.row(["title", &entry.title]);
    table.row(["kind", &entry.kind]);
    table.lines().iter().skip(1).for_each(|line| say(line));
    // These are shown whole: somebody wants to copy a command line.
    entry.attributes.iter().for_each(|(name, value)| say(&format!("{name}: {}", value.escape_debug())));
    say(&format!("changed: {}", local(entry.changed)));
    Ok(())
}

async fn list_all(desk: &Desk, list: &List) -> anyhow::Result<()> {
    let mut found: Vec<ImageEntry> = Vec::new();
    loop {
        let page = desk.store.images(found.last().map(|entry| &entry.id)).await?;
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    if list.json {
        return say_json(&found);
    }
    let mut table = Table::new(&["id", "kind", "title", "files", "changed"]);
    for entry in &found {
        let files = ["kernel", "wim", "source"].iter().find_map(|name| entry.attributes.get(*name).cloned());
        let cells = [entry.id.to_string(), entry.kind.clone(), entry.title.clone(), files.unwrap_or_default()];
        table.row(cells.into_iter().chain([local(entry.changed)]));
    }
    table.print("No images. `pointsman image add ID --kind linux --kernel FILE` adds one.");
    Ok(())
}
