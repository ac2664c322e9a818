//! What no single key can tell of upstreams, object storage, the cache, and the handlers that refer.

use std::net::IpAddr;

use super::super::{
    Config, FirmwareReferral, HandlerSection, RateWindow, ReferralSection, Referred, StorageSection, Style,
    UpstreamKind, UpstreamSection,
};
use super::{Broken, is_name};
use crate::nearest::{cut, remedy};

/// The longest boot file: the field of DHCP has 128 octets with the NUL at the end (RFC 2131 section 2).
const BOOT_FILE_MAX: usize = 127;
/// The longest name of a storage: it is in names of files, which have an end.
const NAME_LEN_MAX: usize = 32;

/// Every rule that a configuration breaks.
pub(super) fn check(config: &Config, broken: &mut Vec<Broken>) {
    let mut rules = Rules(broken);
    for (name, section) in &config.upstreams {
        rules.upstream(&format!("upstream.{name}"), name, section);
    }
    for (name, section) in &config.storages {
        rules.storage(&format!("storage.{name}"), name, section);
        rules.check(
            config.upstreams.contains_key(name),
            format!("upstream.{name} and storage.{name} have one name"),
            format!("give one of them another: `@{name}/file` must lead to one place"),
        );
    }
    rules.cache(config);
    for handler in &config.handlers {
        if let HandlerSection::Referral(section) = handler {
            rules.referral(config, &format!("handler `{}`", handler.display_name()), section);
        }
    }
}

struct Rules<'a>(&'a mut Vec<Broken>);

