//! The directory of the site, asked by LDAP: finds a person, and binds as that person with what was typed.
//!
//! **Invariant**: everything goes through TLS, and the directory's certificate comes from the CA that was named. What was
//! typed enters a filter escaped, and a bind only when it is not empty.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, SearchOptions, ldap_escape};

use crate::boot::{Ask, Line};
use crate::config::LdapSection;
use crate::tls::{Trust, client_config};

/// LDAP's result code for a wrong password.
const INVALID_CREDENTIALS: u32 = 49;
/// Entries that a search may find.
const ENTRIES_MAX: i32 = 500;
/// The longest DN, in octets.
const DN_LEN_MAX: usize = 1024;

/// The directory.
pub(super) struct Directory {
    url: String,
    settings: LdapConnSettings,
    section: LdapSection,
    password: Option<String>,
    timeout: Duration,
}

/// Why the directory does not tell.
#[derive(Debug, thiserror::Error)]
pub(super) enum DirectoryError {
    /// It was not reached, or said no.
    #[error("{0}")]
    Failed(String),
    /// It is not there in time.
    #[error("no answer within {} ms", .0.as_millis())]
    Late(Duration),
    /// The one who looks people up is not let in.
    #[error("it does not let bind_dn in: {0}")]
    Bind(String),
    /// A name that is not one person's.
    #[error("the filter finds several people by one name")]
    Several,
    /// Groups that fit nowhere.
    #[error("a person is in more than {max} groups; name those that scripts ask for in people.ldap.groups", max = Ask::GROUPS_MAX)]
    Groups,
}

/// Somebody in the directory.
pub(super) struct Found {
    pub(super) dn: String,
    pub(super) name: Line,
    pub(super) groups: Vec<String>,
}

/// A connection on which people are looked up.
pub(super) struct Connected<'a> {
    directory: &'a Directory,
    ldap: Ldap,
}

impl Directory {
    /// The directory of a configuration; nothing is opened before it is used.
    ///
    /// # Errors
    /// What is wrong with its files, and what to do.
    pub(super) fn open(section: &LdapSection) -> Result<Directory, (String, String)> {
        let url = section.url.clone();
        let (settings, password) = (settings(section)?, password(section)?);
        let timeout = section.timeout.unwrap_or(LdapSection::TIMEOUT);
        Ok(Directory { url, settings, section: section.clone(), password, timeout })
    }

    /// Where it is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Connects, and begins to look people up.
    pub(super) async fn connect(&self) -> Result<Connected<'_>, DirectoryError> {
        let mut ldap = self.connection().await?;
        if let Some(password) = &self.password {
            let bound = ldap.with_timeout(self.timeout).simple_bind(&self.section.bind_dn, password);
            let bound = bound.await.map_err(|error| self.failed(&error))?;
            if bound.rc != 0 {
                return Err(DirectoryError::Bind(format!("result code {}", bound.rc)));
            }
        }
        Ok(Connected { directory: self, ldap })
    }

    async fn connection(&self) -> Result<Ldap, DirectoryError> {
        let connecting = LdapConnAsync::with_settings(self.settings.clone(), &self.url);
        let late = |_| DirectoryError::Late(self.timeout);
        let (connection, ldap) =
            tokio::time::timeout(self.timeout, connecting).await.map_err(late)?.map_err(|error| self.failed(&error))?;
        // It ends with the last handle.
        tokio::spawn(async move { connection.drive().await.unwrap_or_default() });
        Ok(ldap)
    }

    fn failed(&self, error: &LdapError) -> DirectoryError {
        match error {
            LdapError::Timeout { .. } => DirectoryError::Late(self.timeout),
            error => DirectoryError::Failed(error.to_string()),
        }
    }
}

fn settings(section: &LdapSection) -> Result<LdapConnSettings, (String, String)> {
    let timeout = section.timeout.unwrap_or(LdapSection::TIMEOUT);
    let ca = section.ca.as_deref().unwrap_or(Path::new(""));
    let wrong = |error: String| {
        let what = format!("people.ldap.ca: {}: {error}", ca.display());
        (what, "name the CA certificate of the directory, in PEM".to_owned())
    };
    let pem = std::fs::read_to_string(ca).map_err(|error| wrong(error.to_string()))?;
    let config = client_config(Trust::Ca(pem), None).map_err(|error| wrong(error.to_string()))?;
    let is_plain = section.url.starts_with("ldap://");
    Ok(LdapConnSettings::new().set_conn_timeout(timeout).set_config(Arc::new(config)).set_starttls(is_plain))
}

fn password(section: &LdapSection) -> Result<Option<String>, (String, String)> {
    let Some(file) = &section.password_file else { return Ok(None) };
    let wrong = |error: &str| {
        (
            format!("people.ldap.password_file: {}: {error}", file.display()),
            "write the password of bind_dn into it".into(),
        )
    };
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&error.to_string()))?;
    match text.lines().next().unwrap_or_default() {
        "" => Err(wrong("its first line is empty")),
        password => Ok(Some(password.to_owned())),
    }
}

