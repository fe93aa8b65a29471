//! From an [`Image`] to the file that `docker save` would have written: a layer, the configuration that names the layer's
//! digest, and a manifest that names both.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use anyhow::{Context as _, Result};
use ring::digest::{Context, SHA256};
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::{Content, Image, hex};

/// Writes the archive to `path`.
pub(super) fn write(image: &Image, path: &Path) -> Result<()> {
    let mut layer = tempfile::tempfile_in(path.parent().context("an archive has a folder")?)?;
    let digest = write_layer(image, &layer)?;
    let config = config(image, &digest)?.to_string();
    let names: Vec<_> = [Image::reference(image.name)].into_iter().chain(image.alias.map(str::to_owned)).collect();
    let manifest = json!([{"Config": "config.json", "RepoTags": names, "Layers": ["layer.tar"]}]);
    let mut archive = Builder::new(BufWriter::new(File::create(path)?));
    archive.append_data(&mut header(0o644, config.len() as u64), "config.json", config.as_bytes())?;
    let length = layer.metadata()?.len();
    io::Seek::rewind(&mut layer)?;
    archive.append_data(&mut header(0o644, length), "layer.tar", layer)?;
    let manifest = manifest.to_string();
    archive.append_data(&mut header(0o644, manifest.len() as u64), "manifest.json", manifest.as_bytes())?;
    archive.into_inner()?.flush()?;
    Ok(())
}

/// Writes the layer and returns its SHA-256.
fn write_layer(image: &Image, file: &File) -> Result<String> {
    let digesting = Digesting { to: BufWriter::new(file), digest: Context::new(&SHA256) };
    let mut layer = Builder::new(digesting);
    for entry in &image.entries {
        match &entry.content {
            Content::File(path) => {
                let (source, file) = (File::open(path)?, fs::metadata(path)?);
                let mode = file.permissions().mode() & 0o755 | 0o444;
                layer.append_data(&mut header(mode, file.len()), &entry.target, source)?;
            }
            Content::Text(text) => {
                layer.append_data(&mut header(0o644, text.len() as u64), &entry.target, text.as_bytes())?;
            }
            Content::Link(target) => {
                let mut header = header(0o777, 0);
                header.set_entry_type(EntryType::Symlink);
                layer.append_link(&mut header, &entry.target, target)?;
            }
            Content::Folder { mode } => {
                let mut header = header(*mode, 0);
                header.set_entry_type(EntryType::Directory);
                layer.append_data(&mut header, &entry.target, io::empty())?;
            }
        }
    }
    let mut written = layer.into_inner()?;
    written.flush()?;
    Ok(hex(written.digest.finish().as_ref()))
}

/// Equal inputs make equal archives: no time, no owner but root.
fn header(mode: u32, length: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(mode);
    header.set_size(length);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn config(image: &Image, layer: &str) -> Result<Value> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Ok(json!({
        "architecture": architecture,
        "os": "linux",
        "config": {"Env": ["PATH=/usr/bin"], "Entrypoint": image.entrypoint},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
    }))
}

/// Takes the digest of what is written through it.
struct Digesting<W> {
    to: W,
    digest: Context,
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
