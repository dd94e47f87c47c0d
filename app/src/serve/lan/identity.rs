//! The certificate under which other devices reach this computer, made here and kept: a browser that was told once to
//! trust it is not asked again. It lies beside the collection: `lan-identity.json` with its key, for the user's eyes only,
//! and `lan-certificate.cer` (DER), for a device that is to know it beforehand.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::version::TLS13;

use crate::files;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Apple's systems take no certificate of a server that is valid for more than 398 days.
const VALID: Duration = Duration::from_secs(397 * 24 * 60 * 60);

pub struct Identity {
    kept: Kept,
    pub config: Arc<ServerConfig>,
    /// the certificate, for other devices
    pub file: PathBuf,
}

/// As it is written.
#[derive(Serialize, Deserialize)]
struct Kept {
    names: BTreeSet<String>,
    /// Unix time
    expires_s: u64,
    /// DER as hex
    certificate: String,
    /// PKCS #8 as hex
    key: String,
}

impl Identity {
    /// The one in `folder`, or a new one where there is none for all of `addresses` that is valid for another day.
    ///
    /// # Errors
    /// Where it cannot be made or written.
    pub fn open(folder: &Path, addresses: &[IpAddr]) -> Result<Self> {
        let names = addresses.iter().map(IpAddr::to_string).chain(["127.0.0.1".into(), "::1".into()]).collect();
        let (secret, file) = (folder.join("lan-identity.json"), folder.join("lan-certificate.cer"));
        let now = SystemTime::now();
        let kept = fs::read(&secret).ok().and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
        let known = kept.filter(|kept| kept.serves(&names, now)).and_then(|kept| Some((kept.config().ok()?, kept)));
        let (config, kept) = match known {
            Some(known) => known,
            None => {
                let kept = Kept::new(names, now).context("cannot make a certificate")?;
                let config = kept.config()?;
                files::write_secret(&secret, &serde_json::to_string(&kept)?)?;
                (config, kept)
            }
        };
        let der = bytes(&kept.certificate)?;
        if fs::read(&file).ok().as_ref() != Some(&der) {
            files::write_bytes(&file, &der, &mut File::options())?;
        }
        Ok(Self { kept, config: Arc::new(config), file })
    }

    /// SHA-256 of the certificate, as browsers show it: `AB:CD:...`.
    pub fn fingerprint(&self) -> Result<String> {
        let digest = Sha256::digest(bytes(&self.kept.certificate)?);
        Ok(digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":"))
    }
}

impl Kept {
    fn new(names: BTreeSet<String>, now: SystemTime) -> Result<Self> {
        let expires = now + VALID;
        let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
        // A clock of another device may be behind.
        params.not_before = (now - DAY).into();
        params.not_after = expires.into();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "understory serve --lan");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            names,
            expires_s: expires.duration_since(UNIX_EPOCH)?.as_secs(),
            certificate: super::hex(certificate.der()),
            key: super::hex(key.serialized_der()),
        })
    }

    fn serves(&self, names: &BTreeSet<String>, now: SystemTime) -> bool {
        let expires = UNIX_EPOCH + Duration::from_secs(self.expires_s);
        names.is_subset(&self.names) && now + DAY < expires
    }

    /// # Errors
    /// Where key and certificate are no pair.
    fn config(&self) -> Result<ServerConfig> {
        let certificate = CertificateDer::from(bytes(&self.certificate)?);
        let key = PrivatePkcs8KeyDer::from(bytes(&self.key)?);
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth();
        let mut config = config.with_single_cert(vec![certificate], key.into())?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// What [`hex`](super::hex) made.
fn bytes(hex: &str) -> Result<Vec<u8>> {
    let byte = |at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    (0..hex.len()).step_by(2).map(byte).collect::<Option<_>>().context("expected hexadecimal digits, two a byte")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|address| address.parse().unwrap()).collect()
    }

    /// Tried and caught: the old one kept for an address that it does not name.
    #[test]
    fn it_stays_until_it_does_not_fit() {
        let folder = tempfile::tempdir().unwrap();
        let open = |list: &[&str]| Identity::open(folder.path(), &addresses(list)).unwrap();
        let first = open(&["192.168.0.7", "10.0.0.1"]);
        let fingerprint = first.fingerprint().unwrap();
        assert_eq!(fingerprint.len(), 32 * 3 - 1);
        assert_eq!(open(&["10.0.0.1"]).fingerprint().unwrap(), fingerprint);
        let moved = open(&["192.168.7.1"]);
        assert_ne!(moved.fingerprint().unwrap(), fingerprint);
        assert_eq!(fs::read(&moved.file).unwrap(), bytes(&moved.kept.certificate).unwrap());

        let late = |days: u32| SystemTime::now() + DAY * days;
        assert!(moved.kept.serves(&moved.kept.names, late(395)));
        assert!(!moved.kept.serves(&moved.kept.names, late(397)));

        let broken = folder.path().join("lan-identity.json");
        for text in ["", "{}", &fs::read_to_string(&broken).unwrap().replace("\"key\":\"", "\"key\":\"00")] {
            fs::write(&broken, text).unwrap();
            let made = open(&["192.168.7.1"]).fingerprint().unwrap();
            assert_eq!(open(&["192.168.7.1"]).fingerprint().unwrap(), made, "made anew, and kept");
        }
    }
}
