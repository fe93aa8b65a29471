//! smidge-sandbox
