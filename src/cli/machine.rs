//! The arguments that describe a machine, the same for a dry run and for a simulated boot.

use clap::Args;
use uuid::Uuid;

use crate::boot::{Architecture, FACTS, Fact, HardwareAddress, HardwareAddressError, Machine, Platform};

/// A machine, as it would describe itself.
#[derive(Clone, Debug, Args)]
pub(super) struct MachineArgs {
    /// MAC address of the NIC that boots
    #[arg(long, value_name = "MAC", default_value = "52:54:00:12:34:56", value_parser = mac)]
    pub(super) mac: HardwareAddress,
    /// System UUID, as the BIOS setup and iPXE show it; a simulated machine makes one from its MAC when absent
    #[arg(long, value_name = "UUID", value_parser = uuid)]
    pub(super) uuid: Option<Uuid>,
    /// Client architecture: x86-bios, x64-uefi, x86-uefi, arm64-uefi, x64-uefi-http, ... or a number of option 93
    #[arg(long, value_name = "NAME", default_value = "x64-uefi")]
    pub(super) arch: Architecture,
    /// What the machine reports of itself; may be given several times
    #[arg(long = "fact", value_name = "NAME=VALUE", value_parser = fact)]
    pub(super) facts: Vec<(String, String)>,
}

impl MachineArgs {
    pub(super) fn uuid(&self) -> Uuid {
        self.uuid.unwrap_or_else(|| uuid_of(self.mac))
    }

    /// The facts given, with those that follow from the other arguments.
    pub(super) fn all_facts(&self) -> Vec<(String, String)> {
        let platform = match self.arch.platform() {
            Platform::Bios => "pcbios",
            Platform::Efi | Platform::Other => "efi",
        };
        let mut facts: Vec<(String, String)> = vec![
            ("mac".into(), self.mac.to_string()),
            ("uuid".into(), self.uuid().to_string()),
            ("platform".into(), platform.into()),
        ];
        facts.retain(|(name, _)| !self.facts.iter().any(|(given, _)| given == name));
        facts.extend(self.facts.iter().cloned());
        facts
    }

    /// What a dry run says of the machine: an identity that nobody gave is none, or it would contradict what a database
    /// knows of the machine.
    pub(super) fn machine(&self) -> Machine {
        let mut machine = Machine::default();
        let is_given =
            |name: &str| name != "uuid" || self.uuid.is_some() || self.facts.iter().any(|(fact, _)| fact == name);
        for (name, value) in self.all_facts().into_iter().filter(|(name, _)| is_given(name)) {
            machine.insert(&name, &value);
        }
        machine
    }
}

/// A UUID for a machine of which only the MAC address is known.
pub(super) fn uuid_of(mac: HardwareAddress) -> Uuid {
    let mut octets = [0; 16];
    let mac = mac.octets();
    let len = mac.len().min(16);
    octets[16 - len..].copy_from_slice(&mac[..len]);
    uuid::Builder::from_custom_bytes(octets).into_uuid()
}

/// A MAC address as people write it: one octet forgotten is a mistake, although the protocol knows shorter addresses.
pub(super) fn mac(text: &str) -> Result<HardwareAddress, String> {
    let address: HardwareAddress = text.parse().map_err(|error: HardwareAddressError| error.to_string())?;
    match address.octets().len() {
        6 | 8 | 20 => Ok(address),
        len => Err(format!("`{text}` has {len} octets; a MAC address has 6, such as 52:54:00:12:34:56")),
    }
}

/// A UUID as people write it.
pub(super) fn uuid(text: &str) -> Result<Uuid, String> {
    let example = "write it like 4c4c4544-0057-5810-804a-c3c04f463732";
    text.trim().parse().map_err(|_| format!("`{}` is no UUID; {example}", crate::nearest::cut(text)))
}

fn fact(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE, e.g. product=\"OptiPlex 7010\"")?;
    if Fact::named(name).is_none() {
        let names: Vec<_> = FACTS.iter().map(|fact| fact.name).collect();
        return Err(format!("there is no fact `{name}`; there are: {}", names.join(", ")));
    }
    Ok((name.to_owned(), value.to_owned()))
}
