//! `[loaders.ipxe]`: what an iPXE must be able to do that this server did not load.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::boot::IpxeBuild;

/// `[loaders.ipxe]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IpxeSection {
    /// When an iPXE that lacks something is given the loader of its architecture.
    pub replace: ReplaceIpxe,
    /// The oldest version that is good enough, as option 175 tells it; any when absent.
    #[serde(deserialize_with = "version")]
    pub version_min: Option<(u8, u8, u8)>,
    /// Features that it must have, by the names that rules see. `https` is one where `https.ipxe = "https"`.
    #[serde(deserialize_with = "features")]
    pub features: BTreeSet<&'static str>,
}

/// When an iPXE is replaced that lacks what the site needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplaceIpxe {
    /// Where the file of the loader tells that it is better.
    #[default]
    Known,
    /// Also where the file does not tell, as BIOS builds, which are compressed.
    Always,
    /// Never.
    Never,
}

fn version<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<(u8, u8, u8)>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parts: Vec<Option<u8>> = text.split('.').map(|part| part.parse().ok()).collect();
    match parts.as_slice() {
        [Some(major), Some(minor), Some(patch)] => Ok(Some((*major, *minor, *patch))),
        _ => Err(serde::de::Error::custom(format!("`{text}` is no version of iPXE; write it like \"1.21.1\""))),
    }
}

fn features<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<&'static str>, D::Error> {
    let named = |name: &String| {
        IpxeBuild::feature(name).ok_or_else(|| {
            let known: Vec<&str> = IpxeBuild::FEATURES.iter().map(|(_, name)| *name).collect();
            serde::de::Error::custom(format!("`{name}` is no feature of iPXE; there are {}", known.join(", ")))
        })
    };
    Vec::<String>::deserialize(deserializer)?.iter().map(named).collect()
}
