//! Queries over rows at rest, held against DataFusion's own planner over the same rows, and what is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow::datatypes::SchemaRef;
use arrow::util::display::array_value_to_string;
use datafusion::prelude::{SessionConfig, SessionContext};
use millstream_types::{Rng, SeededRng};

use super::{AnswerError, OPERATORS_MAX, Question, Rows, Statement, statements};

/// Sales and shops, some with nulls, in several batches.
fn world(seed: u64) -> Rows {
    let mut rng = SeededRng::new(seed);
    let mut sales = Vec::new();
    for _ in 0..rng.below(4) {
        let rows = rng.below(40) as usize;
        let mut some = |most: u64| -> Vec<Option<i64>> {
            (0..rows).map(|_| (!rng.chance(1, 8)).then(|| rng.below(most) as i64)).collect()
        };
        let (shop, qty, cents, at) = (some(6), some(9), some(10_000), some(100_000));
        let text = |n: &Option<i64>| n.map(|n| format!("S{n}"));
        let cents: Decimal128Array = cents.into_iter().map(|c| c.map(i128::from)).collect();
        let columns: [(&str, ArrayRef); 5] = [
            ("shop", Arc::new(StringArray::from(shop.iter().map(text).collect::<Vec<_>>()))),
            ("qty", Arc::new(Int64Array::from(qty.clone()))),
            ("price", Arc::new(cents.with_precision_and_scale(12, 2).expect("a good type"))),
            ("at", Arc::new(TimestampMillisecondArray::from(at).with_timezone("UTC"))),
            ("weight", Arc::new(Float64Array::from_iter(qty.iter().map(|q| q.map(|q| q as f64 / 4.0))))),
        ];
        sales.push(
            RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).expect("columns"),
        );
    }
    if sales.is_empty() {
        return world(seed + 1_000);
    }
    let shops: Vec<String> = (0..5).map(|n| format!("S{n}")).collect();
    let columns: [(&str, ArrayRef); 3] = [
        ("shop", Arc::new(StringArray::from_iter_values(&shops))),
        (
            "city",
            Arc::new(StringArray::from(vec![Some("Pune"), Some("Bonn"), None, Some("Pune"), Some("Lima")])),
        ),
        ("open", Arc::new(BooleanArray::from(vec![true, false, true, true, false]))),
    ];
    let shops =
        RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).expect("columns");
    Rows::from([("sales".to_owned(), sales), ("shops".to_owned(), vec![shops])])
}

fn schemas(rows: &Rows) -> BTreeMap<String, SchemaRef> {
    rows.iter().map(|(name, rows)| (name.clone(), rows[0].schema())).collect()
}

fn question(sql: &str, rows: &Rows) -> Question {
    let mut all = statements(sql, &schemas(rows)).unwrap_or_else(|problem| panic!("{sql}: {problem}"));
    match all.remove(0) {
        Statement::Query(question) => *question,
        other => panic!("{sql}: {other:?}"),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

/// Rows as text; in their order where the query has one.
fn lines(sql: &str, batches: &[RecordBatch]) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cell = |column: &ArrayRef| match column.is_null(row) {
                true => "NULL".to_owned(),
                false => array_value_to_string(column, row).expect("a value"),
            };
            lines.push(batch.columns().iter().map(cell).collect::<Vec<_>>().join(" | "));
        }
    }
    if !sql.contains("-- ordered") {
        lines.sort();
    }
    lines
}

