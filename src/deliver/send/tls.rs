//! Which certificates are believed.
//!
//! The machine's, and the operator's extra ones. A container image often has none at all: then Mozilla's, as built
//! in, so that `https` works from an empty image.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Makes ring the cryptography of this process, for every TLS client in it that does not bring its own. Calling it
/// again does nothing.
pub fn install_crypto() {
    // The one error is "there is one already", which is what was wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The extra roots are no certificates.
    #[error("the extra root certificates cannot be read: {0}")]
    ExtraRoots(String),
}

/// TLS for deliveries; which protocols are offered is `send/connect.rs`'s choice.
pub fn config(extra_pem: Option<&[u8]>) -> Result<ClientConfig, SetupError> {
    let system = rustls_native_certs::load_native_certs().certs;
    let roots = roots(system, extra_pem)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn roots(system: Vec<CertificateDer<'static>>, extra_pem: Option<&[u8]>) -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    // Some of a system's certificates are often of a kind that no verifier takes; that is no reason to stop.
    roots.add_parsable_certificates(system);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let Some(pem) = extra_pem else { return Ok(roots) };
    let unreadable = |problem: &dyn std::fmt::Display| SetupError::ExtraRoots(problem.to_string());
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|problem| unreadable(&problem))?;
        roots.add(certificate).map_err(|problem| unreadable(&problem))?;
    }
    if roots.len() == before { Err(unreadable(&"there is no certificate in it")) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> (CertificateDer<'static>, String) {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        (made.cert.der().clone(), made.cert.pem())
    }

    #[test]
    fn a_machine_without_certificates_believes_those_built_in() {
        assert_eq!(roots(vec![], None).unwrap().len(), webpki_roots::TLS_SERVER_ROOTS.len());
    }

    #[test]
    fn a_machine_with_certificates_believes_those_alone() {
        assert_eq!(roots(vec![certificate().0], None).unwrap().len(), 1);
    }

    #[test]
    fn extra_certificates_are_believed_besides() {
        let pem = format!("{}\n{}", certificate().1, certificate().1);
        assert_eq!(roots(vec![certificate().0], Some(pem.as_bytes())).unwrap().len(), 3);
        assert_eq!(roots(vec![], Some(pem.as_bytes())).unwrap().len(), webpki_roots::TLS_SERVER_ROOTS.len() + 2);
    }

    #[test]
    fn an_extra_file_without_certificates_is_an_error() {
        let torn = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for pem in ["", "no certificate", torn] {
            assert!(roots(vec![], Some(pem.as_bytes())).is_err(), "{pem:?}");
        }
    }
}
