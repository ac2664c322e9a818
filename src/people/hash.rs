//! Hashes of PINs and passwords: argon2id, as PHC strings.
//!
//! **Invariant**: a comparison runs on a thread of its own, a few at a time, so that somebody who tries many answers
//! takes neither the processor nor the memory from those who boot. It takes as long for a name that nobody has.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

/// How many comparisons run at a time.
const AT_ONCE: usize = 2;
/// How long somebody waits for a turn.
const TURN_TIME_MAX: Duration = Duration::from_secs(10);
/// The most memory of a hash, in kibibytes, and the most passes: what a configuration may make every answer cost.
const MEMORY_MAX_KIB: u32 = 256 * 1024;
const PASSES_MAX: u32 = 16;
/// What is compared where there is no hash of anybody; nobody knows what it was made of.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGF0IGFsbA$EFN3D4OpkbWKGJ7cjxPSmEh8fTJmyEdQ4hnGWhnG1HE";

/// A hash that was read and can be compared with.
#[derive(Clone)]
pub struct SecretHash(Arc<str>);

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash")
    }
}

/// Why a text is no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Something else, perhaps the secret itself.
    #[error("this is no argon2id hash; a PIN or password is never written as it is")]
    NotAHash,
    /// Comparing it would take too much.
    #[error("this hash takes more than 256 MiB or 16 passes to compare")]
    TooCostly,
}

impl SecretHash {
    /// Reads a hash.
    ///
    /// # Errors
    /// When it is none, or would cost too much.
    pub fn read(text: &str) -> Result<SecretHash, HashError> {
        let hash = PasswordHash::new(text).map_err(|_| HashError::NotAHash)?;
        if hash.algorithm.as_str() != "argon2id" || hash.hash.is_none() || hash.salt.is_none() {
            return Err(HashError::NotAHash);
        }
        let params = argon2::Params::try_from(&hash).map_err(|_| HashError::NotAHash)?;
        if params.m_cost() > MEMORY_MAX_KIB || params.t_cost() > PASSES_MAX || params.p_cost() > 16 {
            return Err(HashError::TooCostly);
        }
        Ok(SecretHash(text.into()))
    }

    /// Makes the hash of a secret. Takes some tens of milliseconds.
    ///
    /// # Errors
    /// When the operating system has no random numbers or no memory to give.
    pub fn text_of(secret: &str) -> Result<String, String> {
        let hash: PasswordHash =
            Argon2::default().hash_password(secret.as_bytes()).map_err(|error| error.to_string())?;
        Ok(hash.to_string())
    }

    fn is_of(&self, secret: &str) -> bool {
        let Ok(hash) = PasswordHash::new(&self.0) else { return false };
        Argon2::default().verify_password(secret.as_bytes(), &hash).is_ok()
    }
}

/// Compares, a few at a time.
pub(super) struct Comparer {
    turns: Arc<Semaphore>,
    /// What stands in for the hash of a name that nobody has: one of the site's, so that it takes as long.
    nobody: SecretHash,
}

impl Comparer {
    /// A comparer; the stand-in costs what `like` costs.
    pub(super) fn new(like: Option<&SecretHash>) -> Comparer {
        let nobody = like.cloned().unwrap_or_else(|| SecretHash(NOBODY.into()));
        Comparer { turns: Arc::new(Semaphore::new(AT_ONCE)), nobody }
    }

    /// Which of these hashes are of the secret; all are compared. None when it was not a name's turn in time.
    pub(super) async fn compare(&self, secret: &str, hashes: Vec<SecretHash>) -> Option<Vec<bool>> {
        let turn = tokio::time::timeout(TURN_TIME_MAX, Arc::clone(&self.turns).acquire_owned()).await.ok()?.ok()?;
        let secret = secret.to_owned();
        // The turn goes with the work: it cannot be cancelled, only end.
        let work = move || (turn, hashes.iter().map(|hash| hash.is_of(&secret)).collect()).1;
        tokio::task::spawn_blocking(work).await.ok()
    }

    /// Takes as long as a comparison, and is never true.
    pub(super) async fn compare_with_nobody(&self, secret: &str) -> Option<()> {
        self.compare(secret, vec![self.nobody.clone()]).await.map(drop)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The cheapest hash there is.
    pub(in crate::people) fn cheap(secret: &str) -> String {
        let params = argon2::Params::new(8, 1, 1, None).unwrap();
        let hash: PasswordHash = Argon2::from(params).hash_password(secret.as_bytes()).unwrap();
        hash.to_string()
    }

    #[tokio::test]
    async fn only_the_secret_fits_its_hash() {
        let [pin, other] = ["2468", "1357"].map(|secret| SecretHash::read(&cheap(secret)).unwrap());
        let comparer = Comparer::new(Some(&pin));
        assert_eq!(comparer.compare("1357", vec![pin.clone(), other.clone()]).await, Some(vec![false, true]));
        assert_eq!(comparer.compare("", vec![pin.clone(), other]).await, Some(vec![false, false]));
        assert_eq!(comparer.compare_with_nobody("2468").await, Some(()));
        assert_eq!(format!("{pin:?}"), "SecretHash");
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        assert!(SecretHash::read(NOBODY).is_ok());
        for plain in
            ["", "1234", "$argon2id$", "$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng", "$1$a$b"]
        {
            assert_eq!(SecretHash::read(plain).unwrap_err(), HashError::NotAHash, "{plain}");
        }
        let costly = NOBODY.replace("m=19456", "m=4194304");
        assert_eq!(SecretHash::read(&costly).unwrap_err(), HashError::TooCostly);
    }

    #[test]
    fn every_hash_has_its_own_salt() {
        assert_ne!(cheap("x"), cheap("x"));
    }
}
