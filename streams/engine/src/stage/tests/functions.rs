//! Functions of the pipeline in queries: what they are handed, what of what they do counts as a value, when they are called, and
//! what the planner takes. That rows fail alone however they are batched is shown beside other rows that fail (`failing`).

use std::sync::Mutex;

use millstream_model::{Bad, Emit, Failure, FunctionError, Message, Outcome, UserFunction};

use super::failing::{Came, end, push, spec_with, stage_of, take};
use super::*;
use crate::error::StageError;
use crate::sql::ScalarFunction;

/// What a function does with a row.
enum Act {
    Give(Option<&'static str>),
    /// Its arguments, as text.
    Show,
    Refuse,
    Nothing,
    Twice,
    Aside,
}

/// A function in Rust: what it does is found by the text of a row's arguments.
struct Guest(fn(&str) -> Result<Act, FunctionError>);

/// How many rows each call had, of all stages of a test's thread.
static CALLS: Mutex<Vec<(std::thread::ThreadId, usize)>> = Mutex::new(Vec::new());

fn calls() -> Vec<usize> {
    let mut calls = CALLS.lock().expect("no test panics in a call");
    let own = std::thread::current().id();
    calls.extract_if(.., |(thread, _)| *thread == own).map(|(_, rows)| rows).collect()
}

impl UserFunction for Guest {
    fn process(&mut self, batch: &[Message]) -> Result<Outcome, FunctionError> {
        CALLS.lock().expect("no test panics in a call").push((std::thread::current().id(), batch.len()));
        let mut outcome = Outcome::default();
        for (index, message) in batch.iter().enumerate() {
            let arguments = std::str::from_utf8(message.value.as_deref().expect("a list")).expect("UTF-8");
            let quoted = format!("\"{}\"", arguments.replace('\\', "").replace('"', "'"));
            let mut emit = |output: Option<&str>, value: Option<&str>| {
                let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
                let message = Message { value, ..message.clone() };
                outcome.emits.push(Emit { output: output.map(str::to_owned), message });
            };
            match self.0(arguments)? {
                Act::Give(value) => emit(None, value),
                Act::Show => emit(None, Some(&quoted)),
                Act::Refuse => {
                    let why = Failure { code: "no_good".into(), reason: format!("{arguments} is no good") };
                    outcome.failed.push(Bad { index: index as u32, why });
                }
                Act::Nothing => {}
                Act::Twice => (0..2).for_each(|_| emit(None, Some("1"))),
                Act::Aside => emit(Some("other"), Some("1")),
            }
        }
        Ok(outcome)
    }
}

/// Answers for another row than it was asked about.
struct Lost;

impl UserFunction for Lost {
    fn process(&mut self, batch: &[Message]) -> Result<Outcome, FunctionError> {
        let message = Message { offset: batch.len() as i64, ..batch[0].clone() };
        Ok(Outcome { emits: vec![Emit { output: None, message }], failed: Vec::new() })
    }
}

/// The functions that the stages of these tests have.
pub(super) fn all() -> BTreeMap<String, ScalarFunction> {
    let divided = |arguments: &str| {
        Ok(match arguments {
            "[0]" => Act::Refuse,
            "[null]" => Act::Give(None),
            "[1]" => Act::Give(Some("100")),
            "[2]" => Act::Give(Some("50")),
            "[3]" => Act::Give(Some("33")),
            "[4]" => Act::Give(Some("25")),
            "[5]" => Act::Give(Some("20")),
            _ => Act::Give(Some("16")),
        })
    };
    let strange = |arguments: &str| {
        Ok(match arguments {
            "[0]" => Act::Nothing,
            "[1]" => Act::Give(Some("\"1\"")),
            "[2]" => Act::Give(Some("1.5")),
            "[3]" => Act::Give(Some("1,2")),
            "[4]" => Act::Twice,
            "[5]" => Act::Aside,
            "[6]" => Act::Refuse,
            "[7]" => Act::Give(Some("")),
            _ => Act::Give(Some(" null ")),
        })
    };
    let shown = |_: &str| Ok(Act::Show);
    let listed = |arguments: &str| Ok(Act::Give(Some(if arguments == "[0]" { "[]" } else { "[1,2]" })));
    let busy = |_: &str| Err(FunctionError::Transient { function: "busy".into(), reason: "later".into() });
    let broken = |_: &str| Err(FunctionError::Broken { function: "broken".into(), reason: "never".into() });
    let guest = |arguments: &[DataType], returns: DataType, act: fn(&str) -> Result<Act, FunctionError>| {
        let make: crate::sql::MakeFunction = Arc::new(move || Box::new(Guest(act)));
        ScalarFunction { arguments: arguments.to_vec(), returns, make: Some(make) }
    };
    let number = &[DataType::Int64][..];
    let utc = |unit| DataType::Timestamp(unit, Some("UTC".into()));
    let forms = [
        DataType::Int64,
        DataType::Decimal128(12, 2),
        utc(TimeUnit::Millisecond),
        DataType::Utf8,
        DataType::Binary,
        DataType::Date32,
        DataType::new_list(DataType::Int32, true),
        DataType::Float64,
        DataType::Boolean,
    ];
    let lost: crate::sql::MakeFunction = Arc::new(|| Box::new(Lost));
    let lost = ScalarFunction { make: Some(lost), ..guest(number, DataType::Int64, shown) };
    let unmade = ScalarFunction { make: None, ..guest(number, DataType::Int64, shown) };
    BTreeMap::from([
        ("divided".to_owned(), guest(number, DataType::Int64, divided)),
        ("strange".to_owned(), guest(number, DataType::Int64, strange)),
        ("listed".to_owned(), guest(number, DataType::new_list(DataType::Int64, true), listed)),
        ("shown".to_owned(), guest(&forms, DataType::Utf8, shown)),
        ("busy".to_owned(), guest(number, DataType::Int64, busy)),
        ("broken".to_owned(), guest(number, DataType::Int64, broken)),
        ("lost".to_owned(), lost),
        ("unmade".to_owned(), unmade),
    ])
}

fn sales(count: i64) -> Vec<String> {
    (0..count).map(|n| format!(r#"{{"id":"a","at":{},"qty":{n},"price":{n}}}"#, 1_000 + n)).collect()
}

/// What comes of records, and why those that fail do.
fn ran(sql: &str, records: &[String]) -> (Came, Vec<String>) {
    let mut stage = stage_of(sql, 5_000);
    for (offset, record) in records.iter().enumerate() {
        push(&mut stage, 0, offset as i64, record);
    }
    stage.turn(0).expect("a turn");
    let why = stage.out.failed.iter().map(|failed| failed.error.clone()).collect();
    let mut came = Came::default();
    take(&mut stage, &mut came);
    (end(stage, came), why)
}

#[test]
fn arguments_are_handed_over_as_records_have_them() {
    let record =
        r#"{"id":"é\"","at":"2026-01-31T10:00:00.5Z","qty":7,"price":12,"items":[1,null]}"#.to_owned();
    let null = r#"{"id":"","at":0}"#.to_owned();
    let sql = "SELECT shown(qty, CAST(price AS DECIMAL(9, 1)), at, id, CAST(id AS BYTEA), CAST(at AS DATE), items, qty, qty > 1) AS x FROM sales";
    let (came, _) = ran(sql, &[record, null]);
    assert_eq!(
        came.rows,
        [
            "[7,12.00,'2026-01-31T10:00:00.500Z','é'','w6ki','2026-01-31',[1,null],7.0,true]".to_owned(),
            "[null,null,'1970-01-01T00:00:00.000Z','','','1970-01-01',null,null,null]".to_owned(),
        ]
    );
    // What is not there has the type that it is to have; constants are handed over once.
    calls();
    let sql = "SELECT id, shown(NULL, 1.5, NULL, 'x', NULL, NULL, NULL, 2, true) AS x FROM sales";
    let (came, _) = ran(sql, &sales(3));
    assert_eq!(came.rows, vec!["a|[null,1.50,null,'x',null,null,null,2.0,true]"; 3]);
    assert_eq!(calls(), [1]);
}

#[test]
fn a_batch_is_a_call() {
    for (sql, wanted) in [
        ("SELECT divided(qty) AS x FROM sales WHERE qty > 0", vec![1_024, 975]),
        // What is written twice is called once, and not for rows that do not get there.
        ("SELECT divided(qty) AS x, divided(qty) + 1 AS y FROM sales WHERE qty > 0", vec![1_024, 975]),
        ("SELECT CASE WHEN qty > 1990 THEN divided(qty) END AS x FROM sales", vec![9]),
        ("SELECT id FROM sales WHERE qty > 1990 AND divided(qty) > 0", vec![9]),
    ] {
        calls();
        let (came, why) = ran(sql, &sales(2_000));
        assert!(why.is_empty() && !came.rows.is_empty(), "{sql}: {why:?}");
        assert_eq!(calls(), wanted, "{sql}");
    }
}

#[test]
fn what_is_no_value_of_its_type_fails_its_row_alone() {
    let (came, why) = ran("SELECT id, strange(qty) AS x FROM sales", &sales(10));
    assert_eq!(came.rows, ["a|", "a|"]);
    assert_eq!(came.records, (0..8).collect::<Vec<_>>());
    let wanted = [
        "it gave no value; it is to emit one message for each row, without a value for NULL",
        r#"it gave "1", and its type is Int64: field value is not an integer of 64 bits (at byte 0)"#,
        "it gave 1.5, and its type is Int64: field value is not an integer of 64 bits (at byte 0)",
        "it gave 1,2, and its type is Int64: not JSON: trailing characters (at byte 1)",
        "it gave several values for one row",
        r#"it gave a value to the output "other"; in SQL it has none but one"#,
        "no_good: [6] is no good",
        "it gave , and its type is Int64: not JSON: EOF while parsing a value (at byte 0)",
    ];
    for (why, wanted) in why.iter().zip(wanted) {
        assert!(why.ends_with(&format!("function strange: {wanted}")), "{why}\n{wanted}");
    }
}

/// A function that gives no outcome says nothing about rows.
#[test]
fn a_stage_ends_where_a_function_gives_no_outcome() {
    for (name, said) in [
        ("busy", "calling function busy: later; the batch will be tried again"),
        ("broken", "function broken cannot run: never"),
        ("lost", "function lost cannot run: it answered for a row that is none of the 3 of the call"),
        (
            "unmade",
            "function unmade cannot run: it is called where the pipeline runs, and not where what it keeps is read",
        ),
    ] {
        for sql in [
            "SELECT id, {f}(qty) AS x FROM sales",
            "SELECT id FROM sales WHERE {f}(qty) > 0",
            "SELECT id, 1 + {f}(qty + 1) AS x FROM sales",
            "SELECT id, window_end, sum({f}(qty)) AS n FROM TUMBLE(sales, at, INTERVAL '1 second') GROUP BY id, window_end",
            "SELECT s.id FROM sales s JOIN stores t ON t.store_id = s.id AND {f}(s.qty) = 1",
        ] {
            let sql = sql.replace("{f}", name);
            let mut stage = stage_of(&sql, 100);
            if sql.contains("stores") {
                stage.load_table("stores", &stores()).expect("a table");
            }
            for (offset, record) in sales(3).iter().enumerate() {
                push(&mut stage, 0, offset as i64, &record.replace("\"a\"", "\"S1\""));
            }
            let error = stage.turn(0).expect_err("no outcome");
            assert!(stage.out.failed.is_empty());
            assert!(matches!(error, StageError::Function(_)), "{sql}: {error:?}");
            assert_eq!(error.to_string(), said, "{sql}");
        }
    }
}

/// Nothing is called while a query is planned, constants neither; and types are known then.
#[test]
fn types_are_checked_where_the_query_is_planned() {
    calls();
    for (sql, said) in [
        ("SELECT id, divided(5) AS x FROM sales WHERE divided(2) > 1", ""),
        ("SELECT id, Divided(CAST(qty AS SMALLINT)) AS x FROM sales", ""),
        (
            "SELECT id, divided(id) AS x FROM sales",
            "1:12: there is no divided(Utf8): divided does not take these types; divided takes (Int64); change a type with CAST(… AS …)",
        ),
        (
            "SELECT id, divided(qty, 1) AS x FROM sales",
            "1:12: there is no divided(Int32, Int64): divided does not take these types; divided takes (Int64); change a type with CAST(… AS …)",
        ),
        (
            "SELECT id, divided() AS x FROM sales",
            "1:12: there is no divided(): divided does not take these types; divided takes (Int64); change a type with CAST(… AS …)",
        ),
        (
            "SELECT id, divided(1.5) AS x FROM sales",
            "1:12: there is no divided(Decimal128(2, 1)): divided does not take these types; divided takes (Int64); change a type with CAST(… AS …)",
        ),
        ("SELECT id, divided(qty) + length(shown(1)) AS x FROM sales", "1:34: there is no shown(Int64)"),
        (
            "SELECT id, dividde(qty) AS x FROM sales",
            "1:12: Invalid function 'dividde'; Possible function 'divided'",
        ),
    ] {
        let found = Stage::build(spec_with(sql, 100, LateRule::default(), None))
            .err()
            .map(|problems| problems[0].message.clone());
        let found = found.unwrap_or_default();
        assert!(found.starts_with(said) && found.is_empty() == said.is_empty(), "{sql}: {found}");
    }
    assert!(calls().is_empty());
}

/// Behind windows, in conditions and among what is grouped by.
#[test]
fn functions_stand_wherever_expressions_do() {
    let windowed = "TUMBLE(sales, at, INTERVAL '5 seconds')";
    for (sql, rows) in [
        (
            "SELECT id, unnest(listed(qty)) AS x FROM sales WHERE qty < 3".to_owned(),
            vec!["a|1", "a|1", "a|2", "a|2"],
        ),
        (
            format!("SELECT id, window_end, divided(count(*)) AS x FROM {windowed} GROUP BY id, window_end"),
            vec!["a|1970-01-01T00:00:05Z|25"],
        ),
        (
            format!("SELECT id, sum(divided(qty)) AS x FROM {windowed} WHERE qty > 0 GROUP BY id, window_end"),
            vec!["a|183"],
        ),
        (
            format!("SELECT id, divided(qty) AS d, count(*) AS n FROM {windowed} WHERE qty > 1 GROUP BY id, window_end, divided(qty)"),
            vec!["a|33|1", "a|50|1"],
        ),
        (
            format!("SELECT id, max(qty) AS q FROM {windowed} GROUP BY id, window_end HAVING divided(count(*)) = 25"),
            vec!["a|3"],
        ),
        (
            format!("SELECT id, n, divided(rank() OVER (PARTITION BY id, window_end ORDER BY divided(n))) AS r FROM
                     (SELECT id, window_end, count(*) AS n FROM {windowed} GROUP BY id, window_end)"),
            vec!["a|4|100"],
        ),
    ] {
        let (came, why) = ran(&sql, &sales(4));
        assert!(why.is_empty() && came.failed.is_empty(), "{sql}: {why:?} {came:?}");
        assert_eq!(came.rows, rows, "{sql}");
    }
}
