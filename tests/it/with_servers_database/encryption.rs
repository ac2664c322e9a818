//! TLS to a server whose name is checked.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use pointsman::boot::Record;

use super::{LIMIT, first, open, query};
use crate::servers::{MariaDb, Postgres};

/// An authority and a certificate for `localhost`, below a folder.
fn certificates(folder: &Path) {
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(parameters, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
    let certificate = parameters.signed_by(&key, &authority).unwrap();
    std::fs::write(folder.join("authority.pem"), authority.pem()).unwrap();
    std::fs::write(folder.join("server.crt"), certificate.pem()).unwrap();
    std::fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
    std::fs::set_permissions(folder.join("server.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn postgres_is_known_by_its_certificate() {
    let (ours, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificates(other.path());
    let server = Postgres::start_with(|data| {
        certificates(data);
        std::fs::copy(data.join("authority.pem"), ours.path().join("authority.pem")).unwrap();
        let settings = std::fs::read_to_string(data.join("postgresql.conf")).unwrap() + "\nssl = on\n";
        std::fs::write(data.join("postgresql.conf"), settings).unwrap();
        std::fs::write(data.join("pg_hba.conf"), "local all all trust\nhostssl all all 127.0.0.1/32 trust\n").unwrap();
    });
    let url = |host: &str, authority: &Path| {
        let url = format!("{}?sslmode=verify-full&sslrootcert=", server.url().replace("127.0.0.1", host));
        format!("{url}{}", authority.join("authority.pem").display())
    };
    let database = open(&url("localhost", ours.path()));
    let encrypted = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    assert_eq!(first(&database, encrypted, &Record::default()).await, "ssl=true");
    for (url, why) in [
        (url("localhost", other.path()), "invalid peer certificate"),
        (url("127.0.0.1", ours.path()), "not valid for name"),
        (server.url() + "?sslmode=disable", "no encryption"),
    ] {
        let error = open(&url).rows(&query("select 1 as n"), &Record::default(), LIMIT).await.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn mariadb_is_known_by_its_certificate() {
    let (ours, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificates(other.path());
    let server = MariaDb::start_with(|folder| {
        certificates(folder);
        std::fs::copy(folder.join("authority.pem"), ours.path().join("authority.pem")).unwrap();
        let path = |name: &str| folder.join(name).display().to_string();
        vec![format!("--ssl-cert={}", path("server.crt")), format!("--ssl-key={}", path("server.key"))]
    });
    let url = |host: &str, authority: &Path| {
        let url = format!("{}?ssl-mode=VERIFY_IDENTITY&ssl-ca=", server.url().replace("127.0.0.1", host));
        format!("{url}{}", authority.join("authority.pem").display())
    };
    let database = open(&url("localhost", ours.path()));
    let encrypted = "select variable_value <> '' as encrypted from information_schema.session_status
                     where variable_name = 'Ssl_cipher'";
    assert_eq!(first(&database, encrypted, &Record::default()).await, "encrypted=1");
    for (url, why) in [
        (url("localhost", other.path()), "invalid peer certificate"),
        (url("127.0.0.1", ours.path()), "not valid for name"),
    ] {
        let error = open(&url).ping(LIMIT).await.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}
