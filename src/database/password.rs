//! The password of a database.
//!
//! **Invariant**: the one place below `cli` that reads the environment, and only the variable that the site named. A
//! password is in no error, no log line and no `Debug`.

use std::path::Path;

use crate::config::DatabaseSection;

/// The longest password, in octets.
const LEN_MAX: usize = 4096;

/// The password that `password_file` or `password_env` names; `None` without either.
///
/// # Errors
/// A sentence that says what is wrong, without the password.
pub(super) fn password(section: &DatabaseSection) -> Result<Option<String>, String> {
    let password = match (&section.password_file, &section.password_env) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err("`password_file` and `password_env` are both given; leave one of them out".into());
        }
        (Some(file), None) => of_file(file)?,
        (None, Some(variable)) => std::env::var(variable)
            .map_err(|_| format!("the environment variable `{variable}` of `password_env` is not set"))?,
    };
    match password {
        password if password.is_empty() => Err("the password is empty".into()),
        password if password.len() > LEN_MAX => Err(format!("the password is longer than {LEN_MAX} octets")),
        password => Ok(Some(password)),
    }
}

fn of_file(file: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("the password file {} cannot be read: {error}", file.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(file: Option<&Path>, variable: Option<&str>) -> Result<Option<String>, String> {
        let section = DatabaseSection {
            password_file: file.map(Path::to_owned),
            password_env: variable.map(str::to_owned),
            ..DatabaseSection::default()
        };
        password(&section)
    }

    #[test]
    fn is_the_first_line_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "s3cret \r\nsecond line\n").unwrap();
        assert_eq!(of(Some(&file), None), Ok(Some("s3cret ".into())));
        std::fs::write(&file, "\nsecond line\n").unwrap();
        assert_eq!(of(Some(&file), None), Err("the password is empty".into()));
    }

    #[test]
    fn says_which_place_is_missing() {
        assert_eq!(of(None, None), Ok(None));
        assert!(of(Some(Path::new("/nowhere/password")), None).unwrap_err().contains("/nowhere/password"));
        assert!(of(None, Some("POINTSMAN_TEST_NOT_SET")).unwrap_err().contains("POINTSMAN_TEST_NOT_SET"));
        assert!(of(Some(Path::new("a")), Some("B")).unwrap_err().contains("both"));
    }

    #[test]
    fn may_be_in_the_environment() {
        // Cargo sets it for every test.
        assert_eq!(of(None, Some("CARGO_PKG_NAME")), Ok(Some("pointsman".into())));
    }
}
