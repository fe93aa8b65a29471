//! Calls over HTTP, each with its line on standard output.

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Method, Request, Response, Uri, body::Incoming};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::record::Record;

/// The header by which an app says who has answered.
pub(crate) const IDENTITY: &str = "identity";

/// Calls one server and keeps the connection.
#[derive(Clone)]
pub(crate) struct Caller {
    client: Client<HttpConnector, Empty<Bytes>>,
    server: Uri,
}

impl Caller {
    pub(crate) fn new(server: Uri) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), server }
    }

    /// Calls, and writes down how that ended.
    pub(crate) async fn call(&self, method: Method, path: &str) -> Result<Record> {
        let (status, by) = match self.answer(method, path).await {
            Ok(response) => (response.status().as_u16(), identity(&response)),
            Err(error) => {
                eprintln!("{}{path}: {error:#}", self.server);
                (0, String::new())
            }
        };
        let record = Record { path: path.into(), status, by };
        println!("{}", serde_json::to_string(&record)?);
        Ok(record)
    }

    async fn answer(&self, method: Method, path: &str) -> Result<Response<()>> {
        let mut uri = self.server.clone().into_parts();
        uri.path_and_query = Some(path.parse()?);
        let request = Request::builder().method(method).uri(Uri::from_parts(uri)?).body(Empty::new())?;
        let (head, body) = self.client.request(request).await?.into_parts();
        // Read to its end, so that the connection can be used again.
        body.collect().await?;
        Ok(Response::from_parts(head, ()))
    }
}

fn identity(response: &Response<()>) -> String {
    let value = response.headers().get(IDENTITY).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_string()
}

/// What servers of this example are given.
pub(crate) type Asked = Request<Incoming>;