impl Rules<'_> {
    fn check(&mut self, is_broken: bool, what: String, remedy: impl Into<String>) {
        if is_broken {
            self.0.push((what, remedy.into()));
        }
    }

    fn name(&mut self, key: &str, name: &str) {
        let what = format!("{}: this is no name for an upstream or a storage", cut(key));
        self.check(!is_name(name), what, "use letters, digits, `_` and `-`: its files are called `@NAME/file`");
    }

    fn upstream(&mut self, key: &str, name: &str, section: &UpstreamSection) {
        self.name(key, name);
        if section.style == Style::Ask {
            self.can_be_asked(key, section);
        } else {
            self.can_be_handed_over_to(key, section);
        }
        if let Some(url) = &section.url {
            self.url(key, url.as_str(), section.kind);
        }
        self.credentials(key, section);
        self.firmware(key, section);
        self.check(
            section.failures_max == 0,
            format!("{key}.failures_max is 0"),
            "use 1 or more: it would be left alone before it was asked",
        );
        self.windows(key, &section.windows);
    }

    fn can_be_asked(&mut self, key: &str, section: &UpstreamSection) {
        self.check(
            section.url.is_none(),
            format!("{key}: there is no url to ask"),
            "write url = \"https://HOST:4443\", or style = \"redirect\" to hand machines over",
        );
    }

    fn can_be_handed_over_to(&mut self, key: &str, section: &UpstreamSection) {
        self.check(
            section.script.is_none() && section.firmware == FirmwareReferral::Loader,
            format!("{key}: style is \"redirect\", but nothing says where machines go"),
            "write script = \"http://HOST/boot.ipxe\" for iPXE, or firmware = \"file\", \"boot-servers\" or \"silence\"",
        );
    }

    /// Questions and answers are secrets of the site, and the answers are what machines run.
    fn url(&mut self, key: &str, url: &str, kind: UpstreamKind) {
        let Some((scheme, host)) = web(url) else {
            let what = format!("{key}.url: `{}` is no address of a web server", cut(url));
            return self.check(true, what, "write url = \"https://HOST:4443\", without user and query");
        };
        let is_loopback = host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        self.check(
            // Pixiecore's API knows neither certificates nor tokens.
            scheme == "http" && !is_loopback && kind == UpstreamKind::Pointsman,
            format!("{key}.url: `{}` is asked without encryption", cut(url)),
            "write https://; http:// is for a loopback address only, such as http://127.0.0.1:8080",
        );
    }

    fn credentials(&mut self, key: &str, section: &UpstreamSection) {
        self.check(
            section.certificate.is_some() != section.key.is_some(),
            format!("{key}: certificate and key belong together"),
            "give both, or none to use what `pointsman site enroll` stored",
        );
        self.check(
            section.certificate.is_some() && section.token_file.is_some(),
            format!("{key}: certificate and token_file are both given"),
            "keep one of them",
        );
    }

    fn firmware(&mut self, key: &str, section: &UpstreamSection) {
        let (needs_server, needs_files) = match section.firmware {
            FirmwareReferral::Loader | FirmwareReferral::Silence => (false, false),
            FirmwareReferral::BootServers => (true, false),
            FirmwareReferral::File => (true, true),
        };
        let firmware = if needs_files { "file" } else { "boot-servers" };
        self.check(
            needs_server && section.server.is_none(),
            format!("{key}: firmware = \"{firmware}\" needs the boot server's address"),
            "write server = \"10.0.0.2\", or firmware = \"loader\"",
        );
        self.check(
            needs_files && section.files.is_empty(),
            format!("{key}: firmware = \"file\" needs the boot files"),
            "write [upstream.NAME.files] with a line such as x64-uefi = \"boot/x64/wdsmgfw.efi\"",
        );
        let address = section.server;
        let is_no_host =
            address.is_some_and(|server| server.is_unspecified() || server.is_broadcast() || server.is_multicast());
        let shown = address.map(|address| address.to_string()).unwrap_or_default();
        self.check(is_no_host, format!("{key}.server: {shown} is no server's address"), "write the server's own");
        for (architecture, file) in &section.files {
            let fits = (1..=BOOT_FILE_MAX).contains(&file.len()) && !file.chars().any(char::is_control);
            self.check(
                !fits,
                format!(
                    "{key}.files.{architecture}: `{}` does not fit into an offer",
                    cut(&file.escape_debug().to_string())
                ),
                format!("a boot file has 1 to {BOOT_FILE_MAX} printable octets"),
            );
        }
    }

    fn windows(&mut self, key: &str, windows: &[RateWindow]) {
        for window in windows {
            self.check(
                window.from == window.to,
                format!("{key}.windows: from and to are both {}", window.from),
                "give the window an end, or use `rate` for the whole day",
            );
        }
    }

    fn storage(&mut self, key: &str, name: &str, section: &StorageSection) {
        self.name(key, name);
        self.check(
            name.len() > NAME_LEN_MAX,
            format!("{}: the name is too long", cut(key)),
            format!("use at most {NAME_LEN_MAX} letters: it is in the names of files"),
        );
        let example = "write url = \"s3://BUCKET\" or \"s3://BUCKET/FOLDER\"";
        self.check(section.url.is_empty(), format!("{key}: there is no url"), example);
        self.check(
            !section.url.is_empty() && section.place().is_none(),
            format!("{key}.url: `{}` is no place in object storage", cut(&section.url)),
            format!("{example}; where the service is, is said by `endpoint`"),
        );
        if let Some(endpoint) = &section.endpoint {
            self.check(
                web(endpoint).is_none(),
                format!("{key}.endpoint: `{}` is no address of a web server", cut(endpoint)),
                "write endpoint = \"https://HOST\" or \"http://HOST:PORT\", without user and query",
            );
        }
        let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        self.check(
            !is_word(&section.region),
            format!("{key}.region: `{}` is no region", cut(&section.region)),
            "leave it out where the service has no regions",
        );
        self.check(
            section.access_key.as_deref().is_some_and(|id| !is_word(id)),
            format!("{key}.access_key: an id of a key is one word"),
            "copy it from the service without spaces; the secret goes into the file of secret_key_file",
        );
        self.check(
            section.access_key.is_some() != section.secret_key_file.is_some(),
            format!("{key}: access_key and secret_key_file belong together"),
            "give both, or none where everybody may read",
        );
        self.windows(key, &section.windows);
    }

    fn cache(&mut self, config: &Config) {
        self.check(
            config.cache.size_max == 0,
            "cache.size_max is 0".into(),
            "use what the disk can give, such as \"50GB\"; files of upstreams and storages are served through the cache",
        );
        self.check(
            config.cache.folder.starts_with(&config.images.folder),
            "cache.folder is in images.folder".into(),
            "give the cache a folder of its own: what is in images.folder is served as it is, finished or not",
        );
    }

    fn referral(&mut self, config: &Config, key: &str, section: &ReferralSection) {
        self.check(
            key.contains('~'),
            format!("{key}: its name has a `~`"),
            "leave it out: it stands between the name of a handler and its assignments",
        );
        self.check(
            section.upstreams.is_empty() && section.machines == Referred::All,
            format!("{key}: it refers all machines, and names no upstream"),
            "write upstreams = [\"NAME\"] of a [upstream.NAME], or machines = \"named\" for those that scripts refer",
        );
        self.check(
            section.upstreams.is_empty() && section.machines == Referred::Named && config.upstreams.is_empty(),
            format!("{key}: there is no upstream that a script could name"),
            "add [upstream.NAME]",
        );
        for (index, name) in section.upstreams.iter().enumerate() {
            let is_again = section.upstreams.iter().take(index).any(|before| before == name);
            self.check(is_again, format!("{key}: upstream `{}` is named twice", cut(name)), "name it once");
            match config.upstreams.get(name) {
                Some(upstream) => self.style(key, name, section.style, upstream),
                None => self.check(
                    true,
                    format!("{key}.upstreams: there is no [upstream.{}]", cut(name)),
                    no_upstream(config, name),
                ),
            }
        }
    }

    /// A handler may say another style than its upstream, which then needs what that style needs.
    fn style(&mut self, key: &str, name: &str, style: Option<Style>, upstream: &UpstreamSection) {
        let key = format!("{key}: upstream.{name}");
        match style {
            Some(Style::Ask) if upstream.style != Style::Ask => self.can_be_asked(&key, upstream),
            Some(Style::Redirect) if upstream.style != Style::Redirect => self.can_be_handed_over_to(&key, upstream),
            _ => {}
        }
    }
}

