//! Machines: QEMU with firmware as Debian ships it.
//!
//! **Invariant:** a machine has a network card on the case's bridge and no other way to the world.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::assets::newest_edk2;
use crate::network::Network;
use crate::process::Process;
use crate::transcript::Transcript;

/// How the processor is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accelerator {
    /// Hardware virtualization.
    Kvm,
    /// QEMU's own emulation: slow, works everywhere.
    Emulation,
}

/// What a machine starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Firmware {
    /// SeaBIOS; the network card's ROM is iPXE of 2019.
    Bios,
    /// EDK2 for x64 with its own PXE stack; the network card has no ROM.
    UefiX64,
    /// The same with PXE switched off, so that it boots by HTTP.
    UefiX64Http,
    /// The same with PXE by IPv6 only.
    UefiX64V6,
    /// The same with HTTP by IPv6 only.
    UefiX64HttpV6,
    /// EDK2 with Secure Boot on and the keys of Microsoft, which signs Debian's shim.
    UefiX64Secure,
    /// EDK2 of Debian unstable, without PXE: it can load by HTTPS.
    UefiX64Https,
    /// EDK2 for 32-bit x86.
    UefiIa32,
    /// EDK2 for 64-bit ARM.
    UefiArm64,
    /// U-Boot for 64-bit ARM.
    UBootArm64,
}

/// A machine to be switched on.
pub(crate) struct Plan {
    /// What it starts with.
    pub(crate) firmware: Firmware,
    /// Its MAC address, the identity that scripts look up.
    pub(crate) mac: &'static str,
    /// Its SMBIOS UUID.
    pub(crate) uuid: &'static str,
    /// A disk to boot when the network has nothing for it.
    pub(crate) disk: Option<PathBuf>,
    /// Certificates that its firmware trusts, an `EFI_SIGNATURE_LIST`.
    pub(crate) trusted: Option<PathBuf>,
}

impl Plan {
    /// A machine without a disk that trusts nobody.
    pub(crate) fn new(firmware: Firmware, mac: &'static str, uuid: &'static str) -> Self {
        Self { firmware, mac, uuid, disk: None, trusted: None }
    }
}

/// A machine that is on; dropped, its plug is pulled.
pub(crate) struct Machine {
    _process: Process,
    /// What its serial console shows.
    pub(crate) console: Transcript,
    /// QEMU's monitor, which types.
    monitor: PathBuf,
}

/// The two parts of EDK2 that a machine gets.
fn edk2(firmware: Firmware) -> [PathBuf; 2] {
    let debian = PathBuf::from("/usr/share/OVMF");
    match firmware {
        Firmware::UefiX64Https => ["OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"].map(|part| newest_edk2().join(part)),
        Firmware::UefiIa32 => ["OVMF32_CODE_4M.secboot.fd", "OVMF32_VARS_4M.fd"].map(|part| debian.join(part)),
        Firmware::UefiArm64 => {
            ["AAVMF_CODE.fd", "AAVMF_VARS.fd"].map(|part| PathBuf::from("/usr/share/AAVMF").join(part))
        }
        Firmware::UefiX64Secure => ["OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd"].map(|part| debian.join(part)),
        _ => ["OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"].map(|part| debian.join(part)),
    }
}

impl Machine {
    /// Plugs the machine into the bridge and switches it on; its files are in `evidence`.
    pub(crate) fn power_on(plan: &Plan, network: &Network, accelerator: Accelerator, evidence: &Path) -> Self {
        let tap = network.tap();
        let arm = matches!(plan.firmware, Firmware::UefiArm64 | Firmware::UBootArm64);
        let program = if arm { "qemu-system-aarch64" } else { "qemu-system-x86_64" };
        let mut command = network.command("clients", program);
        if arm {
            bare_arm(&mut command)
        } else {
            bare(&mut command, accelerator)
        }
        firmware(&mut command, plan.firmware, accelerator, evidence);
        command.args(["-uuid", plan.uuid]);
        command.args(["-netdev", &format!("tap,id=lan,ifname={tap},script=no,downscript=no")]);
        let rom = if plan.firmware == Firmware::Bios { "" } else { ",romfile=" };
        command.args(["-device", &format!("virtio-net-pci,netdev=lan,mac={},bootindex=1{rom}", plan.mac)]);
        if let Some(disk) = &plan.disk {
            command.args(["-drive", &format!("if=none,id=disk,format=raw,file={}", disk.display())]);
            command.args(["-device", "virtio-blk-pci,drive=disk,bootindex=2"]);
        }
        if let Some(trusted) = &plan.trusted {
            command.args(["-fw_cfg", &format!("name=etc/edk2/https/cacerts,file={}", trusted.display())]);
        }
        // Paths of sockets are short.
        let monitor = std::env::temp_dir().join(format!("pointsman-{}-{tap}.monitor", std::process::id()));
        command.args(["-monitor", &format!("unix:{},server,nowait", monitor.display())]);
        let console = Transcript::new("serial console", &evidence.join(format!("serial-{tap}.log")));
        Self { _process: Process::start(command, &console), console, monitor }
    }

