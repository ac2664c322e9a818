//! People of a real directory: slapd from Debian, with a CA, people and groups of the test, ended by its process id.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::Value;

use crate::harness::{Daemon, PATIENCE, Site, printed};

const RULES: &str = r#"
fn allow_boot(request) { allow() }
fn boot_images(request) {
    if request.person == () { return ask_login(#{ title: "Imaging", groups: "imaging" }); }
    linux(#{ id: "debian", kernel: "debian/linux", initrd: "debian/initrd.gz",
             cmdline: `who=${request.person.name} groups=${request.person.groups}` })
}
"#;

const PEOPLE: &str = r"dn: dc=example
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: cn=Ann A,dc=example
objectClass: inetOrgPerson
cn: Ann A
sn: A
uid: ann
userPassword: ann's own
seeAlso: cn=lab,dc=example

dn: cn=Odd One,dc=example
objectClass: inetOrgPerson
cn: Odd One
sn: One
uid: o*d(d)\n=o+e, x
userPassword: odd & even+1=2

dn: cn=Bob,dc=example
objectClass: inetOrgPerson
cn: Bob
sn: B
uid: bob
userPassword: bob's own

dn: cn=imaging,dc=example
objectClass: groupOfNames
cn: imaging
member: cn=Ann A,dc=example
member: cn=Odd One,dc=example

dn: cn=others,dc=example
objectClass: groupOfNames
cn: others
member: cn=Bob,dc=example
";

/// A directory on loopback.
struct Slapd {
    folder: tempfile::TempDir,
    ports: [u16; 2],
    process: Option<Child>,
}

impl Slapd {
    fn start() -> Slapd {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir(path("data")).unwrap();
        certificates(folder.path());
        let schemas: String = ["core", "cosine", "inetorgperson"]
            .map(|name| format!("include /etc/ldap/schema/{name}.schema\n"))
            .concat();
        let config = format!(
            "{schemas}modulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {pid}\n\
             TLSCACertificateFile {ca}\nTLSCertificateFile {leaf}\nTLSCertificateKeyFile {key}\n\
             security tls=1\ndatabase mdb\nmaxsize 16777216\nsuffix dc=example\nrootdn cn=reader,dc=example\n\
             rootpw reader's\ndirectory {data}\n",
            pid = path("pid"),
            ca = path("ca.pem"),
            leaf = path("leaf.pem"),
            key = path("leaf.key"),
            data = path("data"),
        );
        std::fs::write(path("slapd.conf"), config).unwrap();
        std::fs::write(path("people.ldif"), PEOPLE).unwrap();
        let mut add = Command::new("/usr/sbin/slapadd");
        let added = add
            .args(["-q", "-f", &path("slapd.conf"), "-l", &path("people.ldif")])
            .output()
            .expect("slapd is installed: see tests/run");
        assert!(added.status.success(), "{}", printed(&added));
        let port = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut slapd = Slapd { folder, ports: [port(), port()], process: None };
        slapd.start_again();
        slapd
    }

    fn start_again(&mut self) {
        let [plain, tls] = self.ports;
        let process = Command::new("/usr/sbin/slapd")
            .args(["-d", "0", "-h", &format!("ldap://127.0.0.1:{plain} ldaps://127.0.0.1:{tls}"), "-f"])
            .arg(self.folder.path().join("slapd.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(process);
        let since = Instant::now();
        while self.ports.iter().any(|port| TcpStream::connect(("127.0.0.1", *port)).is_err()) {
            assert!(since.elapsed() < PATIENCE, "slapd does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    fn ca(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A CA, and a certificate of it for 127.0.0.1; and another CA.
fn certificates(folder: &Path) {
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), Issuer::new(params, key))
    };
    let (ca, issuer) = authority("CA of the directory");
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "directory");
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap().pem();
    let files =
        [("ca.pem", ca), ("leaf.pem", leaf), ("leaf.key", key.serialize_pem()), ("other.pem", authority("Other").0)];
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

fn site(url: &str, ca: &str) -> Site {
    let site = Site::with_rules(RULES);
    site.configure("http", "entry = true");
    site.write("reader", "reader's\n");
    site.edit("pointsman.toml", |text| {
        format!(
            "{text}\n[people.ldap]\nurl = \"{url}\"\nca = \"{ca}\"\nbind_dn = \"cn=reader,dc=example\"\n\
             password_file = \"reader\"\nbase = \"dc=example\"\nname_attribute = \"uid\"\n\
             group_attribute = \"seeAlso\"\ngroup_filter = \"(member={{dn}})\"\ntimeout = \"3s\"\n"
        )
    });
    site
}

fn login(daemon: &Daemon, site: &Site, mac: &str, user: &str, password: &str) -> (Value, String) {
    site.write("typed", &format!("{password}\n"));
    let typed = site.path("typed").display().to_string();
    let output = daemon.simulate(&["--mac", mac, "--user", user, "--password-file", &typed]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(&output)));
    let shown = report["screen"].to_string();
    (report, shown)
}

#[test]
fn servers_a_directory_says_who_it_is() {
    let mut slapd = Slapd::start();
    let site = site(&format!("ldaps://127.0.0.1:{}", slapd.ports[1]), &slapd.ca());
    let daemon = site.serve();
    let (report, _) = login(&daemon, &site, "52:54:00:00:00:01", "ANN", "ann's own");
    assert_eq!(report["ending"], "booted", "{report:#}");
    assert!(report["script"].as_str().unwrap().contains("who=ann groups=[\"imaging\", \"lab\"]"), "{report:#}");
    let (report, _) = login(&daemon, &site, "52:54:00:00:00:02", r"o*d(d)\n=o+e, x", "odd & even+1=2");
    assert_eq!(report["ending"], "booted", "{report:#}");
    let (report, shown) = login(&daemon, &site, "52:54:00:00:00:03", "bob", "bob's own");
    assert_ne!(report["ending"], "booted", "{report:#}");
    assert!(shown.contains("bob may not do this"), "{shown}");
    // What would be somebody in a filter that is not escaped is nobody.
    for (mac, user) in
        [("52:54:00:00:00:04", "*"), ("52:54:00:00:00:05", "ann)(|(uid=*)"), ("52:54:00:00:00:06", "an*")]
    {
        let (report, shown) = login(&daemon, &site, mac, user, "ann's own");
        assert_ne!(report["ending"], "booted", "{report:#}");
        assert!(shown.contains("That is not right"), "{shown}");
    }
    let (_, shown) = login(&daemon, &site, "52:54:00:00:00:07", "bob", "wrong");
    assert!(shown.contains("That is not right. 4 more") && shown.contains("Too many wrong answers"), "{shown}");
    let (_, shown) = login(&daemon, &site, "52:54:00:00:00:08", " BOB ", "bob's own");
    assert!(shown.contains("Too many wrong answers"), "the same person in another spelling: {shown}");
    assert!(!format!("{:?}", daemon.log()).contains("ann's own"));
    // A bind without a password succeeds as nobody: it is never tried.
    let entered = daemon.get("/boot?mac=52:54:00:00:00:09&platform=efi");
    let token = entered.split("/b/").nth(1).unwrap().split('/').next().unwrap();
    let answer = daemon.get(&format!("/b/{token}/person.ipxe?user_hex=616e6e&secret_hex="));
    assert!(answer.contains("Nothing was typed") && !answer.contains("who=ann"), "{answer}");
    // Nobody can be verified while it is down, and that counts for nobody.
    slapd.stop();
    for _ in 0..6 {
        let (report, shown) = login(&daemon, &site, "52:54:00:00:00:0a", "ann", "ann's own");
        assert_ne!(report["ending"], "booted");
        assert!(shown.contains("Nobody can be verified now"), "{shown}");
    }
    slapd.start_again();
    let (report, _) = login(&daemon, &site, "52:54:00:00:00:0a", "ann", "ann's own");
    assert_eq!(report["ending"], "booted", "{report:#}");
}

#[test]
fn servers_a_directory_is_asked_through_tls_only() {
    let slapd = Slapd::start();
    let verify = |url: String, ca: &str| {
        let output = site(&url, ca).run_typing(&["people", "verify", "ann"], "ann's own\n");
        (output.status.success(), printed(&output))
    };
    let [plain, tls] = slapd.ports;
    for url in [format!("ldap://127.0.0.1:{plain}"), format!("ldaps://127.0.0.1:{tls}")] {
        let (is_verified, said) = verify(url.clone(), &slapd.ca());
        assert!(is_verified && said.contains("ann is verified; groups: imaging, lab"), "{url}: {said}");
        let other = slapd.folder.path().join("other.pem").display().to_string();
        let (is_verified, said) = verify(url.clone(), &other);
        assert!(!is_verified && said.contains("Nobody can be verified now"), "{url}: {said}");
    }
    let (is_verified, said) = verify(format!("ldaps://localhost:{tls}"), &slapd.ca());
    assert!(!is_verified, "the certificate is for another name: {said}");
}
