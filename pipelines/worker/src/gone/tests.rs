//! Which rows are gone, told by batches and by records: order kept, rows named again, columns filled. Never enters: a broker.

use std::collections::BTreeMap;

use arrow::array::{AsArray, Int64Array, StringArray};
use arrow::datatypes::{Field, Int64Type};
use millstream_format::json::JsonRows;
use millstream_types::{Rng, SeededRng};

use super::*;

/// What a row is known by.
type Known<'a> = (Option<&'a str>, i64);

/// Rows of two columns that they are known by, and a number.
fn rows(known: &[Known<'_>]) -> RecordBatch {
    let names: StringArray = known.iter().map(|(name, _)| *name).collect();
    let numbers = Int64Array::from_iter_values(known.iter().map(|(_, number)| *number));
    let places = Int64Array::from_iter_values(0..known.len() as i64);
    let columns: Vec<ArrayRef> = vec![Arc::new(names), Arc::new(numbers), Arc::new(places)];
    RecordBatch::try_from_iter_with_nullable(
        ["name", "number", "place"]
            .into_iter()
            .zip(columns)
            .zip([true, true, false])
            .map(|((n, c), null)| (n, c, null)),
    )
    .unwrap()
}

#[test]
fn rows_known_by_the_same_keep_their_order() {
    let known_by = ["name".to_owned(), "number".to_owned()];
    for seed in 0..300 {
        let mut rng = SeededRng::new(seed);
        let count = rng.next_u64() % 40;
        let drawn: Vec<(Known<'_>, bool)> = (0..count)
            .map(|_| {
                let name = [None, Some("a"), Some("b")][(rng.next_u64() % 3) as usize];
                ((name, (rng.next_u64() % 3) as i64), rng.next_u64().is_multiple_of(3))
            })
            .collect();
        let batch = rows(&drawn.iter().map(|(known, _)| *known).collect::<Vec<_>>());
        let gone: BooleanArray = drawn.iter().map(|(_, gone)| *gone).collect::<Vec<bool>>().into();
        let parts = apart(&batch, &gone, &known_by).unwrap();
        // Of each row what became of it, in order; and how often it came and went at most.
        let mut wanted: BTreeMap<Known<'_>, Vec<(bool, u32)>> = BTreeMap::new();
        for (place, (known, gone)) in drawn.iter().enumerate() {
            wanted.entry(*known).or_default().push((*gone, place as u32));
        }
        let mut found: BTreeMap<Known<'_>, Vec<(bool, u32)>> = BTreeMap::new();
        for (gone, rows) in &parts {
            assert!(!rows.is_empty(), "seed {seed}");
            for row in rows.values() {
                found.entry(drawn[*row as usize].0).or_default().push((*gone, *row));
            }
        }
        assert_eq!(found, wanted, "seed {seed}");
        let turns = |of: &Vec<(bool, u32)>| of.chunk_by(|a, b| a.0 == b.0).count() + usize::from(of[0].0);
        let most = wanted.values().map(turns).max().unwrap_or(0);
        assert!(parts.len() <= most, "seed {seed}: {} parts, and {most} are enough", parts.len());
    }
}

#[test]
fn a_group_of_all_rows_is_known_by_nothing() {
    let batch = rows(&[(None, 1), (None, 2), (None, 3)]);
    let parts = apart(&batch, &vec![false, true, false].into(), &[]).unwrap();
    let parts: Vec<(bool, Vec<u32>)> =
        parts.into_iter().map(|(gone, rows)| (gone, rows.values().to_vec())).collect();
    assert_eq!(parts, [(false, vec![0]), (true, vec![1]), (false, vec![2])]);
}

/// Reads key and header as records have them, of rows known by these columns in a topic with the key `id`.
fn read(columns: &[(&str, DataType)], (key, told): (Option<&[u8]>, Option<&str>)) -> Result<String, String> {
    let mut fields: Vec<Field> =
        columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), false)).collect();
    fields.push(Field::new("price", DataType::Decimal128(10, 2), false));
    let known_by: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut reader = GoneReader::new(&Schema::new(fields), &known_by, &["id".to_owned()]).unwrap();
    // What was refused leaves nothing behind.
    reader.decode(b"{").expect_err("no object");
    let object = reader.object_of(key, told.map(str::as_bytes))?;
    let row = reader.decode(&object)?;
    let mut text = Vec::new();
    assert_eq!(row.num_rows(), 1);
    JsonRows::new(&row).write(0, &mut text);
    Ok(String::from_utf8(text).unwrap())
}

