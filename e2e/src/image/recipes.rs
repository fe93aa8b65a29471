//! What is in each image that the tests' node runs.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use smidge_sandbox::cache_folder;

use super::Image;
use crate::{Tool, world::beside_this_test};

/// Images that every node has from its start; the others are imported by those who need them.
pub(crate) const USUAL: [&str; 6] = ["pause", "coredns", "testapp", "smidge-redirect", "envoy", "smidge"];
/// Images that tests refer to.
pub const EVERY: [&str; 5] = ["testapp", "smidge-redirect", "envoy", "smidge", "postgres"];

impl Image {
    /// The image of this name.
    ///
    /// # Errors
    /// When a program is missing that belongs into it.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "pause" => Ok(Self::new("pause").program("pause", &small("pause", None)?)?.entrypoint("/usr/bin/pause")),
            "coredns" => {
                Ok(Self::new("coredns").program("coredns", &Tool::CoreDns.path()?)?.entrypoint("/usr/bin/coredns"))
            }
            "envoy" => Ok(Self::new("envoy")
                .program("envoy", &Tool::Envoy.path()?)?
                .entrypoint("/usr/bin/envoy")
                .alias(smidge_injector::PROXY_IMAGE)),
            "smidge-redirect" => Ok(Self::new("smidge-redirect")
                .program("nft", &in_path("nft")?)?
                .entrypoint("/usr/bin/nft")
                .alias("smidge-redirect:0.1.0")),
            "smidge" => Ok(Self::new("smidge")
                .program("smidge", &small("smidge", env::var_os("SMIDGE"))?)?
                .entrypoint("/usr/bin/smidge")
                .alias("smidge:0.1.0")),
            "testapp" => testapp(),
            "postgres" => postgres(),
            _ => bail!("there is no image {name:?}"),
        }
    }
}

/// The tests' app and the demo's, and what a person would use in a shell.
fn testapp() -> Result<Image> {
    let mut image = Image::new("testapp").alias("bookstore:0.1.0");
    for program in ["testapp", "bookstore"] {
        image = image.program(program, &small(program, None)?)?;
    }
    for program in ["sh", "cat", "sleep", "curl"] {
        image = image.program(program, &in_path(program)?)?;
    }
    Ok(image)
}

/// Debian's PostgreSQL, with its own locale and time zone only.
fn postgres() -> Result<Image> {
    let home = fs::read_dir("/usr/lib/postgresql")
        .context("PostgreSQL is not installed: run `make tools`")?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.join("bin/postgres").exists())
        .context("/usr/lib/postgresql holds no server")?;
    let share = Path::new("/usr/share/postgresql").join(home.file_name().unwrap_or_default());
    // The compiler of queries would bring LLVM along, and runs only where it is there.
    let no_llvm = |name: &str| name.starts_with("llvmjit") || name == "bitcode";
    let mut image = Image::new("postgres").tree(&home, &no_llvm)?.tree(&share, &|_| false)?;
    for program in ["bin/postgres", "bin/initdb", "bin/psql", "lib/plpgsql.so"] {
        image = image.libraries_of(&home.join(program))?;
    }
    for program in ["sh", "cat"] {
        image = image.program(program, &in_path(program)?)?;
    }
    for program in fs::read_dir(home.join("bin"))? {
        let program = program?;
        image.add(Path::new("usr/bin").join(program.file_name()), super::Content::Link(program.path()));
    }
    let users = "root:x:0:0::/:/bin/sh\npostgres:x:999:999::/tmp:/bin/sh\n";
    image.entries.retain(|entry| entry.target != Path::new("etc/passwd"));
    image = image.tree(Path::new("/usr/share/zoneinfo/Etc"), &|_| false)?;
    Ok(image.text("etc/passwd", users))
}

/// A program that cargo has built, without what only a debugger reads: a tenth of the size. `own` is the path of another
/// build of it.
fn small(name: &str, own: Option<std::ffi::OsString>) -> Result<PathBuf> {
    let built = own.filter(|path| !path.is_empty()).map_or_else(|| beside_this_test(name), |path| Ok(path.into()))?;
    let file = fs::metadata(&built).with_context(|| built.display().to_string())?;
    let changed = file.modified()?.duration_since(std::time::UNIX_EPOCH)?.as_nanos();
    let folder = cache_folder().join("images");
    let small = folder.join(format!("{name}-{}-{changed}.stripped", file.len()));
    if !small.exists() {
        fs::create_dir_all(&folder)?;
        let draft = tempfile::NamedTempFile::new_in(&folder)?.into_temp_path();
        let strip = Command::new("strip").arg("-o").arg(&draft).arg(&built).output().context("cannot run strip")?;
        ensure!(strip.status.success(), "strip: {}", String::from_utf8_lossy(&strip.stderr));
        draft.persist(&small)?;
    }
    Ok(small)
}

fn in_path(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let found = env::split_paths(&path).chain(usual).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not installed: run `make tools`"))
}
