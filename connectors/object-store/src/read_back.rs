//! Reads a local folder of Parquet files whole: what a test of a pipeline holds its expectations against. Only files that
//! a commit has made visible are seen, as any reader of the folder sees them. Never enters: object stores, large data.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Why a folder could not be read.
#[derive(Debug, thiserror::Error)]
#[error("reading {}: {why}", path.display())]
pub struct ReadBackError {
    /// The file or folder.
    pub path: PathBuf,
    /// What went wrong.
    pub why: String,
}

fn failed(path: &Path, why: impl std::fmt::Display) -> ReadBackError {
    ReadBackError { path: path.to_owned(), why: why.to_string() }
}

/// The rows of every Parquet file below a folder, by the files' names; none where there is no such folder. Names that
/// begin with `_` or `.` are passed over, as readers of such folders do: the sink's own bookkeeping.
pub fn read_folder(folder: &Path) -> Result<Vec<RecordBatch>, ReadBackError> {
    let mut files = Vec::new();
    find(folder, &mut files)?;
    files.sort();
    let mut batches = Vec::new();
    for path in files {
        let file = File::open(&path).map_err(|error| failed(&path, error))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build());
        for batch in reader.map_err(|error| failed(&path, error))? {
            batches.push(batch.map_err(|error| failed(&path, error))?);
        }
    }
    Ok(batches)
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), ReadBackError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(folder, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| failed(folder, error))?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name.starts_with(['_', '.']) {
            continue;
        }
        if path.is_dir() {
            find(&path, files)?;
        } else if name.ends_with(".parquet") {
            files.push(path);
        }
    }
    Ok(())
}
