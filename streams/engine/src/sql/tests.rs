//! Queries as data: what each plans to, or where and why it is refused.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use millstream_model::LateRule;

use super::{Keep, Relation, Relations, SqlOptions, compile};

fn relations() -> Relations {
    let time = || DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let stream = Schema::new(vec![
        Field::new("invoice_id", DataType::Utf8, false),
        Field::new("store_id", DataType::Utf8, false),
        Field::new("issued_at", time(), false),
        Field::new("paid_at", time(), true),
        Field::new("total", DataType::Decimal128(18, 2), false),
        Field::new("qty", DataType::Int32, true),
        Field::new("weight", DataType::Float64, true),
    ]);
    let table = Schema::new(vec![
        Field::new("store_id", DataType::Utf8, false),
        Field::new("city", DataType::Utf8, true),
        Field::new("opened", time(), true),
    ]);
    let unique = Relation::Stream {
        schema: Arc::new(stream),
        event_time: Some("issued_at".into()),
        partitioned_by: Some(vec!["store_id".into()]),
        latest_by: None,
    };
    let returned = |by: &str| Relation::Stream {
        schema: Arc::new(Schema::new(vec![
            Field::new("store_id", DataType::Utf8, false),
            Field::new("invoice_id", DataType::Utf8, false),
            Field::new("at", time(), false),
            Field::new("amount", DataType::Decimal128(18, 2), true),
        ])),
        event_time: Some("at".into()),
        partitioned_by: Some(vec![by.to_owned()]),
        latest_by: None,
    };
    let mut number = returned("store_id");
    if let Relation::Stream { schema, .. } = &mut number {
        let kinds = [DataType::Int64, DataType::Utf8, time(), DataType::Decimal128(18, 2)];
        let fields = schema.fields().iter().zip(kinds);
        let fields = fields.map(|(field, kind)| field.as_ref().clone().with_data_type(kind));
        *schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    }
    let mut loose = returned("store_id");
    if let Relation::Stream { partitioned_by, .. } = &mut loose {
        *partitioned_by = Some(Vec::new());
    }
    let mut whole = returned("store_id");
    if let Relation::Stream { partitioned_by, .. } = &mut whole {
        *partitioned_by = None;
    }
    Relations::from([
        ("unique".into(), unique),
        ("returns".into(), returned("store_id")),
        ("payments".into(), returned("invoice_id")),
        ("numbers".into(), number),
        ("loose".into(), loose),
        ("whole".into(), whole),
        ("stores".into(), Relation::Table { schema: Arc::new(table), key: vec!["store_id".into()] }),
    ])
}

fn options() -> SqlOptions {
    SqlOptions {
        operator: "revenue-1".into(),
        late: LateRule::default(),
        key_groups: 8,
        update_ms: None,
        keep: None,
        functions: crate::sql::Functions::default(),
    }
}

const REVENUE: &str =
    "SELECT i.store_id, s.city, i.window_start, i.window_end, COUNT(*) AS invoices, SUM(i.total) AS revenue
FROM TUMBLE(unique, issued_at, INTERVAL '5 minutes') AS i
JOIN stores AS s ON s.store_id = i.store_id
GROUP BY i.store_id, s.city, i.window_start, i.window_end";

#[test]
fn the_revenue_query_reads_three_columns_and_keeps_money_exact() {
    let query = compile(REVENUE, &relations(), &options()).expect("the example's query");
    let columns: Vec<String> =
        query.schema().fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
    assert_eq!(
        columns,
        [
            "store_id Utf8",
            "city Utf8",
            "window_start Timestamp(ms, \"UTC\")",
            "window_end Timestamp(ms, \"UTC\")",
            "invoices Int64",
            "revenue Decimal128(28, 2)"
        ]
    );
    assert_eq!(
        (query.streams().collect::<Vec<_>>(), query.tables(), query.reads().collect::<Vec<_>>()),
        (vec!["unique"], &["stores".to_owned()][..], vec![&[1, 2, 4][..]])
    );
    assert!(query.is_windowed());
}

