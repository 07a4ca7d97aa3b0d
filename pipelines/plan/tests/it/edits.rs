//! Edits of the main job, each as a replacement of text, and what the diff says about it.

use millstream_plan::{Lock, diff, explain, plan};
use millstream_spec::FixedReader;
use millstream_spec::catalog::standard;

const ALL_KEPT: &str = "= revenue keeps its state\n= unique keeps its state\n";

/// The main job, with `from` replaced by `to`, against the main job.
fn check(from: &str, to: &str, wanted: &str) {
    let text = crate::main_job();
    assert!(text.contains(from), "the example has {from:?}");
    let before = Lock::of(&crate::job(&text));
    let before = Lock::parse(&before.to_string()).expect("a lock reads what it writes");
    let after = crate::job(&text.replacen(from, to, 1));
    let shown: String = diff(&before, &after).iter().map(|c| format!("{c}\n")).collect();
    assert_eq!(shown, wanted, "{from} -> {to}");
}

#[test]
fn edits_keep_what_they_can() {
    let anew = "~ revenue starts anew, with no state: its definition has changed\n= unique keeps its state\n";
    for (from, to, wanted) in [
        ("version: 1", "version: 1 # no edit", ALL_KEPT),
        // Formatting, rules and settings that state does not depend on.
        ("SELECT i.store_id", "select   i.store_id /* the store */", ALL_KEPT),
        ("then: dead_letter }", "then: drop }", ALL_KEPT),
        ("delay: 2m, idle: 30s", "delay: 5m, idle: 1m", ALL_KEPT),
        ("within: 48h", "within: 72h", ALL_KEPT),
        ("fuel: 100000000", "fuel: 200000000", ALL_KEPT),
        ("roll: { size: 128MiB", "roll: { size: 64MiB", ALL_KEPT),
        ("currency:       { type: string", "currency:       { type: bytes", ALL_KEPT),
        // The query, its window, the types of its columns, the key.
        ("COUNT(*) AS invoices", "COUNT(*) AS n", anew),
        ("INTERVAL '5 minutes'", "INTERVAL '10 minutes'", anew),
        ("allow: 10m", "allow: 20m", anew),
        ("then: dead_letter }", "then: update }", anew),
        (
            "total:          { type: decimal, precision: 18, scale: 2",
            "total:          { type: decimal, precision: 20, scale: 2",
            anew,
        ),
        (
            "key: [store_id, invoice_id]",
            "key: [store_id, invoice_id, counter_id]",
            "= revenue keeps its state\n~ unique starts anew, with no state: its definition has changed\n",
        ),
        // Partitions: growing moves keys, shrinking cannot be.
        (
            "partitions: 600",
            "partitions: 700",
            "~ revenue starts anew, with no state: the topic that it reads goes from 600 to 700 partitions, which moves keys\n\
             ~ unique starts anew, with no state: the topic that it reads goes from 600 to 700 partitions, which moves keys\n\
             ~ topic invoices grows from 600 to 700 partitions\n",
        ),
        (
            "partitions: 12",
            "partitions: 6",
            "= revenue keeps its state\n= unique keeps its state\n\
             ! topic dead_letter cannot shrink from 12 to 6 partitions: give the new one another name\n",
        ),
        (
            "name: store-invoices",
            "name: other",
            "= revenue keeps its state\n= unique keeps its state\n\
             + topic other-positions\n+ topic other-revenue\n+ topic other-revenue-state\n+ topic other-splits\n\
             + topic other-unique\n+ topic other-unique-state\n\
             - topic store-invoices-positions is not used any more and is left as it is\n\
             - topic store-invoices-revenue is not used any more and is left as it is\n\
             - topic store-invoices-revenue-state is not used any more and is left as it is\n\
             - topic store-invoices-splits is not used any more and is left as it is\n\
             - topic store-invoices-unique is not used any more and is left as it is\n\
             - topic store-invoices-unique-state is not used any more and is left as it is\n",
        ),
    ] {
        check(from, to, wanted);
    }
}

