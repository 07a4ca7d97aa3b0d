//! Tagged fields (KIP-482): the ones that a schema does not name, kept so that they can be passed on, and the set
//! that a structure writes at its end. Never enters: which tags a schema names.

use crate::error::{EncodeError, EncodeErrorKind};
use crate::writer::Writer;
use bytes::Bytes;

/// Tagged fields that the schema does not name, by ascending tag. Eight bytes where there are none.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
// The box is what makes the empty one eight bytes, in each of the many structures that have it.
#[allow(clippy::box_collection)]
pub struct TaggedFields(Option<Box<Vec<(u32, Bytes)>>>);

impl TaggedFields {
    /// Sets the field with this tag.
    pub fn insert(&mut self, tag: u32, value: Bytes) {
        let fields = self.0.get_or_insert_default();
        match fields.binary_search_by_key(&tag, |f| f.0) {
            Ok(i) => fields[i].1 = value,
            Err(i) => fields.insert(i, (tag, value)),
        }
    }

    /// The field with this tag.
    pub fn get(&self, tag: u32) -> Option<&Bytes> {
        self.iter().find(|f| f.0 == tag).map(|f| &f.1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |fields| fields.len())
    }

    /// All of them, by ascending tag.
    pub fn iter(&self) -> impl Iterator<Item = &(u32, Bytes)> {
        self.0.iter().flat_map(|fields| fields.iter())
    }
}

/// The known tagged fields that a structure writes, each already in its form on the wire.
#[derive(Default)]
pub(crate) struct TagSet(pub(crate) Vec<(u32, Bytes)>);

impl TagSet {
    pub(crate) fn new() -> TagSet {
        TagSet::default()
    }

    pub(crate) fn add(
        &mut self,
        tag: u32,
        write: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut w = Writer::new();
        write(&mut w)?;
        self.0.push((tag, w.into_bytes()?));
        Ok(())
    }

    /// Puts the unknown fields among the known ones, in the order of their tags.
    pub(crate) fn merge(mut self, unknown: &TaggedFields) -> Result<Vec<(u32, Bytes)>, EncodeError> {
        self.0.extend(unknown.iter().cloned());
        self.0.sort_by_key(|f| f.0);
        match self.0.windows(2).find(|w| w[0].0 == w[1].0) {
            None => Ok(self.0),
            Some(twice) => Err(EncodeError {
                kind: EncodeErrorKind::DuplicateTag,
                what: "tagged fields",
                value: twice[0].0.into(),
                bound: 0,
            }),
        }
    }
}
