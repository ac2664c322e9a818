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
    /// The interface that it serves.
    pub(crate) interface: &'a str,
    /// More lines of its configuration.
    pub(crate) more: String,
    /// The folder of its tables, when it has some.
    pub(crate) data: Option<String>,
}

impl<'a> Site<'a> {
    /// A site with these two scripts and otherwise what `pointsman init` writes.
    pub(crate) fn new(allow_boot: &'a str, boot_images: &'a str) -> Self {
        Self::by(Rules::Scripts { allow_boot, boot_images })
    }

    /// A site where these rules decide, and otherwise what `pointsman init` writes.
    pub(crate) fn by(rules: Rules<'a>) -> Self {
        Self {
            rules,
            loaders: None,
            x64_uefi_loader: None,
            https: false,
            interface: INTERFACE,
            more: String::new(),
            data: None,
        }
    }

    /// What the configuration says differently from its defaults.
    fn config(&self) -> String {
        let mut lines = vec![
            "[server]".to_owned(),
            format!("interfaces = [{:?}]", self.interface),
            "[log]\nformat = \"json\"\nlevel = \"debug\"".to_owned(),
        ];
        match &self.rules {
            Rules::Scripts { .. } => lines.extend([
                "[[handler]]\nkind = \"script\"\nscripts = \"rules\"".to_owned(),
                "allow_boot = \"rules/allow_boot.rhai\"\nboot_images = \"rules/boot_images.rhai\"".to_owned(),
                self.data.as_ref().map_or_else(String::new, |folder| format!("data = {folder:?}")),
            ]),
            Rules::Referral(keys) => {
                lines.push(format!("[[handler]]\nkind = \"referral\"\nupstreams = [\"main\"]\n{keys}"))
            }
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
        lines.push(self.more.clone());
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
    /// The upstream server `main`, with these keys of the handler. Such a site has no images of its own.
    Referral(&'a str),
    /// Rows of the store: in its own file, or in the database with this URL.
    Store(Option<String>),
}

/// A site that is written and not yet served.
pub(crate) struct Prepared {
    part: &'static str,
    folder: PathBuf,
    evidence: PathBuf,
}

/// A running server; dropped, it is killed.
pub(crate) struct ServerUnderTest {
    process: Process,
    site: Prepared,
    /// Its log, a JSON object a line.
    pub(crate) log: Transcript,
}

impl Prepared {
    /// Writes the site for a server in the namespace `part` under `evidence`.
    pub(crate) fn new(part: &'static str, site: &Site, assets: &Assets, evidence: &Path) -> Self {
        let folder = evidence.join(if part == "boot" { "site" } else { part });
        write_site(&folder, site, assets);
        Self { part, folder, evidence: evidence.to_owned() }
    }

    fn config(&self) -> PathBuf {
        self.folder.join("pointsman.toml")
    }

    /// Runs a command of the program on the site, in the server's place on the network; what it printed.
    pub(crate) fn command(&self, network: &Network, arguments: &[&str]) -> String {
        let mut command = network.command(self.part, PROGRAM);
        printed(command.arg("--config").arg(self.config()).args(arguments))
    }

    /// Starts the server and waits until it is ready.
    pub(crate) fn start(self, network: &Network) -> ServerUnderTest {
        let socket = self.evidence.join(format!("ready-{}.socket", self.part));
        // A server that was here before has left it.
        let _ = fs::remove_file(&socket);
        let ready = UnixDatagram::bind(&socket).expect("the evidence folder is new");
        let mut command = network.command(self.part, PROGRAM);
        command.args(["serve", "--config"]).arg(self.config());
        command.env("NOTIFY_SOCKET", &socket);
        let name = if self.part == "boot" { "server" } else { self.part };
        let log =
            Transcript::new(&format!("log of the server in {}", self.part), &self.evidence.join(format!("{name}.log")));
        let server = ServerUnderTest { process: Process::start(command, &log), site: self, log };
        server.wait_until_ready(&ready);
        server
    }
}

fn printed(command: &mut Command) -> String {
    let output = command.output().expect("the program was just built");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl ServerUnderTest {
    /// Kills the server, as a power cut does; what it can be started from again.
    pub(crate) fn kill(self) -> Prepared {
        let Self { process, site, .. } = self;
        drop(process);
        site
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
        self.site.folder.join("state/ca.esl")
    }

    /// Runs a command of the program on the site; what it printed.
    pub(crate) fn command(&self, arguments: &[&str]) -> String {
        printed(Command::new(PROGRAM).arg("--config").arg(self.site.config()).args(arguments))
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
    if let Rules::Referral(_) = site.rules {
        return;
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
