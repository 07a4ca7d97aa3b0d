//! What a function in WebAssembly costs in a query: rows through a stage that computes nothing, that computes with SQL's own
//! functions, and that calls the example's `reorder_quantity`; nanoseconds a row. The second column: one row in a hundred is
//! refused, and found among the others.
//!
//! `cargo bench -p millstream-worker --bench functions [-- <rows>]`

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_engine::sql::ScalarFunction;
use millstream_engine::stage::{OperatorKind, OperatorSpec, SourceSpec, Stage, StageSpec};
use millstream_model::{KeyGroup, LateRule, WatermarkConfig};
use millstream_wasm::{Caller, Engine, EngineConfig, FunctionConfig};

const QUERIES: [(&str, &str); 3] = [
    ("columns alone", "SELECT missing, cost, terms FROM rows"),
    (
        "SQL's own",
        "SELECT CAST(ceil(missing / 6.0) AS BIGINT) * 6 AS n, cost, substr(terms, 10) AS t FROM rows",
    ),
    ("a function", "SELECT reorder_quantity(missing, cost, terms) AS n, cost FROM rows"),
];

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("missing", DataType::Int64, false),
        Field::new("cost", DataType::Decimal128(18, 2), false),
        Field::new("terms", DataType::Utf8, false),
    ]))
}

/// Rows of which one in `refused` has terms that the function refuses.
fn rows(count: i64, refused: i64) -> RecordBatch {
    let terms =
        |n: i64| if n % refused == refused - 1 { "by the truck" } else { "packs of 6, at least 40.00" };
    let cost = Decimal128Array::from_iter_values((0..count).map(|n| i128::from(n % 5_000 + 1)));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values((0..count).map(|n| n % 1_000))),
        Arc::new(cost.with_precision_and_scale(18, 2).expect("it fits")),
        Arc::new(StringArray::from_iter_values((0..count).map(terms))),
    ];
    RecordBatch::try_new(schema(), columns).expect("rows")
}

fn stage(sql: &str, function: &ScalarFunction) -> Stage {
    let mut stage = Stage::build(StageSpec {
        id: "stage".into(),
        sources: vec![SourceSpec {
            name: "rows".into(),
            schema: schema(),
            frozen: false,
            format: millstream_format::Format::Json,
            event_time: None,
            watermark: WatermarkConfig { delay_ms: 0, idle_after_ms: None, bounded: true },
            partitioned_by: None,
            latest_by: None,
        }],
        key_groups: 1,
        changelog_partitions: 1,
        tables: BTreeMap::new(),
        functions: BTreeMap::from([("reorder_quantity".to_owned(), function.clone())]),
        operators: vec![OperatorSpec {
            id: "out-1".into(),
            name: "out".into(),
            inputs: vec!["rows".into()],
            kind: OperatorKind::Sql {
                sql: sql.to_owned(),
                late: LateRule::default(),
                update_ms: None,
                keep: None,
            },
        }],
        outputs: BTreeSet::from(["out".to_owned()]),
        batch_rows: 8_192,
    })
    .expect("a stage");
    stage.assign(KeyGroup(0), 0);
    stage
}

/// Nanoseconds a row, the least of three runs.
fn cost(sql: &str, function: &ScalarFunction, count: i64, refused: i64) -> f64 {
    let mut stage = stage(sql, function);
    let batch = rows(8_192, refused);
    let mut least = f64::MAX;
    for _ in 0..3 {
        let began = Instant::now();
        for first in (0..count).step_by(batch.num_rows()) {
            stage.push_batch(0, (KeyGroup(0), first), &batch).expect("an assigned partition");
            stage.turn(0).expect("a turn");
            black_box(stage.take_outputs());
        }
        least = least.min(began.elapsed().as_secs_f64());
    }
    least * 1e9 / (count as f64)
}

fn main() {
    let count = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let engine = Engine::new(EngineConfig::default()).expect("the engine starts");
    let module = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/reorder-proposals/reorder_quantity.wasm");
    let config = FunctionConfig { name: "reorder_quantity".to_owned(), ..FunctionConfig::default() };
    let loaded = engine.load_file(module.as_ref(), config).expect("the component loads");
    let function = ScalarFunction {
        arguments: vec![DataType::Int64, DataType::Decimal128(18, 2), DataType::Utf8],
        returns: DataType::Int64,
        make: Some(Arc::new(move || Box::new(Caller::new(loaded.clone())))),
    };
    for (name, sql) in QUERIES {
        let none = cost(sql, &function, count, i64::MAX);
        let some = cost(sql, &function, count, 100);
        println!("{name:>14}: {none:>7.0} ns a row, {some:>7.0} where one in a hundred is refused");
    }
}
