//! What the machines are made of: firmware, kernels, loaders, prepared once by `tests/firmware/prepare`.
//!
//! Everything is Debian's: firmware and iPXE as its packages hold them, a cloud kernel, and an
//! initramfs of busybox that prints [`BOOTED`] and the kernel's command line.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::machine::{Accelerator, probe_kvm};

/// What the tiny initramfs prints first.
pub(crate) const BOOTED: &str = "POINTSMAN-LAB BOOTED";
/// What it prints before the kernel's command line.
pub(crate) const COMMAND_LINE: &str = "POINTSMAN-LAB CMDLINE";

/// How many machines run at once: each is busy emulating a processor.
const MACHINES_MAX: usize = 2;

/// Programs of the lab; without one of them nothing is tested.
const PROGRAMS: [&str; 12] = [
    "ip",
    "sysctl",
    "ethtool",
    "setpriv",
    "dnsmasq",
    "dhcrelay",
    "tcpdump",
    "qemu-system-x86_64",
    "qemu-system-aarch64",
    "mformat",
    "mcopy",
    "mmd",
];

/// Where things are.
pub(crate) struct Assets {
    root: PathBuf,
}

impl Assets {
    /// Finds what was prepared, or says how to prepare it. `None` when firmware boots are switched off.
    pub(crate) fn find() -> Option<Self> {
        if env::var_os("POINTSMAN_SKIP_FIRMWARE").is_some_and(|value| value == "1") {
            eprintln!("!!! NOT TESTED: POINTSMAN_SKIP_FIRMWARE=1 switches the firmware boots off");
            return None;
        }
        assert!(
            nix::unistd::Uid::effective().is_root(),
            "firmware boots make network namespaces and need root: run `tests/run` as root, \
             or leave them out with POINTSMAN_SKIP_FIRMWARE=1"
        );
        for program in PROGRAMS {
            assert!(
                is_installed(program),
                "firmware boots need the program {program}: `tests/run` installs it by apt-get \
                 (or leave them out with POINTSMAN_SKIP_FIRMWARE=1)"
            );
        }
        let assets = Self { root: target().join("cache") };
        for file in [assets.kernel(), assets.initramfs(), assets.trixie_loaders()] {
            assert!(
                file.exists(),
                "{} is missing: `tests/run` prepares it (or tests/firmware/prepare alone)",
                file.display()
            );
        }
        Some(assets)
    }

    /// The kernel that the tests boot.
    pub(crate) fn kernel(&self) -> PathBuf {
        self.root.join("vmlinuz")
    }

    /// The initramfs that prints the marker.
    pub(crate) fn initramfs(&self) -> PathBuf {
        self.root.join("initramfs.gz")
    }

    /// Debian's network installer: `linux` and `initrd.gz`.
    pub(crate) fn installer(&self) -> PathBuf {
        self.root.join("installer")
    }

    /// iPXE of Debian 13 (2025, HTTPS).
    pub(crate) fn trixie_loaders(&self) -> PathBuf {
        self.root.join("trixie/usr/lib/ipxe")
    }

    /// The configuration of the signed loaders of Debian 13 under the names that shim knows: GRUB 2.12, which takes a
    /// proxy's offer. That of Debian 12 stops at its prompt.
    pub(crate) fn trixie_signed(&self) -> String {
        let path = |file: &str| self.root.join("trixie/usr/lib").join(file).display().to_string();
        format!(
            "[loaders.names]\n\"shimx64.efi\" = {:?}\n\"grubx64.efi\" = {:?}\n",
            path("shim/shimx64.efi.signed"),
            path("grub/x86_64-efi-signed/grubnetx64.efi.signed")
        )
    }

    /// Whether machines can use KVM; tried once on each start of this computer.
    pub(crate) fn accelerator(&self) -> Accelerator {
        let _alone = lock(&self.root.join("accelerator.lock"));
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let note = self.root.join("accelerator");
        for known in [Accelerator::Kvm, Accelerator::Emulation] {
            if fs::read_to_string(&note).is_ok_and(|text| text == format!("{boot}{known:?}")) {
                return known;
            }
        }
        let found = probe_kvm(&self.root);
        fs::write(&note, format!("{boot}{found:?}")).expect("the cache folder can be written");
        found
    }

    /// Waits for one of the places for machines; it is free again when the file is dropped.
    pub(crate) fn place(&self) -> File {
        const POLL: Duration = Duration::from_millis(200);
        let places: Vec<File> =
            (0..MACHINES_MAX).map(|number| open_lock(&self.root.join(format!("place-{number}.lock")))).collect();
        loop {
            for place in &places {
                if place.try_lock().is_ok() {
                    return place.try_clone().expect("a lock file can be opened twice");
                }
            }
            // Other test processes hold the places; the kernel offers no wait for any of several.
            thread::sleep(POLL);
        }
    }
}

/// The folder with the UEFI firmware of Debian unstable (2026, TLS with elliptic curves).
pub(crate) fn newest_edk2() -> PathBuf {
    target().join("cache/ovmf-sid/usr/share/OVMF")
}

/// The folder of all that firmware tests write.
pub(crate) fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/firmware")
}

fn is_installed(program: &str) -> bool {
    Command::new("sh").args(["-c", "command -v \"$0\"", program]).output().is_ok_and(|output| output.status.success())
}

fn open_lock(path: &Path) -> File {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()))
}

fn lock(path: &Path) -> File {
    let file = open_lock(path);
    file.lock().unwrap_or_else(|error| panic!("cannot lock {}: {error}", path.display()));
    file
}
