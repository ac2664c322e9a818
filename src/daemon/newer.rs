//! iPXE that this server did not load, and that cannot do what the site needs: it is given our own, once.
//!
//! What a build can do is told by option 175 (features and three numbers), by the file where it is ours, and by the version
//! in `User-Agent` when it fetches its first script. The numbers alone tell little: everything between two releases calls
//! itself by the older one. So what may be too old for our HTTPS is told `http://` first, and sent on from there.
//!
//! **Invariant**: a boot is given a newer iPXE at most once, and never the build that it runs; whoever cannot be helped
//! goes on as it is.

use std::net::IpAddr;

use tracing::info;

use super::shared::Shared;
use crate::boot::{FileName, IpxeBuild, Line, Platform};
use crate::config::{IpxeSection, ReplaceIpxe};
use crate::decision::{Progress, Session};
use crate::ipxe::{self, Command, Leaving};
use crate::loaders::{Loader, numbers_of, release_speaks_tls, speaks_tls};

/// What the site wants of iPXE.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// HTTPS, and whether our certificate has an EC key.
    pub(super) https: Option<bool>,
    pub(super) section: IpxeSection,
}

/// How an iPXE asks for its first script.
pub(super) struct Asking<'a> {
    /// Our address, as it is to know us.
    pub(super) server: IpAddr,
    /// Whether it came by HTTPS.
    pub(super) secure: bool,
    /// Its `User-Agent`.
    pub(super) agent: Option<&'a str>,
    /// Whether it only looks (HEAD): then nothing is noted.
    pub(super) is_look: bool,
}

impl Wanted {
    /// Whether this build can speak to our HTTPS; none when that is not known.
    pub(super) fn speaks_tls(&self, build: &IpxeBuild, version: Option<&str>) -> Option<bool> {
        let has_ec_key = self.https?;
        // By DHCPv6 a build tells nothing of itself.
        if build.features.is_empty() {
            return None;
        }
        if !build.has("https") {
            return Some(false);
        }
        let told = version.and_then(|version| speaks_tls(version, has_ec_key));
        Some(told.or_else(|| release_speaks_tls(build.version?))?.is_ok())
    }

    /// What this build lacks, in words.
    fn lacks(&self, build: &IpxeBuild, version: Option<&str>) -> Option<String> {
        let IpxeSection { version_min, features, .. } = &self.section;
        let numbers = build.version.or_else(|| numbers_of(version?));
        if self.speaks_tls(build, version) == Some(false) {
            return Some(if build.has("https") { "an HTTPS of our time" } else { "HTTPS" }.into());
        }
        if let Some((major, minor, patch)) = version_min.filter(|min| numbers.is_some_and(|numbers| numbers < *min)) {
            return Some(format!("what {major}.{minor}.{patch} has"));
        }
        let missing = features.iter().find(|feature| !build.features.is_empty() && !build.has(feature));
        missing.map(|feature| (*feature).to_owned())
    }

    /// Whether a loader has what is wanted; none where its file does not tell.
    fn is_met_by(&self, loader: &Loader) -> Option<bool> {
        let version = loader.version.as_deref()?;
        let needs_https = self.https.is_some() || self.section.features.contains("https");
        if needs_https && loader.https == Some(false) {
            return Some(false);
        }
        let tells_https = match self.https {
            Some(has_ec_key) => speaks_tls(version, has_ec_key).map(|told| told.is_ok() && loader.https == Some(true)),
            None => Some(!needs_https || loader.https == Some(true)),
        };
        let is_new =
            self.section.version_min.is_none_or(|min| numbers_of(version).is_some_and(|numbers| numbers >= min));
        tells_https.map(|has_https| has_https && is_new)
    }

