//! The files of a Raspberry Pi, whose boot ROM names them itself: `bootcode.bin`, `<serial>/start.elf`, `config.txt`.
//!
//! They lie in the images folder below [`TREE`]: in a folder of the machine's own, by its serial number or its MAC address,
//! else in [`TREE`] itself, so that one tree serves all and a machine may differ in one file.
//!
//! **Invariant**: names only; whether the machine may have them was decided before.

use crate::boot::{FileName, HardwareAddress};

/// The folder of the tree, in the images folder.
pub(super) const TREE: &str = "raspberry-pi";

/// Where a file may lie, in the order that it is looked for.
pub fn places(name: &FileName, hardware: HardwareAddress) -> Vec<FileName> {
    let own = hardware.to_string().replace(':', "-");
    let name = name.as_str();
    let without = name.split_once('/').filter(|(first, _)| is_machine(first)).map_or(name, |(_, rest)| rest);
    let paths = [format!("{TREE}/{name}"), format!("{TREE}/{own}/{without}"), format!("{TREE}/{without}")];
    paths.iter().filter_map(|path| FileName::parse(path.as_bytes()).ok()).collect()
}

/// Whether a folder is a machine's own: its serial number, eight digits, or its MAC address.
fn is_machine(folder: &str) -> bool {
    let is_serial = folder.len() == 8 && folder.bytes().all(|octet| octet.is_ascii_hexdigit());
    is_serial || (folder.len() == 17 && folder.parse::<HardwareAddress>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_its_own_files_first() {
        let places = |name: &str| -> Vec<String> {
            let hardware = HardwareAddress::from([0xb8, 0x27, 0xeb, 0, 0, 8]);
            places(&name.parse().unwrap(), hardware).iter().map(ToString::to_string).collect()
        };
        let expected =
            ["raspberry-pi/9c1d3a2b/start.elf", "raspberry-pi/b8-27-eb-00-00-08/start.elf", "raspberry-pi/start.elf"];
        assert_eq!(places("9c1d3a2b/start.elf"), expected);
        assert_eq!(places("bootcode.bin")[2], "raspberry-pi/bootcode.bin");
        assert_eq!(places("b8-27-eb-00-00-08/overlays/x.dtbo")[2], "raspberry-pi/overlays/x.dtbo");
        assert_eq!(places("overlays/x.dtbo")[2], "raspberry-pi/overlays/x.dtbo");
    }
}
