//! The site servers that may ask this one, and what they show for it.
//!
//! A site is added with an enrollment token, which it gives once for its certificate; or with a bearer token, which it
//! sends with every question. Adding it again makes a new token: the new certificate takes the place of the old one at
//! the moment it is issued. A site that was revoked and is added again begins anew: nothing of before lets it in.
//!
//! **Invariant**: no token is stored, only its digest. An enrollment token lets one in once; of two who race with it, one
//! wins. Who may come in is asked of the database, never remembered.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use serde::Serialize;

use super::row::{Row, millis};
use super::sql::{Statement, parameters};
use super::{Name, Store, StoreError, Thing};
use crate::boot::{Record, Value};

/// A site server that may ask this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SiteEntry {
    /// Its name; unique. Rules here see it as the site of a request.
    pub name: Name,
    /// When it was added.
    pub added: Timestamp,
    /// Until when it can enroll with the token that it was given; absent when it has none, or used it.
    pub token_until: Option<Timestamp>,
    /// When it got its certificate.
    pub enrolled: Option<Timestamp>,
    /// The certificate's fingerprint: SHA-256 of the DER form, in hexadecimal digits.
    pub fingerprint: Option<String>,
    /// Whether it has a bearer token.
    pub has_bearer: bool,
    /// Since when nothing lets it in any more.
    pub revoked: Option<Timestamp>,
    /// When it was last heard of, within a minute.
    pub last_seen: Option<Timestamp>,
}

impl SiteEntry {
    fn read(record: &Record) -> Result<SiteEntry, StoreError> {
        let row = Row(record);
        let is_used = row.moment("token_used")?.is_some();
        Ok(SiteEntry {
            name: row.parsed("name")?,
            added: row.moment_given("added")?,
            token_until: row.moment("token_until")?.filter(|_| !is_used),
            enrolled: row.moment("enrolled")?,
            fingerprint: row.optional("fingerprint"),
            has_bearer: row.optional("bearer").is_some(),
            revoked: row.moment("revoked")?,
            last_seen: row.moment("last_seen")?,
        })
    }
}

/// What a site is given, to show that it is this site.
#[derive(Clone, Copy)]
pub enum SiteToken<'a> {
    /// For its certificate: good once, until then.
    Enrollment(&'a str, Timestamp),
    /// For every question: good until it is revoked, or replaced by another.
    Bearer(&'a str),
}

/// Why an enrollment token lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenProblem {
    /// Nobody was given it.
    Unknown,
    /// It was used.
    Used,
    /// Its time is over.
    Expired,
    /// The site may not come any more.
    Revoked,
}

impl fmt::Display for TokenProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TokenProblem::Unknown => "is not known; was it copied whole, and was no newer one made since?",
            TokenProblem::Used => "was used already; `pointsman site add` at the upstream makes a new one",
            TokenProblem::Expired => "is too old; `pointsman site add` at the upstream makes a new one",
            TokenProblem::Revoked => {
                "is that of a site that was revoked; `pointsman site add` at the upstream lets it in again"
            }
        })
    }
}

/// How exactly it is known when a site was last heard of, in milliseconds: not every question is a change.
const SEEN_MS: i64 = 60_000;
/// The longest token that is looked up, in octets.
const TOKEN_LEN_MAX: usize = 512;

static PAGE: Statement = Statement::new("SELECT {site} FROM site WHERE name > :after ORDER BY name LIMIT 500");

static FIND: Statement = Statement::new("SELECT {site} FROM site WHERE name = :name");

static BY_FINGERPRINT: Statement = Statement::new("SELECT {site} FROM site WHERE fingerprint = :fingerprint");

static BY_BEARER: Statement = Statement::new("SELECT {site} FROM site WHERE bearer = :bearer");

static BY_TOKEN: Statement = Statement::new("SELECT {site} FROM site WHERE token = :token");

static NAMES: Statement = Statement::new("SELECT name FROM site ORDER BY name LIMIT 1000");

/// A site that was revoked begins anew.
static ANEW: Statement = Statement::new(
    "UPDATE site SET token = NULL, token_until = NULL, token_used = NULL, fingerprint = NULL, bearer = NULL, \
     enrolled = NULL, revoked = NULL WHERE name = :name AND revoked IS NOT NULL",
);

