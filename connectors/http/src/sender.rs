//! One request and what its answer means. Names are resolved by the egress guard, and what it let through is what is dialled;
//! redirects are not followed and the environment's proxies are not used. Never enters: which rows, when to try again.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use millstream_connector::{Context, SinkError};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use url::Url;

use crate::sink_config::{self, HttpSinkConfig};

/// How much of an answer is read, to say why a row was refused.
const ANSWER_BYTES_MAX: usize = 4_096;
/// How many characters of it are said.
const SAID_MAX: usize = 300;

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    /// It was taken.
    Taken,
    /// It was refused for what it holds, for ever.
    Refused(String),
    /// It may be taken later; not before so many milliseconds, where the server said so.
    Later(String, Option<u64>),
    /// A person must change something.
    Setup(String),
}

/// Sends requests to one URL.
pub struct Sender {
    url: Url,
    host: String,
    port: u16,
    method: Method,
    headers: HeaderMap,
    key_header: HeaderName,
    retry_on: Vec<u16>,
    timeout: Duration,
    context: Context,
    /// The last client, and what it dials.
    client: Mutex<Option<(Vec<SocketAddr>, reqwest::Client)>>,
}

impl Sender {
    /// Nothing is dialled yet. Fails where a setting cannot be used.
    pub fn new(config: &HttpSinkConfig, context: &Context) -> Result<Sender, SinkError> {
        let refused = |text: String| SinkError::Setup(text);
        let url = Url::parse(&config.url)
            .map_err(|error| refused(format!("`url` {:?} cannot be read: {error}", config.url)))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused(format!(
                "`url` begins with {}:; rows are sent by http or https",
                url.scheme()
            )));
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().unwrap_or(443);
        let name = |text: &str| {
            HeaderName::try_from(text).map_err(|_| refused(format!("{text:?} is no name of a header")))
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (key, value) in &config.headers {
            let mut value = HeaderValue::try_from(value.expose()).map_err(|_| {
                refused(format!("the value of the header {key:?} has characters that none may have"))
            })?;
            value.set_sensitive(true);
            headers.insert(name(key)?, value);
        }
        Ok(Sender {
            host,
            port,
            url,
            method: match config.method {
                sink_config::Method::Post => Method::POST,
                sink_config::Method::Put => Method::PUT,
            },
            headers,
            key_header: name(&config.idempotency_header)?,
            retry_on: config.retry_on.clone(),
            timeout: Duration::from_millis(config.timeout.0),
            context: context.clone(),
            client: Mutex::new(None),
        })
    }

    /// Where it sends to, without what a URL may hold of secrets.
    pub fn shown(&self) -> String {
        let port = self.url.port().map_or(String::new(), |port| format!(":{port}"));
        format!("{}://{}{port}{}", self.url.scheme(), self.url.host_str().unwrap_or("?"), self.url.path())
    }

    /// Sends one request.
    pub async fn send(&self, key: &str, body: String) -> Outcome {
        let addresses =
            match self.context.egress.resolve(&self.host, self.port).await.map_err(SinkError::from) {
                Ok(addresses) => addresses,
                Err(SinkError::Setup(text)) => return Outcome::Setup(text),
                Err(other) => return Outcome::Later(other.to_string(), None),
            };
        let client = match self.client(addresses) {
            Ok(client) => client,
            Err(error) => return Outcome::Setup(format!("making an HTTP client: {error}")),
        };
        let key = match HeaderValue::try_from(key) {
            Ok(key) => key,
            Err(error) => return Outcome::Refused(format!("its name cannot stand in a header: {error}")),
        };
        let request = client.request(self.method.clone(), self.url.clone()).headers(self.headers.clone());
        let lost = |error: reqwest::Error| {
            let error = error.without_url();
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                text.push_str(&format!(": {error}"));
                cause = error.source();
            }
            Outcome::Later(text, None)
        };
        let mut answer = match request.header(self.key_header.clone(), key).body(body).send().await {
            Ok(answer) => answer,
            Err(error) => return lost(error),
        };
        let status = answer.status();
        let wait =
            answer.headers().get("Retry-After").and_then(|wait| wait.to_str().ok()?.trim().parse().ok());
        let mut said = Vec::new();
        // What comes after the status is for people: where it breaks off, the status stands.
        while said.len() < ANSWER_BYTES_MAX
            && let Ok(Some(chunk)) = answer.chunk().await
        {
            said.extend_from_slice(&chunk);
        }
        self.judge(status, wait, &said)
    }

    fn judge(&self, status: StatusCode, retry_after_s: Option<u64>, said: &[u8]) -> Outcome {
        let said: String = String::from_utf8_lossy(said).trim().chars().take(SAID_MAX).collect();
        let text = format!("{status}{}{said}", if said.is_empty() { "" } else { ": " });
        match status.as_u16() {
            200..=299 => Outcome::Taken,
            status if status >= 500 || self.retry_on.contains(&status) => {
                Outcome::Later(text, retry_after_s.map(|s| s.saturating_mul(1_000)))
            }
            // Nothing about a row: no row will be taken until a person has changed something.
            300..=399 | 401..=407 | 411 | 415 | 421 | 426 | 451 => Outcome::Setup(text),
            _ => Outcome::Refused(text),
        }
    }

    /// A client that dials what the guard has passed; the last one where that is the same.
    fn client(&self, addresses: Vec<SocketAddr>) -> Result<reqwest::Client, reqwest::Error> {
        let mut last = self.client.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((dials, client)) = &*last
            && *dials == addresses
        {
            return Ok(client.clone());
        }
        let client = reqwest::Client::builder()
            .resolve_to_addrs(&self.host, &addresses)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(self.timeout)
            .build()?;
        *last = Some((addresses, client.clone()));
        Ok(client)
    }
}
