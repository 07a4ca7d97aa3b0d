//! A schema registry with Confluent's interface, through the egress guard: the schema of an id with everything that it
//! refers to, and the id of a schema. Redirects are not followed and the environment's proxies are not used. Never
//! enters: what schemas mean, when to ask again.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream_types::Secret;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use url::Url;

use crate::egress::{Guard, Target};

/// Schemas that one may refer to, directly and by way of others, at most.
const REFERENCES_MAX: usize = 256;
/// The longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// And of a schema with all that it refers to.
const ALL_BYTES_MAX: usize = 16 << 20;
/// Confluent's code for an id that is not there; other codes that come with 404 tell of a wrong address.
const SCHEMA_NOT_FOUND: u32 = 40_403;

/// Where a registry is, and who asks.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// Its URL, as far as `/schemas` and `/subjects` begin.
    pub url: String,
    /// The user's name, where it asks for one.
    pub username: Option<Secret>,
    /// The password.
    pub password: Option<Secret>,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// Why the registry gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It may work later: the registry or the way to it.
    #[error("{0}")]
    Transient(String),
    /// It will not work like this: the address, the credentials, a schema that is not compatible.
    #[error("{0}")]
    Refused(String),
    /// What it has of this one schema cannot be used.
    #[error("{0}")]
    Unusable(String),
}

/// A schema as a registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// `AVRO`, `PROTOBUF` or `JSON`.
    pub kind: String,
    /// Its text.
    pub text: String,
    /// The schemas that it refers to, by the names by which it does, and those that they refer to; what is referred to
    /// comes before what refers to it.
    pub references: Vec<(String, String)>,
}

/// Asks a registry.
pub struct Registry {
    config: RegistryConfig,
    base: Url,
    egress: Arc<Guard>,
    /// The last client, and what it dials.
    client: Mutex<Option<(Vec<SocketAddr>, reqwest::Client)>>,
}

#[derive(Deserialize)]
struct Schema {
    schema: String,
    #[serde(rename = "schemaType")]
    schema_type: Option<String>,
    references: Option<Vec<Reference>>,
}

#[derive(Clone, Deserialize)]
struct Reference {
    name: String,
    subject: String,
    version: i64,
}

#[derive(Deserialize)]
struct Id {
    id: u32,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    error_code: u32,
    #[serde(default)]
    message: String,
}

/// An answer that is a refusal.
struct Refusal {
    status: StatusCode,
    fault: Fault,
}

