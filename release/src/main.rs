//! What a release has beside programs and images: `release chart FOLDER`, `release krew URL ARCHIVE...`. `dist.sh` beside it puts
//! all of it together.

mod chart;
mod krew;

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["chart", folder] => write_chart(Path::new(folder)),
        ["krew", url, ref archives @ ..] => {
            print!("{}", krew::manifest(VERSION, url, archives)?);
            Ok(())
        }
        ["version"] => {
            println!("{VERSION}");
            Ok(())
        }
        _ => bail!("usage: release chart FOLDER | release krew URL ARCHIVE... | release version"),
    }
}

fn write_chart(folder: &Path) -> Result<()> {
    for (path, text) in chart::files(VERSION)? {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
