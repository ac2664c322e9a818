//! Every default of the configuration, in one place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use crate::boot::{Architecture, Line};
use crate::decision::Policy;

use super::sections::{
    DecisionSection, DeniedFirmware, DhcpSection, HttpSection, HttpsSection, ImagesSection, IpxeScheme, LoadersSection,
    LogFormat, LogSection, ScriptSection, ServerSection, SharedPort, TftpSection, UefiStyle,
};

impl Default for ServerSection {
    fn default() -> Self {
        ServerSection {
            interfaces: Vec::new(),
            address: None,
            name: None,
            site: Line::default(),
            state: PathBuf::from("state"),
            sessions_max: 20_000,
            advertise: Vec::new(),
        }
    }
}

impl Default for DhcpSection {
    fn default() -> Self {
        DhcpSection {
            enabled: true,
            port: 67,
            boot_server: true,
            boot_server_port: 4011,
            uefi_style: UefiStyle::Binl,
            response_delay: Duration::ZERO,
            secs_min: 0,
            authoritative: true,
            denied: DeniedFirmware::Silence,
            shared_port: SharedPort::Auto,
        }
    }
}

impl Default for TftpSection {
    fn default() -> Self {
        TftpSection {
            enabled: true,
            port: 69,
            single_port: false,
            port_range: None,
            blksize_max: 1_468,
            windowsize_max: 64,
            transfers_max: 4096,
            multicast: super::MulticastSection::default(),
        }
    }
}

impl Default for HttpSection {
    fn default() -> Self {
        HttpSection { port: 80, entry: false, connections_max: 4096 }
    }
}

impl Default for HttpsSection {
    fn default() -> Self {
        HttpsSection {
            enabled: true,
            port: 443,
            names: Vec::new(),
            certificate: None,
            key: None,
            ipxe: IpxeScheme::Http,
            http_boot: IpxeScheme::Http,
            http_boot_name: None,
        }
    }
}

impl Default for LoadersSection {
    fn default() -> Self {
        LoadersSection {
            folders: ["loaders", "/usr/lib/ipxe", "/usr/lib/PXELINUX", "/usr/lib/syslinux/modules/bios"]
                .map(PathBuf::from)
                .into(),
            plain_paths: false,
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            ipxe: super::IpxeSection::default(),
            own_names: BTreeSet::new(),
        }
    }
}

/// The loaders as Debian's packages name them. EFI machines get the build that uses the firmware's own NIC driver, which
/// works wherever the firmware could load it; BIOS machines the one that keeps the ROM's UNDI driver.
pub(super) fn loader_files() -> BTreeMap<Architecture, String> {
    [
        (Architecture::X86_BIOS, "undionly.kpxe"),
        (Architecture::X86_UEFI, "ipxe32.efi"),
        (Architecture::X64_UEFI, "snponly.efi"),
        (Architecture::ARM64_UEFI, "ipxe-arm64.efi"),
    ]
    .map(|(architecture, name)| (architecture, name.to_owned()))
    .into()
}

/// The signed loaders of Debian's packages shim-signed and grub-efi-*-signed, by the names that shim loads its second
/// stage and its key manager by. `grubnet` looks for its configuration where it was loaded from.
pub(super) fn loader_names() -> impl Iterator<Item = (&'static str, &'static str)> {
    [
        ("shimx64.efi", "/usr/lib/shim/shimx64.efi.signed"),
        ("mmx64.efi", "/usr/lib/shim/mmx64.efi.signed"),
        ("grubx64.efi", "/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed"),
        ("shimaa64.efi", "/usr/lib/shim/shimaa64.efi.signed"),
        ("mmaa64.efi", "/usr/lib/shim/mmaa64.efi.signed"),
        ("grubaa64.efi", "/usr/lib/grub/arm64-efi-signed/grubnetaa64.efi.signed"),
    ]
    .into_iter()
}

impl Default for ImagesSection {
    fn default() -> Self {
        ImagesSection { folder: PathBuf::from("images") }
    }
}

impl Default for DecisionSection {
    fn default() -> Self {
        let Policy { on_error, on_timeout, unknown, remember, limits, local_boot } = Policy::default();
        DecisionSection {
            on_error,
            on_timeout,
            unknown,
            remember,
            allow_boot_limit: limits.allow_boot,
            boot_images_limit: limits.boot_images,
            work_limit: limits.work,
            local_boot,
        }
    }
}

impl Default for ScriptSection {
    fn default() -> Self {
        ScriptSection {
            kind: "script".into(),
            name: None,
            allow_boot: PathBuf::from("scripts/allow_boot.rhai"),
            boot_images: PathBuf::from("scripts/boot_images.rhai"),
            scripts: PathBuf::from("scripts"),
            data: PathBuf::from("data"),
            time_zone: None,
            allow_boot_limit: Duration::from_secs(5),
            boot_images_limit: Duration::from_secs(10),
            candidate: PathBuf::new(),
            shadow: true,
            canary_percent: 0.0,
            canary_seed: String::new(),
            canary_networks: Vec::new(),
            canary_sites: Vec::new(),
            canary_groups: Vec::new(),
            canary_machines: Vec::new(),
            revisions_max: 20,
        }
    }
}

impl Default for LogSection {
    fn default() -> Self {
        LogSection { format: LogFormat::Text, level: "info".into() }
    }
}
