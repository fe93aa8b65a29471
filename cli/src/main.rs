//! The `smidge` command.

fn main() {}
