//! Writing a group of segments anew, as one, under `.cleaned` names, durable when done. Batches that lose nothing are
//! copied as they are; others keep their base offset, last offset, producer and codec. Never enters: which records stay
//! (`filter.rs`).

use millstream_batch::header::{self, HEADER_BYTES};
use millstream_batch::{BatchBuilder, BatchConfig, BatchHeader, BatchView, Codec, Decompressor};
use millstream_disk::{Open, SyncGroup};
use millstream_types::Millis;
use millstream_types::limits::BATCH_UNCOMPRESSED_BYTES_MAX;

use super::filter::{Filter, Verdict};
use super::{CompactionPlan, CompactionResult, Group, Source};
use crate::error::LogError;
use crate::names;
use crate::scan::HeaderScan;
use crate::segment::Segment;

/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;

pub(super) fn rewrite(
    plan: &CompactionPlan,
    sources: &[&Source],
    filter: &mut Filter<'_>,
    result: &mut CompactionResult,
) -> Result<Group, LogError> {
    let (first, last) = (sources[0], sources[sources.len() - 1]);
    let mut segment = Segment::at(&plan.dir, first.base, first.first_append_ms);
    (segment.compacted, segment.gaps) = (true, true);
    let interval = u64::try_from(plan.config.index_interval_bytes).unwrap_or(0);
    let path = names::with_suffix(&segment.path(names::LOG), names::CLEANED);
    let file = plan.disk.open(&path, Open::Truncate)?;
    let mut scratch = Decompressor::new(BATCH_UNCOMPRESSED_BYTES_MAX);
    let mut buffer: Vec<u8> = Vec::new();
    let mut written = 0u64;
    for source in sources {
        let mut scan = HeaderScan::new(source.file.clone(), 0, source.size);
        let mut walked = 0;
        while let Some((position, header)) = scan.next_header()? {
            let bytes = scan.batch(position, &header)?;
            let view = BatchView::parse(&bytes)?;
            view.check_crc()?;
            walked = position + bytes.len() as u64;
            result.records_before += u64::from(header.record_count.unsigned_abs());
            let Some(kept) = sift(filter, &view, &mut scratch)? else { continue };
            let kept_header = BatchHeader::parse(&kept)?;
            result.records_after += u64::from(kept_header.record_count.unsigned_abs());
            let at = written + buffer.len() as u64;
            segment.note_batch(&kept_header, at, interval, source.first_append_ms);
            buffer.extend_from_slice(&kept);
            if buffer.len() >= WRITE_BYTES {
                file.write_all_at(&buffer, written)?;
                written += buffer.len() as u64;
                buffer.clear();
            }
        }
        if walked != source.size {
            // Rewriting would drop what lies behind: a damaged segment is left for whoever can repair it.
            let dir = plan.dir.display().to_string();
            let what = format!("segment {} has no batch at {walked} of {} bytes", source.base, source.size);
            return Err(LogError::Corrupt { dir, what });
        }
        result.bytes_before += source.size;
    }
    file.write_all_at(&buffer, written)?;
    written += buffer.len() as u64;
    result.bytes_after += written;
    segment.size = written;
    segment.first_append_ms = first.first_append_ms;
    segment.last_append_ms = last.last_append_ms;
    segment.aborted = plan
        .aborted
        .iter()
        .filter(|txn| (first.base..last.end).contains(&txn.last_offset))
        .copied()
        .collect();
    let mut files = segment.write_indexes_as(&*plan.disk, names::CLEANED)?;
    files.push(file);
    plan.disk.sync_group(&SyncGroup { files, dirs: vec![plan.dir.clone()] })?;
    segment.seal();
    Ok(Group { bases: sources.iter().map(|s| s.base).collect(), end: last.end, segment })
}

/// What is left of a batch, or `None`.
fn sift(
    filter: &mut Filter<'_>,
    view: &BatchView<'_>,
    scratch: &mut Decompressor,
) -> Result<Option<Vec<u8>>, LogError> {
    let header = view.header();
    let horizon = header.delete_horizon_ms();
    match filter.batch(header) {
        Verdict::Keep => return Ok(Some(view.bytes().to_vec())),
        Verdict::Discard => return Ok(filter.keeps_empty(header).then(|| empty(header))),
        Verdict::KeepMarker if horizon.is_some() => return Ok(Some(view.bytes().to_vec())),
        Verdict::KeepMarker => {
            let horizon = Some(filter.new_horizon());
            return rebuild(view, scratch, horizon, |_| true).map(Some);
        }
        Verdict::Sift => {}
    }
    let (mut kept, mut tombstones, mut all) = (0usize, false, 0usize);
    for record in view.records(scratch)? {
        let record = record?;
        all += 1;
        if filter.record(&record, horizon) {
            kept += 1;
            tombstones |= record.value.is_none();
        }
    }
    let sets_horizon = tombstones && horizon.is_none();
    if kept == 0 {
        return Ok(filter.keeps_empty(header).then(|| empty(header)));
    }
    if kept == all && !sets_horizon {
        return Ok(Some(view.bytes().to_vec()));
    }
    let new_horizon = if sets_horizon { Some(filter.new_horizon()) } else { horizon };
    rebuild(view, scratch, new_horizon, |record| filter.record(record, horizon)).map(Some)
}

/// The batch with the records that `keep` picks, and all else as it was.
fn rebuild(
    view: &BatchView<'_>,
    scratch: &mut Decompressor,
    delete_horizon_ms: Option<Millis>,
    keep: impl Fn(&millstream_batch::RecordView<'_>) -> bool,
) -> Result<Vec<u8>, LogError> {
    let header = view.header();
    let mut builder = BatchBuilder::new(BatchConfig {
        codec: header.attributes.codec()?,
        batch_bytes_max: usize::MAX,
        delete_horizon_ms,
        ..config_of(header)
    });
    for record in view.records(scratch)? {
        let record = record?;
        if keep(&record) {
            builder.append_view(&record)?;
        }
    }
    let mut bytes = builder.build()?.to_vec();
    header::set_last_offset_delta(&mut bytes, header.last_offset_delta);
    Ok(bytes)
}

fn config_of(header: &BatchHeader) -> BatchConfig {
    BatchConfig {
        base_offset: header.base_offset,
        partition_leader_epoch: header.partition_leader_epoch,
        timestamp_type: header.attributes.timestamp_type(),
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        transactional: header.attributes.is_transactional(),
        control: header.attributes.is_control(),
        ..BatchConfig::default()
    }
}

/// The batch's header alone: no records, not compressed.
fn empty(header: &BatchHeader) -> Vec<u8> {
    let mut empty = BatchHeader {
        batch_length: (HEADER_BYTES - header::LOG_OVERHEAD) as i32,
        attributes: header.attributes.with_codec(Codec::None),
        record_count: 0,
        ..*header
    };
    let crc = header::compute_crc(&empty.to_bytes());
    empty.crc = crc;
    empty.to_bytes().to_vec()
}
