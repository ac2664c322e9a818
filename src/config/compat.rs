//! `[compat.*]`: front doors of other boot servers.

use serde::Deserialize;

/// `[compat]`: each closed unless it is opened.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompatSection {
    /// `[compat.altiris]`
    pub altiris: AltirisSection,
    /// `[compat.two_pxe]`
    pub two_pxe: DoorSection,
    /// `[compat.fog]`
    pub fog: DoorSection,
    /// `[compat.pixiecore]`
    pub pixiecore: DoorSection,
}

/// `[compat.altiris]`: Altiris Deployment Server and Ghost Solution Suite.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AltirisSection {
    /// Whether it is open.
    pub enabled: bool,
    /// The port that its clients know; HTTP is served there as well.
    pub port: u16,
}

impl Default for AltirisSection {
    fn default() -> Self {
        AltirisSection { enabled: false, port: 4433 }
    }
}

/// A door on the port of HTTP.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DoorSection {
    /// Whether it is open.
    pub enabled: bool,
}
