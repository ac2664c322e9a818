//! The server under test: a site as an administrator would write it, and the real binary serving it.
//!
//! **Invariant:** uses the program from outside only: its commands, its configuration, its log.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::assets::Assets;
use crate::network::{INTERFACE, Network};
use crate::process::{Process, run};
use crate::transcript::{Absent, Transcript};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pointsman");
const READY_LIMIT: Duration = Duration::from_secs(30);
const TAIL_LINES: usize = 40;

/// What distinguishes one site from another.
pub(crate) struct Site<'a> {
    /// Who decides.
    pub(crate) rules: Rules<'a>,
    /// The folder with iPXE builds; where Debian installs them when absent.
    pub(crate) loaders: Option<PathBuf>,
    /// The build for UEFI machines when it is not the usual one.
    pub(crate) x64_uefi_loader: Option<&'a str>,
    /// Whether iPXE builds that can are to use HTTPS.
    pub(crate) https: bool,
}

impl<'a> Site<'a> {
    /// A site with these two scripts and otherwise what `pointsman init` writes.
    pub(crate) fn new(allow_boot: &'a str, boot_images: &'a str) -> Self {
        Self::by(Rules::Scripts { allow_boot, boot_images })
    }

    /// A site where these rules decide, and otherwise what `pointsman init` writes.
    pub(crate) fn by(rules: Rules<'a>) -> Self {
        Self { rules, loaders: None, x64_uefi_loader: None, https: false }
    }

