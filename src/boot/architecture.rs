//! Client system architectures: the IANA "Processor Architecture Types" of DHCP option 93.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A client system architecture (option 93; RFC 4578 section 2.1 and the IANA registry that follows it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Architecture(u16);

/// What runs the machine before an operating system does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// PC BIOS with a PXE option ROM.
    Bios,
    /// UEFI.
    Efi,
    /// Anything else: Open Firmware, OPAL, U-Boot, Raspberry Pi, s390.
    Other,
}

impl Platform {
    /// The name in scripts and logs.
    pub fn name(self) -> &'static str {
        match self {
            Platform::Bios => "bios",
            Platform::Efi => "efi",
            Platform::Other => "other",
        }
    }
}

struct Row(u16, &'static str, Platform);

/// Every registered type. The names are what scripts, the configuration, logs and metrics say.
const TABLE: &[Row] = &[
    Row(0, "x86-bios", Platform::Bios),
    Row(1, "nec-pc98", Platform::Other),
    Row(2, "ia64-uefi", Platform::Efi),
    Row(3, "dec-alpha", Platform::Other),
    Row(4, "arc-x86", Platform::Other),
    Row(5, "intel-lean-client", Platform::Other),
    Row(6, "x86-uefi", Platform::Efi),
    Row(7, "x64-uefi", Platform::Efi),
    Row(8, "xscale-uefi", Platform::Efi),
    Row(9, "ebc", Platform::Efi),
    Row(10, "arm32-uefi", Platform::Efi),
    Row(11, "arm64-uefi", Platform::Efi),
    Row(12, "powerpc-open-firmware", Platform::Other),
    Row(13, "powerpc-epapr", Platform::Other),
    Row(14, "power-opal", Platform::Other),
    Row(15, "x86-uefi-http", Platform::Efi),
    Row(16, "x64-uefi-http", Platform::Efi),
    Row(17, "ebc-http", Platform::Efi),
    Row(18, "arm32-uefi-http", Platform::Efi),
    Row(19, "arm64-uefi-http", Platform::Efi),
    Row(20, "x86-bios-http", Platform::Bios),
    Row(21, "arm32-uboot", Platform::Other),
    Row(22, "arm64-uboot", Platform::Other),
    Row(23, "arm32-uboot-http", Platform::Other),
    Row(24, "arm64-uboot-http", Platform::Other),
    Row(25, "riscv32-uefi", Platform::Efi),
    Row(26, "riscv32-uefi-http", Platform::Efi),
    Row(27, "riscv64-uefi", Platform::Efi),
    Row(28, "riscv64-uefi-http", Platform::Efi),
    Row(29, "riscv128-uefi", Platform::Efi),
    Row(30, "riscv128-uefi-http", Platform::Efi),
    Row(31, "s390-basic", Platform::Other),
    Row(32, "s390-extended", Platform::Other),
    Row(33, "mips32-uefi", Platform::Efi),
    Row(34, "mips64-uefi", Platform::Efi),
    Row(35, "sunway32-uefi", Platform::Efi),
    Row(36, "sunway64-uefi", Platform::Efi),
    Row(37, "loongarch32-uefi", Platform::Efi),
    Row(38, "loongarch32-uefi-http", Platform::Efi),
    Row(39, "loongarch64-uefi", Platform::Efi),
    Row(40, "loongarch64-uefi-http", Platform::Efi),
    Row(41, "arm-rpiboot", Platform::Other),
];

impl Architecture {
    /// x86 PC BIOS.
    pub const X86_BIOS: Architecture = Architecture(0);
    /// 32-bit x86 UEFI.
    pub const X86_UEFI: Architecture = Architecture(6);
    /// 64-bit x86 UEFI. RFC 4578 printed "EFI BC" here; all firmware means x64.
    pub const X64_UEFI: Architecture = Architecture(7);
    /// EFI byte code by the registry, but a few x64 firmwares really send 9.
    pub const EBC: Architecture = Architecture(9);
    /// 32-bit ARM UEFI.
    pub const ARM32_UEFI: Architecture = Architecture(10);
    /// 64-bit ARM UEFI.
    pub const ARM64_UEFI: Architecture = Architecture(11);
    /// 64-bit x86 UEFI HTTP Boot.
    pub const X64_UEFI_HTTP: Architecture = Architecture(16);
    /// Raspberry Pi without UEFI: its boot ROM loads what it is built to load.
    pub const ARM_RPIBOOT: Architecture = Architecture(41);
    /// 64-bit ARM UEFI HTTP Boot.
    pub const ARM64_UEFI_HTTP: Architecture = Architecture(19);

    /// The architecture with this registry code; unknown codes are kept.
    pub fn from_code(code: u16) -> Architecture {
        Architecture(code)
    }

    /// The code of option 93.
    pub fn code(self) -> u16 {
        self.0
    }

    fn row(self) -> Option<&'static Row> {
        TABLE.iter().find(|row| row.0 == self.0)
    }

    /// What runs this machine before an operating system does.
    pub fn platform(self) -> Platform {
        self.row().map_or(Platform::Other, |row| row.2)
    }

    /// Whether the type is one of the HTTP Boot variants.
    pub fn is_http(self) -> bool {
        self.row().is_some_and(|row| row.1.ends_with("-http"))
    }

    /// The variant that loads by TFTP and runs the same machine code: HTTP variants lose their transport, and
    /// `ebc` becomes x64, because the firmwares that send 9 are x64 machines.
    pub fn machine(self) -> Architecture {
        let base = match self.row() {
            Some(row) => row.1.strip_suffix("-http").unwrap_or(row.1),
            None => return self,
        };
        let base = if base == "ebc" { "x64-uefi" } else { base };
        TABLE.iter().find(|row| row.1 == base).map_or(self, |row| Architecture(row.0))
    }

    /// Every registered architecture, by code.
    pub fn all() -> impl Iterator<Item = Architecture> {
        TABLE.iter().map(|row| Architecture(row.0))
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row() {
            Some(row) => f.pad(row.1),
            None => f.pad(&format!("arch-{}", self.0)),
        }
    }
}

/// The name is not that of an architecture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no architecture; use a name such as x86-bios, x64-uefi, arm64-uefi, or a number of option 93")]
pub struct UnknownArchitecture(String);

impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(row) = TABLE.iter().find(|row| row.1 == text) {
            return Ok(Architecture(row.0));
        }
        let number = text.strip_prefix("arch-").unwrap_or(text);
        number.parse().map(Architecture).map_err(|_| UnknownArchitecture(text.to_owned()))
    }
}

impl Serialize for Architecture {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Architecture {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_to_its_own_code() {
        for architecture in Architecture::all() {
            assert_eq!(architecture.to_string().parse(), Ok(architecture));
        }
        assert_eq!("arch-99".parse(), Ok(Architecture(99)));
        assert_eq!("7".parse(), Ok(Architecture::X64_UEFI));
        assert!("x64".parse::<Architecture>().is_err());
    }

    #[test]
    fn codes_are_in_order_and_unique() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn nine_is_an_x64_machine_and_http_variants_run_the_same_code() {
        assert_eq!(Architecture::EBC.machine(), Architecture::X64_UEFI);
        assert_eq!(Architecture::X64_UEFI_HTTP.machine(), Architecture::X64_UEFI);
        assert_eq!(Architecture::from_code(17).machine(), Architecture::X64_UEFI);
        assert_eq!(Architecture::from_code(60_000).machine(), Architecture::from_code(60_000));
    }
}
