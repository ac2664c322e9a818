//! The digest in a file as `sha256sum` writes it.
//!
//! **Invariant**: a digest that stands beside another name is never taken.

use crate::boot::FileName;
use crate::cache::Sha256;

/// The digest of this file. It may stand alone, with `-` (from standard input), or with the file's name whatever folder is
/// before it; in both of the forms that `sha256sum` has.
pub(super) fn find(text: &str, file: &FileName) -> Option<Sha256> {
    text.lines().filter_map(read).find_map(|(name, digest)| match name {
        "" | "-" => Some(digest),
        // A name with a backslash in it is written with two.
        name => {
            let is_this = name.rsplit(['/', '\\']).next() == Some(file.last());
            is_this.then_some(digest)
        }
    })
}

fn read(line: &str) -> Option<(&str, Sha256)> {
    let line = line.trim_start_matches('\\').trim();
    if let Some(tagged) = line.strip_prefix("SHA256 (") {
        let (name, digest) = tagged.rsplit_once(") = ")?;
        return Some((name, digest.parse().ok()?));
    }
    let (digest, name) = line.split_once(' ').unwrap_or((line, ""));
    // A space or a star says how the file was read.
    let name = name.strip_prefix(['*', ' ']).unwrap_or(name).trim();
    Some((name, digest.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digests_are_found_as_sha256sum_writes_them() {
        let file: FileName = "debian/linux".parse().unwrap();
        let (this, other) = ("ab".repeat(32), "cd".repeat(32));
        for text in [
            this.clone(),
            format!("{this}\n"),
            format!("{this}  -\n"),
            format!("{this}  linux\n"),
            format!("{this} *debian/linux\r\n"),
            format!("{this}  ./x/linux\n"),
            format!("\\{this}  a\\\\linux\n"),
            format!("SHA256 (linux) = {this}\n"),
            format!("{other}  initrd.gz\n{this}  linux\n"),
            format!("# made by make\n{}  linux\n", this.to_uppercase()),
        ] {
            assert_eq!(find(&text, &file).map(|digest| digest.to_string()), Some(this.clone()), "{text}");
        }
        for text in ["", "\n", "linux", &this[1..], &format!("{other}  initrd.gz\n"), &format!("SHA256 (x) = {this}")] {
            assert_eq!(find(text, &file), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_a_digest_or_none(text in "\\PC{0,80}|SHA256 \\(\\PC{0,9}\\) = [0-9a-f]{60,66}|[0-9a-f]{64} [ *]\\PC{0,9}") {
            let _ = find(&text, &"linux".parse().unwrap());
        }
    }
}
