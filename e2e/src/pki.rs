//! The keys and certificates of an API server of our own, and the kubeconfig that makes a client its administrator.
//! In goes a folder, out go files in it; they are good for as long as the test runs and worth nothing after.

use std::fs::write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// The files of one API server.
#[derive(Debug)]
pub(crate) struct Pki {
    folder: PathBuf,
}

impl Pki {
    /// Makes everything that the API server at `url` needs.
    pub(crate) fn write(folder: &Path, url: &str) -> Result<Pki> {
        let pki = Pki { folder: folder.to_owned() };
        let ca = authority()?;
        write(pki.file("ca.crt"), ca.pem())?;
        let server = CertificateParams::new(["localhost", "kubernetes", "127.0.0.1"].map(str::to_owned))?;
        pki.write_leaf("apiserver", named(server, "kube-apiserver", None, ExtendedKeyUsagePurpose::ServerAuth), &ca)?;
        let admin = CertificateParams::default();
        pki.write_leaf(
            "admin",
            named(admin, "admin", Some("system:masters"), ExtendedKeyUsagePurpose::ClientAuth),
            &ca,
        )?;
        let accounts = KeyPair::generate()?;
        write(pki.file("accounts.key"), accounts.serialize_pem())?;
        write(pki.file("accounts.pub"), accounts.public_key_pem())?;
        write(pki.kubeconfig(), pki.kubeconfig_text(url))?;
        Ok(pki)
    }

    /// A file of it by its name.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.file("kubeconfig")
    }

    fn write_leaf(&self, name: &str, params: CertificateParams, ca: &CertifiedIssuer<'_, KeyPair>) -> Result<()> {
        let key = KeyPair::generate()?;
        write(self.file(&format!("{name}.key")), key.serialize_pem())?;
        write(self.file(&format!("{name}.crt")), params.signed_by(&key, ca)?.pem())?;
        Ok(())
    }

    fn kubeconfig_text(&self, url: &str) -> String {
        let path = |name: &str| self.file(name).display().to_string();
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: \"{url}\", certificate-authority: \"{}\"}}}}]\n\
             users: [{{name: admin, user: {{client-certificate: \"{}\", client-key: \"{}\"}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: admin}}}}]\n",
            path("ca.crt"),
            path("admin.crt"),
            path("admin.key"),
        )
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "test-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn named(
    mut params: CertificateParams,
    name: &str,
    group: Option<&str>,
    usage: ExtendedKeyUsagePurpose,
) -> CertificateParams {
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.extended_key_usages = vec![usage];
    params
}