    /// What the configuration says differently from its defaults.
    fn config(&self) -> String {
        let mut lines = vec![
            "[server]".to_owned(),
            format!("interfaces = [{INTERFACE:?}]"),
            "[log]\nformat = \"json\"\nlevel = \"debug\"".to_owned(),
        ];
        match &self.rules {
            Rules::Scripts { .. } => lines.extend([
                "[[handler]]\nkind = \"script\"\nscripts = \"rules\"".to_owned(),
                "allow_boot = \"rules/allow_boot.rhai\"\nboot_images = \"rules/boot_images.rhai\"".to_owned(),
            ]),
            Rules::Store(database) => {
                lines.push("[[handler]]\nkind = \"sql\"".to_owned());
                if let Some(url) = database {
                    lines.push(format!("[store]\ndatabase = \"main\"\n[database.main]\nurl = {url:?}"));
                }
            }
        }
        if self.https {
            lines.push("[https]\nipxe = \"https\"".to_owned());
        }
        if let Some(folder) = &self.loaders {
            lines.push(format!("[loaders]\nfolders = [{folder:?}]"));
        }
        if let Some(file) = self.x64_uefi_loader {
            lines.push(format!("[loaders.files]\nx64-uefi = {file:?}"));
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

/// Who decides at a site.
pub(crate) enum Rules<'a> {
    /// Two scripts.
    Scripts {
        /// The file `allow_boot.rhai`.
        allow_boot: &'a str,
        /// The file `boot_images.rhai`.
        boot_images: &'a str,
    },
    /// Rows of the store: in its own file, or in the database with this URL.
    Store(Option<String>),
}

/// A running server; dropped, it is killed.
pub(crate) struct ServerUnderTest {
    process: Process,
    folder: PathBuf,
    /// Its log, a JSON object a line.
    pub(crate) log: Transcript,
}

impl ServerUnderTest {
    /// Writes the site under `evidence`, starts the server in the namespace `boot` and waits until it is ready.
    pub(crate) fn start(site: &Site, assets: &Assets, network: &Network, evidence: &Path) -> Self {
        let folder = evidence.join("site");
        write_site(&folder, site, assets);
        let ready = UnixDatagram::bind(evidence.join("ready.socket")).expect("the evidence folder is new");
        let mut command = network.command("boot", PROGRAM);
        command.args(["serve", "--config"]).arg(folder.join("pointsman.toml"));
        command.env("NOTIFY_SOCKET", evidence.join("ready.socket"));
        let log = Transcript::new("log of the server", &evidence.join("server.log"));
        let server = Self { process: Process::start(command, &log), folder, log };
        server.wait_until_ready(&ready);
        server
    }

    /// Waits for a decision in the log that `wanted` accepts.
    pub(crate) fn wait_for_decision(&self, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Result<Value, Absent> {
        self.log.wait_for(limit, |text| entries(text).find(|entry| is_decision(entry) && wanted(entry)))
    }

    /// The decisions so far.
    pub(crate) fn decisions(&self) -> Vec<Value> {
        entries(&self.log.text()).filter(is_decision).collect()
    }

    /// The files that machines were sent so far, by whatever protocol.
    pub(crate) fn files_sent(&self) -> Vec<Value> {
        entries(&self.log.text()).filter(|entry| entry["octets"].is_number()).collect()
    }

    /// The certificate of the private CA that `pointsman init` made, in the form that firmware takes.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("state/ca.esl")
    }

    /// Runs a command of the program on the site; what it printed.
    pub(crate) fn command(&self, arguments: &[&str]) -> String {
        let config = self.folder.join("pointsman.toml");
        let output = Command::new(PROGRAM).arg("--config").arg(config).args(arguments).output();
        let output = output.expect("the program was just built");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pointsman {arguments:?}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Asks the server to stop as systemd does, and tells whether it ended well.
    pub(crate) fn stop(mut self) -> bool {
        run("kill", &["-TERM", &self.process.id().to_string()]);
        self.process.wait()
    }

    /// Listens for the readiness that systemd would hear.
    fn wait_until_ready(&self, socket: &UnixDatagram) {
        const POLL: Duration = Duration::from_millis(100);
        socket.set_read_timeout(Some(POLL)).expect("a limit above zero is valid");
        let deadline = Instant::now() + READY_LIMIT;
        let mut message = [0; 512];
        loop {
            let length = socket.recv(&mut message).unwrap_or_default();
            if message[..length].split(|&byte| byte == b'\n').any(|line| line == b"READY=1") {
                return;
            }
            let ended = self.log.wait_for(Duration::ZERO, |_| None::<()>) == Err(Absent::Ended);
            assert!(
                !ended && Instant::now() < deadline,
                "the server did not become ready ({})\n{}",
                if ended { "it ended" } else { "it took too long" },
                self.log.tail(TAIL_LINES)
            );
        }
    }
}

fn entries(log: &str) -> impl Iterator<Item = Value> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok())
}

fn is_decision(entry: &Value) -> bool {
    entry["level"] == "INFO" && entry["verdict"].is_string()
}

/// `pointsman init`, then a configuration, rules and images of this case beside what it wrote.
fn write_site(folder: &Path, site: &Site, assets: &Assets) {
    let made = Command::new(PROGRAM).arg("init").arg(folder).output().expect("the program was just built");
    assert!(made.status.success(), "pointsman init failed: {}", String::from_utf8_lossy(&made.stderr));
    write(&folder.join("pointsman.toml"), &site.config());
    if let Rules::Scripts { allow_boot, boot_images } = site.rules {
        write(&folder.join("rules/allow_boot.rhai"), allow_boot);
        write(&folder.join("rules/boot_images.rhai"), boot_images);
    }
    let images = folder.join("images");
    copy(&assets.kernel(), &images.join("lab/vmlinuz"));
    copy(&assets.initramfs(), &images.join("lab/initramfs.gz"));
    for file in ["linux", "initrd.gz"] {
        copy(&assets.installer().join(file), &images.join("installer").join(file));
    }
}

fn write(path: &Path, text: &str) {
    let folder = path.parent().expect("files of a site are in folders");
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

fn copy(from: &Path, to: &Path) {
    let folder = to.parent().expect("images are in folders");
    fs::create_dir_all(folder)
        .and_then(|()| fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop)))
        .unwrap_or_else(|error| panic!("cannot copy {} to {}: {error}", from.display(), to.display()));
}
