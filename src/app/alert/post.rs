//! One POST to a URL. What of the URL is secret (the user, the path, the query) is in no text.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Position, Url};

use crate::error::{Error, ErrorKind, Result};

/// Names a PEM file of certificates that are trusted in place of Mozilla's, as OpenSSL has it.
const ROOTS: &str = "SSL_CERT_FILE";

/// Where alerts are posted to.
pub(super) struct Hook {
    /// Without brackets.
    host: String,
    port: u16,
    /// The value of the header of that name.
    host_header: HeaderValue,
    /// Scheme and host, for people.
    place: String,
    /// Path and query.
    target: Uri,
    authorization: Option<HeaderValue>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hook").field(&self.place).finish()
    }
}

fn wrong(why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Usage, format!("the alert's URL {why}"))
        .hint("write http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH")
}

impl Hook {
    pub(super) fn new(url: &str) -> Result<Self> {
        let url = Url::parse(url).map_err(|e| wrong(format_args!("cannot be read: {e}")))?;
        let is_encrypted = match url.scheme() {
            "http" => false,
            "https" => true,
            // What stands there may be a secret that lost its beginning.
            _ => return Err(wrong("is neither http nor https")),
        };
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err(wrong("names no host")),
        };
        let port = url
            .port_or_known_default()
            .ok_or_else(|| wrong("names no port"))?;
        let tls = if is_encrypted {
            let name = ServerName::try_from(host.clone());
            let name = name.map_err(|_| wrong("names a host that no certificate can name"))?;
            Some((connector()?, name))
        } else {
            None
        };
        let mut named = url.host_str().unwrap_or_default().to_owned();
        if let Some(port) = url.port() {
            named.push_str(&format!(":{port}"));
        }
        let host_header = HeaderValue::from_str(&named);
        let target = url[Position::BeforePath..Position::AfterQuery].parse::<Uri>();
        Ok(Self {
            host,
            port,
            host_header: host_header.map_err(|_| wrong("names a host that cannot be sent"))?,
            place: format!("{}://{named}", url.scheme()),
            target: target.map_err(|_| wrong("has a path that cannot be sent"))?,
            authorization: authorization(&url)?,
            tls,
        })
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Posts it once; why it did not arrive, if it did not.
    pub(super) async fn post(&self, json: &str) -> Result<(), String> {
        let stream = TcpStream::connect((self.host.as_str(), self.port));
        let stream = stream.await.map_err(|e| format!("cannot connect: {e}"))?;
        let status = match &self.tls {
            None => self.exchange(stream, json).await,
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream);
                let stream = stream.await.map_err(|e| format!("no encryption: {e}"))?;
                self.exchange(stream, json).await
            }
        };
        let status = status.map_err(|e| format!("no answer: {}", causes(&e)))?;
        if status.is_success() {
            return Ok(());
        }
        Err(format!("it answers {status}"))
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        json: &str,
    ) -> hyper::Result<StatusCode> {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::new(json.to_owned());
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = self.target.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host_header.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let agent = concat!("banyan/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let answer = sender.send_request(request);
        tokio::pin!(answer, connection);
        let answer = tokio::select! {
            answer = &mut answer => answer?,
            // Its end is told to whoever waits for the answer.
            _ended = &mut connection => answer.await?,
        };
        Ok(answer.status())
    }
}

/// User and password of the URL.
fn authorization(url: &Url) -> Result<Option<HeaderValue>> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let mut both: Vec<u8> = percent_decode_str(url.username()).collect();
    both.push(b':');
    both.extend(percent_decode_str(url.password().unwrap_or_default()));
    let value = format!("Basic {}", BASE64_STANDARD.encode(both));
    let value = HeaderValue::from_str(&value);
    let mut value = value.map_err(|_| wrong("names a user that cannot be sent"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// An error with what caused it; the library's own text says little.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

fn connector() -> Result<TlsConnector> {
    let roots = match std::env::var_os(ROOTS).filter(|file| !file.is_empty()) {
        None => RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        },
        Some(file) => read_roots(Path::new(&file))?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(ErrorKind::Internal, "cannot set TLS up").caused_by(e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn read_roots(file: &Path) -> Result<RootCertStore> {
    let bad = |why: String| {
        let file = file.display();
        Error::new(
            ErrorKind::Config,
            format!("cannot read the certificates in {file}, which {ROOTS} names"),
        )
        .caused_by(why)
    };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file).map_err(|e| bad(e.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|e| bad(e.to_string()))?;
        // A system's list may hold some that are of no use here.
        if let Err(e) = roots.add(certificate) {
            tracing::debug!("a certificate of {} is left out: {e}", file.display());
        }
    }
    if roots.is_empty() {
        return Err(bad("it holds none".to_owned()));
    }
    Ok(roots)
}