const QUERIES: &[&str] = &[
    "SELECT * FROM sales",
    "SELECT count(*) FROM sales",
    "SELECT 1 AS one, 'x' || 'y' AS two, 1.50 AS three",
    "SELECT shop, qty * 2 AS twice, price::double / 2 AS half FROM sales WHERE qty > 3 AND price < 50.5",
    "SELECT shop, qty, price, at FROM sales ORDER BY shop NULLS FIRST, qty DESC, price, at LIMIT 7 OFFSET 2 -- ordered",
    "SELECT shop, count(*) AS n, sum(price) AS total, avg(price), min(at), max(weight), count(DISTINCT qty), median(qty),
     stddev(weight), sum(qty) FILTER (WHERE qty > 4) FROM sales GROUP BY shop",
    "SELECT shop, first_value(qty ORDER BY at, qty, price), array_agg(qty ORDER BY qty, at) FROM sales GROUP BY shop",
    "SELECT array_agg(qty ORDER BY qty DESC NULLS LAST) FROM sales",
    "SELECT sum(qty), max(price) FROM sales WHERE qty > 100",
    "SELECT shop, sum(price) AS total FROM sales GROUP BY shop HAVING count(*) > 3 ORDER BY total DESC, shop LIMIT 2 -- ordered",
    "SELECT s.shop, c.city, s.qty FROM sales s JOIN shops c ON c.shop = s.shop AND s.qty > 2",
    "SELECT s.shop, c.city, c.open FROM sales s LEFT JOIN shops c ON s.shop = c.shop AND c.open",
    "SELECT c.shop, s.qty FROM sales s RIGHT JOIN shops c ON s.shop = c.shop",
    "SELECT c.shop, s.qty, c.city FROM sales s FULL JOIN shops c ON s.shop = c.shop AND s.qty < 3",
    "SELECT count(*) FROM sales a JOIN sales b ON lower(a.shop) = lower(b.shop) AND a.qty + 1 = b.qty AND a.price < b.price",
    "SELECT a.shop, b.shop FROM shops a CROSS JOIN shops b",
    "SELECT a.shop, b.shop FROM shops a JOIN shops b ON a.shop < b.shop",
    "SELECT a.shop, b.shop FROM shops a LEFT JOIN shops b ON a.shop < b.shop AND b.open",
    "SELECT * FROM shops c WHERE EXISTS (SELECT 1 FROM sales s WHERE s.shop = c.shop AND s.qty > 6)",
    "SELECT * FROM shops c WHERE NOT EXISTS (SELECT 1 FROM sales s WHERE s.shop = c.shop)",
    "SELECT * FROM shops WHERE shop IN (SELECT shop FROM sales WHERE qty = 5)",
    "SELECT * FROM shops WHERE shop NOT IN (SELECT shop FROM sales)",
    "SELECT * FROM shops WHERE shop NOT IN (SELECT shop FROM sales WHERE shop IS NOT NULL AND qty > 5)",
    "SELECT shop, (SELECT max(price) FROM sales s WHERE s.shop = c.shop) AS most FROM shops c",
    "SELECT shop, qty - (SELECT avg(qty) FROM sales) AS off FROM sales WHERE price > (SELECT min(price) FROM sales)",
    "SELECT shop, qty, row_number() OVER (PARTITION BY shop ORDER BY qty, price, at) AS n, sum(qty) OVER (PARTITION BY shop ORDER BY qty, price, at
     ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS near, lag(price) OVER (ORDER BY price, at, qty, shop) AS before FROM sales",
    "SELECT shop, total, rank() OVER (ORDER BY total DESC) AS place FROM (SELECT shop, sum(price) AS total FROM sales GROUP BY shop)",
    "SELECT shop, qty, price FROM sales QUALIFY rank() OVER (PARTITION BY shop ORDER BY price DESC) = 1",
    "SELECT DISTINCT shop, qty > 4 AS large FROM sales",
    "SELECT shop FROM sales UNION SELECT shop FROM shops",
    "SELECT shop, qty FROM sales UNION ALL SELECT city, 1 FROM shops ORDER BY 1, 2 -- ordered",
    "SELECT shop FROM shops INTERSECT SELECT shop FROM sales",
    "SELECT shop FROM shops EXCEPT SELECT shop FROM sales",
    "SELECT count(*), sum(n) FROM (SELECT count(*) AS n FROM sales UNION ALL SELECT count(*) FROM shops)",
    "SELECT shop, qty, count(*), grouping(shop), sum(price) FROM sales GROUP BY ROLLUP (shop, qty)",
    "SELECT shop, qty > 3 AS large, count(*), sum(price) FROM sales GROUP BY CUBE (shop, qty > 3)",
    "SELECT shop, qty, count(*) FROM sales GROUP BY GROUPING SETS ((shop), (qty, shop), ())",
    "WITH t AS (SELECT shop, sum(price) AS total FROM sales GROUP BY shop) SELECT * FROM t WHERE total > (SELECT avg(total) FROM t)",
    "VALUES (1, 'a'), (2, NULL), (3, 'c')",
    "SELECT v.n, s.city FROM (VALUES ('S1', 1), ('S9', 2)) AS v (shop, n) LEFT JOIN shops s ON s.shop = v.shop",
    "SELECT date_trunc('minute', at) AS minute, count(*) FROM sales GROUP BY 1",
    "SELECT date_bin(INTERVAL '10 seconds', at) AS bin, sum(qty) FROM sales GROUP BY 1",
    "SELECT CASE WHEN qty > 5 THEN 'many' WHEN qty IS NULL THEN 'unknown' ELSE 'few' END AS kind, count(*) FROM sales GROUP BY 1",
    "SELECT shop FROM sales WHERE FALSE",
    "SELECT shop, unnest(qtys) AS item FROM (SELECT shop, array_agg(qty ORDER BY qty) AS qtys FROM sales GROUP BY shop)",
    "SELECT s.shop, x.top FROM shops s, LATERAL (SELECT max(qty) AS top FROM sales t WHERE t.shop = s.shop) x",
];

