use super::*;

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, octets) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, octets).unwrap();
    }
    folder
}

fn name(text: &str) -> FileName {
    text.parse().unwrap()
}

fn read(folders: &[PathBuf], files: &[(Architecture, &str)]) -> Loaders {
    let files = files.iter().map(|(architecture, name)| (*architecture, (*name).to_owned()));
    Loaders::read(folders, &files.collect(), &BTreeMap::new(), &BTreeSet::new())
}

#[test]
fn finds_each_loader_in_the_first_folder_that_has_it() {
    let build = b"MZ\0iPXE/%s\0https\x001.21.1+git-2025\0";
    let (one, two) = (folder(&[("a.efi", build)]), folder(&[("a.efi", b"MZ"), ("b.kpxe", b"x")]));
    let files =
        [(Architecture::X64_UEFI, "a.efi"), (Architecture::X86_BIOS, "b.kpxe"), (Architecture::ARM64_UEFI, "c.efi")];
    let loaders = read(&[one.path().into(), two.path().into()], &files);
    let loader = loaders.of(Architecture::EBC).unwrap();
    assert_eq!((loader.version.as_deref(), loader.https), (Some("1.21.1+git-2025"), Some(true)));
    assert_eq!(loaders.of(Architecture::X64_UEFI_HTTP).unwrap().path, one.path().join("a.efi"));
    assert_eq!(loaders.of(Architecture::X86_BIOS).unwrap().version, None);
    assert!(loaders.of(Architecture::ARM64_UEFI).is_none());
    assert_eq!(loaders.missing()[0].name, "c.efi");
    assert!(loaders.open(&name("A.EFI")).is_some());
    assert!(loaders.open(&name("c.efi")).is_none());
}

#[test]
fn what_is_no_loader_is_told() {
    let empty = folder(&[("a.efi", b"")]);
    let loaders = read(&[empty.path().into()], &[(Architecture::X64_UEFI, "a.efi"), (Architecture::X86_BIOS, "../x")]);
    assert!(loaders.missing()[0].why.contains("..") && loaders.missing()[1].why.contains("0 octets"));
    assert!(loaders.named(&name("a.efi")).is_none());
}

#[test]
fn every_file_of_the_folders_has_its_name() {
    let (own, theirs) =
        (folder(&[("x/y/z.mod", b"deep"), ("x/y/z/too/far", b"x")]), folder(&[("UNDIONLY.kkpxe", b"kk")]));
    let loaders = read(&[own.path().into(), theirs.path().into()], &[]);
    assert_eq!(loaders.named(&name("undionly.KKPXE")).unwrap().name, name("UNDIONLY.kkpxe"));
    assert_eq!(loaders.open(&name("x/y/z.mod")).unwrap().len(), 4);
    // Beside the loader, wherever it looks.
    assert_eq!(loaders.open(&name("boot/syslinux/undionly.kkpxe")).unwrap().len(), 2);
    assert!(loaders.open(&name("x/y/z/too/far")).is_none() && loaders.open(&name("z.mod")).is_none());
}

#[test]
fn a_name_may_stand_for_a_file_elsewhere() {
    let (own, signed) = (folder(&[("grubx64.efi", b"ours")]), folder(&[("grubnetx64.efi.signed", b"signed")]));
    let names = [
        (name("grubx64.efi"), signed.path().join("grubnetx64.efi.signed")),
        (name("shimx64.efi"), signed.path().join("absent")),
        (name("mmx64.efi"), signed.path().join("absent")),
    ];
    let files = [(Architecture::X64_UEFI, "grubx64.efi".to_owned())].into();
    let needs = [name("shimx64.efi")].into();
    let loaders = Loaders::read(&[own.path().into()], &files, &names.into(), &needs);
    assert_eq!(loaders.of(Architecture::X64_UEFI).unwrap().content.len(), 6);
    assert_eq!(loaders.open(&name("grubx64.efi")).unwrap().len(), 6);
    // What the defaults name and this machine does not have is nothing to tell.
    let missing: Vec<_> = loaders.missing().iter().map(|missing| missing.name.as_str()).collect();
    assert_eq!(missing, ["shimx64.efi"]);
}