#[test]
fn these_run() {
    for sql in [
        "SELECT * FROM unique",
        "SELECT store_id, issued_at, sum(total) OVER (PARTITION BY store_id ORDER BY issued_at RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW) AS last_hour,
         lag(issued_at) OVER (PARTITION BY store_id, qty ORDER BY issued_at, invoice_id) AS before FROM unique WHERE total > 1
         QUALIFY row_number() OVER (PARTITION BY store_id ORDER BY issued_at) = 1",
        "SELECT i.store_id, s.city, avg(i.weight) OVER w AS mean, max(i.invoice_id) OVER w AS last FROM unique i JOIN stores s ON s.store_id = i.store_id
         WINDOW w AS (PARTITION BY i.store_id ORDER BY i.issued_at ROWS BETWEEN 9 PRECEDING AND 1 PRECEDING)",
        "SELECT a.store_id, a.n, s.city FROM (SELECT store_id, count(*) OVER (PARTITION BY store_id ORDER BY at) AS n FROM
         (SELECT store_id, at FROM returns UNION ALL SELECT store_id, issued_at AS at FROM unique)) a JOIN stores s ON s.store_id = a.store_id WHERE a.n > 2",
        "SELECT at, sum(amount) OVER (ORDER BY at) AS total FROM whole",
        "SELECT store_id, total * 2 AS twice FROM unique WHERE total > 1.5 AND qty IS NOT NULL",
        "SELECT upper(u.store_id) AS store, s.city FROM unique u LEFT JOIN stores s ON s.store_id = u.store_id",
        "SELECT u.store_id, s.city FROM stores s RIGHT JOIN unique u ON s.store_id = u.store_id",
        "SELECT u.store_id, s.city FROM unique u, stores s WHERE s.store_id = u.store_id AND s.city <> 'Pune'",
        "SELECT store_id, window_end, count(*) AS n FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') GROUP BY store_id, window_end",
        "SELECT store_id, window_start, count(DISTINCT qty) AS n FROM TUMBLE(unique, issued_at, INTERVAL '1 day') GROUP BY store_id, window_start HAVING count(*) > 1",
        "SELECT t.store_id, t.window_start, avg(t.total) FILTER (WHERE t.qty > 1) AS a, min(t.invoice_id) AS first
         FROM TUMBLE((SELECT store_id, issued_at, total, qty, invoice_id FROM unique WHERE total > 0), issued_at, INTERVAL '10 seconds') AS t
         GROUP BY t.store_id, t.window_start",
        "WITH w AS (SELECT * FROM TUMBLE(unique, issued_at, INTERVAL '5 minutes'))
         SELECT store_id, window_start, first_value(total ORDER BY issued_at) AS first FROM w GROUP BY store_id, window_start",
        "SELECT store_id, window_end, last_value(total ORDER BY qty DESC, issued_at, qty) AS last
         FROM TUMBLE(unique, issued_at, INTERVAL '1 minute') GROUP BY store_id, window_end",
        "SELECT DISTINCT store_id, window_start FROM TUMBLE(unique, issued_at, INTERVAL '5 minutes')",
        "SELECT r.store_id, s.city, r.revenue FROM (SELECT store_id, window_start, sum(total) AS revenue
         FROM TUMBLE(unique, issued_at, INTERVAL '5 minutes') GROUP BY store_id, window_start) r JOIN stores s ON s.store_id = r.store_id",
        "SELECT store_id, window_start, window_end, count(*) AS n FROM HOP(unique, issued_at, INTERVAL '2 seconds', INTERVAL '10 seconds') GROUP BY store_id, window_start, window_end",
        "SELECT store_id, window_end, sum(total) AS n FROM CUMULATE(unique, issued_at, INTERVAL '1 hour', INTERVAL '1 day') GROUP BY store_id, window_end",
        "SELECT * FROM HOP(unique, issued_at, INTERVAL '1 minute', INTERVAL '1 hour')",
        "SELECT store_id, window_start, window_end, count(*) AS n FROM SESSION(unique, issued_at, INTERVAL '10 minutes', store_id) GROUP BY store_id, window_start, window_end",
        "SELECT store_id, qty, window_end - window_start AS long, sum(total) AS n FROM SESSION(unique, issued_at, INTERVAL '1 day', store_id) WHERE store_id <> 'S1' GROUP BY store_id, qty, window_start, window_end",
        "SELECT i.store_id, i.invoice_id, i.window_end, r.amount FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') AS i
         JOIN TUMBLE(returns, at, INTERVAL '1 hour') AS r ON r.store_id = i.store_id AND r.invoice_id = i.invoice_id AND r.window_start = i.window_start AND r.window_end = i.window_end",
        "SELECT coalesce(i.store_id, r.store_id) AS store_id, coalesce(i.window_end, r.window_end) AS window_end, i.total, r.amount
         FROM (SELECT store_id, window_end, sum(total) AS total FROM HOP(unique, issued_at, INTERVAL '1 hour', INTERVAL '1 day') GROUP BY store_id, window_end) i
         FULL JOIN (SELECT store_id, window_end, sum(amount) AS amount FROM HOP(returns, at, INTERVAL '1 hour', INTERVAL '1 day') GROUP BY store_id, window_end) r
         ON r.store_id = i.store_id AND r.window_end = i.window_end AND r.amount > i.total",
        "SELECT a.store_id, s.city, a.qty, b.qty AS other FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') AS a, TUMBLE(unique, issued_at, INTERVAL '1 hour') AS b, stores s
         WHERE a.store_id = b.store_id AND a.window_start = b.window_start AND a.total < b.total AND s.store_id = a.store_id",
        "SELECT a.store_id, b.window_start, rank() OVER (PARTITION BY b.store_id, b.window_start ORDER BY a.total) AS place
         FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') AS a JOIN TUMBLE(returns, at, INTERVAL '1 hour') AS b ON a.store_id = b.store_id AND a.window_start = b.window_start
         LEFT JOIN TUMBLE(unique, issued_at, INTERVAL '1 hour') AS c ON c.store_id = b.store_id AND c.window_start = b.window_start",
        "SELECT i.store_id, i.invoice_id, r.amount FROM unique i LEFT JOIN returns r
         ON r.store_id = i.store_id AND r.invoice_id = i.invoice_id AND r.at >= i.issued_at AND r.at < i.issued_at + INTERVAL '30 days'",
        "SELECT i.store_id, s.city, r.amount FROM unique i, returns r, stores s
         WHERE r.store_id = i.store_id AND i.issued_at - INTERVAL '1 hour' < r.at AND r.at - INTERVAL '10 minutes' <= i.issued_at AND s.store_id = i.store_id",
        "SELECT i.store_id, r.amount FROM unique i JOIN returns r ON r.store_id = i.store_id AND r.at = i.issued_at + INTERVAL '5 seconds'",
        "SELECT i.store_id, r.amount FROM unique i JOIN returns r ON r.store_id = i.store_id AND r.at BETWEEN INTERVAL '5 seconds' + i.issued_at AND i.issued_at + INTERVAL '1 minute'",
        "SELECT store_id, issued_at FROM unique WHERE issued_at >= '2026-01-01T00:00:00Z'",
        "SELECT store_id, qty, window_end, sum(total) AS total FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') GROUP BY store_id, qty, window_end
         QUALIFY row_number() OVER (PARTITION BY store_id, window_end ORDER BY sum(total) DESC) <= 3",
        "SELECT i.store_id FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') i LEFT SEMI JOIN TUMBLE(returns, at, INTERVAL '1 hour') r ON r.store_id = i.store_id AND i.window_start = r.window_start",
        "SELECT i.store_id, i.total FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') i WHERE NOT EXISTS (SELECT 1 FROM TUMBLE(returns, at, INTERVAL '1 hour') r WHERE r.store_id = i.store_id AND r.window_end = i.window_end AND r.amount > i.total)",
        "SELECT i.store_id, i.total FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') i WHERE i.store_id NOT IN (SELECT r.store_id FROM TUMBLE(returns, at, INTERVAL '1 hour') r WHERE r.window_end = i.window_end)",
        "SELECT i.store_id, i.total FROM unique i WHERE i.invoice_id IN (SELECT r.invoice_id FROM returns r WHERE r.store_id = i.store_id AND r.at BETWEEN i.issued_at AND i.issued_at + INTERVAL '30 days')",
        "SELECT r.store_id, r.amount FROM unique i RIGHT ANTI JOIN returns r ON r.store_id = i.store_id AND r.invoice_id = i.invoice_id AND i.issued_at BETWEEN r.at - INTERVAL '30 days' AND r.at",
        "SELECT store_id, total FROM unique u WHERE EXISTS (SELECT 1 FROM stores s WHERE s.store_id = u.store_id AND s.opened <= u.issued_at)",
        "SELECT u.store_id, s.city FROM unique u LEFT JOIN stores s ON s.store_id = u.store_id AND s.opened <= u.issued_at",
        "SELECT store_id, qty, window_start, window_end, sum(total) AS total, grouping(qty) AS g FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') GROUP BY store_id, window_start, window_end, ROLLUP (qty)",
        "SELECT store_id, window_end, count(*) AS n FROM CUMULATE(unique, issued_at, INTERVAL '1 hour', INTERVAL '1 day') GROUP BY GROUPING SETS ((store_id, window_end, qty), (window_end, store_id, weight > 1.5))",
        "SELECT invoice_id, window_end, count(*) AS n, grouping(invoice_id) AS g FROM TUMBLE(whole, at, INTERVAL '1 hour') GROUP BY window_end, CUBE (invoice_id, store_id)",
        "SELECT store_id, qty, window_start, count(*) AS n FROM SESSION(unique, issued_at, INTERVAL '10 minutes', store_id) GROUP BY store_id, window_start, window_end, ROLLUP (qty)",
    ] {
        if let Err(problems) = compile(sql, &relations(), &options()) {
            let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("{sql}\n{}", texts.join("\n"));
        }
    }
}

