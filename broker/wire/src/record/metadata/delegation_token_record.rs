//! Kafka's record `DelegationTokenRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `DelegationTokenRecord`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DelegationTokenRecord {
    /// `Owner`.
    pub owner: String,
    /// `Requester`.
    pub requester: String,
    /// `Renewers`.
    pub renewers: Vec<String>,
    /// `IssueTimestamp`.
    pub issue_timestamp: i64,
    /// `MaxTimestamp`.
    pub max_timestamp: i64,
    /// `ExpirationTimestamp`.
    pub expiration_timestamp: i64,
    /// `TokenId`.
    pub token_id: String,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DelegationTokenRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DelegationTokenRecord, DecodeError> {
        crate::error::check_decode_version("DelegationTokenRecord", version, 0, 0)?;
        let mut m = DelegationTokenRecord::default();
        m.owner = r.string(true, "owner")?;
        m.requester = r.string(true, "requester")?;
        m.renewers = r.array(true, 1, "renewers", 0, |r, _| r.string(true, "renewers"))?;
        m.issue_timestamp = r.i64("issue_timestamp")?;
        m.max_timestamp = r.i64("max_timestamp")?;
        m.expiration_timestamp = r.i64("expiration_timestamp")?;
        m.token_id = r.string(true, "token_id")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DelegationTokenRecord", version, 0, 0)?;
        w.string(true, &self.owner, "owner")?;
        w.string(true, &self.requester, "requester")?;
        w.array_len(true, self.renewers.len(), "renewers")?;
        for v in &self.renewers {
            w.string(true, v, "renewers")?;
        }
        w.i64(self.issue_timestamp);
        w.i64(self.max_timestamp);
        w.i64(self.expiration_timestamp);
        w.string(true, &self.token_id, "token_id")?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