impl Registry {
    /// A client; nothing is dialled yet.
    pub fn new(config: RegistryConfig, egress: Arc<Guard>) -> Result<Registry, RegistryError> {
        let mut base = Url::parse(&config.url).map_err(|error| {
            RegistryError::Refused(format!("the schema registry's URL cannot be read: {error}"))
        })?;
        if !matches!(base.scheme(), "http" | "https") {
            let text = format!(
                "the schema registry's URL begins with {}:, and it is spoken to by http or https",
                base.scheme()
            );
            return Err(RegistryError::Refused(text));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        Ok(Registry { config, base, egress, client: Mutex::new(None) })
    }

    /// The schema of an id; nothing where the registry does not know it.
    pub async fn schema(&self, id: u32) -> Result<Option<RegisteredSchema>, RegistryError> {
        let id = id.to_string();
        let found: Schema = match self.ask(Method::GET, &["schemas", "ids", &id], None).await? {
            Ok(answer) => read(&answer)?,
            Err(refusal) if refusal.fault.error_code == SCHEMA_NOT_FOUND => return Ok(None),
            Err(refusal) => return Err(self.refused(&format!("asking for the schema of id {id}"), &refusal)),
        };
        let references = self.references(found.references.as_deref().unwrap_or_default()).await?;
        let kind = found.schema_type.unwrap_or_else(|| "AVRO".to_owned());
        Ok(Some(RegisteredSchema { kind, text: found.schema, references }))
    }

    /// Everything that is referred to, each once, in the order in which it can be read.
    async fn references(&self, wanted: &[Reference]) -> Result<Vec<(String, String)>, RegistryError> {
        // An entry is met a second time when everything that it refers to has been taken.
        let mut stack: Vec<(Reference, Option<String>)> =
            wanted.iter().rev().map(|reference| (reference.clone(), None)).collect();
        let mut begun: Vec<String> = Vec::new();
        let mut taken: Vec<(String, String)> = Vec::new();
        let mut bytes = 0;
        while let Some((reference, text)) = stack.pop() {
            if let Some(text) = text {
                taken.push((reference.name, text));
                continue;
            }
            if begun.contains(&reference.name) {
                continue;
            }
            if begun.len() >= REFERENCES_MAX {
                let text = format!("it refers to more than {REFERENCES_MAX} others");
                return Err(RegistryError::Unusable(text));
            }
            begun.push(reference.name.clone());
            let version = reference.version.to_string();
            let path = ["subjects", &reference.subject, "versions", &version];
            let found: Schema = match self.ask(Method::GET, &path, None).await? {
                Ok(answer) => read(&answer)?,
                Err(refusal) => {
                    let doing = format!("asking for version {version} of {}", reference.subject);
                    return Err(match refusal.status {
                        StatusCode::NOT_FOUND => {
                            RegistryError::Unusable(self.refused(&doing, &refusal).to_string())
                        }
                        _ => self.refused(&doing, &refusal),
                    });
                }
            };
            bytes += found.schema.len();
            if bytes > ALL_BYTES_MAX {
                return Err(RegistryError::Unusable(format!("it refers to more than {ALL_BYTES_MAX} bytes")));
            }
            stack.push((reference, Some(found.schema)));
            let more = found.references.unwrap_or_default();
            stack.extend(more.into_iter().rev().map(|reference| (reference, None)));
        }
        Ok(taken)
    }

    /// The id of a schema under a subject; it is put there where it is not.
    pub async fn register(&self, subject: &str, kind: &str, text: &str) -> Result<u32, RegistryError> {
        let body = serde_json::json!({ "schemaType": kind, "schema": text });
        match self.ask(Method::POST, &["subjects", subject, "versions"], Some(body.to_string())).await? {
            Ok(answer) => Ok(read::<Id>(&answer)?.id),
            Err(refusal) => Err(self.refused(&format!("registering the schema of {subject}"), &refusal)),
        }
    }

    /// One question: the answer, or what it was refused with. What may pass by itself is an error.
    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        body: Option<String>,
    ) -> Result<Result<Vec<u8>, Refusal>, RegistryError> {
        let refused = |error: &dyn std::fmt::Display| {
            RegistryError::Refused(format!("asking the schema registry at {}: {error}", self.shown()))
        };
        let mut url = self.base.clone();
        url.path_segments_mut().map_err(|()| refused(&"its URL has no path"))?.pop_if_empty().extend(path);
        let target = match self.egress.check_url(url.as_str(), &["http", "https"]).await {
            Ok(target) => target,
            Err(millstream_connector::EgressError::Unresolved { host, why }) => {
                let text = format!("asking the schema registry at {}: {host}: {why}", self.shown());
                return Err(RegistryError::Transient(text));
            }
            Err(error) => return Err(refused(&error)),
        };
        let client = self.client(&target).map_err(|error| refused(&error))?;
        let mut request = client
            .request(method, target.url)
            .header("Accept", "application/vnd.schemaregistry.v1+json, application/json");
        if self.config.username.is_some() || self.config.password.is_some() {
            let plain = |secret: &Secret| String::from_utf8_lossy(secret.expose()).into_owned();
            request = request.basic_auth(
                self.config.username.as_ref().map(plain).unwrap_or_default(),
                self.config.password.as_ref().map(plain),
            );
        }
        if let Some(body) = body {
            request = request.header("Content-Type", "application/vnd.schemaregistry.v1+json").body(body);
        }
        let transient = |error: reqwest::Error| {
            // The causes are what a person wants to know; the URL is said already.
            let error = error.without_url();
            let mut text = format!("asking the schema registry at {}: {error}", self.shown());
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                text.push_str(&format!(": {error}"));
                cause = error.source();
            }
            RegistryError::Transient(text)
        };
        let mut answer = request.send().await.map_err(transient)?;
        let status = answer.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(transient)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_BYTES_MAX {
                let text = format!("an answer of more than {ANSWER_BYTES_MAX} bytes");
                return Err(RegistryError::Unusable(refused(&text).to_string()));
            }
        }
        if status.is_success() {
            return Ok(Ok(bytes));
        }
        let said = || String::from_utf8_lossy(&bytes).chars().take(200).collect::<String>();
        let fault =
            serde_json::from_slice(&bytes).unwrap_or_else(|_| Fault { error_code: 0, message: said() });
        let refusal = Refusal { status, fault };
        if status.is_server_error()
            || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
        {
            return Err(RegistryError::Transient(self.refused("asking", &refusal).to_string()));
        }
        Ok(Err(refusal))
    }

    /// A client that dials what the guard has passed; the last one where that is the same.
    fn client(&self, target: &Target) -> Result<reqwest::Client, reqwest::Error> {
        let mut last = self.client.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((addresses, client)) = &*last
            && *addresses == target.addresses
        {
            return Ok(client.clone());
        }
        let client = reqwest::Client::builder()
            .resolve_to_addrs(&target.host, &target.addresses)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(self.config.timeout)
            .build()?;
        *last = Some((target.addresses.clone(), client.clone()));
        Ok(client)
    }

    fn refused(&self, doing: &str, refusal: &Refusal) -> RegistryError {
        let Refusal { status, fault } = refusal;
        let help = match status.as_u16() {
            401 | 403 => "; give the `username` and `password` of `schema_registry`",
            409 => {
                "; the registry holds the subject to its compatibility rule: add columns that may be null, or use another `subject`"
            }
            _ => "",
        };
        let text =
            format!("{doing} at the schema registry {}: {status}: {}{help}", self.shown(), fault.message);
        RegistryError::Refused(text)
    }

    /// Its address without what it may hold of secrets.
    fn shown(&self) -> String {
        let port = self.base.port().map_or(String::new(), |port| format!(":{port}"));
        format!("{}://{}{port}", self.base.scheme(), self.base.host_str().unwrap_or("?"))
    }
}

fn read<T: serde::de::DeserializeOwned>(answer: &[u8]) -> Result<T, RegistryError> {
    serde_json::from_slice(answer).map_err(|error| {
        RegistryError::Unusable(format!(
            "the schema registry's answer is not what Confluent's interface says: {error}"
        ))
    })
}
