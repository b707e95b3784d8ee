//! The cryptography behind TLS: the provider that the features choose.

use tokio_rustls::rustls::crypto::CryptoProvider;

/// Named outright: what another crate has made the default of the process does not matter.
#[cfg(feature = "aws-lc-rs")]
pub(super) fn cryptography() -> CryptoProvider {
    tokio_rustls::rustls::crypto::aws_lc_rs::default_provider()
}

#[cfg(not(feature = "aws-lc-rs"))]
pub(super) fn cryptography() -> CryptoProvider {
    of_ring::cryptography()
}

/// What every endpoint of AWS speaks, and no more: AES-GCM, signatures by ECDSA and RSA, and no
/// certificates of our own. The rest of ring would be 100 KB of code that never runs.
#[cfg(not(feature = "aws-lc-rs"))]
mod of_ring {
    use std::sync::Arc;

    use tokio_rustls::rustls::crypto::ring::{ALL_KX_GROUPS, cipher_suite as suite};
    use tokio_rustls::rustls::crypto::{
        CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms,
    };
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::rustls::sign::SigningKey;
    use tokio_rustls::rustls::{Error, SignatureScheme};
    use webpki::ring as algorithm;

    pub(super) fn cryptography() -> CryptoProvider {
        CryptoProvider {
            cipher_suites: vec![
                suite::TLS13_AES_128_GCM_SHA256,
                suite::TLS13_AES_256_GCM_SHA384,
                #[cfg(feature = "tls12")]
                suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                #[cfg(feature = "tls12")]
                suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                #[cfg(feature = "tls12")]
                suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                #[cfg(feature = "tls12")]
                suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            ],
            kx_groups: ALL_KX_GROUPS.to_vec(),
            signature_verification_algorithms: SIGNATURES,
            secure_random: &OperatingSystem,
            key_provider: &NoKeys,
        }
    }

    /// The algorithms of the web's certificates; in TLS 1.3 the first of a scheme counts.
    const SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
        all: &[
            algorithm::ECDSA_P256_SHA256,
            algorithm::ECDSA_P256_SHA384,
            algorithm::ECDSA_P384_SHA256,
            algorithm::ECDSA_P384_SHA384,
            algorithm::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
            algorithm::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
            algorithm::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
            algorithm::RSA_PKCS1_2048_8192_SHA256,
            algorithm::RSA_PKCS1_2048_8192_SHA384,
            algorithm::RSA_PKCS1_2048_8192_SHA512,
        ],
        mapping: &[
            (
                SignatureScheme::ECDSA_NISTP256_SHA256,
                &[algorithm::ECDSA_P256_SHA256, algorithm::ECDSA_P384_SHA256],
            ),
            (
                SignatureScheme::ECDSA_NISTP384_SHA384,
                &[algorithm::ECDSA_P384_SHA384, algorithm::ECDSA_P256_SHA384],
            ),
            (
                SignatureScheme::RSA_PSS_SHA256,
                &[algorithm::RSA_PSS_2048_8192_SHA256_LEGACY_KEY],
            ),
            (
                SignatureScheme::RSA_PSS_SHA384,
                &[algorithm::RSA_PSS_2048_8192_SHA384_LEGACY_KEY],
            ),
            (
                SignatureScheme::RSA_PSS_SHA512,
                &[algorithm::RSA_PSS_2048_8192_SHA512_LEGACY_KEY],
            ),
            (
                SignatureScheme::RSA_PKCS1_SHA256,
                &[algorithm::RSA_PKCS1_2048_8192_SHA256],
            ),
            (
                SignatureScheme::RSA_PKCS1_SHA384,
                &[algorithm::RSA_PKCS1_2048_8192_SHA384],
            ),
            (
                SignatureScheme::RSA_PKCS1_SHA512,
                &[algorithm::RSA_PKCS1_2048_8192_SHA512],
            ),
        ],
    };

    #[derive(Debug)]
    struct OperatingSystem;

    impl SecureRandom for OperatingSystem {
        #[expect(
            clippy::disallowed_methods,
            reason = "keys are no part of what is simulated"
        )]
        fn fill(&self, bits: &mut [u8]) -> Result<(), GetRandomFailed> {
            getrandom::fill(bits).map_err(|_| GetRandomFailed)
        }
    }

    /// We never show a certificate.
    #[derive(Debug)]
    struct NoKeys;

    impl KeyProvider for NoKeys {
        fn load_private_key(
            &self,
            _: PrivateKeyDer<'static>,
        ) -> Result<Arc<dyn SigningKey>, Error> {
            Err(Error::General("client certificates are not used".into()))
        }
    }
}
