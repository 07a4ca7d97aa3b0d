//! What is true of every request and response: the traits, the table of APIs, and the enums that hold any of them.
//! Owns the macros that the generated lists are written in. Never enters: a message's fields.

use crate::api::ApiKey;
use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;
use std::fmt::Debug;

/// A request or a response.
pub trait Message: Default + Clone + PartialEq + Debug + Sized {
    /// The API that it belongs to.
    const API_KEY: ApiKey;
    /// Kafka's name for it.
    const NAME: &'static str;
    /// The lowest version that has a form.
    const MIN_VERSION: i16;
    /// The highest version that has a form, released or not; see [`ApiKey::max_version`].
    const MAX_VERSION: i16;

    /// Reads it in the form of `version`. Bytes behind it are left in the reader.
    fn decode(r: &mut Reader, version: i16) -> Result<Self, DecodeError>;

    /// Writes it in the form of `version`.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>;
}

/// A request.
pub trait Request: Message {
    /// What answers it.
    type Response: Response;
}

/// A response.
pub trait Response: Message {
    /// What it answers.
    type Request: Request;
}

/// What is true of an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ApiInfo {
    pub(crate) name: &'static str,
    pub(crate) min: i16,
    pub(crate) max: i16,
    pub(crate) max_stable: i16,
    pub(crate) first_flexible: i16,
    pub(crate) broker: bool,
    pub(crate) controller: bool,
}

macro_rules! api_keys {
    ($($name:ident = $code:literal, $info:expr;)*) => {
        /// An API of Kafka 4.4.0. The number is the API key on the wire; 4 to 7 went with ZooKeeper.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        #[non_exhaustive]
        pub enum ApiKey {
            $(#[doc = concat!("API key ", stringify!($code), ".")] $name = $code,)*
        }

        impl ApiKey {
            /// Every API, by ascending key.
            pub const ALL: &'static [ApiKey] = &[$(ApiKey::$name,)*];

            /// The API of a number from the wire.
            pub const fn from_code(code: i16) -> Option<ApiKey> {
                match code {
                    $($code => Some(ApiKey::$name),)*
                    _ => None,
                }
            }

            pub(crate) const fn info(self) -> ApiInfo {
                match self {
                    $(ApiKey::$name => $info,)*
                }
            }
        }
    };
}
pub(crate) use api_keys;

impl ApiKey {
    /// The number on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Kafka's name, as in `CreateTopics`.
    pub const fn name(self) -> &'static str {
        self.info().name
    }

    /// The lowest version that Kafka 4.4.0 serves.
    pub const fn min_version(self) -> i16 {
        self.info().min
    }

    /// The highest released version, which is what a server names in ApiVersions.
    pub const fn max_version(self) -> i16 {
        self.info().max_stable
    }

    /// The highest version that has a schema, released or not (InitProducerId 6 is not).
    pub const fn max_unstable_version(self) -> i16 {
        self.info().max
    }

    /// Whether Kafka's brokers serve it on their own listeners.
    pub const fn on_broker_listener(self) -> bool {
        self.info().broker
    }

    /// Whether Kafka's controllers serve it on theirs.
    pub const fn on_controller_listener(self) -> bool {
        self.info().controller
    }

    /// The first version with compact lengths and tagged fields (KIP-482); `None` where there is none.
    pub const fn first_flexible_version(self) -> Option<i16> {
        match self.info().first_flexible {
            i16::MAX => None,
            first => Some(first),
        }
    }

    /// Whether `version` has compact lengths and tagged fields.
    pub const fn is_flexible(self, version: i16) -> bool {
        version >= self.info().first_flexible
    }

    /// The version of the header before a request: 2 where the request is flexible, else 1.
    pub const fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// The version of the header before a response: 1 where the response is flexible, else 0. ApiVersions always
    /// has 0, since a client reads that answer before it knows what the broker can do (KIP-511).
    pub const fn response_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) && !matches!(self, ApiKey::ApiVersions) { 1 } else { 0 }
    }
}

impl std::fmt::Display for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! messages {
    ($($api:ident $request:ident $response:ident $lo:literal $hi:literal;)*) => {
        use crate::api::ApiKey;
        use crate::dispatch::{Message, Request, Response};
        use crate::error::{DecodeError, EncodeError};
        use crate::reader::Reader;
        use crate::writer::Writer;

        $(
            impl Message for $request {
                const API_KEY: ApiKey = ApiKey::$api;
                const NAME: &'static str = stringify!($request);
                const MIN_VERSION: i16 = $lo;
                const MAX_VERSION: i16 = $hi;

                fn decode(r: &mut Reader, version: i16) -> Result<Self, DecodeError> {
                    $request::decode(r, version)
                }

                fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
                    $request::encode(self, w, version)
                }
            }

            impl Message for $response {
                const API_KEY: ApiKey = ApiKey::$api;
                const NAME: &'static str = stringify!($response);
                const MIN_VERSION: i16 = $lo;
                const MAX_VERSION: i16 = $hi;

                fn decode(r: &mut Reader, version: i16) -> Result<Self, DecodeError> {
                    $response::decode(r, version)
                }

                fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
                    $response::encode(self, w, version)
                }
            }

            impl Request for $request {
                type Response = $response;
            }

            impl Response for $response {
                type Request = $request;
            }

            impl From<$request> for AnyRequest {
                fn from(request: $request) -> AnyRequest {
                    AnyRequest::$api(request)
                }
            }

            impl From<$response> for AnyResponse {
                fn from(response: $response) -> AnyResponse {
                    AnyResponse::$api(response)
                }
            }
        )*

        crate::dispatch::any! { AnyRequest "Any request." $($api $request)* }
        crate::dispatch::any! { AnyResponse "Any response." $($api $response)* }
    };
}
pub(crate) use messages;

macro_rules! any {
    ($any:ident $doc:literal $($api:ident $message:ident)*) => {
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq)]
        #[allow(clippy::large_enum_variant)]
        #[non_exhaustive]
        pub enum $any {
            $(#[doc = concat!("`", stringify!($message), "`.")] $api($message),)*
        }

        impl $any {
            /// Reads the message of `api` in the form of `version`. Bytes behind it are left in the reader.
            pub fn decode(api: ApiKey, version: i16, r: &mut Reader) -> Result<$any, DecodeError> {
                Ok(match api {
                    $(ApiKey::$api => $any::$api($message::decode(r, version)?),)*
                })
            }

            /// Writes it in the form of `version`.
            pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
                match self {
                    $($any::$api(m) => m.encode(w, version),)*
                }
            }

            /// The API that it belongs to.
            pub fn api_key(&self) -> ApiKey {
                match self {
                    $($any::$api(_) => ApiKey::$api,)*
                }
            }
        }
    };
}
pub(crate) use any;
