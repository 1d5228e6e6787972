//! Transport encryption: what `sslmode` and `sslrootcert` of a URL mean.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Error, ErrorKind, Result};

/// How a connection is encrypted, and what of the server's certificate is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TlsMode {
    /// Not at all.
    Disable,
    /// If the server can; nothing is checked.
    #[default]
    Prefer,
    /// Always; nothing is checked, unless a root certificate is named.
    Require,
    /// Always; who signed the certificate is checked.
    VerifyCa,
    /// Always; who signed it and the host's name are checked.
    VerifyFull,
}

impl TlsMode {
    /// All spellings.
    pub(super) const ALL: [(&'static str, Self); 5] = [
        ("disable", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
    ];
}

/// Where distributions keep the certificates that they trust.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What the driver needs to encrypt. `roots`: a PEM file, or `system`.
pub(super) fn connector(mode: TlsMode, roots: Option<&str>) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(ErrorKind::Internal, "cannot set TLS up").caused_by(e))?;
    // As libpq has it: a root certificate that is named is used.
    let mode = match mode {
        TlsMode::Require if roots.is_some() => TlsMode::VerifyCa,
        mode => mode,
    };
    let config = match mode {
        TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Lenient {
                chain: None,
                provider,
            }))
            .with_no_client_auth(),
        TlsMode::VerifyCa => {
            let roots = Arc::new(read_roots(roots)?);
            let chain = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                .build()
                .map_err(|e| Error::new(ErrorKind::Store, "sslrootcert").caused_by(e))?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Lenient {
                    chain: Some(chain),
                    provider,
                }))
                .with_no_client_auth()
        }
        TlsMode::VerifyFull => builder
            .with_root_certificates(read_roots(roots)?)
            .with_no_client_auth(),
    };
    Ok(MakeRustlsConnect::new(config))
}

fn read_roots(roots: Option<&str>) -> Result<RootCertStore> {
    let Some(roots) = roots else {
        return Err(Error::new(
            ErrorKind::Store,
            "sslmode=verify-ca and verify-full want sslrootcert",
        )
        .hint("add sslrootcert=FILE.pem to the store's URL, or sslrootcert=system"));
    };
    let file = if roots == "system" {
        SYSTEM
            .into_iter()
            .find(|f| std::path::Path::new(f).exists())
            .ok_or_else(|| {
                Error::new(ErrorKind::Store, "no certificates of the system are found")
                    .hint("name a PEM file: sslrootcert=FILE.pem")
            })?
    } else {
        roots
    };
    let bad = |e: rustls::pki_types::pem::Error| {
        Error::new(
            ErrorKind::Store,
            format!("cannot read the root certificates in {file}"),
        )
        .caused_by(e.to_string())
        .hint("sslrootcert names a file of certificates in PEM form")
    };
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(bad)? {
        let added = store.add(certificate.map_err(bad)?);
        // The system's list may hold some that are of no use here.
        if roots != "system"
            && let Err(e) = added
        {
            return Err(
                Error::new(ErrorKind::Store, format!("a certificate in {file}")).caused_by(e),
            );
        }
    }
    if store.is_empty() {
        return Err(Error::new(
            ErrorKind::Store,
            format!("{file} holds no certificate"),
        ));
    }
    Ok(store)
}

/// Checks less than the whole: with `chain` who signed the certificate, without it nothing.
#[derive(Debug)]
struct Lenient {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