impl Connected<'_> {
    /// The person with this user name.
    pub(super) async fn find(&mut self, user: &str) -> Result<Option<Found>, DirectoryError> {
        let section = &self.directory.section;
        let filter = section.filter.as_deref().unwrap_or(LdapSection::FILTER).replace("{user}", &ldap_escape(user));
        let attribute = section.name_attribute.clone();
        let wanted: Vec<String> = attribute.iter().chain(&section.group_attribute).cloned().collect();
        // `1.1` asks for no attribute, where none is needed.
        let wanted = if wanted.is_empty() { vec!["1.1".to_owned()] } else { wanted };
        let mut entries = self.search(&section.base, &filter, wanted).await?;
        let entry = match (entries.pop(), entries.pop()) {
            (None, _) => return Ok(None),
            (Some(entry), None) if entry.dn.len() <= DN_LEN_MAX && !entry.dn.is_empty() => entry,
            (Some(_), _) => return Err(DirectoryError::Several),
        };
        let named = attribute.and_then(|attribute| value_of(&entry, &attribute).first().cloned());
        let mut groups: BTreeSet<String> = BTreeSet::new();
        if let Some(attribute) = &section.group_attribute {
            groups.extend(value_of(&entry, attribute).iter().map(|value| group_name(value)));
        }
        if let Some(filter) = &section.group_filter {
            let filter = filter.replace("{user}", &ldap_escape(user)).replace("{dn}", &ldap_escape(entry.dn.as_str()));
            let base = section.group_base.as_deref().unwrap_or(&section.base);
            let found = self.search(base, &filter, vec!["1.1".to_owned()]).await?;
            groups.extend(found.iter().map(|group| group_name(&group.dn)));
        }
        let counts = |group: &String| section.groups.is_empty() || section.groups.contains(group);
        let groups: Vec<String> = groups.into_iter().filter(|group| counts(group) && Ask::is_group(group)).collect();
        if groups.len() > Ask::GROUPS_MAX {
            return Err(DirectoryError::Groups);
        }
        let name = Line::clean(&named.unwrap_or_else(|| user.to_lowercase()));
        Ok(Some(Found { dn: entry.dn, name, groups }))
    }

    /// Whether this is the person's password. One whom nobody knows takes as many steps.
    pub(super) async fn bind(&mut self, found: Option<&Found>, secret: &str) -> Result<bool, DirectoryError> {
        if secret.is_empty() {
            return Ok(false);
        }
        let nobody = format!("cn=nobody-at-all,{}", self.directory.section.base);
        let dn = found.map_or(nobody.as_str(), |found| found.dn.as_str());
        let bound = self.ldap.with_timeout(self.directory.timeout).simple_bind(dn, secret);
        let bound = bound.await.map_err(|error| self.directory.failed(&error))?;
        let _ = self.ldap.unbind().await;
        match bound.rc {
            0 => Ok(found.is_some()),
            INVALID_CREDENTIALS => Ok(false),
            _ if found.is_none() => Ok(false),
            // An account that is locked or expired is none, but no failure of the directory either.
            other => {
                tracing::warn!(code = other, "the directory does not take a bind");
                Ok(false)
            }
        }
    }

    async fn search(
        &mut self,
        base: &str,
        filter: &str,
        wanted: Vec<String>,
    ) -> Result<Vec<SearchEntry>, DirectoryError> {
        let timeout = self.directory.timeout;
        let limits =
            SearchOptions::new().sizelimit(ENTRIES_MAX).timelimit(i32::try_from(timeout.as_secs()).unwrap_or(5).max(1));
        let found =
            self.ldap.with_search_options(limits).with_timeout(timeout).search(base, Scope::Subtree, filter, wanted);
        let failed = |error: LdapError| self.directory.failed(&error);
        let (entries, _) = found.await.and_then(|found| found.success()).map_err(failed)?;
        Ok(entries.into_iter().filter(|entry| !entry.is_ref()).map(SearchEntry::construct).collect())
    }
}

/// The values of an attribute, whose name may come in either case.
fn value_of<'a>(entry: &'a SearchEntry, attribute: &str) -> &'a [String] {
    let found = entry.attrs.iter().find(|(name, _)| name.eq_ignore_ascii_case(attribute));
    found.map_or(&[], |(_, values)| values)
}

/// The name of a group: the first part of its DN, or the text as it is.
fn group_name(text: &str) -> String {
    let Some((attribute, rest)) = text.split_once('=') else { return text.to_owned() };
    if attribute.is_empty()
        || !attribute.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
    {
        return text.to_owned();
    }
    let mut octets = Vec::new();
    let mut bytes = rest.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b',' | b'+' => break,
            // `\2C` and `\,` are both a comma.
            b'\\' => {
                let Some(next) = bytes.next() else { break };
                let digit = |byte: u8| char::from(byte).to_digit(16);
                match digit(next) {
                    Some(high) => {
                        let low = bytes.next().and_then(digit).unwrap_or(0);
                        octets.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                    }
                    None => octets.push(next),
                }
            }
            byte => octets.push(byte),
        }
    }
    String::from_utf8_lossy(&octets).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_group_is_called_by_the_first_part_of_its_dn() {
        assert_eq!(group_name("cn=imaging,ou=groups,dc=example"), "imaging");
        assert_eq!(group_name("CN=Lab\\, second floor,DC=x"), "Lab, second floor");
        assert_eq!(group_name("cn=a\\2Cb\\c3\\bc,dc=x"), "a,bü");
        assert_eq!(
            (group_name("imaging"), group_name("=x"), group_name("a b=c")),
            ("imaging".into(), "=x".into(), "a b=c".into())
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_group_or_nothing(text in "\\PC*") {
            let _ = group_name(&text);
        }

        #[test]
        fn what_is_typed_never_ends_a_filter(user in "\\PC*") {
            let filter = LdapSection::FILTER.replace("{user}", &ldap_escape(user.as_str()));
            let inner = &filter["(uid=".len()..filter.len() - 1];
            prop_assert!(!inner.contains(['(', ')', '*', '\0']));
        }
    }
}
