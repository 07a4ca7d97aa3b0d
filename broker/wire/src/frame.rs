//! Frames: four bytes of size, a header, a message. Owns the choice of the header's version and the size prefix.
//! Never enters: sockets, and how large a frame may be, which whoever reads it from a socket decides before.

use crate::api::ApiKey;
use crate::dispatch::{Message, Request, Response};
use crate::error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind};
use crate::header::{RequestHeader, ResponseHeader};
use crate::reader::Reader;
use crate::writer::{Segment, Writer};

/// The API of a request: known, or the number of one that Kafka 4.4.0 does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestApi {
    /// An API of Kafka 4.4.0, whatever the version.
    Known(ApiKey),
    /// Another number.
    Unknown(i16),
}

/// A request's header, and where its body can be read.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodedHeader {
    /// The API asked for.
    pub api: RequestApi,
    /// The version asked for; not checked against the API's range.
    pub version: i16,
    /// All of the header. Where the API or its version is unknown, only what every header starts with: API key,
    /// version and correlation id.
    pub header: RequestHeader,
    /// Whether the body follows in the reader in a form that has a schema: API and version are known. Otherwise a
    /// server answers ApiVersions in version 0 with UNSUPPORTED_VERSION (KIP-511) and closes on any other.
    pub has_body: bool,
}

/// Reads a request's header from a frame without its size prefix. An unknown API or version is no error here, since
/// ApiVersions of an unknown version has to be answered.
pub fn decode_request_header(r: &mut Reader) -> Result<DecodedHeader, DecodeError> {
    let start = r.clone();
    let code = r.i16("request_api_key")?;
    let version = r.i16("request_api_version")?;
    let correlation_id = r.i32("correlation_id")?;
    let api = ApiKey::from_code(code).map_or(RequestApi::Unknown(code), RequestApi::Known);
    if let RequestApi::Known(key) = api
        && (key.min_version()..=key.max_unstable_version()).contains(&version)
    {
        *r = start;
        let header = RequestHeader::decode(r, key.request_header_version(version))?;
        return Ok(DecodedHeader { api, version, header, has_body: true });
    }
    let header = RequestHeader {
        request_api_key: code,
        request_api_version: version,
        correlation_id,
        client_id: None,
        ..RequestHeader::default()
    };
    Ok(DecodedHeader { api, version, header, has_body: false })
}

/// A request as a client sends it, its size in front. `client_id` may be null.
pub fn encode_request<M: Request>(
    correlation_id: i32,
    client_id: Option<&str>,
    request: &M,
    version: i16,
) -> Result<Vec<Segment>, EncodeError> {
    let header = RequestHeader {
        request_api_key: M::API_KEY.code(),
        request_api_version: version,
        correlation_id,
        client_id: client_id.map(str::to_owned),
        ..RequestHeader::default()
    };
    framed(M::NAME, |w| {
        header.encode(w, M::API_KEY.request_header_version(version))?;
        request.encode(w, version)
    })
}

/// A response as a server sends it, its size in front.
pub fn encode_response<M: Response>(
    correlation_id: i32,
    response: &M,
    version: i16,
) -> Result<Vec<Segment>, EncodeError> {
    encode_any_response(M::API_KEY, correlation_id, version, |w| response.encode(w, version))
}

/// The same for a response that is in an [`crate::message::AnyResponse`] or is written by hand.
pub fn encode_any_response(
    api: ApiKey,
    correlation_id: i32,
    version: i16,
    body: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
) -> Result<Vec<Segment>, EncodeError> {
    let header = ResponseHeader { correlation_id, ..ResponseHeader::default() };
    framed(api.name(), |w| {
        header.encode(w, api.response_header_version(version))?;
        body(w)
    })
}

/// Reads a response's header from a frame without its size prefix. Which response it is, the request with the same
/// correlation id says; a client finds it with [`peek_correlation_id`].
pub fn decode_response_header(
    r: &mut Reader,
    api: ApiKey,
    version: i16,
) -> Result<ResponseHeader, DecodeError> {
    ResponseHeader::decode(r, api.response_header_version(version))
}

/// The correlation id of a response's frame without its size prefix.
pub fn peek_correlation_id(frame: &[u8]) -> Result<i32, DecodeError> {
    match frame.first_chunk() {
        Some(bytes) => Ok(i32::from_be_bytes(*bytes)),
        None => Err(DecodeError {
            kind: DecodeErrorKind::Truncated,
            what: "correlation_id",
            value: 4,
            bound: frame.len() as i64,
            at: 0,
        }),
    }
}

/// Reads a request's or response's body that ends with the frame. Bytes left over are an error.
pub fn decode_body<M: Message>(r: &mut Reader, version: i16) -> Result<M, DecodeError> {
    let message = M::decode(r, version)?;
    r.expect_end(M::NAME)?;
    Ok(message)
}

fn framed(
    what: &'static str,
    write: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
) -> Result<Vec<Segment>, EncodeError> {
    let mut w = Writer::with_capacity(256);
    w.i32(0);
    write(&mut w)?;
    let size = w.len() - 4;
    let too_long =
        |_| EncodeError { kind: EncodeErrorKind::TooLong, what, value: size as i64, bound: i32::MAX.into() };
    let size = i32::try_from(size).map_err(too_long)?;
    w.patch_i32_at_start(size);
    Ok(w.finish())
}