#[test]
fn a_lock_that_is_not_ours_is_refused() {
    let good = Lock::of(&crate::job(&crate::main_job())).to_string();
    assert_eq!(Lock::parse(&good).unwrap().to_string(), good);
    for (text, line) in [
        (String::new(), 1),
        ("millstream plan 2 x\n".to_owned(), 1),
        (format!("{good}state x 1 -\n"), good.lines().count() + 1),
        (format!("{good}topic invoices 600 declared\n"), good.lines().count() + 1),
        (format!("{good}topic t many declared\n"), good.lines().count() + 1),
    ] {
        assert_eq!(Lock::parse(&text).unwrap_err().line, line, "{text}");
    }
}

/// A join reads its topics as a group of its own: what else is made of them comes again, and the plan says so.
#[test]
fn a_join_that_is_added_tells_what_comes_again() {
    let joined = std::fs::read_to_string(crate::root().join("testdata/joined.yaml")).expect("it is there");
    let (from, to) =
        (joined.find("  balance:\n").expect("a join"), joined.find("  totals:\n").expect("a query"));
    let alone =
        format!("{}{}", &joined[..from], &joined[to..]).replace("inputs: [balance]", "inputs: [returns]");
    let (alone, joined) = (crate::job(&alone), crate::job(&joined));
    let shown = |before, after| -> Vec<String> {
        let before = Lock::parse(&Lock::of(before).to_string()).expect("a lock reads what it writes");
        diff(&before, after).iter().map(ToString::to_string).collect()
    };
    let again = |stage: &str, topics: &str| {
        format!(
            "~ stage {stage} reads {topics} as another group than before, from the beginning where that group has no positions: what it gives comes again"
        )
    };
    let anew = "~ totals starts anew, with no state: another stage reads its topics".to_owned();
    let changes = shown(&alone, &joined);
    assert!(changes.contains(&again("sales+shipments", "sales")) && changes.contains(&anew), "{changes:?}");
    let changes = shown(&joined, &alone);
    assert!(changes.contains(&again("sales", "sales")) && changes.contains(&anew), "{changes:?}");
    assert!(shown(&joined, &joined).iter().all(|change| change.ends_with("keeps its state")));
}

/// Groups of rows that go begin anew where other rows come to them: of those that come no more nothing would be told.
#[test]
fn groups_of_rows_that_go_follow_what_makes_them() {
    let text = r#"
version: 1
name: shop
schemas: { product: { fields: { id: { type: string, required: true }, n: { type: int64, required: true } } } }
topics: { products: { partitions: 2, key: id }, copied: { partitions: 2, key: id }, counts: { partitions: 1, key: id } }
sources:
  products: { type: topic, topic: products, schema: product, upsert: true }
transforms:
  chosen: { type: filter, inputs: [products], where: "n > 1" }
  shaped: { type: sql, inputs: [chosen], sql: "SELECT id, n + 1 AS n FROM chosen" }
  copied: { type: topic, inputs: [shaped], topic: copied }
  counts: { type: sql, inputs: [copied], emit: { on_update: 1s }, sql: "SELECT id, SUM(n) AS n FROM copied GROUP BY id" }
sinks:
  out: { type: topic, inputs: [counts], topic: counts }
"#;
    for (from, to, anew) in [
        ("upsert: true", "upsert: true, until: end", false),
        ("n > 1", "n  >  1", false),
        ("upsert: true", "upsert: false", true),
        ("n > 1", "n > 2", true),
        ("n + 1", "n + 2", true),
    ] {
        let edited = crate::job(&text.replacen(from, to, 1));
        let shown: Vec<String> =
            diff(&Lock::of(&crate::job(text)), &edited).iter().map(ToString::to_string).collect();
        let is_anew = shown.iter().any(|change| change.starts_with("~ counts starts anew"));
        assert_eq!(is_anew, anew, "{from} -> {to}: {shown:?}");
    }
}

