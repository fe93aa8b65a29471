//! An authority in this process: its root is made at start, or kept in a file so that a restart changes nothing.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use futures::future::{BoxFuture, FutureExt, ready};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, string::Ia5String,
};
use smidge_mesh::{Identity, TrustBundle};

use super::{Credential, IssueError, Issuer, PrivateKey};

/// How long a root is good.
const ROOT_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Certificates count from a little before now: clocks differ.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// The file in the state folder: key and certificate together, so that they are replaced together.
const FILE: &str = "root.pem";

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// A root certificate and its key.
pub struct Root {
    issuer: rcgen::Issuer<'static, KeyPair>,
    certificate: String,
    /// How long what it signs is good.
    lifetime: Duration,
}

/// No root.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cryptography refused.
    #[error("cannot make a root certificate")]
    Generate(#[source] rcgen::Error),
    /// The file is there, but is not one of ours.
    #[error("{path} holds no usable root: move it away to get a new one (every workload then needs a new certificate)")]
    Parse {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The root is too old to sign.
    #[error("the root in {path} has expired: move it away to get a new one")]
    Expired {
        /// Which.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("cannot keep the root in {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Root {
    /// Makes a root that lives as long as this process, and signs for this long.
    ///
    /// # Errors
    /// When the machine has no randomness to give.
    pub fn generate(lifetime: Duration) -> Result<Self, Error> {
        let key = KeyPair::generate().map_err(Error::Generate)?;
        let params = root_params(SystemTime::now());
        let certificate = params.self_signed(&key).map_err(Error::Generate)?.pem();
        Ok(Self { issuer: rcgen::Issuer::new(params, key), certificate, lifetime })
    }

    /// The root that is kept in this folder, and signs for this long; made, with the folder, when there is none.
    ///
    /// # Errors
    /// When the file cannot be read, written or understood, or its root has expired: never silently replaced, since
    /// every proxy trusts it.
    pub fn keep(folder: &Path, lifetime: Duration) -> Result<Self, Error> {
        let path = folder.join(FILE);
        match fs::read_to_string(&path) {
            Ok(pem) => Self::parse(&pem, &path, lifetime),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let root = Self::generate(lifetime)?;
                root.write(folder, &path).map_err(|source| Error::Io { path, source })?;
                Ok(root)
            }
            Err(source) => Err(Error::Io { path, source }),
        }
    }

    fn parse(pem: &str, path: &Path, lifetime: Duration) -> Result<Self, Error> {
        let unusable =
            |source: Box<dyn std::error::Error + Send + Sync>| Error::Parse { path: path.to_owned(), source };
        let start = pem.find(CERTIFICATE).ok_or_else(|| unusable("there is no certificate in it".into()))?;
        let (key, certificate) = pem.split_at(start);
        let key = KeyPair::from_pem(key).map_err(|error| unusable(error.into()))?;
        if !is_valid(certificate, SystemTime::now(), lifetime).map_err(unusable)? {
            return Err(Error::Expired { path: path.to_owned() });
        }
        let issuer = rcgen::Issuer::from_ca_cert_pem(certificate, key).map_err(|error| unusable(error.into()))?;
        Ok(Self { issuer, certificate: certificate.to_owned(), lifetime })
    }

    fn write(&self, folder: &Path, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let temporary = folder.join(format!(".{FILE}.{}", std::process::id()));
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(self.issuer.key().serialize_pem().as_bytes())?;
        file.write_all(self.certificate.as_bytes())?;
        file.sync_all()?;
        fs::rename(temporary, path)
    }

    fn sign(&self, identity: &Identity) -> Result<Credential, rcgen::Error> {
        let key = KeyPair::generate()?;
        let now = SystemTime::now();
        let (not_before, not_after) = (now - CLOCK_SKEW, now + self.lifetime);
        let params = workload_params(identity, not_before, not_after)?;
        let chain = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Credential { chain, key: PrivateKey::new(key.serialize_pem()), not_after })
    }
}

impl Issuer for Root {
    fn issue<'a>(&'a self, identity: &'a Identity) -> BoxFuture<'a, Result<Credential, IssueError>> {
        let failed = |error: rcgen::Error| IssueError { identity: identity.clone(), source: error.into() };
        ready(self.sign(identity).map_err(failed)).boxed()
    }

