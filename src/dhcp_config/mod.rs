//! What a site's DHCP server is to be told where it names the boot file itself and our port 67 is off: text for its
//! configuration.
//!
//! The ways of the clients are the same for every make of server: iPXE is known by its user class and gets the URL of our
//! way in; UEFI HTTP Boot is known by option 60 and gets the URL of a loader, with option 60 in the answer; PXE firmware
//! is told apart by option 93 and gets a TFTP path, **without** option 60. With it, EDK2 and Intel's boot ROM would take
//! the DHCP server for a PXE server and go on at its port 4011.
//!
//! **Invariant**: text only, made of what [`Plan::new`] let pass: nothing in it ends a string of any of these languages.

mod dnsmasq;
mod isc;
mod kea;
mod windows;

use std::net::{Ipv4Addr, SocketAddr};

use crate::boot::{Architecture, Platform};
use crate::paths;

/// A make of DHCP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// ISC dhcpd, `dhcpd.conf`.
    Isc,
    /// Kea, members of `Dhcp4`.
    Kea,
    /// dnsmasq, `dnsmasq.conf`.
    Dnsmasq,
    /// Windows Server, for PowerShell.
    Windows,
}

/// What option 175 is to hold. iPXE reads it as options within an option, 2Pint's loaders as the URL of their server; each
/// would misread the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Option175 {
    /// Options for iPXE: do not wait for a proxy (sub-option 176).
    Encapsulated,
    /// The URL of the server, for 2Pint's loaders.
    Url(String),
}

/// Why no configuration can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A loader has a name that would need quoting.
    #[error(
        "the loader `{0}` cannot be named in a DHCP server's configuration; use letters, digits, `.`, `_`, `+` and `-`"
    )]
    Loader(String),
    /// There is no loader.
    #[error("no boot loader is there; `pointsman check` tells what it looked for")]
    NoLoader,
    /// A host name is none.
    #[error("`{0}` is no host name; use letters, digits, `.` and `-`")]
    HostName(String),
}

/// What the DHCP server is to tell boot clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    server: Ipv4Addr,
    way_in: String,
    choices: Vec<Choice>,
    option_175: Option175,
    raspberry_pi: bool,
}

/// A boot file for machines of some architectures.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Choice {
    /// The architecture's name, for names in the text.
    name: String,
    /// What such machines send in option 93.
    codes: Vec<u16>,
    /// The path or URL that they are told.
    file: String,
    /// They are known by `HTTPClient` in option 60, and want it back.
    is_http: bool,
}

/// Options for iPXE within option 175: 176, do not wait for a proxy.
const NO_PROXY: [u8; 3] = [176, 1, 1];

impl Plan {
    /// A plan for a server at `http` (its address, and the port of HTTP) that has these loaders.
    ///
    /// # Errors
    /// When there is no loader, or one whose name cannot be written in all of these languages.
    pub fn new<'a>(
        http: (Ipv4Addr, u16),
        loaders: impl Iterator<Item = (Architecture, &'a str)>,
        option_175: Option175,
    ) -> Result<Plan, Unfit> {
        let origin = paths::origin("http", 80, SocketAddr::from(http));
        let mut choices = Vec::new();
        for (architecture, name) in loaders {
            if !name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"._+-".contains(&octet)) {
                return Err(Unfit::Loader(name.to_owned()));
            }
            let path = paths::plain_loader_path(name);
            let codes = |is_http: bool| -> Vec<u16> {
                let same =
                    Architecture::all().filter(|other| other.machine() == architecture && other.is_http() == is_http);
                same.map(Architecture::code).collect()
            };
            choices.push(Choice {
                name: architecture.to_string(),
                codes: codes(false),
                file: path.clone(),
                is_http: false,
            });
            if architecture.platform() == Platform::Efi && !codes(true).is_empty() {
                let (name, file) = (format!("{architecture}-http"), format!("{origin}/{path}"));
                choices.push(Choice { name, codes: codes(true), file, is_http: true });
            }
        }
        if choices.is_empty() {
            return Err(Unfit::NoLoader);
        }
        let way_in = format!("{origin}/{}", paths::ENTRY);
        Ok(Plan { server: http.0, way_in, choices, option_175, raspberry_pi: false })
    }

    /// The same, with Raspberry Pis.
    pub fn with_raspberry_pi(self, raspberry_pi: bool) -> Plan {
        Plan { raspberry_pi, ..self }
    }

    /// The same, with this host name in the URL that iPXE is told. UEFI HTTP Boot goes on with the address.
    ///
    /// # Errors
    /// When the name is no host name.
    pub fn known_as(self, host: &str, port: u16) -> Result<Plan, Unfit> {
        if !is_host_name(host) {
            return Err(Unfit::HostName(host.to_owned()));
        }
        let way_in = format!("{}/{}", paths::origin_of("http", 80, host, port), paths::ENTRY);
        Ok(Plan { way_in, ..self })
    }

    /// The URL that 2Pint's loaders are told in option 175: lower case, with the port, and with a slash at its end.
    ///
    /// # Errors
    /// When the name is no host name.
    pub fn url_for_2pint(host: &str, port: u16) -> Result<String, Unfit> {
        if !is_host_name(host) {
            return Err(Unfit::HostName(host.to_owned()));
        }
        Ok(format!("https://{}:{port}/", host.to_ascii_lowercase()))
    }

    /// The text for this make of server, behind these lines of comment.
    pub fn text(&self, make: Make, head: &[String]) -> String {
        let (sign, body) = match make {
            Make::Isc => ("#", isc::text(self)),
            Make::Kea => ("//", kea::text(self)),
            Make::Dnsmasq => ("#", dnsmasq::text(self)),
            Make::Windows => ("#", windows::text(self)),
        };
        let head: String = head.iter().map(|line| format!("{sign} {line}").trim_end().to_owned() + "\n").collect();
        head + body.as_str()
    }

    fn choices(&self, is_http: bool) -> impl Iterator<Item = &Choice> {
        self.choices.iter().filter(move |choice| choice.is_http == is_http)
    }
}

fn is_host_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b".-".contains(&octet))
}

/// Octets as hexadecimal digits with this between them.
fn hex(octets: &[u8], between: &str) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests;