/// What this planner gives is what DataFusion's gives, where both take a query.
#[test]
fn answers_are_those_of_the_whole_planner() {
    let runtime = runtime();
    let mut held = 0;
    for sql in QUERIES {
        for seed in 0..12 {
            let rows = world(seed);
            let context = SessionContext::new_with_config(
                SessionConfig::new()
                    .with_target_partitions(1)
                    .set_bool("datafusion.sql_parser.parse_float_as_decimal", true),
            );
            for (name, rows) in &rows {
                let table = datafusion::datasource::MemTable::try_new(rows[0].schema(), vec![rows.clone()]);
                context.register_table(name.as_str(), Arc::new(table.expect("rows"))).expect("a table");
            }
            let wanted = runtime.block_on(async { context.sql(sql).await?.collect().await });
            let planned = statements(sql, &schemas(&rows));
            let wanted = wanted.unwrap_or_else(|error| panic!("{sql}: DataFusion does not take it: {error}"));
            let planned = planned.unwrap_or_else(|problem| panic!("{sql}: {problem}"));
            let Some(Statement::Query(question)) = planned.into_iter().next() else { panic!("{sql}") };
            let found = runtime.block_on(question.answer(&rows, Vec::new(), 64 << 20));
            let found = found.unwrap_or_else(|error| panic!("{sql}, seed {seed}: {error}"));
            assert_eq!(lines(sql, &found), lines(sql, &wanted), "{sql}, seed {seed}");
            if let Some(first) = found.first() {
                let types = |schema: &SchemaRef| -> Vec<String> {
                    schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect()
                };
                assert_eq!(
                    types(&first.schema()),
                    types(question.schema()),
                    "{sql}: what it was described as"
                );
            }
            held += 1;
        }
    }
    assert_eq!(held, QUERIES.len() * 12);
}

#[test]
fn parameters_are_typed_and_put_in() {
    let rows = world(3);
    let asked = question("SELECT shop, qty FROM sales WHERE qty > $1 AND shop = $2", &rows);
    let kinds: Vec<String> = asked.parameters().iter().map(|kind| format!("{kind:?}")).collect();
    assert_eq!(kinds, ["Some(Int64)", "Some(Utf8)"]);
    let given = vec![
        datafusion_common::ScalarValue::Int64(Some(2)),
        datafusion_common::ScalarValue::Utf8(Some("S1".to_owned())),
    ];
    let found = runtime().block_on(asked.answer(&rows, given, 1 << 20)).expect("an answer");
    let plain = question("SELECT shop, qty FROM sales WHERE qty > 2 AND shop = 'S1'", &rows);
    let wanted = runtime().block_on(plain.answer(&rows, Vec::new(), 1 << 20)).expect("an answer");
    assert_eq!(lines("", &found), lines("", &wanted));
    assert!(!found.is_empty());
    // Without its value a query has no answer.
    assert!(runtime().block_on(asked.answer(&rows, Vec::new(), 1 << 20)).is_err());
}

