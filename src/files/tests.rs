use std::fs;
use std::os::unix::fs::symlink;

use super::*;

struct Site {
    root: tempfile::TempDir,
    outside: tempfile::TempDir,
    files: FileRoot,
}

fn site() -> Site {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("Boot/Fonts")).unwrap();
    fs::write(root.path().join("Boot/BCD"), "bcd").unwrap();
    fs::write(root.path().join("ipxe.efi"), "loader").unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    symlink(outside.path().join("secret"), root.path().join("absolute")).unwrap();
    symlink("../secret", root.path().join("relative")).unwrap();
    symlink(outside.path(), root.path().join("out")).unwrap();
    symlink("/proc/self/environ", root.path().join("magic")).unwrap();
    symlink("Boot/BCD", root.path().join("inside")).unwrap();
    symlink("turn", root.path().join("turn")).unwrap();
    let files = FileRoot::new(root.path()).unwrap();
    Site { root, outside, files }
}

impl Site {
    async fn read(&self, name: &str) -> Result<String, OpenError> {
        let content = self.files.open(&name.parse().unwrap()).await?;
        let bytes = content.read_at(0, usize::MAX).await.unwrap();
        assert_eq!(bytes.len() as u64, content.len());
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }
}

#[tokio::test]
async fn serves_files_beneath_the_root_whatever_the_case() {
    let site = site();
    for name in [r"\Boot\BCD", "/boot/bcd", r"BOOT\bcd", "Boot/BCD", "inside"] {
        assert_eq!(site.read(name).await.unwrap(), "bcd", "{name}");
    }
    assert_eq!(site.read("IPXE.EFI").await.unwrap(), "loader");
}

#[tokio::test]
async fn nothing_outside_the_root_is_read() {
    let site = site();
    assert!(site.outside.path().join("secret").exists());
    for name in ["absolute", "relative", "out/secret", "OUT/secret", "magic", "turn"] {
        let error = site.read(name).await.unwrap_err();
        assert!(matches!(error, OpenError::Denied | OpenError::NotFound), "{name}: {error:?}");
    }
}

#[tokio::test]
async fn only_regular_files_are_served() {
    let site = site();
    nix::unistd::mkfifo(&site.root.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for name in ["Boot", "Boot/Fonts", "pipe"] {
        let error = site.read(name).await.unwrap_err();
        assert!(matches!(error, OpenError::Denied), "{name}: {error:?}");
    }
    for name in ["nosuch", "Boot/nosuch", "ipxe.efi/x"] {
        let error = site.read(name).await.unwrap_err();
        assert!(matches!(error, OpenError::NotFound), "{name}: {error:?}");
    }
}

#[tokio::test]
async fn a_changed_file_is_read_anew_and_an_open_content_stays() {
    let site = site();
    let name: FileName = "ipxe.efi".parse().unwrap();
    let old = site.files.open(&name).await.unwrap();
    let again = site.files.open(&name).await.unwrap();
    assert_eq!(old.as_memory().unwrap().as_ptr(), again.as_memory().unwrap().as_ptr());
    assert_eq!(old.etag(), again.etag());
    let path = site.root.path().join("ipxe.efi");
    fs::write(site.root.path().join("new"), "LOADER 2").unwrap();
    fs::rename(site.root.path().join("new"), path).unwrap();
    assert_eq!(site.read("ipxe.efi").await.unwrap(), "LOADER 2");
    assert_ne!(site.files.open(&name).await.unwrap().etag(), old.etag());
    assert_eq!(old.as_memory().unwrap(), "loader");
}

#[tokio::test]
async fn a_large_file_is_read_in_pieces() {
    let site = site();
    let whole: Vec<u8> = (0..9 * 1024 * 1024_u32).map(|i| (i / 7) as u8).collect();
    fs::write(site.root.path().join("big.wim"), &whole).unwrap();
    let content = site.files.open(&"BIG.WIM".parse().unwrap()).await.unwrap();
    assert!(content.as_memory().is_none());
    assert_eq!(content.len(), whole.len() as u64);
    let piece = content.read_at(8_000_000, 70_000).await.unwrap();
    assert_eq!(piece, whole[8_000_000..8_070_000]);
    let end = content.read_at(content.len() - 3, 100).await.unwrap();
    assert_eq!(end, whole[whole.len() - 3..]);
    assert!(content.read_at(content.len() + 5, 100).await.unwrap().is_empty());
}

#[tokio::test]
async fn content_of_our_own_is_tagged_by_what_it_says() {
    let a = Content::from_bytes("#!ipxe\n");
    assert_eq!(a.etag(), Content::from_bytes("#!ipxe\n").etag());
    assert_ne!(a.etag(), Content::from_bytes("#!ipxe").etag());
    assert!(a.etag().starts_with('"') && a.etag().ends_with('"'));
    assert_eq!(a.read_at(2, 4).await.unwrap(), "ipxe");
    assert!(a.read_at(99, 4).await.unwrap().is_empty());
}
