//! smidge-operator
