//! smidge-injector
