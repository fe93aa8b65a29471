//! smidge-translator
