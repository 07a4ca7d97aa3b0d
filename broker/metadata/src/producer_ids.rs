//! Blocks of producer ids: each id is given out once, ever. Never enters: what an id is used for.

use millstream_types::{ErrorCode, NodeId, ProducerId};
use millstream_wire::message::allocate_producer_ids_request::AllocateProducerIdsRequest;
use millstream_wire::message::allocate_producer_ids_response::AllocateProducerIdsResponse;
use millstream_wire::record::metadata::ProducerIdsRecord;

use crate::controller::{Controller, Decision};
use crate::error::{Refusal, refuse};

/// How many ids a block has.
pub const BLOCK_IDS: i32 = 1_000;

impl Controller {
    /// AllocateProducerIds: the next block, for a broker that is registered. The block is the broker's once the
    /// record is committed. Errors: BROKER_ID_NOT_REGISTERED, STALE_BROKER_EPOCH, UNKNOWN_SERVER_ERROR when all ids
    /// are used up.
    pub fn allocate_producer_ids(
        &self,
        request: &AllocateProducerIdsRequest,
    ) -> Result<Decision<AllocateProducerIdsResponse>, Refusal> {
        let broker = self.check_broker(request.broker_id, request.broker_epoch)?;
        let (record, start) = self.next_block(broker.id, broker.epoch)?;
        let response = AllocateProducerIdsResponse {
            producer_id_start: start,
            producer_id_len: BLOCK_IDS,
            ..Default::default()
        };
        Ok(Decision { records: vec![record.into()], response })
    }

    fn next_block(
        &self,
        broker: NodeId,
        broker_epoch: i64,
    ) -> Result<(ProducerIdsRecord, ProducerId), Refusal> {
        let start = self.image().next_producer_id;
        let Some(next_producer_id) = start.checked_add(i64::from(BLOCK_IDS)) else {
            return refuse(ErrorCode::UnknownServerError, "all producer ids are used up");
        };
        let record =
            ProducerIdsRecord { broker_id: broker.0, broker_epoch, next_producer_id, ..Default::default() };
        Ok((record, start))
    }
}
