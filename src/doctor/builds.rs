//! Boot loaders: is there one for each architecture, which iPXE is it, and can it speak to this server's HTTPS.
//!
//! **Invariant**: the loaders' own words; what a file does not tell is not guessed.

use super::certificate::chain;
use super::{Found, Patient, shown};
use crate::config::IpxeScheme;
use crate::loaders::{Loader, Loaders, TooOld, speaks_tls};
use crate::tls::KeyKind;

fn loaders_of(patient: &Patient) -> Loaders {
    let own = &patient.config.loaders;
    Loaders::read(&own.folders, &own.files, &own.names, &own.own_names)
}

pub(super) fn loaders(patient: &Patient) -> Found {
    let mut found = Found::default();
    let loaders = loaders_of(patient);
    for (architecture, loader) in loaders.iter() {
        let version =
            loader.version.as_deref().map_or("a build that does not tell its version".into(), |v| format!("iPXE {v}"));
        found.ok(format!("{architecture}: {} ({version})", shown(&loader.path)));
    }
    for missing in loaders.missing() {
        let (whose, remedy) = match missing.architecture {
            Some(architecture) => (
                architecture.to_string(),
                "machines of this architecture get no answer: `apt-get install ipxe`, or put a build into the loaders folder",
            ),
            None => {
                ("[loaders.names]".to_owned(), "nobody can load it by this name: correct the path, or remove the line")
            }
        };
        found.warn(format!("{whose}: {} {}", missing.name, missing.why), remedy);
    }
    if loaders.iter().next().is_none() {
        found.fail("there is no boot loader at all", "`apt-get install ipxe`, or name folders in `[loaders] folders`");
    }
    found
}

pub(super) fn tls_overlap(patient: &Patient) -> Found {
    let mut found = Found::default();
    let https = &patient.config.https;
    if !https.enabled {
        found.skipped("[https] is off");
        return found;
    }
    let has_ec_key = chain(&patient.config)
        .ok()
        .and_then(|chain| Some(matches!(chain.first()?.key, KeyKind::Ec(_))))
        .unwrap_or(false);
    if https.http_boot == IpxeScheme::Https {
        found.warn(
            "UEFI HTTP Boot is told https:// URLs",
            "firmware without elliptic curves, which is most of before 2025, cannot load them, whatever the certificate; \
             the CA must be enrolled in the rest (`state/ca.esl`)",
        );
    }
    let is_told = https.ipxe == IpxeScheme::Https;
    for (architecture, loader) in loaders_of(patient).iter() {
        judge_overlap(&architecture.to_string(), loader, has_ec_key, is_told, &mut found);
    }
    if found.len() == 0 {
        found.skipped("there is no loader");
    }
    found
}

fn judge_overlap(architecture: &str, loader: &Loader, has_ec_key: bool, is_told: bool, found: &mut Found) {
    let version = loader.version.as_deref().unwrap_or_default();
    let text = format!("{architecture}: {} (iPXE {version})", shown(&loader.path));
    let why = match (loader.https, speaks_tls(version, has_ec_key)) {
        (Some(false), _) => return found.ok(format!("{text} has no HTTPS, and is told http:// URLs")),
        (None, _) => {
            return found.skipped(format!("{architecture}: {} does not tell what it can", shown(&loader.path)));
        }
        (Some(true), None) => return found.skipped(format!("{text} has HTTPS, and does not tell of what day it is")),
        (Some(true), Some(Err(TooOld::KeyExchange))) => {
            "is older than 2024-01-31, and has no key exchange in common with this server"
        }
        (Some(true), Some(Err(TooOld::EcKey))) => {
            "is older than 2025-12-19, and does not know the EC key of this server's certificate"
        }
        (Some(true), Some(Ok(()))) => return found.ok(format!("{text} can speak to this server's HTTPS")),
    };
    let remedy = "put a newer iPXE into the loaders folder (Debian 13 has one of 2025), or tell iPXE http:// with `[https] ipxe \
                  = \"http\"` (410de1)";
    let text = format!("{text} {why}");
    if is_told { found.fail(text, remedy) } else { found.warn(text, remedy) }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::super::tests::patient;
    use super::*;
    use crate::boot::Architecture;

    fn site(builds: &[(&str, &str)], lines: &str) -> (tempfile::TempDir, Patient) {
        let (folder, patient) = patient(&format!("[loaders]\nfolders = [\"loaders\"]\n{lines}"));
        std::fs::create_dir(folder.path().join("loaders")).unwrap();
        for (name, build) in builds {
            std::fs::write(folder.path().join("loaders").join(name), build).unwrap();
        }
        (folder, patient)
    }

    #[test]
    fn a_site_without_loaders_fails_and_one_that_lacks_some_is_warned() {
        let (_folder, none) = site(&[], "");
        let found = loaders(&none);
        assert!(found.states().contains(&State::Fail), "{}", found.words());
        let (_folder, some) = site(&[("snponly.efi", "MZ\0iPXE/%s\x001.21.1\0")], "");
        let found = loaders(&some);
        assert!(found.states().contains(&State::Ok) && found.states().contains(&State::Warn));
        assert!(!found.states().contains(&State::Fail) && found.words().contains("iPXE 1.21.1"), "{}", found.words());
    }

    #[test]
    fn an_ipxe_that_cannot_speak_to_us_is_told() {
        let state = |version: &str, features: &str, has_ec_key, is_told| {
            let build = format!("MZ\0iPXE/%s\0{version}\0{features}\0");
            let (_folder, patient) = site(&[("snponly.efi", &build)], "");
            let loaders = loaders_of(&patient);
            let mut found = Found::default();
            judge_overlap("x64-uefi", loaders.of(Architecture::X64_UEFI).unwrap(), has_ec_key, is_told, &mut found);
            found.states()
        };
        assert_eq!(state("1.21.1+git20250501", "https", false, true), [State::Ok]);
        assert_eq!(state("1.21.1+git20250501", "https", true, true), [State::Fail]);
        assert_eq!(state("1.21.1+git20250501", "https", true, false), [State::Warn]);
        assert_eq!(state("1.21.1", "https", false, true), [State::Fail]);
        assert_eq!(state("2.0.0", "https", true, true), [State::Ok]);
        assert_eq!(state("1.21.1", "none", true, true), [State::Ok]);
        assert_eq!(state("1.0.0+", "https", true, true), [State::Skipped]);
    }
}