/// State that is made by a function is another's where the function is another: its module, its types, what it is told.
#[test]
fn a_function_that_changes_is_an_edit_of_what_calls_it() {
    let text = std::fs::read_to_string(crate::root().join("testdata/functions.yaml")).expect("it is there");
    let job = |text: &str, digest: &str| {
        let digests = [("modules/doubled.wasm", "d1"), ("named.wasm", digest)];
        let digests = digests.map(|(path, digest)| (path.to_owned(), digest.to_owned())).into();
        let reader = FixedReader { digests, ..FixedReader::default() };
        let outcome = crate::spec_by("functions.yaml", text, &reader);
        plan(&outcome.pipeline.expect("a pipeline"), &standard::catalog()).expect("a plan")
    };
    let before = job(&text, "n1");
    let shown = explain(&before);
    assert!(shown.contains("named(string, decimal(12,2)) -> string by named.wasm, sha256 n1\n"), "{shown}");
    for (from, to, digest, is_kept) in [
        ("", "", "n1", true),
        ("", "", "n2", false),
        ("named.wasm", "modules/doubled.wasm", "n1", false),
        ("precision: 12", "precision: 14", "n1", false),
        ("lang: en", "lang: de", "n1", false),
        ("config: { lang: en }", "config: { lang: en }, limits: { fuel: 20000 }", "n1", true),
        // Of what comes before it an edit is told by nothing.
        ("doubled(qty) > 10", "doubled(qty) > 12", "n1", true),
    ] {
        let changes = diff(&Lock::of(&before), &job(&text.replacen(from, to, 1), digest));
        let shown: Vec<String> = changes.iter().map(ToString::to_string).collect();
        let wanted = match is_kept {
            true => "= sums keeps its state",
            false => "~ sums starts anew, with no state: its definition has changed",
        };
        assert_eq!(shown, [wanted], "{from} -> {to}, {digest}");
    }
}

