//! What stands between the operator and the API server on a bad day: an HTTP proxy on loopback. Requests come in with whatever
//! credentials they have; answers go out late, refused, cut off or robbed of their bookmarks. The API server behind it is real,
//! and knows nothing of it.

mod asked;
mod watch;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use kube::{
    Client,
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};

use crate::ApiServer;
pub use asked::Asked;

type Answer = Response<UnsyncBoxBody<Bytes, anyhow::Error>>;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Every answer comes so much later.
    Late(Duration),
    /// Half of all requests get this status in place of an answer; 429 with `Retry-After: 1`.
    Refuses(u16),
    /// Nobody ever answers what writes something.
    Swallows,
    /// Every watch is broken off, in the middle of the connection, after so long.
    BreaksWatches(Duration),
    /// Every watch ends in good order after so long, and none has bookmarks.
    NoBookmarks(Duration),
    /// Every watch is told at once that its version is too old.
    Forgets,
}

/// The proxy. It ends when dropped.
#[derive(Debug)]
pub struct Faults {
    address: SocketAddr,
    between: Arc<Between>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Between {
    upstream: Upstream,
    fault: tokio::sync::watch::Sender<Option<Fault>>,
    asked: Mutex<BTreeMap<Asked, u64>>,
    forbidden: Mutex<Vec<String>>,
    /// Requests so far.
    requests: AtomicU64,
    /// Requests and watches that a fault has struck.
    struck: AtomicU64,
}

struct Upstream(Client);

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Upstream")
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Faults {
    /// Stands before this API server; nothing is wrong yet.
    pub async fn before(api: &ApiServer) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let between = Arc::new(Between {
            upstream: Upstream(upstream(api).await?),
            fault: tokio::sync::watch::Sender::new(None),
            asked: Mutex::default(),
            forbidden: Mutex::default(),
            requests: AtomicU64::new(0),
            struck: AtomicU64::new(0),
        });
        let address = listener.local_addr()?;
        let server = tokio::spawn(serve(listener, Arc::clone(&between)));
        Ok(Self { address, between, server })
    }

    /// The URL by which it is reached.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on this goes wrong, and nothing else.
    pub fn set(&self, fault: Option<Fault>) {
        self.between.fault.send_replace(fault);
    }

    /// How many requests and watches were struck so far.
    pub fn struck(&self) -> u64 {
        self.between.struck.load(Relaxed)
    }

    /// What was asked so far, and how often.
    pub fn asked(&self) -> BTreeMap<Asked, u64> {
        lock(&self.between.asked).clone()
    }

    /// What the API server has forbidden so far, in its words.
    pub fn forbidden(&self) -> Vec<String> {
        lock(&self.between.forbidden).clone()
    }
}

/// A client without credentials and patience of its own.
async fn upstream(api: &ApiServer) -> Result<Client> {
    let file = Kubeconfig::read_from(api.kubeconfig())?;
    let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    config.auth_info = AuthInfo::default();
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

async fn serve(listener: TcpListener, between: Arc<Between>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(one_connection(stream, Arc::clone(&between)));
    }
}

async fn one_connection(stream: TcpStream, between: Arc<Between>) {
    let service = service_fn(move |request| Arc::clone(&between).answer(request));
    // An error is what a fault does, or the client's end.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl Between {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer> {
        let asked = Asked::of(request.method(), request.uri());
        let watches = asked.as_ref().is_some_and(|asked| asked.verb == "watch");
        let reads = request.method() == hyper::Method::GET;
        self.note(asked.clone());
        let number = self.requests.fetch_add(1, Relaxed);
        let fault = *self.fault.borrow();
        match fault {
            Some(Fault::Late(late)) => {
                self.strike();
                sleep(late).await;
            }
            Some(Fault::Refuses(code)) if strikes(number) => {
                self.strike();
                return refusal(code);
            }
            Some(Fault::Swallows) if !reads => {
                self.strike();
                std::future::pending::<()>().await;
            }
            _ => {}
        }
        let answer = self.pass(request).await?;
        if answer.status() == StatusCode::CREATED {
            // An apply of what was not there takes both rights.
            self.note(asked.filter(|asked| asked.verb == "patch").map(|asked| Asked { verb: "create", ..asked }));
        }
        if watches && answer.status().is_success() {
            return Ok(answer.map(|body| watch::through(body, self)));
        }
        Ok(answer)
    }

    async fn pass(&self, request: Request<Incoming>) -> Result<Answer> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let answer = self.upstream.0.send(Request::from_parts(head, body.into())).await?;
        let (mut head, body) = answer.into_parts();
        // Whether it has to be said how the body is sent is for the next connection.
        head.headers.remove(header::TRANSFER_ENCODING);
        if head.status != StatusCode::FORBIDDEN {
            return Ok(Response::from_parts(head, body.map_err(Into::into).boxed_unsync()));
        }
        let words = body.collect().await.context("an answer")?.to_bytes();
        lock(&self.forbidden).push(String::from_utf8_lossy(&words).into_owned());
        Ok(Response::from_parts(head, whole(words)))
    }

    fn note(&self, asked: Option<Asked>) {
        if let Some(asked) = asked {
            *lock(&self.asked).entry(asked).or_default() += 1;
        }
    }

    fn strike(&self) {
        self.struck.fetch_add(1, Relaxed);
    }
}

/// Half of all, in no period that a client's own requests could fall into step with (the golden ratio's multiples have none).
fn strikes(number: u64) -> bool {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 63 == 0
}

/// As an API server under load, or broken, says it.
fn refusal(code: u16) -> Result<Answer> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": "TestFault",
        "message": "made up by a test",
    });
    let mut answer = Response::builder().status(code).header(header::CONTENT_TYPE, "application/json");
    if code == 429 {
        answer = answer.header(header::RETRY_AFTER, "1");
    }
    Ok(answer.body(whole(status.to_string().into()))?)
}

fn whole(bytes: Bytes) -> UnsyncBoxBody<Bytes, anyhow::Error> {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