    /// Whether this loader may be given to a build that runs this version.
    fn may_give(&self, loader: &Loader, running: Option<&str>) -> bool {
        let is_same = running.is_some() && loader.version.as_deref() == running;
        loader.is_ipxe()
            && !is_same
            && match self.section.replace {
                ReplaceIpxe::Never => false,
                ReplaceIpxe::Known => self.is_met_by(loader) == Some(true),
                ReplaceIpxe::Always => self.is_met_by(loader) != Some(false),
            }
    }
}

/// The version in `iPXE/1.21.1+ (g4e456)`.
fn version_in(agent: &str) -> Option<&str> {
    agent.strip_prefix("iPXE/").map(str::trim).filter(|version| (1..=VERSION_LEN_MAX).contains(&version.len()))
}

/// The build for BIOS with all drivers of iPXE.
const WITH_DRIVERS: &str = "ipxe.pxe";
/// Octets of a version.
const VERSION_LEN_MAX: usize = 100;

impl Shared {
    /// Whether this client is sent to HTTPS: the site wants it, and its build is known to speak it. Of a loader that it had
    /// from us the file tells.
    pub(super) fn wants_https(&self, session: &Session) -> bool {
        let client = session.client();
        let Some(build) = client.ipxe.as_ref().filter(|build| self.prefers_https() && build.has("https")) else {
            return false;
        };
        let site = self.site.load();
        // Behind a replaced one it may be either that asks: it is told apart when it fetches its script.
        let is_ours = session.has_reached(Progress::LoaderFetched) && !session.has_newer_ipxe();
        let own = self.loader_for(session).filter(|_| is_ours).and_then(|loader| loader.version);
        self.wanted(&site.newer).speaks_tls(build, own.as_deref()) == Some(true)
    }

    fn wanted(&self, section: &IpxeSection) -> Wanted {
        let https = self.prefers_https().then_some(self.has_ec_key);
        Wanted { https, section: section.clone() }
    }

    /// The iPXE that this machine would be given: that of a rule or a quirk, else its architecture's.
    fn loader_for(&self, session: &Session) -> Option<Loader> {
        let site = self.site.load();
        let named = self.engine.manner_of(session).loader;
        let named = named.as_ref().and_then(|name| site.loaders.named(name)).filter(|loader| loader.is_ipxe());
        named.or_else(|| site.loaders.of(session.client().architecture)).cloned()
    }

    /// The iPXE that takes the place of another one. `undionly.kpxe` loses the network where the UNDI driver is that of an
    /// iPXE, so that a BIOS machine gets one with drivers of its own.
    fn loader_behind_ipxe(&self, session: &Session) -> Option<Loader> {
        let usual = self.loader_for(session)?;
        if session.client().architecture.platform() != Platform::Bios {
            return Some(usual);
        }
        let own_drivers = FileName::parse(WITH_DRIVERS.as_bytes()).ok()?;
        Some(self.site.load().loaders.named(&own_drivers).cloned().unwrap_or(usual))
    }

    /// The first script of an iPXE: it introduces itself by the scheme that the site wants and it can speak, or starts a
    /// newer iPXE before that.
    pub(super) fn bootstrap(&self, session: &Session, asking: &Asking<'_>, leaving: Leaving) -> Vec<Command> {
        let urls = |secure| self.urls(session, asking.server, secure);
        let client = session.client();
        let wanted = self.wanted(&self.site.load().newer);
        let version = asking.agent.and_then(version_in);
        let Some(build) = &client.ipxe else { return ipxe::bootstrap(&urls(asking.secure), leaving) };
        if let Some((lacks, loader)) = self.newer(session, &wanted, version, asking) {
            let loader = urls(asking.secure).loader(&loader);
            return ipxe::newer(&lacks, loader, &urls(asking.secure), leaving);
        }
        match wanted.speaks_tls(build, version) {
            _ if asking.secure => ipxe::bootstrap(&urls(true), leaving),
            Some(true) => ipxe::bootstrap(&urls(true), leaving),
            None if build.has("https") && wanted.https.is_some() => {
                ipxe::bootstrap_by_either(&urls(true), &urls(false), leaving)
            }
            _ => ipxe::bootstrap(&urls(false), leaving),
        }
    }

