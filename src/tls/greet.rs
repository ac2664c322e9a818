//! A client of our own server, as firmware is: TLS 1.2, one question, and trust in one CA.
//!
//! **Invariant**: for those who look after a server; machines are not asked anything here.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::TlsError;
use super::client::roots;

/// Asks a server whether it is there, as the host `name`, trusting the CA certificates of `ca_pem`: what was agreed on, and
/// what it answers.
///
/// # Errors
/// When it is not reached, is not trusted, has another name, or speaks no TLS 1.2 as we do; in words.
pub async fn greet(to: SocketAddr, name: &str, ca_pem: &str) -> Result<String, String> {
    let config = config(ca_pem).map_err(|error| error.to_string())?;
    let server = ServerName::try_from(name.to_owned()).map_err(|_| format!("`{name}` is no host name"))?;
    let asked = async {
        let stream = TcpStream::connect(to).await?;
        let mut stream = TlsConnector::from(Arc::new(config)).connect(server, stream).await?;
        let suite = stream.get_ref().1.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        io::Result::Ok((suite.unwrap_or_default(), String::from_utf8_lossy(&answer).into_owned()))
    };
    match asked.await {
        Ok((suite, status)) if status.ends_with(" 200") => Ok(format!("TLS 1.2, {suite}")),
        Ok((_, status)) => Err(format!("it answers `{}`", status.escape_default())),
        Err(error) => Err(error.to_string()),
    }
}

fn config(ca_pem: &str) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS12])
        .map_err(TlsError::Config)?;
    Ok(builder.with_root_certificates(roots(ca_pem)?).with_no_client_auth())
}
