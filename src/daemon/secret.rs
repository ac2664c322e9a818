//! The key that signs session tokens, kept in the state folder so that a restart does not break boots under way.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};

use crate::decision::TokenKey;

const FILE: &str = "token.key";

/// Reads the key of a state folder, or makes one.
pub(super) fn token_key(state: &Path) -> anyhow::Result<TokenKey> {
    let path = state.join(FILE);
    let secret = match std::fs::read(&path) {
        Ok(octets) => match <[u8; TokenKey::LEN]>::try_from(octets) {
            Ok(secret) => secret,
            Err(octets) => {
                bail!(
                    "server.state: {} has {} octets instead of {}; remove it to make a new one",
                    path.display(),
                    octets.len(),
                    TokenKey::LEN
                )
            }
        },
        Err(error) if error.kind() == ErrorKind::NotFound => make(state, &path)?,
        Err(error) => {
            return Err(error).with_context(|| {
                format!("server.state: cannot read {}; name a folder that this user may read and write", path.display())
            });
        }
    };
    Ok(TokenKey::new(&secret))
}

fn make(state: &Path, path: &Path) -> anyhow::Result<[u8; TokenKey::LEN]> {
    let secret = TokenKey::random_secret()?;
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(state)?;
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&secret)?;
        file.sync_all()
    };
    write().with_context(|| format!("server.state: cannot write {}", path.display()))?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        assert!(token_key(&state).is_ok());
        let first = std::fs::read(state.join(FILE)).unwrap();
        assert!(token_key(&state).is_ok());
        assert_eq!(std::fs::read(state.join(FILE)).unwrap(), first);
        std::fs::write(state.join(FILE), b"short").unwrap();
        let error = token_key(&state).err().unwrap().to_string();
        assert!(error.contains("5 octets instead of 32"), "{error}");
    }
}
