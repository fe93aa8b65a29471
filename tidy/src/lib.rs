//! Reads the checkout as the tidy test sees it: the files that git tracks, the functions in them, the crates and what they
//! depend on, and the exceptions that are granted. It judges nothing; the rules are in `tests/tidy/`.

mod crates;
mod exceptions;
mod source;
mod tree;

pub use crates::{Graph, Package};
pub use exceptions::Exceptions;
pub use source::{Function, Names, Source};
pub use tree::{read, root, rust_sources, tracked};