    /// Types letters and digits at its keyboard, and the keys that QEMU calls so: `<ret>`.
    pub(crate) fn types(&self, text: &str) {
        let mut monitor = UnixStream::connect(&self.monitor).expect("the monitor of a machine that is on");
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let (key, after) = match rest.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
                Some(named) => named,
                None => rest.split_at(first.len_utf8()),
            };
            monitor.write_all(format!("sendkey {key}\n").as_bytes()).expect("the monitor listens");
            rest = after;
            // A key is held for a tenth of a second, and firmware in emulation is slow to look.
            std::thread::sleep(Duration::from_millis(400));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.monitor);
    }
}

/// A machine with nothing but a processor, memory and a serial console.
fn bare(command: &mut Command, accelerator: Accelerator) {
    let (name, processor) = match accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        // EDK2 of some Debian releases hangs in emulation with five-level paging.
        Accelerator::Emulation => ("tcg", "max,la57=off"),
    };
    // graphics=off makes SeaBIOS use the serial line as its screen; EDK2 does so anyway.
    command.args(["-machine", &format!("q35,accel={name},graphics=off"), "-cpu", processor]);
    command.args(["-vga", "none"]);
    headless(command);
}

/// The same for ARM; it is always emulated.
fn bare_arm(command: &mut Command) {
    // Emulating pointer authentication as the architecture has it takes most of the time.
    command.args(["-machine", "virt,accel=tcg", "-cpu", "max,pauth-impdef=on"]);
    headless(command);
}

fn headless(command: &mut Command) {
    command.args(["-m", "1024", "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"]);
}

fn firmware(command: &mut Command, firmware: Firmware, accelerator: Accelerator, evidence: &Path) {
    if firmware == Firmware::Bios {
        return;
    }
    if firmware == Firmware::UBootArm64 {
        command.args(["-bios", "/usr/lib/u-boot/qemu_arm64/u-boot.bin", "-device", "virtio-rng-pci"]);
        return;
    }
    let variables = evidence.join(format!("uefi-variables-{accelerator:?}.fd"));
    let [code, template] = edk2(firmware);
    fs::copy(&template, &variables)
        .unwrap_or_else(|error| panic!("cannot copy {}: {error}; `tests/run` puts it there", template.display()));
    if matches!(firmware, Firmware::UefiX64Secure | Firmware::UefiIa32) {
        // Its variables are written in system management mode only.
        command.args(["-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"]);
        command.args(["-global", "ICH9-LPC.disable_s3=1"]);
    }
    let code = format!("if=pflash,format=raw,unit=0,readonly=on,file={}", code.display());
    let variables = format!("if=pflash,format=raw,unit=1,file={}", variables.display());
    command.args(["-drive", &code, "-drive", &variables]);
    // EDK2's TLS and newer PXE stacks refuse to run without a source of randomness.
    command.args(["-device", "virtio-rng-pci"]);
    // What a case does not serve is off: it would cost a machine a minute more.
    let off: &[&str] = match firmware {
        Firmware::Bios | Firmware::UBootArm64 => &[],
        Firmware::UefiX64 | Firmware::UefiX64Secure | Firmware::UefiIa32 | Firmware::UefiArm64 => &["IPv6PXESupport"],
        Firmware::UefiX64Http | Firmware::UefiX64Https => &["IPv6PXESupport", "IPv4PXESupport"],
        Firmware::UefiX64V6 => &["IPv4PXESupport"],
        Firmware::UefiX64HttpV6 => &["IPv6PXESupport", "IPv4PXESupport", "IPv4Support"],
    };
    if firmware == Firmware::UefiX64HttpV6 {
        // HTTP Boot gives up at once where the card has not yet made sure of its address (EDK2 of 2022; PXE waits). On
        // real machines something else was tried before.
        command.args(["-boot", "menu=on,splash-time=6000"]);
    }
    for feature in off {
        command.args(["-fw_cfg", &format!("name=opt/org.tianocore/{feature},string=no")]);
    }
}

/// Whether both firmwares come up under KVM: within a virtual machine they often hang.
pub(crate) fn probe_kvm(scratch: &Path) -> Accelerator {
    const LIMIT: Duration = Duration::from_secs(10);
    if !Path::new("/dev/kvm").exists() {
        return Accelerator::Emulation;
    }
    let comes_up = |kind: Firmware, says: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "qemu-system-x86_64", "-nic", "none", "-monitor", "none"]);
        bare(&mut command, Accelerator::Kvm);
        firmware(&mut command, kind, Accelerator::Kvm, scratch);
        let console = Transcript::new("KVM probe", &scratch.join("kvm-probe.log"));
        let _machine = Process::start(command, &console);
        console.wait_for(LIMIT, |text| text.contains(says).then_some(())).is_ok()
    };
    if comes_up(Firmware::Bios, "No bootable device") && comes_up(Firmware::UefiX64, "BdsDxe") {
        Accelerator::Kvm
    } else {
        Accelerator::Emulation
    }
}