#[test]
fn statements_are_told_apart() {
    let rows = world(1);
    let kind = |sql: &str| -> String {
        let all = statements(sql, &schemas(&rows)).unwrap_or_else(|problem| panic!("{sql}: {problem}"));
        let all = all.into_iter().map(|statement| match statement {
            Statement::Query(question) => {
                format!("query of {}", question.reads().iter().cloned().collect::<Vec<_>>().join(","))
            }
            other => format!("{other:?}"),
        });
        all.collect::<Vec<_>>().join("; ")
    };
    for (sql, wanted) in [
        ("SELECT * FROM sales s JOIN shops USING (shop)", "query of sales,shops"),
        ("SELECT 1; SELECT shop FROM Shops;", "query of ; query of shops"),
        ("SELECT 1 WHERE 2 IN (SELECT qty FROM sales)", "query of sales"),
        ("", ""),
        ("show tables", "Tables"),
        ("DESCRIBE sales", "Columns(\"sales\")"),
        ("SHOW COLUMNS FROM sales", "Columns(\"sales\")"),
        ("SHOW server_version", "Setting(\"server_version\")"),
        ("SHOW TRANSACTION ISOLATION LEVEL", "Setting(\"transaction_isolation_level\")"),
        ("SET application_name = 'x'", "Set"),
        ("BEGIN; COMMIT; ROLLBACK", "Begin; Commit; Rollback"),
        ("START TRANSACTION READ ONLY", "Begin"),
        ("DISCARD ALL", "Discard(\"DISCARD ALL\")"),
        ("DELETE FROM sales", "Other(\"DELETE\")"),
        ("INSERT INTO sales VALUES (1)", "Other(\"INSERT\")"),
        ("UPDATE sales SET qty = 1", "Other(\"UPDATE\")"),
        ("DROP TABLE sales", "Other(\"DROP\")"),
        ("CREATE TABLE x AS SELECT * FROM sales", "Other(\"CREATE\")"),
        ("TRUNCATE sales", "Other(\"TRUNCATE\")"),
        ("COPY sales TO '/tmp/x'", "Other(\"COPY\")"),
        ("EXPLAIN SELECT 1", "Other(\"EXPLAIN\")"),
    ] {
        assert_eq!(kind(sql), wanted, "{sql}");
    }
}

#[test]
fn faults_have_their_place() {
    let rows = world(1);
    for (sql, wanted) in [
        ("SELECT shop,\n  nope FROM sales", "2:3: column 'nope' not found"),
        ("SELECT *\nFROM sale", "2:6: there is no relation sale; there are: sales, shops"),
        ("SELECT FROM WHERE", "1:13: there is no relation where; there are: sales, shops"),
        ("SELECT DISTINCT ON (shop) shop, qty FROM sales", "1:1: DISTINCT ON is not taken; write"),
        ("SELECT shop FROM sales WHERE", "1:29: syntax: Expected: an expression, found: EOF"),
        ("SELECT upper(qty, 1) FROM sales", "1:8: there is no upper("),
        (
            "SELECT * FROM TUMBLE(sales, at, INTERVAL '1 minute')",
            "1:1: Table Functions are not supported; windows are made in the pipeline's file; here, GROUP BY date_bin(",
        ),
        (
            "SELEC shop FROM sales",
            "1:1: syntax: Expected: an SQL statement, found: SELEC; a query begins with SELECT",
        ),
        ("SELECT shop FROM sales\nORDER BY nothing", "2:10: there is no column nothing; there are: sales."),
        (
            "SELECT shop + 1 FROM sales",
            "1:8: expressions have incompatible types, Utf8 and Int64; change a type with CAST(",
        ),
        ("SELECT shop FROM sales WHERE qty = 'x'", "1:1: Cannot cast string 'x' to value of "),
        ("SELECT shop FROM sales GROUP BY qty", "1:8: "),
        ("SELECT * INTO t FROM sales", "1:1: "),
    ] {
        let problem = statements(sql, &schemas(&rows)).expect_err(sql).to_string();
        assert!(problem.starts_with(wanted), "{sql}: {problem}");
    }
    let problem =
        statements("SELECT reorder(qty) FROM sales", &schemas(&rows)).expect_err("unknown").to_string();
    assert!(problem.starts_with("1:8: Invalid function 'reorder'"), "{problem}");
    let own = "functions of a pipeline's file are called by its own queries, as it runs, and not here";
    assert!(problem.ends_with(own), "{problem}");
}

