//! smidge-xds-server