static ADD: Statement = Statement::each([
    "INSERT INTO site (name, token, token_until, added) VALUES (:name, :token, :until, :now) \
     ON CONFLICT (name) DO UPDATE SET token = excluded.token, token_until = excluded.token_until, token_used = NULL",
    "INSERT INTO site (name, token, token_until, added) VALUES (:name, :token, :until, :now) \
     ON CONFLICT (name) DO UPDATE SET token = excluded.token, token_until = excluded.token_until, token_used = NULL",
    "INSERT INTO site (name, token, token_until, added) VALUES (:name, :token, :until, :now) \
     ON DUPLICATE KEY UPDATE token = VALUES(token), token_until = VALUES(token_until), token_used = NULL",
]);

static ADD_BEARER: Statement = Statement::each([
    "INSERT INTO site (name, bearer, added) VALUES (:name, :bearer, :now) \
     ON CONFLICT (name) DO UPDATE SET bearer = excluded.bearer",
    "INSERT INTO site (name, bearer, added) VALUES (:name, :bearer, :now) \
     ON CONFLICT (name) DO UPDATE SET bearer = excluded.bearer",
    "INSERT INTO site (name, bearer, added) VALUES (:name, :bearer, :now) \
     ON DUPLICATE KEY UPDATE bearer = VALUES(bearer)",
]);

static ENROLL: Statement = Statement::new(
    "UPDATE site SET fingerprint = :fingerprint, enrolled = :now, token_used = :now \
     WHERE token = :token AND token_used IS NULL AND token_until > :now AND revoked IS NULL",
);

static SEEN: Statement = Statement::new(
    "UPDATE site SET last_seen = :now WHERE name = :name AND (last_seen IS NULL OR last_seen < :before)",
);

static REVOKE: Statement = Statement::new("UPDATE site SET revoked = :now WHERE name = :name AND revoked IS NULL");

static DELETE: Statement = Statement::new("DELETE FROM site WHERE name = :name");