    /// What this build lacks, and the loader that it is given; none where it is good enough, or cannot be helped.
    fn newer(
        &self,
        session: &Session,
        wanted: &Wanted,
        version: Option<&str>,
        asking: &Asking<'_>,
    ) -> Option<(Line, FileName)> {
        let client = session.client();
        let lacks = wanted.lacks(client.ipxe.as_ref()?, version)?;
        let (lacks, mac) = (Line::clean(&lacks), client.hardware);
        let loader = self.loader_behind_ipxe(session).filter(|loader| wanted.may_give(loader, version));
        let running = version.unwrap_or("of an unknown version");
        let Some(loader) = loader.filter(|_| !session.has_newer_ipxe()) else {
            info!(session = %session.id(), %mac, running, %lacks, "this iPXE lacks what the site wants, and goes on as it is");
            return None;
        };
        if !asking.is_look && !session.replace_ipxe() {
            return None;
        }
        info!(session = %session.id(), %mac, running, %lacks, loader = %loader.name, "this iPXE is given a newer one");
        Some((lacks, loader.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(features: &[&'static str], version: (u8, u8, u8)) -> IpxeBuild {
        IpxeBuild { version: Some(version), features: features.iter().copied().collect(), nic: None }
    }

    fn wanted(https: Option<bool>) -> Wanted {
        Wanted { https, section: IpxeSection::default() }
    }

    #[test]
    fn what_speaks_our_https_is_told_by_feature_version_and_key() {
        let (rsa, ec) = (wanted(Some(false)), wanted(Some(true)));
        let told = |features: &[&'static str], numbers, version| {
            let build = build(features, numbers);
            (rsa.speaks_tls(&build, version), ec.speaks_tls(&build, version))
        };
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(told(&["http"], (2, 0, 0), Some("2.0.0")), (no, no));
        assert_eq!(told(&["http", "https"], (2, 0, 0), None), (yes, yes));
        assert_eq!(told(&["http", "https"], (1, 21, 1), None), (None, None));
        assert_eq!(told(&["http", "https"], (1, 21, 1), Some("1.21.1")), (no, no));
        assert_eq!(told(&["http", "https"], (1, 21, 1), Some("1.21.1+git20250501.0de0ae1")), (yes, no));
        assert_eq!(told(&["http", "https"], (1, 0, 0), Some("1.0.0+")), (None, None));
        assert_eq!(told(&[], (2, 0, 0), Some("2.0.0")), (None, None));
        assert_eq!(wanted(None).speaks_tls(&build(&["http"], (1, 0, 0)), None), None);
    }

    #[test]
    fn what_a_site_needs_beyond_https_is_named() {
        let features = std::iter::once("menu").collect();
        let section = IpxeSection { version_min: Some((1, 21, 1)), features, ..IpxeSection::default() };
        let site = Wanted { https: None, section };
        let lacks = |features: &[&'static str], numbers| site.lacks(&build(features, numbers), None);
        assert_eq!(lacks(&["http", "menu"], (1, 21, 1)), None);
        assert_eq!(lacks(&["http", "menu"], (1, 20, 9)).as_deref(), Some("what 1.21.1 has"));
        assert_eq!(lacks(&["http"], (2, 0, 0)).as_deref(), Some("menu"));
        assert_eq!(wanted(None).lacks(&build(&["http"], (0, 9, 0)), None), None);
    }

    #[test]
    fn versions_are_read_of_the_header() {
        assert_eq!(version_in("iPXE/1.21.1+ (g4e456)"), Some("1.21.1+ (g4e456)"));
        for other in ["", "iPXE/", "curl/8.0", &format!("iPXE/{}", "1".repeat(200))] {
            assert_eq!(version_in(other), None, "{other}");
        }
    }
}
