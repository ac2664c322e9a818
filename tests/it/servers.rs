//! Real database servers, each private to one test: a folder of its own, a loopback port of its own, ended by pid.
//!
//! They are killed, stopped, continued and started again on the same port and data. They come from Debian's packages
//! `postgresql` and `mariadb-server`; a test fails without them.

use std::os::unix::fs::chown;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// A PostgreSQL server.
pub(crate) struct Postgres {
    server: Server,
    programs: PathBuf,
}

/// A MariaDB server.
pub(crate) struct MariaDb {
    server: Server,
    arguments: Vec<String>,
}

/// The kernel's queues for it are few, and many tests run at a time.
const NATIVE_AIO: &str = "--innodb-use-native-aio=0";

/// What both have in common: a folder, a port and a process.
struct Server {
    folder: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
    /// The account that it runs as; servers refuse to be root.
    user: Option<User>,
}

impl Postgres {
    /// A new server with the superuser `postgres`, trusted on loopback, and nothing in it.
    pub(crate) fn start() -> Postgres {
        Self::start_with(|_| {})
    }

    /// A new server whose data folder is changed before it starts: `postgresql.conf`, `pg_hba.conf`, certificates.
    pub(crate) fn start_with(configure: impl FnOnce(&Path)) -> Postgres {
        let mut postgres = Postgres { server: Server::new("postgres"), programs: postgres_programs() };
        let data = postgres.server.path("data");
        let mut initdb = postgres.server.command(&postgres.programs.join("initdb"));
        initdb.args(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=trust", "--username=postgres", "--pgdata"]);
        ended_well(initdb.arg(&data).output().unwrap());
        configure(&data);
        postgres.server.own(&data);
        postgres.start_again();
        postgres
    }

    /// Starts it again on the same port and data, after [`Self::kill`].
    pub(crate) fn start_again(&mut self) {
        let since = Instant::now();
        // Until the last backend of a killed server is gone, a new one refuses the data.
        while !self.try_start() {
            assert!(since.elapsed() < PATIENCE, "PostgreSQL does not start: {}", self.server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn try_start(&mut self) -> bool {
        let (data, folder) = (self.server.path("data"), self.server.path(""));
        let mut command = self.server.command(&self.programs.join("postgres"));
        command.arg("-D").arg(data).arg("-k").arg(folder).args(["-h", "127.0.0.1", "-p"]);
        command.arg(self.server.port.to_string());
        for setting in ["fsync=off", "full_page_writes=off", "max_connections=100", "shared_buffers=32MB"] {
            command.args(["-c", setting]);
        }
        self.server.spawn(command);
        let mut ready = Command::new(self.programs.join("pg_isready"));
        ready.args(["-q", "-h", "127.0.0.1", "-p", &self.server.port.to_string()]);
        self.server.becomes_ready(ready)
    }

    /// `postgres://postgres@127.0.0.1:PORT/postgres`
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.server.port)
    }

    /// The same over its Unix socket, which is also in reach of another network namespace.
    #[allow(dead_code, reason = "for the firmware lab, whose server is in such a namespace")]
    pub(crate) fn socket_url(&self) -> String {
        let folder = self.server.path("").display().to_string();
        format!("postgres://postgres@localhost:{}/postgres?host={}", self.server.port, folder.trim_end_matches('/'))
    }

    /// Runs statements as the superuser over the Unix socket; returns what they printed, unaligned.
    pub(crate) fn run(&self, sql: &str) -> String {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-p", &self.server.port.to_string(), "-h"]);
        ended_well(psql.arg(self.server.path("")).args(["-c", sql]).output().unwrap())
    }

    /// Power off: `SIGKILL` for the server and all its backends.
    pub(crate) fn kill(&mut self) {
        self.server.kill();
    }

    /// Nothing moves any more, and connections stay open: `SIGSTOP` for the server and all its backends.
    pub(crate) fn pause(&self) {
        self.server.pause();
    }

    /// Goes on after [`Self::pause`].
    pub(crate) fn resume(&self) {
        self.server.signal_all(Signal::SIGCONT);
    }
}

impl MariaDb {
    /// A new server with the user `pointsman`, whose password is `secret`, and the empty database `site`.
    pub(crate) fn start() -> MariaDb {
        Self::start_with(|_| Vec::new())
    }

    /// A new server with more arguments; `configure` may put files into the folder that it gets.
    pub(crate) fn start_with(configure: impl FnOnce(&Path) -> Vec<String>) -> MariaDb {
        let server = Server::new("mysql");
        let arguments = configure(server.folder.path());
        server.own(server.folder.path());
        let mut mariadb = MariaDb { server, arguments };
        let data = mariadb.server.path("data");
        let mut install = mariadb.server.command(Path::new(&found("mariadb-install-db")));
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", NATIVE_AIO]);
        ended_well(install.arg(format!("--datadir={}", data.display())).output().unwrap());
        let users = "create database if not exists site character set utf8mb4;
            create user if not exists pointsman@'%' identified by 'secret';
            grant all on *.* to pointsman@'%' with grant option;\n";
        std::fs::write(mariadb.server.path("users.sql"), users).unwrap();
        mariadb.start_again();
        mariadb
    }

    /// Starts it again on the same port and data, after [`Self::kill`].
    pub(crate) fn start_again(&mut self) {
        let since = Instant::now();
        while !self.try_start() {
            assert!(since.elapsed() < PATIENCE, "MariaDB does not start: {}", self.server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn try_start(&mut self) -> bool {
        let path = |name: &str| self.server.path(name).display().to_string();
        let mut command = self.server.command(Path::new(&found("mariadbd")));
        command.args(["--no-defaults", "--skip-name-resolve", "--bind-address=127.0.0.1"]);
        command.args([
            format!("--datadir={}", path("data")),
            format!("--socket={}", path("socket")),
            format!("--pid-file={}", path("pid")),
            format!("--init-file={}", path("users.sql")),
            format!("--port={}", self.server.port),
        ]);
        command.args(&self.arguments);
        command.args([
            NATIVE_AIO,
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-buffer-pool-size=64M",
            "--sync-binlog=0",
        ]);
        self.server.spawn(command);
        let mut ready = Command::new(found("mariadb-admin"));
        ready.args(["--no-defaults", "--user=pointsman", "--password=secret", "--protocol=tcp", "--host=127.0.0.1"]);
        ready.args([format!("--port={}", self.server.port), "ping".into()]);
        self.server.becomes_ready(ready)
    }

    /// `mariadb://pointsman:secret@127.0.0.1:PORT/site`
    pub(crate) fn url(&self) -> String {
        format!("mariadb://pointsman:secret@127.0.0.1:{}/site", self.server.port)
    }

    /// Runs statements in the database `site`; returns what they printed.
    pub(crate) fn run(&self, sql: &str) -> String {
        let mut client = Command::new(found("mariadb"));
        client.args(["--no-defaults", "--user=pointsman", "--password=secret", "--host=127.0.0.1", "--protocol=tcp"]);
        client.args([format!("--port={}", self.server.port), "--batch".into(), "--skip-column-names".into()]);
        ended_well(client.args(["site", "--execute", sql]).output().unwrap())
    }

    /// Power off: `SIGKILL`.
    pub(crate) fn kill(&mut self) {
        self.server.kill();
    }

    /// Nothing moves any more, and connections stay open: `SIGSTOP`.
    pub(crate) fn pause(&self) {
        self.server.pause();
    }

    /// Goes on after [`Self::pause`].
    pub(crate) fn resume(&self) {
        self.server.signal_all(Signal::SIGCONT);
    }
}

impl Server {
    fn new(user: &str) -> Server {
        let user = geteuid().is_root().then(|| User::from_name(user).unwrap().unwrap_or_else(|| missing(user)));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // Not below the build's folder, where the server's account may not look.
        let folder = tempfile::Builder::new().prefix("pointsman-").tempdir_in("/tmp").unwrap();
        let server = Server { folder, port, process: None, user };
        server.own(server.folder.path());
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Gives a folder and what is in it to the server's account.
    fn own(&self, path: &Path) {
        let Some(user) = &self.user else { return };
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        if path.is_dir() {
            std::fs::read_dir(path).unwrap().for_each(|entry| self.own(&entry.unwrap().path()));
        }
    }

    /// A program that runs as the server's account and ends with this thread.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some(user) = &self.user {
            command.args([format!("--reuid={}", user.uid), format!("--regid={}", user.gid), "--clear-groups".into()]);
        }
        // A starting MariaDB removes the temporary tables that it finds, those of others in a shared folder too.
        command.arg(program).current_dir(self.folder.path()).env("LC_ALL", "C").env("TMPDIR", self.folder.path());
        command
    }

    fn spawn(&mut self, mut command: Command) {
        let log = std::fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}")));
    }

    /// Waits until `ready` ends well; `false` when the server ended first.
    fn becomes_ready(&mut self, mut ready: Command) -> bool {
        let since = Instant::now();
        while !ready.output().unwrap().status.success() {
            assert!(since.elapsed() < PATIENCE, "the server is not ready: {}", self.log());
            if self.process.as_mut().is_none_or(|process| process.try_wait().unwrap().is_some()) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn signal_all(&self, signal: Signal) {
        let Some(process) = &self.process else { return };
        for pid in [vec![process.id()], children(process.id())].concat() {
            // A backend may be gone by now.
            let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
        }
    }

    /// A signal takes a moment, and each thread stops by itself.
    fn pause(&self) {
        self.signal_all(Signal::SIGSTOP);
        let since = Instant::now();
        while !self.is_stopped() {
            assert!(since.elapsed() < PATIENCE, "the server does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn is_stopped(&self) -> bool {
        let pids = self.process.iter().flat_map(|process| [vec![process.id()], children(process.id())].concat());
        let threads = pids.flat_map(|pid| std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten());
        let states = threads.filter_map(|thread| Some(stat(&thread.ok()?.path())?.remove(0)));
        states.into_iter().all(|state| matches!(state.as_str(), "T" | "Z"))
    }

    fn kill(&mut self) {
        self.signal_all(Signal::SIGKILL);
        if let Some(mut process) = self.process.take() {
            let status = process.wait().unwrap();
            assert_eq!(status.signal(), Some(9), "the server ended before: {}", self.log());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal_all(Signal::SIGKILL);
        if let Some(process) = &mut self.process {
            let _ = process.wait();
        }
    }
}

/// The processes whose parent is this one.
fn children(parent: u32) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| {
        let stat = stat(Path::new(&format!("/proc/{pid}")));
        stat.is_some_and(|stat| stat[1] == parent.to_string())
    };
    pids.filter(is_child).collect()
}

/// What the kernel says of a process or thread: its state, its parent, and more.
fn stat(folder: &Path) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    // `pid (name) state parent ...`, and the name may have anything in it.
    let (_, after_name) = stat.rsplit_once(')')?;
    Some(after_name.split_whitespace().map(str::to_owned).collect())
}

/// The folder of the newest PostgreSQL that is installed.
fn postgres_programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let folders = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    let found = folders.filter(|folder| folder.join("initdb").exists() && folder.join("postgres").exists());
    found.max().unwrap_or_else(|| missing("postgres"))
}

fn found(program: &str) -> String {
    let places = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    let found = places.into_iter().map(|place| format!("{place}/{program}")).find(|path| Path::new(path).exists());
    found.unwrap_or_else(|| missing(program))
}

fn missing(what: &str) -> ! {
    panic!("{what} is not installed, and this test needs a real server: apt-get install postgresql mariadb-server")
}

fn ended_well(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{errors}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}
