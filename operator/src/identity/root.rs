//! A root: a certificate that vouches for others, and its key. Made here, and read from where it is kept: a file, so that
//! a restart changes nothing, or a cluster's Secret.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, string::Ia5String,
};
use ring::digest::{SHA256, digest};
use smidge_mesh::Identity;

use super::{Credential, PrivateKey, SignerId};

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
    id: SignerId,
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

/// Why something is no root of ours.
pub type Unusable = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
#[error("it ends before what it would sign")]
struct Expired;

impl Root {
    /// Makes a root, that signs for this long.
    ///
    /// # Errors
    /// When the machine has no randomness to give.
    pub fn generate(lifetime: Duration) -> Result<Self, Error> {
        let key = KeyPair::generate().map_err(Error::Generate)?;
        let params = root_params(SystemTime::now(), &key);
        let certificate = params.self_signed(&key).map_err(Error::Generate)?.pem();
        let id = id_of(&key);
        Ok(Self { issuer: rcgen::Issuer::new(params, key), certificate, id, lifetime })
    }

    /// Reads a root, that signs for this long.
    ///
    /// # Errors
    /// When it is none, the key is another's, or it does not count for as long as what it would sign.
    pub fn read(certificate: &str, key: &PrivateKey, lifetime: Duration) -> Result<Self, Unusable> {
        let key = KeyPair::from_pem(key.expose())?;
        if !belong_together(certificate, &key)? {
            return Err("the key is not that of the certificate".into());
        }
        if !is_valid(certificate, SystemTime::now(), lifetime)? {
            return Err(Box::new(Expired));
        }
        let id = id_of(&key);
        let issuer = rcgen::Issuer::from_ca_cert_pem(certificate, key)?;
        Ok(Self { issuer, certificate: certificate.to_owned(), id, lifetime })
    }

    /// What it is called: a hash of its public key.
    pub fn id(&self) -> &SignerId {
        &self.id
    }

    /// Its certificate in PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Its key: for where it is kept, and for nothing else.
    pub fn key(&self) -> PrivateKey {
        PrivateKey::new(self.issuer.key().serialize_pem())
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
        let unusable = |source: Unusable| Error::Parse { path: path.to_owned(), source };
        let start = pem.find(CERTIFICATE).ok_or_else(|| unusable("there is no certificate in it".into()))?;
        let (key, certificate) = pem.split_at(start);
        Self::read(certificate, &PrivateKey::new(key.to_owned()), lifetime).map_err(|error| {
            match error.is::<Expired>() {
                true => Error::Expired { path: path.to_owned() },
                false => unusable(error),
            }
        })
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

    /// A new key and a certificate for a workload: its SPIFFE id.
    ///
    /// # Errors
    /// When the cryptography refuses.
    pub fn issue(&self, identity: &Identity) -> Result<Credential, rcgen::Error> {
        self.sign(vec![SanType::URI(Ia5String::try_from(identity.to_string())?)])
    }

    /// A new key and a certificate for a server of ours: its DNS names, and no SPIFFE id, so that no workload takes it for
    /// one of theirs.
    ///
    /// # Errors
    /// When the cryptography refuses, or a name is none.
    pub fn issue_server(&self, names: &[String]) -> Result<Credential, rcgen::Error> {
        let dns = |name: &String| Ia5String::try_from(name.as_str()).map(SanType::DnsName);
        self.sign(names.iter().map(dns).collect::<Result<_, _>>()?)
    }

    fn sign(&self, names: Vec<SanType>) -> Result<Credential, rcgen::Error> {
        let key = KeyPair::generate()?;
        let now = SystemTime::now();
        let (not_before, not_after) = (now - CLOCK_SKEW, now + self.lifetime);
        let chain = leaf_params(names, not_before, not_after).signed_by(&key, &self.issuer)?.pem();
        let (key, signer) = (PrivateKey::new(key.serialize_pem()), self.id.clone());
        Ok(Credential { chain, key, not_after, signer })
    }
}

/// What it is called: the same wherever it is read.
fn id_of(key: &KeyPair) -> SignerId {
    let hash = digest(&SHA256, key.public_key_raw());
    hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

/// Two roots in one bundle have two names: by the name a verifier finds the one that has signed.
fn root_params(now: SystemTime, key: &KeyPair) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(&format!("Smidge root {}", id_of(key)));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + ROOT_LIFETIME).into();
    params
}

/// Of a workload an X.509-SVID: exactly one URI, no more rights than to open and to answer TLS connections
/// (<https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md>).
fn leaf_params(names: Vec<SanType>, from: SystemTime, to: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = from.into();
    params.not_after = to.into();
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn belong_together(certificate: &str, key: &KeyPair) -> Result<bool, Unusable> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(certificate.as_bytes())?;
    Ok(*pem.parse_x509()?.public_key().subject_public_key.data == *key.public_key_raw())
}

/// Whether a root counts now and for as long as what it signs.
fn is_valid(pem: &str, now: SystemTime, lifetime: Duration) -> Result<bool, Unusable> {
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
        let credential = Root::generate(LIFETIME).unwrap().issue(&identity()).unwrap();
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
        let credential = root.issue(&identity()).unwrap();
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
        assert_eq!((first.certificate(), first.id()), (second.certificate(), second.id()));
        let credential = second.issue(&identity()).unwrap();
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
        let certificate = root_params(long_ago, &key).self_signed(&key).unwrap().pem();
        assert!(!is_valid(&certificate, SystemTime::now(), LIFETIME).unwrap());
    }
}
