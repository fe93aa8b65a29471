//! The warehouse: hands out a book for each order.

use std::net::SocketAddr;

use anyhow::Result;
use hyper::{Method, StatusCode};

use crate::store::{answer, serve_with};

const NAME: &str = "bookwarehouse";

/// Serves for ever.
pub(crate) async fn serve(listen: SocketAddr) -> Result<()> {
    serve_with(listen, |asked| async move {
        match (asked.method(), asked.uri().path()) {
            (&Method::POST, "/restock-books") => answer(StatusCode::OK, NAME, "one more\n".into()),
            _ => answer(StatusCode::NOT_FOUND, NAME, "no such page\n".into()),
        }
    })
    .await
}