#[test]
fn a_record_without_a_value_says_which_row_is_gone() {
    use arrow::datatypes::TimeUnit;
    let instant = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let key = |text: &'static str| (Some(text.as_bytes()), None);
    for (columns, record, wanted) in [
        (vec![("id", DataType::Utf8)], key("p 7\"\n"), r#"{"id":"p 7\"\n"}"#),
        (vec![("id", DataType::Utf8)], key("12"), r#"{"id":"12"}"#),
        (vec![("id", DataType::Utf8)], key("null"), r#"{"id":"null"}"#),
        (vec![("id", DataType::Utf8)], key(""), r#"{"id":""}"#),
        (vec![("id", DataType::Int64)], key("-12"), r#"{"id":-12}"#),
        (vec![("id", DataType::Decimal128(10, 2))], key("12.5"), r#"{"id":12.50}"#),
        (vec![("id", DataType::Boolean)], key("true"), r#"{"id":true}"#),
        (vec![("id", DataType::Date32)], key("2026-03-02"), r#"{"id":"2026-03-02"}"#),
        (
            vec![("id", instant.clone())],
            key("2026-03-02T10:00:00.000Z"),
            r#"{"id":"2026-03-02T10:00:00.000Z"}"#,
        ),
        // What the header says counts.
        (
            vec![("class", DataType::Utf8), ("id", DataType::Int64)],
            (Some(b"9"), Some(r#"{"id":7,"class":"a"}"#)),
            r#"{"class":"a","id":7}"#,
        ),
    ] {
        assert_eq!(read(&columns, record).as_deref(), Ok(wanted));
    }
    for (columns, record, wanted) in [
        (vec![("id", DataType::Int64)], key("p7"), "which row is gone, {\"id\":\"p7\"}, is not known"),
        (vec![("id", DataType::Int64)], key("null"), "is not known"),
        (vec![("id", DataType::Int64)], key("7,\"x\":1"), "is not known"),
        (vec![("id", DataType::Int64)], (None, None), "neither value nor key"),
        (vec![("id", DataType::Utf8)], (Some(b"\xff"), None), "its key is no text"),
        (vec![("id", DataType::Utf8), ("class", DataType::Utf8)], key("7"), "no header millstream-row"),
        (vec![("id", DataType::Utf8), ("class", DataType::Utf8)], (None, Some("{\"id\":\"7\"}")), "class"),
        (vec![("id", DataType::Utf8)], (None, Some("7")), "is not known"),
    ] {
        let why = read(&columns, record).expect_err("it is refused");
        assert!(why.contains(wanted), "{why}");
    }
}

#[test]
fn columns_that_are_not_known_are_empty() {
    let kinds = [DataType::Utf8, DataType::Int64, DataType::Decimal128(10, 2), DataType::Boolean];
    let fields = kinds.iter().enumerate().flat_map(|(at, kind)| {
        [Field::new(format!("a{at}"), kind.clone(), true), Field::new(format!("b{at}"), kind.clone(), false)]
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let known =
        RecordBatch::try_from_iter([("b1", Arc::new(Int64Array::from(vec![7])) as ArrayRef)]).unwrap();
    let row = with_all_columns(&schema, &known).unwrap();
    assert_eq!(row.schema(), schema);
    assert_eq!(row.column(3).as_primitive::<Int64Type>().value(0), 7);
    for (field, column) in schema.fields().iter().zip(row.columns()) {
        assert_eq!(column.is_null(0), field.is_nullable(), "{field}");
    }
}

#[test]
fn who_can_be_told_is_known_beforehand() {
    let fields = [("id", DataType::Int64), ("class", DataType::Utf8), ("share", DataType::Float64)];
    let schema =
        Schema::new(fields.into_iter().map(|(name, kind)| Field::new(name, kind, false)).collect::<Vec<_>>());
    for (known_by, key, wanted) in [
        (&["id"][..], &["id"][..], true),
        (&["id", "class"], &["class"], true),
        (&["id", "class"], &[], true),
        // Of a row that is gone the key is not known.
        (&["id"], &["class"], false),
        // No one row is named.
        (&[], &[], false),
    ] {
        let names = |of: &[&str]| of.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (known_by, key) = (names(known_by), names(key));
        assert_eq!(can_be_told(&schema, &known_by, &key), wanted, "{known_by:?} {key:?}");
    }
    let reader = GoneReader::new(&schema, &[], &[]).unwrap();
    assert!(reader.object_of(Some(b"7"), None).is_err() && reader.object_of(None, None).is_err());
}
