//! The paths that clients are told, the same by TFTP and HTTP, and how they are read again.
//!
//! `b/<token>/<rest>`: the token names the boot session and opens it; the rest names what is wanted. A loader may forget
//! where it came from, and look for its files at the top: such a name is of the session whose loader went to its address.
//! `loaders/<name>`: a boot loader for machines that have no session, where the site opens it.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::boot::FileName;

/// What a client wants of its boot session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The script that reports the machine's facts.
    Bootstrap,
    /// The script that EFI builds of iPXE look for beside themselves.
    Autoexec,
    /// The decision: what to boot.
    Script,
    /// What the person at the machine answers.
    Person,
    /// The report that an image which does an assignment is about to be loaded.
    Start,
    /// The report of another loader than iPXE that an image which does an assignment is about to start.
    Begin(Beginning),
    /// What tells GRUB that it reaches us by HTTP, too.
    ByHttp,
    /// The report of an image that iPXE could not load.
    LoadFailed,
    /// The installer's report that it is done.
    Done,
    /// The installer's report that it failed.
    Failed,
    /// A file of an image.
    Image(FileName),
    /// A boot loader, a file that it looks for beside itself, or its configuration.
    Loader(FileName),
}

/// What another loader than iPXE begins: `s/<image>/<assignment in hexadecimal digits>`, and behind it the file whose
/// loading is the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// The image's id.
    pub image: String,
    /// The assignment.
    pub assignment: String,
    /// The file that is loaded by it; none where the loader asks before it starts what it has loaded.
    pub file: Option<FileName>,
}

/// The folder of what begins an assignment.
const BEGIN: &str = "s";
/// The longest id of an image, in octets.
const IMAGE_LEN_MAX: usize = 64;
/// The longest id of an assignment, in octets: its digits are one component of a [`FileName`].
const ASSIGNMENT_LEN_MAX: usize = 127;

impl Beginning {
    /// The path below the session's. None when an id is none that a path can hold.
    pub fn path(&self) -> Option<String> {
        let Beginning { image, assignment, file } = self;
        let digits = crate::hex::digits(assignment.as_bytes());
        let path = format!("{BEGIN}/{image}/{digits}");
        let path = file.as_ref().map_or(path.clone(), |file| format!("{path}/{file}"));
        (Beginning::read(&path).as_ref() == Some(self)).then_some(path)
    }

    /// Reads a path below a session's; none when it is another.
    fn read(path: &str) -> Option<Beginning> {
        let mut parts = path.strip_prefix(BEGIN)?.strip_prefix('/')?.splitn(3, '/');
        let (image, digits) = (parts.next()?, parts.next()?);
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let is_image = (1..=IMAGE_LEN_MAX).contains(&image.len()) && image.bytes().all(known);
        let assignment = String::from_utf8(crate::hex::octets(digits)?).ok()?;
        if !is_image || matches!(image, "." | "..") || !(1..=ASSIGNMENT_LEN_MAX).contains(&assignment.len()) {
            return None;
        }
        let file = match parts.next() {
            None => None,
            Some(file) => Some(FileName::parse(file.as_bytes()).ok()?),
        };
        Some(Beginning { image: image.to_owned(), assignment, file })
    }
}

/// File name of the bootstrap script.
pub const BOOTSTRAP: &str = "boot.ipxe";
/// The path of the way in for machines that have no token yet.
pub const ENTRY: &str = "boot";
/// File name of the script beside the loader.
pub const AUTOEXEC: &str = "autoexec.ipxe";
/// File name of the decision endpoint.
pub const SCRIPT: &str = "script.ipxe";
/// File name of where a person's answer goes.
pub const PERSON: &str = "person.ipxe";
/// File name of what tells GRUB that it reaches us by HTTP, too.
pub const BY_HTTP: &str = "by-http.cfg";
/// File name of the report that an assignment begins.
pub const START: &str = "start.ipxe";
/// File name of iPXE's failure report.
pub const LOAD_FAILED: &str = "failed.ipxe";
/// File name of the installer's report of success.
pub const DONE: &str = "done";
/// File name of the installer's report of failure.
pub const FAILED: &str = "failed";
/// The folder of the images' files.
pub const FILES: &str = "f";

/// The folder of boot loaders that need no session.
pub const LOADERS: &str = "loaders";

/// The path of a boot loader that needs no session.
pub fn plain_loader_path(name: &str) -> String {
    format!("{LOADERS}/{name}")
}

/// The name behind `loaders/`: of a boot loader, or [`AUTOEXEC`]. `None` when it is another path.
pub fn plain_loader(name: &FileName) -> Option<FileName> {
    let (folder, rest) = name.as_str().split_once('/')?;
    folder.eq_ignore_ascii_case(LOADERS).then(|| rest.parse().ok())?
}

/// The path of something in a session, without a leading slash.
pub fn session_path(token: &str, rest: &str) -> String {
    format!("b/{token}/{rest}")
}

