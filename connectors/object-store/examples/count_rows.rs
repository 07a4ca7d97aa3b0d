//! Counts what lies in a folder of Parquet files, for tests that hold it against a recount: rows, distinct values of some
//! columns together, and the exact sum of a decimal one.
//!
//! `count_rows DIR COLUMN,COLUMN SUM_COLUMN` prints `rows=… distinct=… sum=…`, the sum in units of its scale.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, dir, columns, sum_column] = arguments.as_slice() else {
        return Err("usage: count_rows DIR COLUMN,COLUMN SUM_COLUMN".into());
    };
    let columns: Vec<&str> = columns.split(',').collect();
    let (mut rows, mut sum, mut seen) = (0, 0i128, BTreeSet::new());
    walk(Path::new(dir), &mut |path| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path)?)?.build()?;
        for batch in reader {
            let batch = batch?;
            rows += batch.num_rows();
            let total = batch.column_by_name(sum_column).ok_or("the sum's column is not there")?;
            sum += total.as_primitive::<Decimal128Type>().iter().flatten().sum::<i128>();
            let keys: Option<Vec<_>> = columns.iter().map(|c| batch.column_by_name(c)).collect();
            let keys = keys.ok_or("a key's column is not there")?;
            for row in 0..batch.num_rows() {
                let key: Vec<&str> = keys.iter().map(|k| k.as_string::<i32>().value(row)).collect();
                seen.insert(key.join("\0"));
            }
        }
        Ok(())
    })?;
    println!("rows={rows} distinct={} sum={sum}", seen.len());
    Ok(())
}

type Done = Result<(), Box<dyn Error>>;

/// Every Parquet file below a folder; those of the sink's own bookkeeping begin with `_` or `.`.
fn walk(dir: &Path, take: &mut dyn FnMut(&Path) -> Done) -> Done {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(['_', '.']) {
            continue;
        }
        if path.is_dir() {
            walk(&path, take)?;
        } else if name.ends_with(".parquet") {
            take(&path)?;
        }
    }
    Ok(())
}