    fn trust_bundle(&self) -> TrustBundle {
        TrustBundle(self.certificate.as_str().into())
    }
}

fn root_params(now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Smidge root");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + ROOT_LIFETIME).into();
    params
}

/// An X.509-SVID: exactly one URI, no more rights than to open and to answer TLS connections
/// (<https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md>).
fn workload_params(identity: &Identity, from: SystemTime, to: SystemTime) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(identity.to_string())?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = from.into();
    params.not_after = to.into();
    Ok(params)
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// Whether a root counts now and for as long as what it signs.
fn is_valid(pem: &str, now: SystemTime, lifetime: Duration) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes())?;
    let validity = pem.parse_x509()?.validity().clone();
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map(|d| d.as_secs()).unwrap_or(0);
    let covers = |time: SystemTime| {
        let at = i64::try_from(seconds(time)).unwrap_or(i64::MAX);
        (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&at)
    };
    Ok(covers(now) && covers(now + lifetime))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use smidge_mesh::TrustDomain;
    use x509_parser::prelude::*;

    use super::*;
    use crate::identity::LIFETIME;

    fn identity() -> Identity {
        let trust_domain = TrustDomain::parse("shop.example").unwrap();
        Identity { trust_domain, namespace: "shop".into(), service_account: "web".into() }
    }

    fn with_certificate(pem: &str, check: impl FnOnce(&X509Certificate<'_>)) {
        let (_, pem) = parse_x509_pem(pem.as_bytes()).unwrap();
        check(&pem.parse_x509().unwrap());
    }

    #[test]
    fn a_workload_certificate_holds_its_spiffe_id_alone_for_a_day() {
        let credential = Root::generate(LIFETIME).unwrap().sign(&identity()).unwrap();
        with_certificate(&credential.chain, |certificate| {
            let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
            assert_eq!(names, &vec![GeneralName::URI("spiffe://shop.example/ns/shop/sa/web")]);
            assert!(!certificate.is_ca());
            let validity = certificate.validity();
            let life = validity.not_after.timestamp() - validity.not_before.timestamp();
            assert_eq!(life.unsigned_abs(), (LIFETIME + CLOCK_SKEW).as_secs());
        });
    }

    #[test]
    fn the_root_has_signed_what_it_issues() {
        let (root, other) = (Root::generate(LIFETIME).unwrap(), Root::generate(LIFETIME).unwrap());
        let credential = root.sign(&identity()).unwrap();
        let signed_by = |root: &Root| {
            let mut verdict = false;
            with_certificate(&root.certificate, |root| {
                with_certificate(&credential.chain, |leaf| verdict = is_issued_by(leaf, root));
            });
            verdict
        };
        assert!(signed_by(&root));
        assert!(!signed_by(&other));
    }

    fn is_issued_by(leaf: &X509Certificate<'_>, root: &X509Certificate<'_>) -> bool {
        leaf.verify_signature(Some(root.public_key())).is_ok()
    }

    #[test]
    fn a_kept_root_is_the_same_after_a_restart_and_readable_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let first = Root::keep(&state, LIFETIME).unwrap();
        let second = Root::keep(&state, LIFETIME).unwrap();
        assert_eq!(first.trust_bundle(), second.trust_bundle());
        let credential = second.sign(&identity()).unwrap();
        with_certificate(&first.certificate, |root| {
            with_certificate(&credential.chain, |leaf| assert!(is_issued_by(leaf, root)));
        });
        assert_eq!(fs::metadata(state.join(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_broken_root_is_told_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        fs::write(&path, "nonsense").unwrap();
        assert!(matches!(Root::keep(folder.path(), LIFETIME), Err(Error::Parse { .. })));
        assert_eq!(fs::read_to_string(path).unwrap(), "nonsense");
    }

    #[test]
    fn a_root_that_ends_before_what_it_would_sign_is_expired() {
        let key = KeyPair::generate().unwrap();
        let long_ago = SystemTime::now() - ROOT_LIFETIME + LIFETIME / 2;
        let certificate = root_params(long_ago).self_signed(&key).unwrap().pem();
        assert!(!is_valid(&certificate, SystemTime::now(), LIFETIME).unwrap());
    }
}
