//! The machine that asks, as its DHCP packets describe it.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Architecture, HardwareAddress, keys};

/// What is known of a client from DHCP. All of it is the client's own claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// `chaddr`, with the length that `hlen` gives.
    pub hardware: HardwareAddress,
    /// Client machine identifier (option 97).
    pub machine_id: Option<MachineId>,
    /// Client system architecture (option 93, else the `Arch:` of option 60, else BIOS).
    pub architecture: Architecture,
    /// Vendor class identifier (option 60), e.g. `PXEClient:Arch:00007:UNDI:003000`; printable ASCII only.
    pub vendor_class: String,
    /// User class (option 77), e.g. `iPXE`; printable ASCII only.
    pub user_class: String,
    /// Client network device interface (option 94): UNDI version, major and minor.
    pub undi: Option<(u8, u8)>,
    /// What option 175 says of the iPXE build, when iPXE asks.
    pub ipxe: Option<IpxeBuild>,
    /// Host name (option 12) that the client claims.
    pub hostname: String,
}

impl Client {
    /// A client of which only the address and the architecture are known.
    pub fn new(hardware: HardwareAddress, architecture: Architecture) -> Client {
        Client {
            hardware,
            machine_id: None,
            architecture,
            vendor_class: String::new(),
            user_class: String::new(),
            undi: None,
            ipxe: None,
            hostname: String::new(),
        }
    }

    /// Whether iPXE asks, rather than the firmware.
    pub fn is_ipxe(&self) -> bool {
        self.ipxe.is_some()
    }

    /// Whether UEFI HTTP Boot asks: decided by option 60, the architecture is only a hint.
    pub fn is_http_boot(&self) -> bool {
        self.vendor_class.starts_with("HTTPClient")
    }

    /// The machine's UUID, unless it is a placeholder.
    pub fn uuid(&self) -> Option<Uuid> {
        self.machine_id.filter(|id| !id.is_placeholder()).map(MachineId::uuid)
    }
}

/// Client machine identifier of type 0: the SMBIOS UUID as the wire carries it (RFC 4578 section 2.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MachineId {
    raw: [u8; 16],
}

impl MachineId {
    /// From the 16 octets after the type octet, SMBIOS (mixed-endian) order.
    pub fn from_wire(raw: [u8; 16]) -> MachineId {
        MachineId { raw }
    }

    /// From the canonical form that SMBIOS tools, iPXE and asset databases show.
    pub fn from_uuid(uuid: Uuid) -> MachineId {
        MachineId { raw: uuid.to_bytes_le() }
    }

    /// The octets as the wire carries them.
    pub fn wire(self) -> [u8; 16] {
        self.raw
    }

    /// The canonical UUID: the first three fields are little-endian on the wire.
    pub fn uuid(self) -> Uuid {
        Uuid::from_bytes_le(self.raw)
    }

    /// Whether it is no machine's own: a vendor left it unset, or ships it on many boards.
    pub fn is_placeholder(self) -> bool {
        !keys::is_uuid(&self.uuid())
    }
}

impl fmt::Debug for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid().fmt(f)
    }
}

/// What an iPXE build says of itself in option 175.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpxeBuild {
    /// Major, minor and patch of sub-option 235; absent in very old builds.
    pub version: Option<(u8, u8, u8)>,
    /// Names of the features built in, e.g. `http`, `https`, `menu`, `efi`.
    pub features: BTreeSet<&'static str>,
    /// Bus location of the NIC (sub-option 177).
    pub nic: Option<NicBus>,
}

impl IpxeBuild {
    /// The features there are: the tag of each in option 175, which iPXE sends with value 1, and its name.
    pub const FEATURES: [(u8, &'static str); 22] = [
        (0x10, "pxe-ext"),
        (0x11, "iscsi"),
        (0x12, "aoe"),
        (0x13, "http"),
        (0x14, "https"),
        (0x15, "tftp"),
        (0x16, "ftp"),
        (0x17, "dns"),
        (0x18, "bzimage"),
        (0x19, "multiboot"),
        (0x1a, "slam"),
        (0x1b, "srp"),
        (0x20, "nbi"),
        (0x21, "pxe"),
        (0x22, "elf"),
        (0x23, "comboot"),
        (0x24, "efi"),
        (0x25, "fcoe"),
        (0x26, "vlan"),
        (0x27, "menu"),
        (0x28, "sdi"),
        (0x29, "nfs"),
    ];

    /// The feature of this name, if there is one.
    pub fn feature(name: &str) -> Option<&'static str> {
        Self::FEATURES.iter().map(|(_, feature)| *feature).find(|feature| *feature == name)
    }

    /// Whether this build can load over HTTPS: the only reliable sign is its own feature flag.
    pub fn has(&self, feature: &str) -> bool {
        self.features.contains(feature)
    }
}

/// A NIC's vendor and device number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NicBus {
    /// Bus type: 1 is PCI.
    pub bus: u8,
    /// Vendor number.
    pub vendor: u16,
    /// Device number.
    pub device: u16,
}

impl fmt::Display for NicBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bus {
            1 => write!(f, "pci:{:04x}:{:04x}", self.vendor, self.device),
            bus => write!(f, "bus{bus}:{:04x}:{:04x}", self.vendor, self.device),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_97_is_mixed_endian() {
        let wire = [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
        let id = MachineId::from_wire(wire);
        assert_eq!(id.uuid().to_string(), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(MachineId::from_uuid(id.uuid()), id);
    }

    #[test]
    fn placeholders_are_no_identity() {
        let mut client = Client::new([2, 0, 0, 0, 0, 1].into(), Architecture::X64_UEFI);
        client.machine_id = Some(MachineId::from_wire([0; 16]));
        assert_eq!(client.uuid(), None);
        client.machine_id = Some(MachineId::from_wire([0xff; 16]));
        assert_eq!(client.uuid(), None);
    }
}