impl Store {
    /// Adds a site with its token; of one that is there already, the token replaces the one that it had. What it has
    /// otherwise stays good, unless it was revoked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_site(&self, name: &Name, token: SiteToken<'_>, now: Timestamp) -> Result<(), StoreError> {
        let mut values = parameters([("name", name.as_str().into()), ("now", millis(now))]);
        let statement = match token {
            SiteToken::Enrollment(token, until) => {
                values.insert("token", digest_of(token));
                values.insert("until", millis(until));
                &ADD
            }
            SiteToken::Bearer(token) => {
                values.insert("bearer", digest_of(token));
                &ADD_BEARER
            }
        };
        let mut change = self.change(Self::PATIENCE).await?;
        change.execute(&ANEW, &values).await?;
        change.execute(statement, &values).await?;
        change.commit().await
    }

    /// Sites by name, those after `after`; at most 500.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sites(&self, after: Option<&Name>) -> Result<Vec<SiteEntry>, StoreError> {
        let values = parameters([("after", after.map(Name::as_str).unwrap_or_default().into())]);
        self.fresh(&PAGE, &values, Self::PATIENCE).await?.iter().map(SiteEntry::read).collect()
    }

    /// The site of this name, if it is there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn site(&self, name: &Name) -> Result<Option<SiteEntry>, StoreError> {
        self.found(&FIND, "name", name.to_string(), Self::PATIENCE).await
    }

    /// The site whose certificate has this fingerprint (SHA-256 of the DER form, 64 hexadecimal digits), as it is now.
    /// **It may be revoked**: who asks looks.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn site_by_fingerprint(
        &self,
        fingerprint: &str,
        limit: Duration,
    ) -> Result<Option<SiteEntry>, StoreError> {
        match fingerprint_of(fingerprint) {
            Some(fingerprint) => self.found(&BY_FINGERPRINT, "fingerprint", fingerprint, limit).await,
            None => Ok(None),
        }
    }

    /// The site that was given this bearer token, as it is now. **It may be revoked**: who asks looks.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn site_by_token(&self, token: &str, limit: Duration) -> Result<Option<SiteEntry>, StoreError> {
        if token.len() > TOKEN_LEN_MAX {
            return Ok(None);
        }
        self.found(&BY_BEARER, "bearer", digest_of(token), limit).await
    }

    /// The site that an enrollment token is good for at this moment: who it is that a certificate is made for, before
    /// [`Store::enroll_site`] takes the token.
    ///
    /// # Errors
    /// [`StoreError::Token`] when the token lets nobody in; or the database fails.
    pub async fn site_to_enroll(&self, token: &str, now: Timestamp, limit: Duration) -> Result<SiteEntry, StoreError> {
        let unknown = StoreError::Token(TokenProblem::Unknown);
        if token.len() > TOKEN_LEN_MAX {
            return Err(unknown);
        }
        let site = self.found(&BY_TOKEN, "token", digest_of(token), limit).await?.ok_or(unknown)?;
        match site.token_until {
            _ if site.revoked.is_some() => Err(StoreError::Token(TokenProblem::Revoked)),
            None => Err(StoreError::Token(TokenProblem::Used)),
            Some(until) if until.as_millisecond() <= now.as_millisecond() => {
                Err(StoreError::Token(TokenProblem::Expired))
            }
            Some(_) => Ok(site),
        }
    }

    /// Takes an enrollment token, and the certificate with this fingerprint (64 hexadecimal digits) is the site's from now
    /// on; the one that it had is no more. The certificate is given away after that, never before.
    ///
    /// # Errors
    /// [`StoreError::Token`] when the token lets nobody in; or the fingerprint is none, or the database fails.
    pub async fn enroll_site(
        &self,
        token: &str,
        fingerprint: &str,
        now: Timestamp,
        limit: Duration,
    ) -> Result<SiteEntry, StoreError> {
        let Some(fingerprint) = fingerprint_of(fingerprint) else {
            return Err(StoreError::Invalid("a fingerprint has 64 hexadecimal digits".into()));
        };
        if token.len() > TOKEN_LEN_MAX {
            return Err(StoreError::Token(TokenProblem::Unknown));
        }
        let values = parameters([
            ("token", digest_of(token).into()),
            ("fingerprint", fingerprint.as_str().into()),
            ("now", millis(now)),
        ]);
        let changed = self.execute(&ENROLL, &values, limit).await?;
        // Nothing is changed also where the change was tried again after a connection broke: it is ours then.
        match self.found(&BY_FINGERPRINT, "fingerprint", fingerprint, limit).await? {
            Some(site) => Ok(site),
            None if changed > 0 => Err(StoreError::Token(TokenProblem::Used)),
            None => Err(match self.site_to_enroll(token, now, limit).await {
                Ok(_) => StoreError::Token(TokenProblem::Used),
                Err(error) => error,
            }),
        }
    }

    /// Notes that a site was heard of; at most once in a minute.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn site_seen(&self, name: &Name, now: Timestamp, limit: Duration) -> Result<(), StoreError> {
        let values = parameters([
            ("name", name.as_str().into()),
            ("now", millis(now)),
            ("before", Value::Integer(now.as_millisecond() - SEEN_MS)),
        ]);
        self.execute(&SEEN, &values, limit).await?;
        Ok(())
    }

    /// Lets a site in no more, whatever it shows; `false` when that was so before.
    ///
    /// # Errors
    /// When there is none.
    pub async fn revoke_site(&self, name: &Name, now: Timestamp) -> Result<bool, StoreError> {
        let values = parameters([("name", name.as_str().into()), ("now", millis(now))]);
        if self.execute(&REVOKE, &values, Self::PATIENCE).await? > 0 {
            return Ok(true);
        }
        match self.site(name).await? {
            Some(_) => Ok(false),
            None => Err(self.no_site(name).await?),
        }
    }

    /// Removes a site; what it shows is not known any more.
    ///
    /// # Errors
    /// When there is none.
    pub async fn remove_site(&self, name: &Name) -> Result<(), StoreError> {
        match self.execute(&DELETE, &parameters([("name", name.as_str().into())]), Self::PATIENCE).await? {
            0 => Err(self.no_site(name).await?),
            _ => Ok(()),
        }
    }

    async fn found(
        &self,
        statement: &Statement,
        column: &str,
        value: String,
        limit: Duration,
    ) -> Result<Option<SiteEntry>, StoreError> {
        let rows = self.fresh(statement, &parameters([(column, value.into())]), limit).await?;
        rows.first().map(SiteEntry::read).transpose()
    }

    /// The error that names the nearest site.
    async fn no_site(&self, name: &Name) -> Result<StoreError, StoreError> {
        let rows = self.fresh(&NAMES, &Record::default(), Self::PATIENCE).await?;
        let names: Vec<_> = rows.iter().filter_map(|row| row.text("name")).collect();
        let remedy = match crate::nearest::nearest(name.as_str(), names.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("`pointsman site add {name}` adds it"),
        };
        Ok(StoreError::NotFound { what: Thing::Site, name: name.to_string(), remedy })
    }
}

/// The digest of a token: 64 hexadecimal digits.
fn digest_of(token: &str) -> String {
    crate::hex::digits(digest(&SHA256, token.as_bytes()).as_ref())
}

/// A fingerprint as it is stored; none when it is none.
fn fingerprint_of(text: &str) -> Option<String> {
    let is_good = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_good.then(|| text.to_ascii_lowercase())
}
