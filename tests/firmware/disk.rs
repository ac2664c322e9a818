//! Own disks for machines, and a loader: the smallest things that firmware boots and that say so on the console.
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
    write(&application, &efi_application(Bits::X64));
    write(&path, &vec![0; SECTOR * SECTORS]);
    let (image, file) = (path.to_string_lossy(), application.to_string_lossy());
    run("mformat", &["-i", &image, "-f", "1440", "::"]);
    run("mmd", &["-i", &image, "::EFI", "::EFI/BOOT"]);
    run("mcopy", &["-i", &image, &file, "::EFI/BOOT/BOOTX64.EFI"]);
    path
}

/// Writes a boot loader for 32-bit UEFI, as Debian has none that gets further behind a proxy. It prints the same.
pub(crate) fn ia32_loader(path: &Path) {
    write(path, &efi_application(Bits::Ia32));
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

/// The width of a UEFI application.
#[derive(Clone, Copy, PartialEq)]
enum Bits {
    Ia32,
    X64,
}

/// An application (UEFI 2.10 section 2.1.1) that prints the message and shuts down.
fn efi_application(bits: Bits) -> Vec<u8> {
    const IA32: [u8; 41] = [
        0x8b, 0x5c, 0x24, 0x08, // mov ebx, [esp + 8]: the system table
        0x8b, 0x43, 0x2c, // mov eax, [ebx + ConOut]
        0xe8, 0x00, 0x00, 0x00, 0x00, // call next
        0x59, // next: pop ecx
        0x83, 0xc1, 0x1d, // add ecx, message - next
        0x51, 0x50, // push ecx, eax
        0xff, 0x50, 0x04, // call [eax + OutputString]
        0x83, 0xc4, 0x08, // add esp, the arguments
        0x8b, 0x43, 0x38, // mov eax, [ebx + RuntimeServices]
        0x6a, 0x00, 0x6a, 0x00, 0x6a, 0x00, 0x6a, 0x02, // push 0, 0, 0, EfiResetShutdown
        0xff, 0x50, 0x40, // call [eax + ResetSystem]
        0xf4, // halt: hlt
        0xeb, 0xfd, // jmp halt
    ];
    const X64: [u8; 44] = [
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
    let mut section = if bits == Bits::Ia32 { IA32.to_vec() } else { X64.to_vec() };
    section.extend(message.encode_utf16().flat_map(u16::to_le_bytes));
    section.resize(SECTOR, 0);
    let mut image = efi_headers(bits);
    image.resize(SECTOR, 0);
    image.extend(section);
    image
}

/// DOS stub, COFF header, optional header (PE32 or PE32+) and the one section header.
fn efi_headers(bits: Bits) -> Vec<u8> {
    const PE_OFFSET: u32 = 0x40;
    const PAGE: u32 = 0x1000;
    const RAW: u32 = SECTOR as u32;
    let is_wide = bits == Bits::X64;
    let (machine, flags, magic) = if is_wide { (0x8664_u16, 0x22_u16, 0x20b_u16) } else { (0x14c, 0x102, 0x10b) };
    let optional_header: u16 = if is_wide { 0xf0 } else { 0xe0 };
    // PE32 has the base of its data too, and numbers half as wide.
    let (bases, sizes): (&[u8], &[u8]) = if is_wide { (&[0; 8], &[0; 32]) } else { (&[0; 8], &[0; 16]) };
    let mut bytes = b"MZ".to_vec();
    bytes.resize(0x3c, 0);
    let mut put = |fields: &[&[u8]]| bytes.extend(fields.concat());
    put(&[&PE_OFFSET.to_le_bytes(), b"PE\0\0"]);
    // one section, no time stamp, no symbols, executable
    put(&[&machine.to_le_bytes(), &1_u16.to_le_bytes(), &[0; 12]]);
    put(&[&optional_header.to_le_bytes(), &flags.to_le_bytes()]);
    // linker version, sizes of code and data, entry point, base of code
    put(&[&magic.to_le_bytes(), &[0; 2], &RAW.to_le_bytes(), &[0; 8]]);
    put(&[&PAGE.to_le_bytes(), &PAGE.to_le_bytes()]);
    // image base, section and file alignment, versions, image and header size, checksum
    put(&[bases, &PAGE.to_le_bytes(), &RAW.to_le_bytes(), &[0; 16]]);
    put(&[&(2 * PAGE).to_le_bytes(), &RAW.to_le_bytes(), &[0; 4]]);
    // subsystem: EFI application; no flags; stack and heap sizes; loader flags; 16 empty directories
    put(&[&10_u16.to_le_bytes(), &[0; 2], sizes, &[0; 4], &16_u32.to_le_bytes(), &[0; 128]]);
    // .text: virtual size and address, raw size and place, code that can be read and run
    put(&[b".text\0\0\0", &RAW.to_le_bytes(), &PAGE.to_le_bytes()]);
    put(&[&RAW.to_le_bytes(), &RAW.to_le_bytes(), &[0; 12], &0x6000_0020_u32.to_le_bytes()]);
    bytes
}
