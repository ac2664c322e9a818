//! `pointsman init`: a first site.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use include_dir::{Dir, include_dir};

use super::output::say;
use crate::config::FILE_NAME;

/// Write a first site: configuration, decision scripts with their cases, a private CA
///
/// Files that are there already are kept as they are.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  pointsman init /etc/pointsman
  pointsman check --config /etc/pointsman/pointsman.toml")]
pub(super) struct Init {
    /// The folder of the site; made when it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// What a first site starts from; the tests run the cases of these very files.
static STARTER: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/scripts/starter");

pub(super) fn run(command: &Init) -> anyhow::Result<ExitCode> {
    let folder = &command.folder;
    write_site(folder, |line| say(&line))?;
    let file = folder.join(FILE_NAME);
    say("");
    say("Next:");
    say(&format!("  put kernels and images into {}; the example rules name", folder.join("images").display()));
    say(
        "    debian/linux and debian/initrd.gz, Debian's network installer: until they are there, `check` asks for them",
    );
    say(&format!("  pointsman check --config {}", file.display()));
    say(&format!("  pointsman decide --config {} --mac 52:54:00:12:34:56", file.display()));
    say(&format!("  pointsman serve --config {}", file.display()));
    Ok(ExitCode::SUCCESS)
}

/// Writes the starter site into a folder and tells about each file.
pub(super) fn write_site(folder: &Path, mut tell: impl FnMut(String)) -> anyhow::Result<()> {
    for file in STARTER.files() {
        let name = file.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let target = match file.path().extension().and_then(|extension| extension.to_str()) {
            _ if name == FILE_NAME => folder.join(name),
            Some("csv") => folder.join("data").join(name),
            _ => folder.join("scripts").join(name),
        };
        let state = if write_new(&target, file.contents())? { "wrote" } else { "kept" };
        tell(format!("{state:>6}  {}", target.display()));
    }
    for name in ["images", "loaders"] {
        let path = folder.join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make the folder {}", path.display()))?;
    }
    let state = folder.join("state");
    let certificate = state.join("ca.pem");
    let word = if certificate.exists() { "kept" } else { "wrote" };
    crate::tls::ensure_ca(&state).with_context(|| format!("cannot make the CA in {}", state.display()))?;
    tell(format!("{word:>6}  {}", certificate.display()));
    Ok(())
}

/// Writes a file that is not there yet; `false` when it is.
fn write_new(path: &Path, content: &[u8]) -> anyhow::Result<bool> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    match std::fs::File::create_new(path) {
        Ok(mut file) => {
            std::io::Write::write_all(&mut file, content)
                .with_context(|| format!("cannot write {}", path.display()))?;
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot write {}", path.display())),
    }
}
