//! HTTP/1.1: connections, requests, answers. Every wait has a bound: connections by number, headers and bodies by time,
//! bodies by size and all together by the budget, commits by `answer_timeout`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::post;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use millstream_connector::Context;
use millstream_types::Secret;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::answer;
use crate::config::HttpSourceConfig;
use crate::desk::{Desk, Refusal, Ticket};
use crate::request::units;

struct Shared {
    config: Arc<HttpSourceConfig>,
    context: Context,
    desk: Arc<Desk>,
}

/// How long connections may take to end once the source lets go.
const CLOSE_MS: u64 = 5_000;
/// The longest key in the header, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// Serves until `stop` changes; then closes the port at once and lets connections end. The port is free when
/// `closed` is dropped.
pub async fn serve(
    listener: TcpListener,
    config: Arc<HttpSourceConfig>,
    context: Context,
    desk: Arc<Desk>,
    mut stop: watch::Receiver<bool>,
    closed: tokio::sync::oneshot::Sender<()>,
) {
    let limit = Arc::new(Semaphore::new(config.max_connections as usize));
    let read_timeout = Duration::from_millis(config.read_timeout.0);
    let path = config.path.clone();
    let shared = Arc::new(Shared { config, context, desk });
    let router = Router::new().route(&path, post(handle)).with_state(shared);
    let mut connections = JoinSet::new();
    loop {
        // A finished connection's memory is given back here.
        while connections.try_join_next().is_some() {}
        let permit = tokio::select! {
            permit = Arc::clone(&limit).acquire_owned() => permit.expect("never closed"),
            _ = stop.changed() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, or a peer that was gone at once: neither ends the service.
                tracing::warn!(%error, "accepting a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let mut stop = stop.clone();
        connections.spawn(async move {
            let _permit = permit;
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(read_timeout)
                .serve_connection(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = stop.changed() => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        });
    }
    drop(listener);
    drop(closed);
    let end = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_millis(CLOSE_MS), end).await;
}

type Answer = Response<Body>;

fn plain(status: StatusCode, text: &str) -> Answer {
    let mut response = Response::new(Body::from(format!("{{\"error\":{}}}", serde_json::json!(text))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl Shared {
    fn later(&self, text: &str) -> Answer {
        let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, text);
        let seconds = self.config.retry_after.0.div_ceil(1_000);
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        response
    }

    fn may(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.config.token else { return true };
        let given =
            headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        given.is_some_and(|given| token.0.same(&Secret::new(given)))
    }
}

/// Whether each line is a record.
fn is_lines(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(
        kind.as_str(),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines"
    )
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    if !shared.may(&parts.headers) {
        return plain(
            StatusCode::UNAUTHORIZED,
            "the request needs `Authorization: Bearer …` with the pipeline's token",
        );
    }
    let max = shared.config.max_body.0;
    let length =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let too_large =
        || plain(StatusCode::PAYLOAD_TOO_LARGE, &format!("a body has at most {}", shared.config.max_body));
    if length.is_some_and(|length| length > max) {
        return too_large();
    }
    let mut keys = parts.headers.get_all(shared.config.idempotency_header.as_str()).iter();
    let key = keys.next().cloned();
    if keys.next().is_some() || key.as_ref().is_some_and(|key| key.is_empty() || key.len() > KEY_BYTES_MAX) {
        let name = &shared.config.idempotency_header;
        return plain(
            StatusCode::BAD_REQUEST,
            &format!("`{name}` is there once, with 1 to {KEY_BYTES_MAX} bytes"),
        );
    }
    // Before a byte of it is read.
    let Some(reserved) = shared.desk.reserve(length.unwrap_or(max)) else {
        return shared.later("too much is waiting for its commit; send it again later");
    };
    let read_timeout = Duration::from_millis(shared.config.read_timeout.0);
    let body = match tokio::time::timeout(read_timeout, to_bytes(body, max as usize)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) if length.is_none() => return too_large(),
        Ok(Err(_)) => return plain(StatusCode::BAD_REQUEST, "the body ended early"),
        Err(_) => return plain(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
    };
    let key = key.as_ref().map(HeaderValue::as_bytes);
    let units = units(&body, is_lines(&parts.headers), key, &shared.config.id_fields);
    if units.is_empty() {
        return plain(StatusCode::BAD_REQUEST, "the body holds no record");
    }
    let tickets = match shared.desk.submit(units, reserved, shared.context.now()) {
        Ok(tickets) => tickets,
        Err(Refusal::Stopping) => return shared.later("the pipeline is stopping; send it again"),
        Err(Refusal::Conflict) => {
            let name = &shared.config.idempotency_header;
            let text = format!("this `{name}` was used for another body; use a new one for a new request");
            return plain(StatusCode::UNPROCESSABLE_ENTITY, &text);
        }
    };
    let limit = Duration::from_millis(shared.config.answer_timeout.0);
    let Ok(answered) = tokio::time::timeout(limit, outcomes(tickets)).await else {
        return shared
            .later("taken in, but not committed in time; send it again with the same key to learn of it");
    };
    let Some((outcomes, repeats)) = answered else {
        return shared.later("the pipeline stopped before the commit; send it again");
    };
    let mut response = Response::new(Body::from(answer::body(&outcomes)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if repeats > 0 {
        response.headers_mut().insert("idempotent-repeats", repeats.into());
    }
    response
}

/// All outcomes, and how many of them are repeated; `None` when the reader is gone.
async fn outcomes(tickets: Vec<Ticket>) -> Option<(Vec<answer::Outcome>, u64)> {
    let mut all = Vec::with_capacity(tickets.len());
    let mut repeats = 0;
    for ticket in tickets {
        match ticket {
            Ticket::Repeat(outcome) => {
                repeats += 1;
                all.push(outcome);
            }
            Ticket::Wait(wait) => all.push(wait.await.ok()?),
        }
    }
    Some((all, repeats))
}
