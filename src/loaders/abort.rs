//! A boot program for BIOS machines that may not boot: it says so and ends at once, so that the machine goes on to its next
//! boot device without waiting for an answer that never comes.
//!
//! The ROM loads a boot program to 0000:7C00 and calls it far. One that returns far with AX = 0 has nothing more to do: the
//! ROM removes itself and goes on (PXE 2.1, section 4.4.5; `localboot 0` of PXELINUX ends in the same way).
//!
//! **Invariant**: pure; the text is ASCII, and the whole has one sector.

use crate::boot::Line;

/// The name that denied machines are told. ROMs care for no name, and it is in no folder.
pub const ABORT: &str = "abort.0";

/// Octets of the program: ROMs that load by sectors take a whole one.
const LEN: usize = 512;

/// The machine code of an 8086; what it shows stands behind it and ends with a zero.
const CODE: [u8; 31] = [
    0x60, //             pusha              the ROM wants its registers back
    0x1e, //             push ds
    0xfc, //             cld
    0x0e, //             push cs
    0x1f, //             pop ds             the text is where the code is
    0xe8, 0x00, 0x00, // call next          some ROMs call 07C0:0000, so the place is asked for
    0x5e, //       next: pop si
    0x83, 0xc6, 0x17, // add si, text - next
    0xac, //       char: lodsb
    0x84, 0xc0, //       test al, al
    0x74, 0x09, //       jz done
    0xb4, 0x0e, //       mov ah, 0Eh        teletype
    0xbb, 0x07, 0x00, // mov bx, 7          page 0, gray
    0xcd, 0x10, //       int 10h            BIOS video
    0xeb, 0xf2, //       jmp char
    0x1f, //       done: pop ds
    0x61, //             popa
    0x31, 0xc0, //       xor ax, ax         success: nothing stays in memory
    0xcb, //             retf
];

/// What is shown before the reason.
const WHAT: &str = "\r\nThis machine may not boot from the network.\r\n";
/// Characters of the reason.
const REASON_MAX: usize = 300;

/// The program that shows this reason.
pub fn abort_program(reason: &Line) -> Vec<u8> {
    let reason = reason.as_str().chars().map(|c| if matches!(c, ' '..='~') { c as u8 } else { b'?' }).take(REASON_MAX);
    let mut program = [&CODE[..], WHAT.as_bytes()].concat();
    program.extend(reason);
    program.extend(b"\r\n\0");
    program.resize(LEN, 0);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the instructions that are in [`CODE`] do.
    fn run(program: &[u8]) -> (String, u16) {
        let (mut at, mut si, mut ax, mut stack, mut shown) = (0_usize, 0_usize, 0xffff_u16, Vec::new(), Vec::new());
        let jump = |at: usize, by: u8| at.checked_add_signed(isize::from(by as i8)).unwrap();
        for _ in 0..20_000 {
            let [op, one, two, ..] = program[at..] else { panic!("it left its sector") };
            at += 1;
            match (op, one, two) {
                (0x60 | 0x1e | 0xfc | 0x0e | 0x1f | 0x61, ..) => {}
                (0xe8, 0, 0) => {
                    at += 2;
                    stack.push(at);
                }
                (0x5e, ..) => si = stack.pop().unwrap(),
                (0x83, 0xc6, by) => (at, si) = (at + 2, si + usize::from(by)),
                (0xac, ..) => (ax, si) = ((ax & 0xff00) | u16::from(program[si]), si + 1),
                (0x84, 0xc0, _) => at += 1,
                (0x74, by, _) => at = if ax & 0xff == 0 { jump(at + 1, by) } else { at + 1 },
                (0xb4, 0x0e, _) => (at, ax) = (at + 1, (ax & 0xff) | 0x0e00),
                (0xbb, 7, 0) => at += 2,
                (0xcd, 0x10, _) => {
                    assert_eq!(ax >> 8, 0x0e);
                    shown.push(ax as u8);
                    at += 1;
                }
                (0xeb, by, _) => at = jump(at + 1, by),
                (0x31, 0xc0, _) => (at, ax) = (at + 1, 0),
                (0xcb, ..) => return (String::from_utf8(shown).unwrap(), ax),
                other => panic!("no such instruction: {other:x?}"),
            }
        }
        panic!("it never ends");
    }

    #[test]
    fn it_says_why_and_returns_with_success() {
        let said = run(&abort_program(&Line::clean("not in the list: Büro 7")));
        let text = "\r\nThis machine may not boot from the network.\r\nnot in the list: B?ro 7\r\n";
        assert_eq!(said, (text.to_owned(), 0));
        let long = abort_program(&Line::clean(&"x".repeat(4000)));
        assert_eq!((long.len(), run(&long).1), (LEN, 0));
    }
}