/// Each query's problems, cut to their first words.
#[test]
fn these_are_refused_with_place_and_reason() {
    let cases = [
        ("SELEC 1", "1:1: syntax: Expected: an SQL statement, found: SELEC"),
        ("SELECT store_id\nFROM unique\nWHERE", "3:6: syntax: Expected: an expression, found: EOF"),
        ("SELECT 1; SELECT 2", "1:1: 2 statements; write one SELECT"),
        ("INSERT INTO unique VALUES (1)", "1:1: the statement is not a query; write one SELECT"),
        ("SELECT store_id,\n  totl FROM unique", "2:3: column 'totl' not found"),
        (
            "SELECT total FROM uniq",
            "1:19: there is no input uniq; the inputs of this step are: loose, numbers, payments, returns, stores, unique, whole",
        ),
        ("SELECT total FROM a.unique", "1:19: a.unique has a schema name; inputs have none, write unique"),
        ("SELECT frobnicate(total) AS x FROM unique", "1:8: Invalid function 'frobnicate'"),
        ("SELECT total + store_id AS x FROM unique", "1:8: expressions have incompatible types"),
        (
            "SELECT sum(store_id) AS x FROM unique",
            "1:8: there is no sum(Utf8): sum does not take these types",
        ),
        (
            "SELECT sum(total) FROM unique GROUP BY store_id",
            "1:31: the result of this aggregation is never final",
        ),
        ("SELECT DISTINCT store_id FROM unique", "1:8: the result of this aggregation is never final"),
        ("SELECT total FROM unique ORDER BY total", "1:26: ORDER BY waits for the last row"),
        ("SELECT total FROM unique LIMIT 5", "1:26: LIMIT ends a result"),
        (
            "SELECT total FROM unique WHERE store_id LIKE 'a!_b' ESCAPE '!'",
            "1:53: ESCAPE takes no other character than the backslash",
        ),
        (
            "SELECT DISTINCT ON (store_id) store_id, total FROM unique",
            "1:8: DISTINCT ON keeps a row of each key",
        ),
        (
            "SELECT u.total FROM unique u ASOF LEFT JOIN returns r MATCH_CONDITION (u.issued_at >= r.at) ON u.store_id = r.store_id",
            "1:35: syntax: Expected: JOIN, found: LEFT; an ASOF JOIN keeps every row of its left side",
        ),
        (
            "SELECT store_id FROM unique UNION SELECT store_id FROM unique",
            "1:29: UNION drops rows that are there already, and would have to remember all of them",
        ),
        (
            "SELECT store_id FROM unique UNION ALL SELECT store_id FROM stores",
            "1:29: table stores is put together with a stream",
        ),
        (
            "SELECT count(*) AS n FROM TUMBLE(unique, issued_at, INTERVAL '1 minute') GROUP BY store_id, window_start UNION ALL SELECT 1 AS n FROM unique",
            "1:106: the rows of unique are in windows or joined, and put together",
        ),
        ("SELECT city FROM stores", "1:1: the query reads tables only"),
        ("SELECT 1 AS one", "1:1: the query, or a part of it, reads no input"),
        ("SELECT total FROM unique WHERE 1 = 0", "1:26: the condition is never true"),
        ("SELECT now() AS t FROM unique", "1:8: now gives another value when the stream is replayed"),
        ("SELECT random() AS t FROM unique", "1:8: random gives another value"),
        (
            "SELECT total FROM unique WHERE store_id IN (SELECT store_id FROM stores) OR total > 5",
            "1:41: IN and EXISTS as a part of a condition do not run yet",
        ),
        (
            "SELECT total FROM unique WHERE store_id NOT IN (SELECT city FROM stores)",
            "1:41: NOT IN over a column that may be null",
        ),
        (
            "SELECT total FROM unique u WHERE EXISTS (SELECT 1 FROM stores s WHERE s.store_id > u.store_id)",
            "1:34: the join of unique with table stores has no equality to look rows up by",
        ),
        ("SELECT (SELECT max(city) FROM stores) AS c FROM unique", "1:9: a subquery as a value"),
        (
            "SELECT a.total FROM unique a JOIN unique b ON a.store_id = b.store_id",
            "1:30: two streams are joined",
        ),
        (
            "SELECT u.total FROM unique u FULL JOIN stores s ON s.store_id = u.store_id",
            "1:35: Full join of unique with table stores",
        ),
        (
            "SELECT u.total FROM unique u CROSS JOIN stores s",
            "1:36: the join of unique with table stores has no equality",
        ),
        ("SELECT * FROM TUMBLE(unique, issued_at)", "1:15: TUMBLE takes three arguments"),
        (
            "SELECT * FROM TUMBLE(unique, total, INTERVAL '5 minutes')",
            "1:30: column total is of type Decimal128(18, 2)",
        ),
        ("SELECT * FROM TUMBLE(unique, paid_at, INTERVAL '5 minutes')", "1:30: column paid_at may be null"),
        (
            "SELECT * FROM TUMBLE(unique, issued_at, INTERVAL '1 month')",
            "1:50: a window's size is not a number of months",
        ),
        ("SELECT * FROM TUMBLE(unique, issued_at, 5)", "1:41: a window's size is an interval"),
        ("SELECT * FROM TUMBLE(unique, issued_at, INTERVAL '0 seconds')", "1:50: a window of 0 ms"),
        ("SELECT * FROM TUMBLE(nothing, issued_at, INTERVAL '1 hour')", "1:22: there is no input nothing"),
        ("SELECT * FROM TUMBLE(stores, opened, INTERVAL '1 hour')", "1:30: column opened may be null"),
        (
            "SELECT * FROM SESSION(unique, issued_at, INTERVAL '1 minute', store_id)",
            "1:15: a session's bounds are known when it is over, and the query gives rows before",
        ),
        ("SELECT * FROM SESSION(unique, issued_at)", "1:15: SESSION takes three or more arguments"),
        (
            "SELECT * FROM SESSION(unique, issued_at, INTERVAL '0 seconds', store_id)",
            "1:51: sessions with a gap of 0 ms",
        ),
        (
            "SELECT * FROM SESSION(unique, issued_at, INTERVAL '1 month', store_id)",
            "1:51: a window's gap is not a number of months",
        ),
        (
            "SELECT * FROM SESSION(unique, issued_at, INTERVAL '1 minute', upper(store_id))",
            "1:63: a key of SESSION is a column of its input",
        ),
        (
            "SELECT store_id, qty, window_start, count(*) AS n FROM SESSION(unique, issued_at, INTERVAL '1 minute', qty) GROUP BY qty, store_id, window_start",
            "1:56: unique is partitioned by store_id, which is no key of the sessions",
        ),
        (
            "SELECT store_id, window_start, count(*) AS n FROM SESSION(unique, issued_at, INTERVAL '1 minute', store_id, qty) GROUP BY store_id, window_start",
            "1:114: the query does not group by all keys of its sessions",
        ),
        (
            "SELECT store_id, window_end, count(*) AS n FROM SESSION(unique, issued_at, INTERVAL '1 minute', store_id) WHERE total > 1 GROUP BY store_id, window_end",
            "1:107: the condition takes rows out of sessions",
        ),
        (
            "SELECT i.store_id, s.city, window_end, count(*) AS n FROM SESSION(unique, issued_at, INTERVAL '1 minute', store_id) i
             JOIN stores s ON s.store_id = i.store_id GROUP BY i.store_id, s.city, window_end",
            "2:14: a join between a session and its GROUP BY",
        ),
        (
            "SELECT store_id, window_end, max(issued_at - window_start) AS n FROM SESSION(unique, issued_at, INTERVAL '1 minute', store_id) GROUP BY store_id, window_end",
            "1:70: a session's bounds are known when it is over, and the query computes with them before",
        ),
        (
            "SELECT store_id, window_end, count(*) AS n FROM SESSION((SELECT upper(store_id) AS store_id, issued_at FROM unique), issued_at, INTERVAL '1 minute', store_id) GROUP BY store_id, window_end",
            "1:49: store_id is no column of unique as it comes",
        ),
        (
            "SELECT * FROM HOP(unique, issued_at, INTERVAL '1 minute', INTERVAL '1 day')",
            "1:15: a row would come out 1440 times",
        ),
        ("SELECT * FROM HOP(unique, issued_at, INTERVAL '1 minute')", "1:15: HOP takes four arguments"),
        (
            "SELECT * FROM HOP(unique, issued_at, INTERVAL '1 hour', INTERVAL '1 minute')",
            "1:47: a slide of 3600000 ms: it is at least 1 ms and at most the window's size, 60000 ms",
        ),
        (
            "SELECT * FROM HOP(unique, issued_at, INTERVAL '1 month', INTERVAL '1 minute')",
            "1:47: a window's slide is not a number of months",
        ),
        (
            "SELECT * FROM HOP(unique, issued_at, INTERVAL '7.001 seconds', INTERVAL '1 hour')",
            "1:73: windows of 3600000 ms every 7001 ms are cut into 3600000 slices each",
        ),
        (
            "SELECT * FROM CUMULATE(unique, issued_at, INTERVAL '7 minutes', INTERVAL '1 hour')",
            "1:74: cumulating windows of 3600000 ms in steps of 420000 ms",
        ),
        (
            "SELECT store_id, window_start, count(*) AS n FROM CUMULATE(unique, issued_at, INTERVAL '1 hour', INTERVAL '1 day') GROUP BY store_id, window_start",
            "1:116: cumulating windows that start together differ by their ends",
        ),
        ("SELECT * FROM windows(unique)", "1:15: there is no table function windows"),
        (
            "SELECT window_start, sum(total) AS r FROM TUMBLE(unique, issued_at, INTERVAL '5 minutes') GROUP BY window_start",
            "1:91: unique is partitioned by store_id",
        ),
        (
            "SELECT store_id, window_start, sum(total) FROM TUMBLE(unique, issued_at, INTERVAL '5 minutes') GROUP BY store_id, window_start",
            "1:32: the column sum(unique.total) has no name of its own",
        ),
        (
            "SELECT store_id, window_start, approx_median(total) AS m FROM TUMBLE(unique, issued_at, INTERVAL '5 minutes') GROUP BY store_id, window_start",
            "1:32: approx_median depends on how rows come in batches",
        ),
        (
            "SELECT store_id, 9223372036854775807 + 1 AS m FROM unique",
            "1:1: Int64(9223372036854775807) + Int64(1) cannot be computed: ",
        ),
        (
            "SELECT store_id FROM unique WHERE qty * (3000000000 * 4000000000) > 1",
            "1:1: Int64(3000000000) * Int64(4000000000) cannot be computed: ",
        ),
        (
            "SELECT store_id, window_start, stddev(DISTINCT qty) AS m FROM TUMBLE(unique, issued_at, INTERVAL '5 minutes') GROUP BY store_id, window_start",
            "1:32: stddev(DISTINCT",
        ),
        (
            "SELECT store_id, window_start, last_value(qty) AS m FROM TUMBLE(unique, issued_at, INTERVAL '5 minutes') GROUP BY store_id, window_start",
            "1:32: last_value without an order",
        ),
        (
            "SELECT store_id, qty, row_number() OVER (PARTITION BY store_id ORDER BY qty) AS n FROM unique",
            "1:36: row_number is ordered by unique.qty, and a stream's rows are in order by their event time alone; ORDER BY issued_at",
        ),
        (
            "SELECT store_id, ntile(4) OVER (PARTITION BY store_id ORDER BY issued_at) AS n FROM unique",
            "1:18: ntile goes over all rows of its key, of which later ones are to come",
        ),
        (
            "SELECT store_id, percent_rank() OVER (PARTITION BY store_id ORDER BY issued_at) AS n FROM unique",
            "1:18: percent_rank goes over all rows of its key",
        ),
        (
            "SELECT store_id, cume_dist() OVER (PARTITION BY store_id ORDER BY issued_at) AS n FROM unique",
            "1:18: cume_dist goes over all rows of its key",
        ),
        (
            "SELECT store_id, lead(qty) OVER (PARTITION BY store_id ORDER BY issued_at) AS n FROM unique",
            "1:18: lead waits for a later row of its key, which may never come; look back from the later row with lag",
        ),
        (
            "SELECT store_id, sum(qty) OVER (PARTITION BY store_id ORDER BY issued_at RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS n FROM unique",
            "1:27: the frame of sum reaches to UNBOUNDED FOLLOWING",
        ),
        (
            "SELECT store_id, sum(qty) OVER (PARTITION BY store_id ORDER BY issued_at ROWS BETWEEN CURRENT ROW AND 2 FOLLOWING) AS n FROM unique",
            "1:27: the frame of sum waits for later rows of its key, which may never come; say for how long",
        ),
        (
            "SELECT store_id, sum(qty) OVER (PARTITION BY store_id) AS n FROM unique",
            "1:27: sum without ORDER BY goes over all rows of its key",
        ),
        (
            "SELECT store_id, sum(qty) OVER (PARTITION BY store_id ORDER BY issued_at DESC) AS n FROM unique",
            "1:27: sum begins with the latest row",
        ),
        (
            "SELECT store_id, sum(qty) OVER (PARTITION BY store_id ORDER BY paid_at) AS n FROM unique",
            "1:27: sum is ordered by unique.paid_at",
        ),
        (
            "SELECT invoice_id, sum(qty) OVER (PARTITION BY invoice_id ORDER BY issued_at) AS n FROM unique",
            "1:29: unique is partitioned by store_id, and the query does not partition by it",
        ),
        (
            "SELECT store_id, sum(amount) OVER (PARTITION BY store_id ORDER BY at) AS n FROM loose",
            "1:30: loose has several partitions and no key",
        ),
        (
            "SELECT store_id, sum(qty) OVER (PARTITION BY store_id ORDER BY issued_at RANGE BETWEEN INTERVAL '1 month' PRECEDING AND CURRENT ROW) AS n FROM unique",
            "1:27: the frame of sum has a bound that is no interval of days or less",
        ),
        (
            "SELECT store_id, sum(qty) OVER (PARTITION BY store_id ORDER BY issued_at GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW) AS n FROM unique",
            "1:27: the frame of sum counts GROUPS",
        ),
        (
            "SELECT store_id, sum(qty) OVER (PARTITION BY store_id ORDER BY issued_at ROWS BETWEEN 200000 PRECEDING AND CURRENT ROW) AS n FROM unique",
            "1:27: the frame of sum begins 200000 rows back; the bound is 100000",
        ),
        (
            "SELECT store_id, sum(qty) OVER (PARTITION BY store_id ORDER BY issued_at RANGE BETWEEN UNBOUNDED PRECEDING AND INTERVAL '1 hour' PRECEDING) AS n FROM unique",
            "1:27: the frame of sum begins with the first row of its key and ends elsewhere than at CURRENT ROW",
        ),
        (
            "SELECT store_id, median(qty) OVER (PARTITION BY store_id ORDER BY issued_at) AS n FROM unique",
            "1:18: median from UNBOUNDED PRECEDING keeps all values of each key for ever",
        ),
        (
            "SELECT store_id, count(DISTINCT qty) OVER (PARTITION BY store_id ORDER BY issued_at) AS n FROM unique",
            "1:18: count(DISTINCT …) from UNBOUNDED PRECEDING keeps all values",
        ),
        (
            "SELECT store_id, array_agg(qty) OVER (PARTITION BY store_id ORDER BY issued_at ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS n FROM unique",
            "1:18: array_agg does not run OVER the rows of a key; over the groups of a window it does",
        ),
        (
            "SELECT store_id, lag(qty, 200000) OVER (PARTITION BY store_id ORDER BY issued_at) AS n FROM unique",
            "1:18: lag looks 200000 rows back",
        ),
        (
            "SELECT store_id, lag(qty, 1, qty) OVER (PARTITION BY store_id ORDER BY issued_at) AS n FROM unique",
            "1:18: lag has ",
        ),
        (
            "SELECT store_id, first_value(qty) IGNORE NULLS OVER (PARTITION BY store_id ORDER BY issued_at) AS n FROM unique",
            "1:18: first_value IGNORE NULLS could look at any earlier row",
        ),
        (
            "SELECT store_id, sum(n) OVER (PARTITION BY store_id ORDER BY issued_at) AS m FROM (SELECT *, count(*) OVER (PARTITION BY store_id ORDER BY issued_at) AS n FROM unique)",
            "1:25: OVER (…) goes over what another OVER (…) gives",
        ),
        (
            "SELECT store_id, count(*) AS m FROM (SELECT *, count(*) OVER (PARTITION BY store_id ORDER BY issued_at) AS n FROM unique) GROUP BY store_id, n",
            "1:123: what OVER (…) gives is grouped",
        ),
        (
            "SELECT store_id, window_end, sum(qty) OVER (PARTITION BY store_id, window_end ORDER BY issued_at) AS m FROM TUMBLE(unique, issued_at, INTERVAL '1 hour')",
            "1:39: OVER (…) goes over rows of windows that nothing has grouped",
        ),
        (
            "SELECT a.store_id, r.amount FROM (SELECT store_id, issued_at, count(*) OVER (PARTITION BY store_id ORDER BY issued_at) AS n FROM unique) a JOIN returns r ON r.store_id = a.store_id AND r.at BETWEEN a.issued_at AND a.issued_at + INTERVAL '1 hour' WHERE a.n > 1",
            "1:140: what OVER (…) gives is joined with another stream",
        ),
        (
            "SELECT store_id, rank() OVER (PARTITION BY store_id ORDER BY count(*)) AS n FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') GROUP BY store_id, window_end",
            "1:25: OVER (…) goes over rows of several windows",
        ),
        (
            "SELECT store_id, rank() OVER (PARTITION BY window_end ORDER BY count(*)) AS n FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') GROUP BY store_id, window_end",
            "1:25: unique is partitioned by store_id, and the query does not partition by it",
        ),
        (
            "SELECT store_id, rank() OVER (PARTITION BY window_end, store_id ORDER BY count(*)) AS n FROM SESSION(unique, issued_at, INTERVAL '1 hour', store_id) GROUP BY store_id, window_end",
            "1:25: OVER (…) wants all rows of a window, and sessions end one by one",
        ),
        (
            "SELECT i.store_id, r.amount FROM unique i JOIN returns r ON r.store_id = i.store_id",
            "1:43: two streams are joined, unique and returns, and a row could find its match at any other time",
        ),
        (
            "SELECT i.store_id, r.amount FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') i JOIN returns r ON r.store_id = i.store_id",
            "1:81: two streams are joined, and a row of returns could",
        ),
        (
            "SELECT i.store_id, r.amount FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') i JOIN TUMBLE(returns, at, INTERVAL '1 hour') r ON r.store_id = i.store_id",
            "1:81: rows of unique and of returns are joined over different windows",
        ),
        (
            "SELECT i.store_id, r.amount FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') i JOIN TUMBLE(returns, at, INTERVAL '2 hours') r ON r.store_id = i.store_id AND i.window_start = r.window_start",
            "1:81: the windows of unique and of returns are not the same",
        ),
        (
            "SELECT i.store_id, r.amount FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') i JOIN TUMBLE(payments, at, INTERVAL '1 hour') r ON r.store_id = i.store_id AND i.window_start = r.window_start",
            "1:81: unique is partitioned by store_id and payments by invoice_id, and the join does not compare",
        ),
        (
            "SELECT i.store_id FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') i LEFT SEMI JOIN TUMBLE(payments, at, INTERVAL '1 hour') r ON r.store_id = i.store_id AND i.window_start = r.window_start",
            "1:81: unique is partitioned by store_id and payments by invoice_id",
        ),
        (
            "SELECT i.store_id FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') i WHERE EXISTS (SELECT 1 FROM TUMBLE(returns, at, INTERVAL '1 hour') r WHERE r.store_id = i.store_id)",
            "1:77: rows of unique and of returns are joined over different windows, of which later ones have not ended; ask for rows of the same window",
        ),
        (
            "SELECT i.store_id FROM unique i WHERE NOT EXISTS (SELECT 1 FROM returns r WHERE r.store_id = i.store_id AND r.at >= i.issued_at)",
            "1:43: two streams are joined, unique and returns, and a row could find its match at any later time: it would have to be kept for ever; ask for rows whose times are near",
        ),
        (
            "SELECT i.store_id FROM unique i WHERE i.store_id IN (SELECT store_id FROM returns)",
            "1:50: two streams are joined, unique and returns",
        ),
        (
            "SELECT i.store_id FROM unique i WHERE i.total NOT IN (SELECT r.amount FROM returns r WHERE r.store_id = i.store_id AND r.at BETWEEN i.issued_at AND i.issued_at + INTERVAL '1 hour')",
            "1:47: NOT IN over a column that may be null",
        ),
        (
            "SELECT i.store_id FROM unique i WHERE i.total > 5 OR EXISTS (SELECT 1 FROM returns r WHERE r.store_id = i.store_id AND r.at BETWEEN i.issued_at AND i.issued_at + INTERVAL '1 hour')",
            "1:54: IN and EXISTS over a stream as a part of a condition do not run yet",
        ),
        (
            "SELECT i.store_id FROM unique i WHERE EXISTS (SELECT 1 FROM returns r WHERE r.store_id = i.store_id LIMIT 1)",
            "1:39: two streams are joined, unique and returns, and a row could find its match at any other time",
        ),
        (
            "SELECT store_id FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') EXCEPT SELECT store_id FROM TUMBLE(returns, at, INTERVAL '1 hour')",
            "1:67: INTERSECT and EXCEPT compare all rows that ever come",
        ),
        (
            "SELECT store_id, window_end FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') INTERSECT SELECT store_id, window_end FROM TUMBLE(returns, at, INTERVAL '1 hour')",
            "1:79: INTERSECT and EXCEPT take nulls for equal",
        ),
        (
            "SELECT store_id FROM unique INTERSECT SELECT store_id FROM stores",
            "1:29: INTERSECT and EXCEPT compare all rows that ever come",
        ),
        (
            "SELECT i.store_id, EXISTS (SELECT 1 FROM stores s WHERE s.store_id = i.store_id) AS known FROM unique i",
            "1:20: IN and EXISTS over this query do not run yet",
        ),
        (
            "SELECT i.store_id, i.window_end, count(*) AS n FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') i WHERE EXISTS (SELECT 1 FROM TUMBLE(returns, at, INTERVAL '1 hour') r WHERE r.store_id = i.store_id AND r.window_end = i.window_end) GROUP BY i.store_id, i.window_end",
            "1:232: the rows of windows that are joined are grouped",
        ),
        (
            "SELECT store_id, window_end, count(*) AS n FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') GROUP BY window_end, ROLLUP (store_id)",
            "1:94: of the grouping set (window_end): unique is partitioned by store_id",
        ),
        (
            "SELECT store_id, window_end, count(*) AS n FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') GROUP BY ROLLUP (window_end, store_id)",
            "1:94: of the grouping set (): it holds no window, so that its result is never final; keep what every set needs outside",
        ),
        (
            "SELECT store_id, count(*) AS n FROM unique GROUP BY ROLLUP (store_id)",
            "1:44: the result of this aggregation is never final",
        ),
        (
            "SELECT store_id, window_end, count(*) AS n FROM CUMULATE(unique, issued_at, INTERVAL '1 hour', INTERVAL '1 day') GROUP BY store_id, GROUPING SETS ((window_end), (window_start))",
            "1:114: of the grouping set (store_id, window_start): cumulating windows",
        ),
        (
            "SELECT store_id, qty, window_end, count(*) AS n FROM SESSION(unique, issued_at, INTERVAL '1 hour', store_id, qty) GROUP BY store_id, window_end, ROLLUP (qty)",
            "1:115: the query does not group by all keys of its sessions",
        ),
        (
            "SELECT store_id, window_end, count(*) AS n FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') GROUP BY store_id, window_end, CUBE (qty, total, weight, invoice_id, issued_at, paid_at, qty + 1, qty + 2)",
            "1:94: each row would be in 256 groups, of sets over 10 expressions: the bounds are 128 and 32",
        ),
        (
            "SELECT store_id, rank() OVER (PARTITION BY window_end, store_id ORDER BY count(*)) AS n FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') GROUP BY store_id, GROUPING SETS ((window_end, window_start), (window_start))",
            "1:25: OVER (…) goes over rows of several windows",
        ),
        (
            "SELECT store_id, window_end, sum(total ORDER BY qty) AS n FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') GROUP BY store_id, window_end",
            "1:30: sum takes no ORDER BY here; leave it out",
        ),
        (
            "SELECT store_id, window_end, array_agg(qty) AS n FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') GROUP BY store_id, window_end",
            "1:30: array_agg without an order depends on the order of arrival; say which: array_agg(x ORDER BY at)",
        ),
        (
            "SELECT store_id, window_end, nth_value(qty, 2) AS n FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') GROUP BY store_id, window_end",
            "1:30: nth_value has not been shown to give the same result after a restart; count, sum",
        ),
        (
            "SELECT i.store_id, r.amount FROM SESSION(unique, issued_at, INTERVAL '1 hour', store_id) i JOIN SESSION(returns, at, INTERVAL '1 hour', store_id) r ON r.store_id = i.store_id AND i.window_start = r.window_start",
            "1:92: a session has bounds of its own",
        ),
        (
            "SELECT i.store_id, rank() OVER (PARTITION BY i.store_id, i.window_end ORDER BY r.amount) AS n FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') i RIGHT JOIN TUMBLE(returns, at, INTERVAL '1 hour') r ON r.store_id = i.store_id AND i.window_end = r.window_end",
            "1:27: OVER (…) goes over rows of several windows",
        ),
        (
            "SELECT i.store_id, i.window_end, count(*) AS n FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') i JOIN TUMBLE(returns, at, INTERVAL '1 hour') r ON r.store_id = i.store_id AND i.window_end = r.window_end GROUP BY i.store_id, i.window_end",
            "1:205: the rows of windows that are joined are grouped",
        ),
        (
            "SELECT i.store_id, r.amount FROM unique i JOIN returns r ON r.store_id = i.store_id AND r.at >= i.issued_at",
            "1:43: two streams are joined, unique and returns, and a row could find its match at any later time",
        ),
        (
            "SELECT i.store_id, r.amount FROM unique i JOIN returns r ON r.at BETWEEN i.issued_at AND i.issued_at + INTERVAL '1 hour'",
            "1:43: unique is partitioned by store_id and returns by store_id, and the join does not compare",
        ),
        (
            "SELECT i.store_id, r.amount FROM unique i JOIN returns r ON r.store_id = i.store_id AND r.at BETWEEN i.issued_at + INTERVAL '1 hour' AND i.issued_at",
            "1:43: no time lies in the bounds, from 0 ms to -3600000 ms",
        ),
        (
            "SELECT i.store_id, r.amount FROM unique i JOIN (SELECT store_id, amount FROM returns) r ON r.store_id = i.store_id",
            "1:43: two streams are joined, unique and returns, and a row could find its match at any other time",
        ),
        (
            "SELECT i.store_id, i.issued_at, count(*) AS n FROM unique i JOIN returns r ON r.store_id = i.store_id AND r.at = i.issued_at GROUP BY i.store_id, i.issued_at",
            "1:126: the result of a join is grouped, whose rows come when they are found",
        ),
        (
            "SELECT store_id, window_end, count(*) AS n FROM TUMBLE((SELECT i.store_id, i.issued_at FROM unique i JOIN returns r ON r.store_id = i.store_id AND r.at = i.issued_at), issued_at, INTERVAL '1 hour') GROUP BY store_id, window_end",
            "1:49: windows over windows, over a join of streams or over what OVER (…) gives do not run yet",
        ),
        (
            "SELECT i.store_id, r.amount FROM returns i JOIN numbers r ON r.store_id = i.store_id AND r.at = i.at",
            "1:44: returns is partitioned by store_id and numbers by store_id, and the join does not compare",
        ),
        (
            "SELECT i.store_id, r.amount FROM returns i JOIN loose r ON r.store_id = i.store_id AND r.at = i.at",
            "1:44: loose has several partitions and no key",
        ),
        (
            "SELECT store_id, window_end, count(*) AS n FROM TUMBLE(loose, at, INTERVAL '1 hour') GROUP BY store_id, window_end",
            "1:86: loose has several partitions and no key",
        ),
        (
            "SELECT i.store_id, i.amount FROM unique r JOIN returns i ON (i.store_id IS NOT DISTINCT FROM r.store_id) AND i.at BETWEEN r.issued_at AND r.issued_at + INTERVAL '1 hour'",
            "1:43: a join in which null equals null does not run yet",
        ),
        (
            "SELECT i.store_id, i.amount FROM returns i JOIN unique r ON i.store_id = r.store_id AND r.issued_at BETWEEN i.at AND i.at + INTERVAL '1 month'",
            "1:44: two streams are joined, returns and unique, and a row could find its match at any later time",
        ),
        ("SELECT a-b AS x FROM unique", "1:8: column 'a' not found"),
    ];
    let mut wrong = Vec::new();
    for (sql, want) in cases {
        let found = match compile(sql, &relations(), &options()) {
            Ok(query) => format!("it runs: {}", query.explain()),
            Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "),
        };
        if !found.starts_with(want) {
            wrong.push(format!("{sql}\n  wanted {want}\n  found  {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a query runs, or is refused in words that hold these.
fn same(sql: &str, found: Option<String>, wanted: Option<&str>) {
    match (&found, wanted) {
        (None, None) => {}
        (Some(found), Some(wanted)) if found.contains(wanted) => {}
        _ => panic!("{sql}: {found:?}"),
    }
}

/// What holds of queries whose streams meet at any time, and of rows that take the place of earlier ones.
#[test]
fn what_is_kept_for_ever_is_refused_where_it_would_be_taken_back() {
    let day = Some(Keep::For(86_400_000));
    let ever = Some(Keep::ForEver);
    let join = |kind: &str, on: &str| {
        format!(
            "SELECT u.store_id, r.invoice_id FROM unique u {kind} returns r ON r.store_id = u.store_id{on}"
        )
    };
    for (sql, keep, place) in [
        (join("JOIN", ""), ever, None),
        (join("JOIN", " AND r.at >= u.issued_at"), ever, None),
        (join("RIGHT JOIN", " AND r.at >= u.issued_at"), ever, None),
        (join("JOIN", ""), None, Some("two streams are joined, unique and returns, and a row could find its match at any other time")),
        (join("LEFT JOIN", ""), ever, Some("a row of unique could find its match at any later time")),
        (join("LEFT JOIN", " AND r.at >= u.issued_at"), ever, Some("a row of unique could find its match at any later time")),
        (join("FULL JOIN", " AND r.at >= u.issued_at"), ever, Some("a row of unique could find its match at any later time")),
        (join("JOIN", ""), day, Some("how long rows are kept is said in event time, and the query does not read that of unique")),
        (
            "SELECT u.store_id, u.issued_at, r.at FROM unique u LEFT JOIN returns r ON r.store_id = u.store_id".to_owned(),
            day,
            None,
        ),
        (
            "SELECT u.store_id FROM unique u WHERE NOT EXISTS (SELECT 1 FROM returns r WHERE r.store_id = u.store_id)".to_owned(),
            ever,
            Some("a row of unique could find its match at any later time"),
        ),
        ("SELECT store_id FROM unique".to_owned(), ever, Some("keep says how long rows of streams wait")),
        (
            join("JOIN", " AND r.at BETWEEN u.issued_at AND u.issued_at + INTERVAL '1 hour'"),
            ever,
            Some("keep says how long rows of streams wait"),
        ),
    ] {
        let found = compile(&sql, &relations(), &SqlOptions { keep, ..options() });
        let found = found.err().map(|problems| problems[0].to_string());
        same(&sql, found, place);
    }
}

/// Rows that take the place of earlier ones are filtered, computed with and grouped; nothing else is made of them, and what they
/// are known by stays with them.
#[test]
fn rows_that_are_replaced_are_known() {
    let mut relations = relations();
    if let Some(Relation::Stream { latest_by, .. }) = relations.get_mut("unique") {
        *latest_by = Some(vec!["store_id".into(), "invoice_id".into()]);
    }
    for (sql, place) in [
        ("SELECT store_id, sum(total) AS n FROM unique WHERE invoice_id <> 'x' GROUP BY store_id", None),
        ("SELECT DISTINCT store_id, upper(invoice_id) AS id FROM unique", None),
        (
            "SELECT id, max(total) AS n FROM (SELECT upper(invoice_id) AS id, store_id, total FROM unique) WHERE id <> 'x' GROUP BY id, store_id",
            None,
        ),
        (
            "SELECT store_id, count(*) AS n FROM (SELECT store_id, concat(invoice_id, qty) AS id FROM unique) GROUP BY store_id, id",
            None,
        ),
        ("SELECT store_id, qty, count(*) AS n FROM unique GROUP BY store_id, qty", None),
        ("SELECT store_id, count(*) AS n FROM unique WHERE total > 5 GROUP BY store_id", None),
        (
            "SELECT store_id, invoice_id, count(*) AS n FROM unique GROUP BY store_id, ROLLUP (invoice_id)",
            Some("several groupings at once"),
        ),
        (
            "SELECT store_id, total FROM unique",
            Some(
                "rows of unique take the place of earlier ones with the same store_id, invoice_id, and what comes out does not have",
            ),
        ),
        (
            "SELECT store_id, upper(invoice_id) AS invoice_id FROM unique",
            Some(
                "rows of unique take the place of earlier ones with the same store_id, invoice_id, and what comes out does not have",
            ),
        ),
        (
            "SELECT u.store_id, count(*) AS n FROM unique u JOIN stores s ON s.store_id = u.store_id GROUP BY u.store_id",
            Some("rows of unique take the place of earlier ones, and what"),
        ),
        (
            "SELECT store_id, window_start, count(*) AS n FROM TUMBLE(unique, issued_at, INTERVAL '1 hour') GROUP BY store_id, window_start",
            Some("rows of unique take the place of earlier ones, and what"),
        ),
        (
            "SELECT store_id FROM unique UNION SELECT store_id FROM returns",
            Some("rows of unique take the place of earlier ones, and what"),
        ),
    ] {
        // Rows that are not grouped go on as they come.
        let update_ms =
            ["GROUP BY", "DISTINCT", "UNION"].iter().any(|word| sql.contains(word)).then_some(1_000);
        let found = compile(sql, &relations, &SqlOptions { update_ms, ..options() });
        let found = found.err().map(|problems| problems[0].to_string());
        same(sql, found, place);
    }
}

/// Groups that are let go of: by the time of their rows, which all of them have.
#[test]
fn groups_that_are_let_go_of_are_timed() {
    let mut relations = relations();
    let mut silent = relations["returns"].clone();
    if let Relation::Stream { event_time, .. } = &mut silent {
        *event_time = None;
    }
    relations.insert("silent".into(), silent);
    for (sql, place) in [
        ("SELECT store_id, count(*) AS n FROM returns GROUP BY store_id", None),
        (
            "SELECT store_id, count(*) AS n FROM (SELECT store_id FROM unique UNION ALL SELECT store_id FROM returns) GROUP BY store_id",
            None,
        ),
        ("SELECT store_id, count(*) AS n FROM silent GROUP BY store_id", Some("and silent has none")),
        (
            "SELECT store_id, count(*) AS n FROM (SELECT store_id FROM returns UNION ALL SELECT store_id FROM silent) GROUP BY store_id",
            Some("has none"),
        ),
        (
            "SELECT store_id, invoice_id, count(*) AS n FROM returns GROUP BY store_id, ROLLUP (invoice_id)",
            Some("several groupings at once are kept for ever"),
        ),
    ] {
        let options = SqlOptions { update_ms: Some(1_000), keep: Some(Keep::For(60_000)), ..options() };
        let found = compile(sql, &relations, &options).err().map(|problems| problems[0].to_string());
        same(sql, found, place);
    }
}