/// Takes a path apart: the token and what is wanted. `None` when it is no path of a session.
pub fn parse(name: &FileName) -> Option<(&str, Wanted)> {
    let rest = name.as_str().strip_prefix("b/").or_else(|| name.as_str().strip_prefix("B/"))?;
    let (token, rest) = rest.split_once('/')?;
    let wanted = match rest {
        BOOTSTRAP => Wanted::Bootstrap,
        AUTOEXEC => Wanted::Autoexec,
        SCRIPT => Wanted::Script,
        PERSON => Wanted::Person,
        START => Wanted::Start,
        BY_HTTP => Wanted::ByHttp,
        LOAD_FAILED => Wanted::LoadFailed,
        DONE => Wanted::Done,
        FAILED => Wanted::Failed,
        _ => match (rest.strip_prefix("f/"), Beginning::read(rest)) {
            (Some(image), _) => Wanted::Image(FileName::parse(image.as_bytes()).ok()?),
            (None, Some(beginning)) => Wanted::Begin(beginning),
            (None, None) => Wanted::Loader(FileName::parse(rest.as_bytes()).ok()?),
        },
    };
    Some((token, wanted))
}

/// A path with every octet encoded that is not unreserved or `/`.
pub fn percent_encoded(path: &str) -> String {
    path.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            byte if is_unreserved(byte) || byte == b'/' => encoded.push(char::from(byte)),
            byte => {
                let written = write!(encoded, "%{byte:02X}");
                debug_assert!(written.is_ok(), "a string takes everything");
            }
        }
        encoded
    })
}

/// Whether an octet stands for itself anywhere in a URL (RFC 3986 section 2.3).
pub fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The start of every URL of this server: `http://10.0.0.2`, `https://[fd00::2]:8443`.
pub fn origin(scheme: &str, default_port: u16, server: SocketAddr) -> String {
    let host = match server.ip() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    origin_of(scheme, default_port, &host, server.port())
}

/// The same for a host name: `https://boot.example`.
pub fn origin_of(scheme: &str, default_port: u16, host: &str, port: u16) -> String {
    if port == default_port { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Option<(String, Wanted)> {
        let name = FileName::parse(path.as_bytes()).ok()?;
        parse(&name).map(|(token, wanted)| (token.to_owned(), wanted))
    }

    #[test]
    fn reads_what_it_writes() {
        let wanted = |rest: &str| read(&session_path("t0k", rest)).map(|(_, wanted)| wanted);
        assert_eq!(wanted("boot.ipxe"), Some(Wanted::Bootstrap));
        assert_eq!(wanted("autoexec.ipxe"), Some(Wanted::Autoexec));
        assert_eq!(wanted("script.ipxe"), Some(Wanted::Script));
        assert_eq!((wanted("start.ipxe"), wanted("person.ipxe")), (Some(Wanted::Start), Some(Wanted::Person)));
        assert_eq!((wanted("failed.ipxe"), wanted("failed")), (Some(Wanted::LoadFailed), Some(Wanted::Failed)));
        assert_eq!((wanted("done"), wanted("f/done").is_some()), (Some(Wanted::Done), true));
        assert_eq!(wanted("snponly.efi"), Some(Wanted::Loader(FileName::parse(b"snponly.efi").unwrap())));
        assert_eq!(wanted("f/debian/linux"), Some(Wanted::Image(FileName::parse(b"debian/linux").unwrap())));
        assert_eq!(read("/B\\t0k\\f\\x"), Some(("t0k".into(), Wanted::Image(FileName::parse(b"x").unwrap()))));
        for other in ["snponly.efi", "b", "b/t0k", "b/t0k/", "x/t0k/y", "b//y", "b/t0k/../y"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn what_begins_an_assignment_is_read_as_it_was_written() {
        let begin = |image: &str, assignment: &str, file: Option<&str>| Beginning {
            image: image.into(),
            assignment: assignment.into(),
            file: file.map(|file| FileName::parse(file.as_bytes()).unwrap()),
        };
        for file in [None, Some("debian/linux"), Some("s/x/61")] {
            let beginning = begin("debian-12", "inventory:7/../\u{e9}", file);
            let path = beginning.path().unwrap();
            assert_eq!(read(&session_path("t0k", &path)), Some(("t0k".into(), Wanted::Begin(beginning))));
        }
        let long = "x".repeat(ASSIGNMENT_LEN_MAX + 1);
        for (image, assignment) in [("..", "7"), (".", "7"), ("a/b", "7"), ("", "7"), ("a", ""), ("a", long.as_str())] {
            assert_eq!(begin(image, assignment, None).path(), None, "{image} {assignment}");
        }
        assert_eq!(begin("a", &long[1..], None).path().map(|path| path.len()), Some(4 + 254));
        for other in ["s/a", "s/a/7", "s/a/xy", "s/a b/61", "S/a/61"] {
            assert!(matches!(read(&session_path("t0k", other)), Some((_, Wanted::Loader(_)))), "{other}");
        }
    }

    #[test]
    fn plain_loaders_are_one_folder() {
        let read = |path: &str| paths_of(path).map(|name| name.as_str().to_owned());
        fn paths_of(path: &str) -> Option<FileName> {
            plain_loader(&FileName::parse(path.as_bytes()).ok()?)
        }
        assert_eq!(read(&plain_loader_path("snponly.efi")).as_deref(), Some("snponly.efi"));
        assert_eq!(read(r"\Loaders\autoexec.ipxe").as_deref(), Some(AUTOEXEC));
        for other in ["snponly.efi", "loaders", "loaders/", "x/loaders/y", "b/t0k/y"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn origins_leave_out_the_scheme_s_own_port() {
        assert_eq!(origin("http", 80, "10.0.0.2:80".parse().unwrap()), "http://10.0.0.2");
        assert_eq!(origin("https", 443, "[fd00::2]:8443".parse().unwrap()), "https://[fd00::2]:8443");
    }
}
