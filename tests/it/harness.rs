//! A site in a temporary folder, the program run on it, and the daemon on loopback ports that the kernel chose.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the program.
pub(crate) fn pointsman(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pointsman")).args(arguments).output().expect("the program starts")
}

/// What a run printed, both streams.
pub(crate) fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A site in a folder of its own.
pub(crate) struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    /// What `init` writes, on loopback ports that the kernel chooses, with stand-ins for loaders and images.
    pub(crate) fn new() -> Site {
        let site = Site { folder: tempfile::tempdir().unwrap() };
        let output = pointsman(&["init", site.path("").to_str().unwrap()]);
        assert!(output.status.success(), "{}", printed(&output));
        for (table, keys) in [
            ("server", "address = \"127.0.0.1\""),
            ("dhcp", "port = 0\nboot_server_port = 0"),
            ("tftp", "port = 0"),
            ("http", "port = 0"),
            ("https", "port = 0"),
            ("loaders", "folders = [\"loaders\"]"),
            ("log", "format = \"json\""),
        ] {
            site.configure(table, keys);
        }
        for name in ["loaders/undionly.kpxe", "loaders/snponly.efi", "images/debian/linux", "images/debian/initrd.gz"] {
            site.write(name, &"x".repeat(100_000));
        }
        site
    }

    /// A site with these two functions for rules, without cases.
    pub(crate) fn with_rules(rules: &str) -> Site {
        let site = Site::new();
        for name in ["allow_boot.cases.toml", "boot_images.cases.toml", "boot_images.rhai"] {
            std::fs::remove_file(site.path("scripts").join(name)).unwrap();
        }
        site.write("scripts/allow_boot.rhai", rules);
        site.edit("pointsman.toml", |text| {
            text.replace("# boot_images = \"scripts/boot_images.rhai\"", "boot_images = \"scripts/allow_boot.rhai\"")
        });
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self) -> String {
        self.path("pointsman.toml").to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn edit(&self, name: &str, change: impl FnOnce(String) -> String) {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        let changed = change(text.clone());
        assert_ne!(text, changed, "{name} is as before");
        std::fs::write(self.path(name), changed).unwrap();
    }

    /// Puts keys at the top of a table.
    pub(crate) fn configure(&self, table: &str, keys: &str) {
        self.edit("pointsman.toml", |text| {
            text.replacen(&format!("\n[{table}]\n"), &format!("\n[{table}]\n{keys}\n"), 1)
        });
    }

    /// Runs a command of the program on this site.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        pointsman(&[&["--config", &self.config()], arguments].concat())
    }

    /// The same, with this on its standard input.
    pub(crate) fn run_typing(&self, arguments: &[&str], text: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .args([&["--config", &self.config()], arguments].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Starts the daemon.
    pub(crate) fn serve(&self) -> Daemon {
        Daemon::start(&self.config())
    }

    /// Starts the daemon with another configuration.
    pub(crate) fn serve_config(&self, config: &Path) -> Daemon {
        Daemon::start(config.to_str().unwrap())
    }
}

/// A running daemon; ended when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    pub(crate) serving: Value,
}

impl Daemon {
    fn start(config: &str) -> Daemon {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .args(["--config", config, "serve"])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let log: Arc<Mutex<Vec<Value>>> = Arc::default();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                kept.lock().unwrap().push(value);
            }
        });
        let mut daemon = Daemon { child, log, serving: Value::Null };
        daemon.serving = daemon.wait_for_log(|line| line["message"] == "serving");
        daemon
    }

    pub(crate) fn port(&self, service: &str) -> u16 {
        u16::try_from(self.serving[service].as_u64().expect(service)).unwrap()
    }

    pub(crate) fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// The log lines so far.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a log line.
    pub(crate) fn wait_for_log(&self, is_it: impl Fn(&Value) -> bool) -> Value {
        let since = Instant::now();
        loop {
            if let Some(line) = self.log().into_iter().find(&is_it) {
                return line;
            }
            assert!(since.elapsed() < PATIENCE, "the line never came; the log is {:#?}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Boots a simulated machine; the report as JSON.
    pub(crate) fn boot(&self, arguments: &[&str]) -> Value {
        let output = self.simulate(arguments);
        assert!(output.status.success(), "{}", printed(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn simulate(&self, arguments: &[&str]) -> Output {
        let ports = ["dhcp", "boot_server", "tftp"].map(|service| self.port(service).to_string());
        let own =
            ["simulate", "--json", "--dhcp-port", &ports[0], "--boot-server-port", &ports[1], "--tftp-port", &ports[2]];
        pointsman(&[&own, arguments].concat())
    }

    /// An HTTP request as it stands; the whole response.
    pub(crate) fn http(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port("http"))).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        String::from_utf8_lossy(&response).into_owned()
    }

    pub(crate) fn get(&self, path: &str) -> String {
        self.http(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    }

    /// Sends SIGTERM and waits; the exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        nix::sys::signal::kill(self.pid(), nix::sys::signal::Signal::SIGTERM).unwrap();
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the daemon does not end");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
