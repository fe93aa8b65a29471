//! smidge-report
