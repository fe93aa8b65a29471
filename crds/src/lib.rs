//! smidge-crds
