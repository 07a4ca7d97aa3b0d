//! Reads the committed metadata log, batch by batch, into images. Holds back the records of a metadata transaction
//! until it ends, so that nobody sees half of one. Never enters: uncommitted records (the controller applies those
//! to its own image), files.

use millstream_types::{LeaderEpoch, Offset};
use millstream_wire::record::metadata::MetadataRecord;

use crate::delta::{Changes, MetadataDelta};
use crate::error::ApplyError;
use crate::image::{MetadataImage, Provenance};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Loader {
    image: MetadataImage,
    /// The records of an open transaction.
    transaction: Option<Vec<MetadataRecord>>,
}

impl Loader {
    /// Goes on from an image, such as a snapshot's.
    pub fn new(image: MetadataImage) -> Loader {
        Loader { image, transaction: None }
    }

    /// The last image. It stands still while a transaction is open.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// Whether a transaction is open; no snapshot may be made then.
    pub fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Reads a batch's records, which end before `end_offset`. `None` if the image did not move. After an error the
    /// loader is as before.
    pub fn load(
        &mut self,
        end_offset: Offset,
        epoch: LeaderEpoch,
        records: &[MetadataRecord],
    ) -> Result<Option<Changes>, ApplyError> {
        let mut transaction = self.transaction.clone();
        let mut delta = MetadataDelta::new(&self.image);
        for record in records {
            match (record, &mut transaction) {
                (MetadataRecord::BeginTransaction(_), None) => transaction = Some(Vec::new()),
                (MetadataRecord::EndTransaction(_), Some(held)) => {
                    for record in std::mem::take(held) {
                        delta.apply(&record)?;
                    }
                    transaction = None;
                }
                (MetadataRecord::AbortTransaction(_), Some(_)) => transaction = None,
                (MetadataRecord::BeginTransaction(_), Some(_)) => {
                    return Err(ApplyError::Transaction("BeginTransactionRecord"));
                }
                (record, Some(held)) => held.push(record.clone()),
                (record, None) => delta.apply(record)?,
            }
        }
        self.transaction = transaction;
        if self.transaction.is_some() {
            // What came before the transaction in this batch becomes visible; the image does not claim the offset,
            // since it lacks what the transaction holds.
            let provenance = self.image.provenance;
            let (image, changes) = delta.finish(provenance);
            self.image = image;
            return Ok((changes != Changes::default()).then_some(changes));
        }
        let (image, changes) = delta.finish(Provenance { end_offset, epoch });
        self.image = image;
        Ok(Some(changes))
    }

    /// Replaces all by a snapshot's records, which stand for the log up to `provenance`.
    pub fn load_snapshot(
        &mut self,
        provenance: Provenance,
        records: impl IntoIterator<Item = MetadataRecord>,
    ) -> Result<(), ApplyError> {
        let mut delta = MetadataDelta::new(&MetadataImage::default());
        for record in records {
            delta.apply(&record)?;
        }
        self.image = delta.finish(provenance).0;
        self.transaction = None;
        Ok(())
    }
}
