//! Batches as records: an Arrow IPC stream with its schema, uncompressed (the log compresses), cut so that each fits a
//! record. The form of changelog rows and of exchange topics.

use std::io::Cursor;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use bytes::Bytes;
use millstream_format::ipc;

/// Encodes the rows in about as few records as fit `bytes_max` each; none for no rows. A single row that is larger stays a
/// record of its own, and the broker's limit decides about it.
pub fn encode(batch: &RecordBatch, bytes_max: usize) -> Result<Vec<Bytes>, ArrowError> {
    let mut records = Vec::new();
    encode_each(batch, bytes_max, &mut Vec::new(), |record, _| {
        records.push(std::mem::take(record).into());
        Ok::<(), ArrowError>(())
    })?;
    Ok(records)
}

/// As [`encode`], for a caller that is done with a record and how many rows it has before the next: all are written into
/// `buffer` in turn, which spares fresh memory for each.
pub fn encode_each<E: From<ArrowError>>(
    batch: &RecordBatch,
    bytes_max: usize,
    buffer: &mut Vec<u8>,
    mut each: impl FnMut(&mut Vec<u8>, usize) -> Result<(), E>,
) -> Result<(), E> {
    let rows = batch.num_rows();
    // Asked once, of the whole: of a slice, arrow counts what the whole holds of nested columns.
    let mut bytes = 0;
    for column in batch.columns() {
        bytes += column.to_data().get_slice_memory_size()?;
    }
    let parts = bytes.div_ceil(bytes_max.max(1)).max(1);
    let part_rows = rows.div_ceil(parts);
    let mut from = 0;
    while from < rows {
        let part = batch.slice(from, part_rows.min(rows - from));
        encode_into(&part, bytes_max, bytes / parts, buffer, &mut each)?;
        from += part_rows;
    }
    Ok(())
}

/// Bytes of rows themselves: of what was decoded, or cut from something larger, each column says that it has all of that.
pub fn bytes_of(rows: &RecordBatch) -> usize {
    let of = |column: &ArrayRef| column.to_data().get_slice_memory_size();
    rows.columns().iter().map(|column| of(column).unwrap_or_else(|_| column.get_array_memory_size())).sum()
}

/// Encodes rows, and halves them where their bytes turn out to be too many.
fn encode_into<E: From<ArrowError>>(
    batch: &RecordBatch,
    bytes_max: usize,
    room: usize,
    buffer: &mut Vec<u8>,
    each: &mut impl FnMut(&mut Vec<u8>, usize) -> Result<(), E>,
) -> Result<(), E> {
    buffer.clear();
    buffer.reserve(room + 4_096);
    ipc::write(batch, buffer)?;
    let rows = batch.num_rows();
    if buffer.len() <= bytes_max || rows == 1 {
        return each(buffer, rows);
    }
    let half = rows / 2;
    encode_into(&batch.slice(0, half), bytes_max, room / 2, buffer, each)?;
    encode_into(&batch.slice(half, rows - half), bytes_max, room / 2, buffer, each)
}

/// Reads the rows of one record.
pub fn decode(bytes: &[u8]) -> Result<RecordBatch, ArrowError> {
    let reader = StreamReader::try_new(Cursor::new(bytes), None)?;
    let schema = reader.schema();
    let batches: Result<Vec<RecordBatch>, ArrowError> = reader.collect();
    let mut batches = batches?;
    match batches.len() {
        1 => Ok(batches.remove(0)),
        _ => concat_batches(&schema, &batches),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, ListArray, StringArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    #[test]
    fn rows_come_back_in_records_that_fit() {
        let text: ArrayRef = Arc::new(StringArray::from_iter_values(
            (0..5_000).map(|i| format!("row {i} {}", "x".repeat(i % 50))),
        ));
        let batch = RecordBatch::try_from_iter([("text", text)]).expect("a batch");
        let records = encode(&batch, 20_000).expect("records");
        assert!(records.len() > 5 && records.iter().all(|r| r.len() <= 20_000), "{}", records.len());
        let parts: Vec<RecordBatch> = records.iter().map(|r| decode(r).expect("rows")).collect();
        assert_eq!(concat_batches(&batch.schema(), &parts).expect("one batch"), batch);
        assert!(encode(&batch.slice(0, 0), 20_000).expect("no records").is_empty());
        assert!(decode(b"nonsense").is_err());
    }

    #[test]
    fn nested_rows_are_as_few_records_as_flat_ones() {
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(
            (0..20_000i64).map(|i| Some((0..i % 9).map(Some).collect::<Vec<_>>())),
        ));
        let batch = RecordBatch::try_from_iter([("lists", lists)]).expect("a batch");
        let whole = encode(&batch, usize::MAX >> 1).expect("records")[0].len();
        let records = encode(&batch, 50_000).expect("records");
        assert!(records.iter().all(|r| r.len() <= 50_000));
        assert!(records.len() <= 2 * whole.div_ceil(50_000), "{} for {whole} bytes", records.len());
        let parts: Vec<RecordBatch> = records.iter().map(|r| decode(r).expect("rows")).collect();
        assert_eq!(concat_batches(&batch.schema(), &parts).expect("one batch"), batch);
    }
}
