//! The keys and certificates of a cluster of our own, and the kubeconfigs that make clients what they are.
//! In goes a folder, out go files in it; they are good for as long as the test runs and worth nothing after.

use std::fs::write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// The files of one cluster.
#[derive(Debug)]
pub(crate) struct Pki {
    folder: PathBuf,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    /// Makes what every API server needs: the authority, its server's certificate for `names`, the keys of service accounts,
    /// an administrator with a kubeconfig for `url`.
    pub(crate) fn write(folder: &Path, url: &str, names: &[&str]) -> Result<Pki> {
        let pki = Pki { folder: folder.to_owned(), ca: authority()? };
        write(pki.file("ca.crt"), pki.ca.pem())?;
        write(pki.file("ca.key"), pki.ca.key().serialize_pem())?;
        pki.server("apiserver", "kube-apiserver", names)?;
        pki.client("admin", "admin", Some("system:masters"))?;
        let accounts = KeyPair::generate()?;
        write(pki.file("accounts.key"), accounts.serialize_pem())?;
        write(pki.file("accounts.pub"), accounts.public_key_pem())?;
        write(pki.kubeconfig(), pki.kubeconfig_text("admin", url))?;
        Ok(pki)
    }

    /// A file of it by its name.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// `--<flag>=<path>` for each flag and the file that it takes.
    pub(crate) fn flags(&self, files: &[(&str, &str)]) -> Vec<String> {
        files.iter().map(|(flag, file)| format!("--{flag}={}", self.file(file).display())).collect()
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.file("kubeconfig")
    }

    /// `<file>.crt` and `<file>.key` of a server that goes by these names and addresses.
    pub(crate) fn server(&self, file: &str, name: &str, names: &[&str]) -> Result<()> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let params = CertificateParams::new(names)?;
        self.leaf(file, named(params, name, None, ExtendedKeyUsagePurpose::ServerAuth))
    }

    /// `<file>.crt` and `<file>.key` of a user, and member of a group, of the API server.
    pub(crate) fn client(&self, file: &str, user: &str, group: Option<&str>) -> Result<()> {
        self.leaf(file, named(CertificateParams::default(), user, group, ExtendedKeyUsagePurpose::ClientAuth))
    }

    /// The same, and `<file>.kubeconfig` for the API server at `url`.
    pub(crate) fn client_with_kubeconfig(&self, file: &str, user: &str, group: Option<&str>, url: &str) -> Result<()> {
        self.client(file, user, group)?;
        Ok(write(self.file(&format!("{file}.kubeconfig")), self.kubeconfig_text(file, url))?)
    }

    fn leaf(&self, file: &str, params: CertificateParams) -> Result<()> {
        let key = KeyPair::generate()?;
        write(self.file(&format!("{file}.key")), key.serialize_pem())?;
        write(self.file(&format!("{file}.crt")), params.signed_by(&key, &self.ca)?.pem())?;
        Ok(())
    }

    fn kubeconfig_text(&self, client: &str, url: &str) -> String {
        let path = |name: &str| self.file(name).display().to_string();
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: \"{url}\", certificate-authority: \"{}\"}}}}]\n\
             users: [{{name: user, user: {{client-certificate: \"{}\", client-key: \"{}\"}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: user}}}}]\n",
            path("ca.crt"),
            path(&format!("{client}.crt")),
            path(&format!("{client}.key")),
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
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.extended_key_usages = vec![usage];
    params
}
