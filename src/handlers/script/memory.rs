//! How large the process is: the one limit on memory that Rhai cannot give.
//!
//! Rhai bounds one value, not how many copies of it a script keeps (`map[key] = value` is never measured), and an
//! allocator that counts would need unsafe code. So long runs watch the process instead.

use std::io::{Read, Seek, SeekFrom};

/// Resident memory of the process in octets, where the system tells.
pub(super) fn resident() -> Option<usize> {
    let mut file = std::fs::File::open("/proc/self/statm").ok()?;
    let mut text = [0; 128];
    file.seek(SeekFrom::Start(0)).ok()?;
    let len = file.read(&mut text).ok()?;
    let pages: usize = std::str::from_utf8(text.get(..len)?).ok()?.split(' ').nth(1)?.parse().ok()?;
    pages.checked_mul(PAGE_LEN)
}

/// The page of x86 and of most arm64 kernels; with larger pages the limit is as much higher.
const PAGE_LEN: usize = 4096;

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn knows_the_size_of_this_process() {
        let before = super::resident().unwrap();
        let grown = std::hint::black_box(vec![1u8; 64 << 20]);
        assert!(super::resident().unwrap() >= before + (32 << 20), "{before} {}", grown.len());
    }
}
