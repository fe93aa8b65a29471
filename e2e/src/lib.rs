//! smidge-e2e