/// What is filled reads its topics from their beginning whenever something in its stage is another, and as it did where that is undone.
#[test]
fn what_is_filled_is_filled_anew_by_an_edit() {
    let text = std::fs::read_to_string(crate::root().join("testdata/backfill.yaml")).expect("it is there");
    let before = crate::job(&text);
    let stage = |job: &millstream_plan::Job, id: &str| -> String {
        let stage = job.stages.iter().find(|stage| stage.id.split('.').next() == Some(id));
        stage.map(|stage| stage.group_id.clone()).unwrap_or_default()
    };
    let hours = "~ days is filled anew, from the beginning of sales: it was edited, or what it is filled through; what it gives comes again\n\
                 ~ hours is filled anew, from the beginning of sales: it was edited, or what it is filled through; what it gives comes again\n";
    let chosen = "~ chosen is filled anew, from the beginning of sales: it was edited, or what it is filled through; what it gives comes again\n";
    let balance = chosen.replace("~ chosen", "~ balance").replace("of sales", "of sales, shipments");
    for (from, to, wanted) in [
        ("backfill: true", "backfill:  true  # no edit", ""),
        ("1 hour", "2 hours", hours),
        // What reads it is filled with it.
        ("MAX(qty) AS qty FROM hours", "MIN(qty) AS qty FROM hours", hours),
        // No state, so all of it counts.
        ("qty > 10", "qty > 12", chosen),
        // Settings that state does not depend on, and what is beside it.
        ("at, delay: 1m } }\n  ship", "at, delay: 2m } }\n  ship", ""),
        (
            "SUM(qty) AS qty FROM sales",
            "MAX(qty) AS qty FROM sales",
            "~ totals starts anew, with no state: its definition has changed\n",
        ),
        (
            "backfill: true\n    sql: \"SELECT sku, window",
            "backfill: false\n    sql: \"SELECT sku, window",
            "~ days starts anew, with no state: its definition has changed\n~ hours starts anew, with no state: its definition has changed\n",
        ),
        ("keep: 1h\n", "keep: 2h\n", &balance),
        // One without state, which nothing was kept of.
        (
            "backfill: true, where",
            "backfill: false, where",
            "~ chosen is not filled any more, and goes on where stage sales stands: what it had not come to yet it passes over\n",
        ),
        // What its rows are; by which time they go.
        ("sent: { type: int64", "sent: { type: int32", &balance),
        ("backfill: true, where", "backfill: 2, where", chosen),
    ] {
        assert!(text.contains(from), "{from}");
        let after = crate::job(&text.replacen(from, to, 1));
        let lock = |job| Lock::parse(&Lock::of(job).to_string()).expect("a lock reads what it writes");
        let told = |line: &String| {
            !line.ends_with("keeps its state\n")
                && !line.contains("topic shop-")
                && !line.starts_with("+ topic")
        };
        let shown: Vec<String> =
            diff(&lock(&before), &after).iter().map(|c| format!("{c}\n")).filter(told).collect();
        let shown = shown.concat();
        assert_eq!(shown, wanted, "{from} -> {to}");
        for id in ["hours", "balance", "chosen"] {
            let is_same = !wanted.contains(&format!("~ {id} "));
            assert_eq!(stage(&before, id) == stage(&after, id), is_same, "{id}: {from} -> {to}");
        }
        // Undone, each form goes on where it stood.
        let undone = diff(&Lock::after(&after, Some(&lock(&before))), &before);
        let shown: Vec<String> = undone.iter().map(ToString::to_string).collect();
        let again = shown.iter().filter(|change| change.contains("filled anew")).count();
        let goes_on =
            shown.iter().filter(|change| change.contains("goes on where this form of it stood")).count();
        assert_eq!(
            (again, goes_on > 0),
            (0, Lock::of(&after).forms != Lock::of(&before).forms),
            "{from} -> {to}: {shown:#?}"
        );
    }
    // One that was not filled, and one that is new.
    let unfilled = crate::job(&text.replace("    backfill: true\n", ""));
    let shown: Vec<String> = diff(&Lock::of(&unfilled), &before).iter().map(ToString::to_string).collect();
    let line = "~ hours is filled anew, from the beginning of sales: it was not filled before; what it gives comes again";
    assert!(shown.iter().any(|change| change == line), "{shown:#?}");
    let (from, to) = (text.find("  hours:\n").expect("a query"), text.find("  # A join").expect("another"));
    let without = format!("{}{}", &text[..from], &text[to..]).replace("[totals, days]", "[totals]");
    let shown: Vec<String> =
        diff(&Lock::of(&crate::job(&without)), &before).iter().map(ToString::to_string).collect();
    assert!(
        shown.iter().any(|change| change == "+ hours is filled from the beginning of sales"),
        "{shown:#?}"
    );
}

/// A stage that is filled is called by what its operators say, in whatever order they come.
#[test]
fn what_is_beside_a_filled_stage_does_not_fill_it() {
    let text = std::fs::read_to_string(crate::root().join("testdata/backfill.yaml")).expect("it is there");
    let before = crate::job(&text);
    for (from, to) in [
        ("  days:\n", "  a_first: { type: filter, inputs: [days], where: \"qty > 1\" }\n  days:\n"),
        ("inputs: [totals, days]", "where: \"qty > 0\", inputs: [totals, days]"),
    ] {
        let mut edited = text.replacen(from, to, 1);
        if to.contains("a_first") {
            edited = edited.replace("inputs: [balance, found]", "inputs: [balance, found, a_first]");
        }
        let after = crate::job(&edited);
        let stages = |job: &millstream_plan::Job| Lock::of(job).forms;
        assert_eq!(stages(&before), stages(&after), "{from} -> {to}");
    }
}