fn no_upstream(config: &Config, name: &str) -> String {
    let known: Vec<&str> = config.upstreams.keys().map(String::as_str).collect();
    match known.is_empty() {
        true => format!("add [upstream.{}] with its url", cut(name)),
        false => remedy(name, known),
    }
}

/// Scheme and host of the address of a web server; none where it is something else, or has a user, a query or a fragment.
fn web(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next().unwrap_or_default();
    let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'@' | b'?' | b'#' | b'\\'));
    let (host, port) = match authority.strip_prefix('[') {
        Some(literal) => literal.split_once(']')?,
        None => authority.find(':').map_or((authority, ""), |at| authority.split_at(at)),
    };
    let is_port = port.is_empty() || port.strip_prefix(':')?.parse::<u16>().is_ok_and(|port| port != 0);
    (matches!(scheme, "http" | "https") && is_plain && is_port && !host.is_empty()).then_some((scheme, host))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_of_web_servers_are_told_from_the_rest() {
        for (url, host) in [
            ("https://boot.example.com:4443", "boot.example.com"),
            ("http://[::1]:80/x", "::1"),
            ("http://127.0.0.1/", "127.0.0.1"),
        ] {
            assert_eq!(web(url).map(|(_, host)| host), Some(host), "{url}");
        }
        for url in [
            "boot.example.com",
            "ftp://x",
            "https://",
            "https:///x",
            "https://u:p@x",
            "https://x?y",
            "https://x#y",
            "https://x:",
            "https://x:port",
            "https://x:0",
            "https://x:65536",
            "https://[::1",
            "https://a b",
            "https://é",
        ] {
            assert_eq!(web(url), None, "{url}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_address_or_none(text in "\\PC{0,30}|https?://\\[?[a-z0-9:@./?#\\]]{0,30}") {
            let _ = web(&text);
        }
    }
}
