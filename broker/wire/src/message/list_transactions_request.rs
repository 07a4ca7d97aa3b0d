//! Kafka's request `ListTransactionsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ListTransactionsRequest`, versions 0 to 2.
#[derive(Clone, Debug, PartialEq)]
pub struct ListTransactionsRequest {
    /// `StateFilters`.
    pub state_filters: Vec<String>,
    /// `ProducerIdFilters`; a producer id.
    pub producer_id_filters: Vec<i64>,
    /// `DurationFilter`, versions 1 to 2.
    pub duration_filter: i64,
    /// `TransactionalIdPattern`, version 2, may be null.
    pub transactional_id_pattern: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for ListTransactionsRequest {
    fn default() -> ListTransactionsRequest {
        ListTransactionsRequest {
            state_filters: Vec::new(),
            producer_id_filters: Vec::new(),
            duration_filter: -1,
            transactional_id_pattern: None,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl ListTransactionsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ListTransactionsRequest, DecodeError> {
        crate::error::check_decode_version("ListTransactionsRequest", version, 0, 2)?;
        let mut m = ListTransactionsRequest::default();
        m.state_filters = r.array(true, 1, "state_filters", 0, |r, _| r.string(true, "state_filters"))?;
        m.producer_id_filters =
            r.array(true, 8, "producer_id_filters", 0, |r, _| r.i64("producer_id_filters"))?;
        if version >= 1 {
            m.duration_filter = r.i64("duration_filter")?;
        }
        if version == 2 {
            m.transactional_id_pattern = r.nullable_string(true, true, "transactional_id_pattern")?;
        }
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ListTransactionsRequest", version, 0, 2)?;
        w.array_len(true, self.state_filters.len(), "state_filters")?;
        for v in &self.state_filters {
            w.string(true, v, "state_filters")?;
        }
        w.array_len(true, self.producer_id_filters.len(), "producer_id_filters")?;
        for v in &self.producer_id_filters {
            w.i64(*v);
        }
        if version >= 1 {
            w.i64(self.duration_filter);
        } else if self.duration_filter != -1 {
            return Err(EncodeError::absent("duration_filter", version));
        }
        if version == 2 {
            w.nullable_string(
                true,
                self.transactional_id_pattern.as_deref(),
                true,
                "transactional_id_pattern",
            )?;
        } else if self.transactional_id_pattern.is_some() {
            return Err(EncodeError::absent("transactional_id_pattern", version));
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
