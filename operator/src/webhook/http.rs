//! HTTP: which requests are answered, how long they may be and take.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use smidge_crds::CONVERT;
use tokio::time::timeout;

use super::{
    Counters, Webhook,
    answer::{answer, comes_early},
    convert::convert,
    guests::{BODIES, Guest},
    mutate::mutate,
    validate::validate,
};
use crate::tls;

/// What there is, for who asks for something else.
const PATHS: &str = "there are POST /inject, /convert, /validate and /mutate";
/// How long a request may be, in bytes: the API server takes no object of more than 3 MiB.
const BODY: usize = 4 << 20;
/// How long a review of conversions may be that says so beforehand: a LIST may be in it.
const LIST: usize = 64 << 20;
/// How long such a review may take; the API server waits for 30 s.
const LIST_ARRIVAL: Duration = Duration::from_secs(25);
/// How long it may take to arrive: the API server has it ready.
const ARRIVAL: Duration = Duration::from_secs(5);
/// How long an admission waits for its namespace to be known.
const EARLY: Duration = Duration::from_secs(2);
/// How many requests of one connection may be under way.
const STREAMS: u32 = 64;
/// How often a silent connection is asked whether anybody is there.
const KEEPALIVE: Duration = Duration::from_secs(30);

pub(super) fn server() -> Builder<TokioExecutor> {
    let mut server = Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(ARRIVAL).max_buf_size(64 << 10);
    let mut http2 = server.http2();
    http2.timer(TokioTimer::new()).keep_alive_interval(KEEPALIVE).keep_alive_timeout(ARRIVAL);
    http2.max_concurrent_streams(STREAMS).max_header_list_size(16 << 10);
    server
}

/// Serves one connection.
pub(super) fn connection(
    server: &Builder<TokioExecutor>,
    connection: tls::Connection,
    webhook: Webhook,
    guest: Arc<Guest>,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = Box<dyn std::error::Error + Send + Sync>> + use<> {
    let service = service_fn(move |request| {
        let (webhook, guest) = (webhook.clone(), Arc::clone(&guest));
        async move { Ok::<_, Infallible>(respond(request, &webhook, &guest).await) }
    });
    server.serve_connection(TokioIo::new(connection), service).into_owned()
}

/// What is asked.
#[derive(Clone, Copy)]
enum Question {
    /// How a pod joins.
    Inject,
    /// Objects in another version.
    Convert,
    /// Whether an object can work.
    Validate,
    /// An object in the form in which it is to be stored.
    Mutate,
}

impl Question {
    fn at(path: &str) -> Option<Self> {
        match path {
            "/inject" => Some(Self::Inject),
            CONVERT => Some(Self::Convert),
            "/validate" => Some(Self::Validate),
            "/mutate" => Some(Self::Mutate),
            _ => None,
        }
    }
}

async fn respond(request: Request<Incoming>, webhook: &Webhook, guest: &Guest) -> Response<Full<Bytes>> {
    let Some(question) = Question::at(request.uri().path()) else { return text(StatusCode::NOT_FOUND, PATHS) };
    if request.method() != Method::POST {
        return text(StatusCode::METHOD_NOT_ALLOWED, PATHS);
    }
    let arrival = if is_large(question, &request) { LIST_ARRIVAL } else { ARRIVAL };
    let response = match timeout(arrival, consider(question, request, webhook, guest)).await {
        Ok(Ok(response)) => return response,
        Ok(Err(refused)) => refused,
        Err(_) => text(StatusCode::REQUEST_TIMEOUT, "the request took too long"),
    };
    Counters::count(&webhook.counters.failed);
    response
}

/// Whether it is longer than an object is.
fn is_large(question: Question, request: &Request<Incoming>) -> bool {
    let length = request.body().size_hint().exact().unwrap_or_default();
    matches!(question, Question::Convert) && length > BODY as u64
}

async fn consider(
    question: Question,
    request: Request<Incoming>,
    webhook: &Webhook,
    guest: &Guest,
) -> Result<Response<Full<Bytes>>, Response<Full<Bytes>>> {
    let busy = |_| text(StatusCode::SERVICE_UNAVAILABLE, "the webhook is ending");
    let is_large = is_large(question, &request);
    let (places, longest) = if is_large { (BODIES, LIST) } else { (1, BODY) };
    let _place = guest.bodies().acquire_many_owned(places).await.map_err(busy)?;
    let _turn = if is_large { Some(guest.large().acquire_owned().await.map_err(busy)?) } else { None };
    let body = Limited::new(request.into_body(), longest).collect().await;
    let body = body.map_err(|error| text(StatusCode::PAYLOAD_TOO_LARGE, &error.to_string()))?.to_bytes();
    let answered = match question {
        Question::Inject => admit(webhook, &body).await,
        Question::Convert => converted(webhook, &body),
        Question::Validate => validated(webhook, &body),
        Question::Mutate => mutate(&body).map_err(Into::into).and_then(|review| Ok(serde_json::to_vec(&review)?)),
    };
    let json = answered.map_err(|error| text(StatusCode::BAD_REQUEST, &error.to_string()))?;
    let mut response = Response::new(Full::from(json));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

type Answered = Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>>;

async fn admit(webhook: &Webhook, review: &[u8]) -> Answered {
    // A watch tells of a namespace a moment after the API server has it: who creates one with a pod in it is not refused.
    let _ = timeout(EARLY, known(webhook, review)).await;
    Ok(serde_json::to_vec(&answer(webhook, review)?)?)
}

fn converted(webhook: &Webhook, review: &[u8]) -> Answered {
    let converted = convert(review)?;
    Counters::add(&webhook.counters.converted, converted.objects);
    Ok(converted.answer.into())
}

fn validated(webhook: &Webhook, review: &[u8]) -> Answered {
    // A clone: the loop is not held up by who looks.
    let snapshot = webhook.snapshot.borrow().clone();
    let review = validate(snapshot.as_ref(), review)?;
    Counters::add(&webhook.counters.validated, 1);
    if review.response.as_ref().is_some_and(|response| !response.allowed) {
        Counters::add(&webhook.counters.invalid, 1);
    }
    Ok(serde_json::to_vec(&review)?)
}

/// Waits until the namespace of a review is known to be labelled.
async fn known(webhook: &Webhook, review: &[u8]) {
    let mut namespaces = webhook.namespaces.clone();
    while comes_early(webhook, review) && namespaces.changed().await.is_ok() {}
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{text}\n")));
    *response.status_mut() = status;
    response
}
