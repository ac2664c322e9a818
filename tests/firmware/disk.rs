//! Own disks for machines: the smallest things that firmware boots and that say so on the console.
//!
//! The disk prints [`OWN_DISK`] and no more: that proves that a denied machine went on to it,
//! without the time that an operating system would take.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::run;

/// What a machine prints when it booted from its own disk.
pub(crate) const OWN_DISK: &str = "POINTSMAN-LAB OWN DISK";

const SECTOR: usize = 512;
const SECTORS: usize = 2880;

/// Writes a disk that a BIOS boots: one boot sector.
pub(crate) fn bios(directory: &Path) -> PathBuf {
    let path = directory.join("own-disk-bios.img");
    let mut disk = boot_sector().to_vec();
    disk.resize(SECTOR * SECTORS, 0);
    write(&path, &disk);
    path
}

/// Writes a disk that UEFI boots: a FAT file system with `\EFI\BOOT\BOOTX64.EFI`.
pub(crate) fn uefi(directory: &Path) -> PathBuf {
    let path = directory.join("own-disk-uefi.img");
    let application = directory.join("BOOTX64.EFI");
    write(&application, &efi_application());
    write(&path, &vec![0; SECTOR * SECTORS]);
    let (image, file) = (path.to_string_lossy(), application.to_string_lossy());
    run("mformat", &["-i", &image, "-f", "1440", "::"]);
    run("mmd", &["-i", &image, "::EFI", "::EFI/BOOT"]);
    run("mcopy", &["-i", &image, &file, "::EFI/BOOT/BOOTX64.EFI"]);
    path
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

/// Prints the message by the BIOS teletype and waits for ever.
fn boot_sector() -> [u8; SECTOR] {
    const LOADED_AT: u16 = 0x7c00;
    const CODE: [u8; 26] = [
        0x31, 0xc0, // xor ax, ax
        0x8e, 0xd8, // mov ds, ax
        0xfc, // cld
        0xbe, 0x1a, 0x7c, // mov si, message
        0xac, // next: lodsb
        0x84, 0xc0, // test al, al
        0x74, 0x09, // jz done
        0xb4, 0x0e, // mov ah, teletype
        0xbb, 0x07, 0x00, // mov bx, page 0, light gray
        0xcd, 0x10, // int video
        0xeb, 0xf2, // jmp next
        0xfb, // done: sti, so that the BIOS goes on sending what it has buffered
        0xf4, // halt: hlt
        0xeb, 0xfd, // jmp halt
    ];
    let message = format!("\r\n{OWN_DISK}\r\n\0");
    let mut sector = [0; SECTOR];
    sector[..CODE.len()].copy_from_slice(&CODE);
    sector[CODE.len()..CODE.len() + message.len()].copy_from_slice(message.as_bytes());
    sector[SECTOR - 2..].copy_from_slice(&[0x55, 0xaa]);
    debug_assert_eq!(usize::from(LOADED_AT) + CODE.len(), 0x7c1a, "mov si above");
    sector
}

/// A PE32+ application (UEFI 2.10 section 2.1.1) that prints the message and shuts down.
fn efi_application() -> Vec<u8> {
    const CODE: [u8; 44] = [
        0x48, 0x83, 0xec, 0x28, // sub rsp, shadow space and alignment
        0x48, 0x89, 0xd3, // mov rbx, rdx: the system table
        0x48, 0x8b, 0x4a, 0x40, // mov rcx, [rdx + ConOut]
        0x48, 0x8d, 0x15, 0x1a, 0x00, 0x00, 0x00, // lea rdx, message
        0xff, 0x51, 0x08, // call [rcx + OutputString]
        0x48, 0x8b, 0x43, 0x58, // mov rax, [rbx + RuntimeServices]
        0xb9, 0x02, 0x00, 0x00, 0x00, // mov ecx, EfiResetShutdown
        0x31, 0xd2, // xor edx, edx
        0x45, 0x31, 0xc0, // xor r8d, r8d
        0x45, 0x31, 0xc9, // xor r9d, r9d
        0xff, 0x50, 0x68, // call [rax + ResetSystem]
        0xf4, // halt: hlt
        0xeb, 0xfd, // jmp halt
    ];
    let message = format!("\r\n{OWN_DISK}\r\n\0");
    let mut section = CODE.to_vec();
    section.extend(message.encode_utf16().flat_map(u16::to_le_bytes));
    section.resize(SECTOR, 0);
    let mut image = efi_headers();
    image.resize(SECTOR, 0);
    image.extend(section);
    image
}

/// DOS stub, COFF header, optional header and the one section header.
fn efi_headers() -> Vec<u8> {
    const PE_OFFSET: u32 = 0x40;
    const OPTIONAL_HEADER: u16 = 0xf0;
    const PAGE: u32 = 0x1000;
    const RAW: u32 = SECTOR as u32;
    let mut bytes = b"MZ".to_vec();
    bytes.resize(0x3c, 0);
    let mut put = |fields: &[&[u8]]| bytes.extend(fields.concat());
    put(&[&PE_OFFSET.to_le_bytes(), b"PE\0\0"]);
    // x86-64, one section, no time stamp, no symbols, executable and large address aware
    put(&[&0x8664_u16.to_le_bytes(), &1_u16.to_le_bytes(), &[0; 12]]);
    put(&[&OPTIONAL_HEADER.to_le_bytes(), &0x22_u16.to_le_bytes()]);
    // PE32+, linker version, sizes of code and data, entry point, base of code
    put(&[&0x20b_u16.to_le_bytes(), &[0; 2], &RAW.to_le_bytes(), &[0; 8]]);
    put(&[&PAGE.to_le_bytes(), &PAGE.to_le_bytes()]);
    // image base, section and file alignment, versions, image and header size, checksum
    put(&[&[0; 8], &PAGE.to_le_bytes(), &RAW.to_le_bytes(), &[0; 16]]);
    put(&[&(2 * PAGE).to_le_bytes(), &RAW.to_le_bytes(), &[0; 4]]);
    // subsystem: EFI application; no flags, stack and heap sizes, loader flags; 16 empty directories
    put(&[&10_u16.to_le_bytes(), &[0; 2 + 32 + 4], &16_u32.to_le_bytes(), &[0; 128]]);
    // .text: virtual size and address, raw size and place, code that can be read and run
    put(&[b".text\0\0\0", &RAW.to_le_bytes(), &PAGE.to_le_bytes()]);
    put(&[&RAW.to_le_bytes(), &RAW.to_le_bytes(), &[0; 12], &0x6000_0020_u32.to_le_bytes()]);
    bytes
}
