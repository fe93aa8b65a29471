//! smidge-engine
