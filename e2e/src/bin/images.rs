//! Makes the images that the tests' pods run, for a cluster of one's own: prints for each its name and the archive to be loaded
//! there (`kind load image-archive`, `ctr images import`). With names as arguments makes these only.

use smidge_e2e::image::{EVERY, Image};

fn main() -> anyhow::Result<()> {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let every = || EVERY.map(String::from).to_vec();
    for name in if asked.is_empty() { every() } else { asked } {
        println!("{} {}", Image::reference(&name), Image::named(&name)?.archive()?.display());
    }
    Ok(())
}