#[test]
fn texts_that_are_too_deep_are_refused_before_they_are_planned() {
    let rows = world(1);
    for deep in [
        "SELECT 1".to_owned() + &" UNION ALL SELECT 1".repeat(100_000),
        "SELECT 1".to_owned() + &"+1".repeat(OPERATORS_MAX + 1),
        "SELECT ".to_owned() + &"(".repeat(50_000),
        "SELECT ".to_owned() + &"NOT ".repeat(40_000) + "TRUE",
        "SELECT ".to_owned() + &"- ".repeat(40_000) + "1",
        "SELECT * FROM ".to_owned() + &"sales JOIN ".repeat(10_000),
    ] {
        let problem = statements(&deep, &schemas(&rows)).expect_err("too deep");
        assert!(problem.message.contains("at most"), "{problem}");
    }
    // The most that is taken is planned and run, and many values are no depth.
    let most = "SELECT 1 AS n WHERE 1 = 1".to_owned() + &" OR 2 = 3".repeat(OPERATORS_MAX / 2 - 3);
    let many = format!("SELECT count(*) FROM sales WHERE qty IN (0{})", ",1".repeat(20_000));
    let unions = "SELECT 1 AS n".to_owned() + &" UNION ALL SELECT 1".repeat(OPERATORS_MAX - 3);
    let sums = "SELECT 1".to_owned() + &"+1".repeat(OPERATORS_MAX - 3);
    let work = move || {
        for sql in [most, many, unions, sums] {
            let asked = question(&sql, &rows);
            let found = runtime().block_on(asked.answer(&rows, Vec::new(), 64 << 20));
            found.unwrap_or_else(|error| panic!("{}…: {error}", &sql[..60]));
        }
    };
    // As large a stack as who asks has.
    std::thread::Builder::new()
        .stack_size(super::STACK_BYTES)
        .spawn(work)
        .expect("a thread")
        .join()
        .expect("done");
}

#[test]
fn what_memory_has_no_room_for_and_what_cannot_be_computed_is_told() {
    let rows = world(5);
    let wide = question(
        "SELECT a.shop, b.qty, c.price FROM sales a CROSS JOIN sales b CROSS JOIN sales c ORDER BY c.price, b.qty, a.shop",
        &rows,
    );
    let error = runtime().block_on(wide.answer(&rows, Vec::new(), 64 << 10)).expect_err("too little");
    assert!(matches!(error, AnswerError::Memory(..)), "{error}");
    let divides = question("SELECT 1 / (qty - qty) FROM sales WHERE qty IS NOT NULL", &rows);
    let error = runtime().block_on(divides.answer(&rows, Vec::new(), 1 << 20)).expect_err("divides by zero");
    assert!(matches!(&error, AnswerError::Compute(text) if text.contains("ivide by zero")), "{error}");
    assert!(error.to_string().contains("guard it: nullif(x, 0)"), "{error}");
    let several = question("SELECT (SELECT shop FROM shops) FROM sales", &rows);
    let error = runtime().block_on(several.answer(&rows, Vec::new(), 1 << 20)).expect_err("several rows");
    assert!(error.to_string().contains("more than one row"), "{error}");
}
