//! The store: sells books under its name, and orders a new one from the warehouse for each.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Response, StatusCode, Uri, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::TcpListener;

use crate::caller::{Asked, Caller, IDENTITY};

struct Store {
    name: String,
    warehouse: Caller,
    sold: AtomicU64,
}

/// Serves for ever.
pub(crate) async fn serve(name: String, listen: SocketAddr, warehouse: Uri) -> Result<()> {
    let store = Arc::new(Store { name, warehouse: Caller::new(warehouse), sold: AtomicU64::new(0) });
    serve_with(listen, move |asked| {
        let store = store.clone();
        async move { store.answer(&asked).await }
    })
    .await
}

impl Store {
    async fn answer(&self, asked: &Asked) -> Response<Full<Bytes>> {
        let text = match (asked.method(), asked.uri().path()) {
            (&Method::GET, "/books-bought") => format!("{}\n", self.sold.load(Ordering::Relaxed)),
            (&Method::GET, "/buy-a-book/new") => self.sell().await,
            _ => return answer(StatusCode::NOT_FOUND, &self.name, "no such page\n".into()),
        };
        answer(StatusCode::OK, &self.name, text)
    }

    /// Sells from the shelf: a warehouse that refuses costs no sale.
    async fn sell(&self) -> String {
        if let Err(error) = self.warehouse.call(Method::POST, "/restock-books").await {
            eprintln!("cannot write down the order: {error:#}");
        }
        format!("book {}\n", self.sold.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// An answer that says who gives it.
pub(crate) fn answer(status: StatusCode, by: &str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    if let Ok(by) = by.parse() {
        response.headers_mut().insert(IDENTITY, by);
    }
    response
}

/// Serves HTTP/1.1 and HTTP/2 for ever.
pub(crate) async fn serve_with<F, A>(listen: SocketAddr, answer: F) -> Result<()>
where
    F: Fn(Asked) -> A + Clone + Send + 'static,
    A: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let answer = answer.clone();
        let service = service_fn(move |asked| {
            let answered = answer(asked);
            async move { Ok::<_, Infallible>(answered.await) }
        });
        tokio::spawn(async move {
            let connections = auto::Builder::new(TokioExecutor::new());
            // A caller that went away in the middle is no failure of the server.
            let _ = connections.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
