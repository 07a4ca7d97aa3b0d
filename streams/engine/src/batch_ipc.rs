//! Batches as records: an Arrow IPC stream with its schema, uncompressed (the log compresses), cut so that each fits a
//! record. The form of changelog rows and of exchange topics.

use std::io::Cursor;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use arrow::ipc::MetadataVersion;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use bytes::Bytes;

/// Encodes the rows in as few records as fit `bytes_max` each; none for no rows. A single row that is larger stays a
/// record of its own, and the broker's limit decides about it.
pub fn encode(batch: &RecordBatch, bytes_max: usize) -> Result<Vec<Bytes>, ArrowError> {
    let mut records = Vec::new();
    encode_into(batch, bytes_max, &mut records)?;
    Ok(records)
}

fn encode_into(batch: &RecordBatch, bytes_max: usize, records: &mut Vec<Bytes>) -> Result<(), ArrowError> {
    let rows = batch.num_rows();
    if rows == 0 {
        return Ok(());
    }
    // The size in memory, of slices too, tells about how many records there will be; the bytes decide.
    let bytes = batch.get_array_memory_size();
    let guess = if rows > 1 && bytes > 2 * bytes_max { None } else { Some(write(batch)?) };
    match guess {
        Some(bytes) if bytes.len() <= bytes_max || rows == 1 => records.push(bytes),
        _ => {
            let half = rows / 2;
            // Slices are copied, else each half would be taken for as large as the whole.
            for part in [batch.slice(0, half), batch.slice(half, rows - half)] {
                encode_into(&concat_batches(&part.schema(), [&part])?, bytes_max, records)?;
            }
        }
    }
    Ok(())
}

fn write(batch: &RecordBatch) -> Result<Bytes, ArrowError> {
    let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?;
    let mut out = Vec::with_capacity(batch.get_array_memory_size() + 1_024);
    let mut writer = StreamWriter::try_new_with_options(&mut out, &batch.schema(), options)?;
    writer.write(batch)?;
    writer.finish()?;
    drop(writer);
    Ok(out.into())
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

    use arrow::array::{ArrayRef, StringArray};

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
}
