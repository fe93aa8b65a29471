//! Archives of the command → the manifest by which krew, the package manager of kubectl, installs it as `kubectl smidge`.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

/// The manifest; archives are called `smidge-<version>-<os>-<architecture>.tar.gz`, and will be found below `url`.
///
/// # Errors
/// When an archive cannot be read, is called otherwise, or there is none.
pub(crate) fn manifest(version: &str, url: &str, archives: &[impl AsRef<Path>]) -> Result<String> {
    let platforms = archives.iter().map(|path| platform(version, url, path.as_ref())).collect::<Result<Vec<_>>>()?;
    anyhow::ensure!(!platforms.is_empty(), "name at least one archive");
    let manifest = json!({
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "smidge"},
        "spec": {
            "version": format!("v{version}"),
            "shortDescription": "Operate a service mesh of SMI on stock Envoy",
            "description": "Installs and checks Smidge, a service mesh for the Service Mesh Interface, and answers\n\
                            who may call whom, what a split does, and what each Envoy has.\n",
            "platforms": platforms,
        },
    });
    Ok(serde_yaml::to_string(&manifest)?)
}

fn platform(version: &str, url: &str, path: &Path) -> Result<Value> {
    let shown = path.display();
    let name = path.file_name().and_then(|name| name.to_str()).with_context(|| format!("{shown} has no name"))?;
    let form = || format!("{shown}: call it smidge-{version}-<os>-<architecture>.tar.gz");
    let target = name.strip_prefix(&format!("smidge-{version}-")).and_then(|rest| rest.strip_suffix(".tar.gz"));
    let (os, architecture) = target.and_then(|target| target.split_once('-')).with_context(form)?;
    let bytes = fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    Ok(json!({
        "selector": {"matchLabels": {"os": os, "arch": architecture}},
        "uri": format!("{}/{name}", url.trim_end_matches('/')),
        "sha256": hex(digest(&SHA256, &bytes).as_ref()),
        "bin": "smidge",
        "files": [{"from": "smidge", "to": "."}, {"from": "LICENSE", "to": "."}],
    }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_each_archive_with_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("smidge-1.2.3-linux-amd64.tar.gz");
        fs::write(&archive, "abc").unwrap();
        let text = manifest("1.2.3", "https://example.com/v1.2.3/", &[&archive]);
        let misnamed = manifest("1.2.4", "https://example.com", &[&archive]).unwrap_err().to_string();
        let read: Value = serde_yaml::from_str(&text.unwrap()).unwrap();
        let platform = &read["spec"]["platforms"][0];
        assert_eq!(platform["sha256"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(platform["uri"], "https://example.com/v1.2.3/smidge-1.2.3-linux-amd64.tar.gz");
        assert_eq!(platform["selector"]["matchLabels"], json!({"os": "linux", "arch": "amd64"}));
        assert_eq!(read["spec"]["version"], "v1.2.3");
        assert!(misnamed.contains("call it smidge-1.2.4-<os>"), "{misnamed}");
    }
}
