//! The store-invoices example loads without a word, and its typed spec says what the file says.

use millstream_spec::ast::{Broker, LateThen, Operator};
use millstream_spec::node::Origin;
use millstream_spec::{Delivery, render};

fn text() -> String {
    std::fs::read_to_string(crate::root().join("../examples/store-invoices/pipeline.yaml")).unwrap()
}

fn load(text: &str, env: &[(&str, &str)], overrides: &[String]) -> millstream_spec::Outcome {
    let mut reader = millstream_spec::FixedReader::default();
    reader.env.extend(env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    millstream_spec::load(&millstream_spec::Request {
        file: "pipeline.yaml",
        text,
        overrides,
        catalog: &millstream_spec::catalog::standard::catalog(),
        capabilities: &millstream_spec::Capabilities::this_version(),
        reader: &reader,
        policy: &millstream_spec::Policy::local(),
    })
}

#[test]
fn the_main_job_is_accepted() {
    let outcome = load(&text(), &[], &[]);
    assert!(
        outcome.diagnostics.items().is_empty(),
        "{}",
        render::text(&outcome.diagnostics, &outcome.sources)
    );
    let p = outcome.pipeline.unwrap();
    assert_eq!(p.name.value, "store-invoices");
    assert!(matches!(p.broker, Broker::Embedded));
    assert_eq!(p.defaults.delivery, Delivery::ExactlyOnce);
    assert_eq!((p.topics["invoices"].partitions.value, p.topics["dead_letter"].partitions.value), (600, 12));
    assert_eq!(p.topics["invoices"].retention_ms, Some(30 * 86_400_000));
    let Operator::Dedupe(dedupe) = &p.transforms["unique"].op else { panic!("unique is a dedupe") };
    assert_eq!(dedupe.within_ms, 48 * 3_600_000);
    let Operator::Sql(revenue) = &p.transforms["revenue"].op else { panic!("revenue is a query") };
    assert_eq!(revenue.windows[0].arguments, ["interval '5 minutes'"]);
    let late = revenue.late.as_ref().unwrap();
    assert_eq!((late.allow_ms, &late.then), (600_000, &LateThen::DeadLetter));
    assert_eq!((p.sinks["lake"].writers, p.sinks["warehouse"].writers), (8, 4));
    assert_eq!(p.sinks["warehouse"].connector, "sqlite");
    assert_eq!(p.sinks["warehouse"].config.secret("path").unwrap().value.expose(), b"out/warehouse.db");
    assert_eq!(p.sinks["warehouse"].config.origin("path"), Some(Origin::Variable));
    assert_eq!(p.tests.len(), 4);
}

/// What a connector's own struct sees: booleans from variables, text that stays text, durations and sizes as written.
#[test]
fn settings_reach_the_connector() {
    #[derive(serde::Deserialize, Debug, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Roll {
        size: String,
        interval: String,
        idle: String,
    }
    #[derive(serde::Deserialize, Debug)]
    struct Lake {
        url: String,
        roll: Roll,
    }
    #[derive(serde::Deserialize, Debug)]
    struct Inbox {
        path: String,
        watch: bool,
    }
    #[derive(serde::Deserialize, Debug)]
    struct Warehouse {
        dsn: String,
        create: bool,
    }
    let env = [
        ("INVOICES_WATCH", "true"),
        ("INVOICES_DIR", "12345"),
        ("LAKE_URL", "s3://b/p"),
        ("WAREHOUSE_DSN", "postgres://app:hunter2@db/w"),
    ];
    let set = ["sinks.warehouse.create=false".to_owned(), "topics.invoices.partitions=12".to_owned()];
    let outcome = load(&text(), &env, &set);
    let p = outcome.pipeline.unwrap();
    let lake: Lake = p.sinks["lake"].config.decode().unwrap();
    assert_eq!(
        (lake.url.as_str(), lake.roll),
        ("s3://b/p", Roll { size: "128MiB".into(), interval: "10m".into(), idle: "2m".into() })
    );
    let inbox: Inbox = p.sources["inbox"].config.decode().unwrap();
    assert_eq!((inbox.path.as_str(), inbox.watch), ("12345/stores/*/inbox/*.jsonl", true));
    let warehouse: Warehouse = p.sinks["warehouse"].config.decode().unwrap();
    assert_eq!((warehouse.dsn.as_str(), warehouse.create), ("postgres://app:hunter2@db/w", false));
    assert_eq!(p.sinks["warehouse"].connector, "postgres");
    assert_eq!(p.topics["invoices"].partitions.value, 12);
    assert!(!format!("{p:?}").contains("hunter2"), "SP-2: a spec's debug form shows no secret");
    assert!(p.sinks["warehouse"].config.describe().contains("dsn: ***"));
}
