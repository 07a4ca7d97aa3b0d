//! The sink against a server that answers by a script: what is sent, how often, with which key, and what becomes of the rows.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{
    Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray, StructArray,
    TimestampMillisecondArray,
};
use arrow_schema::{DataType, Field, Fields, IntervalUnit, Schema};
use millstream_connector::test_suite::{HandClock, context};
use millstream_connector::{Change, Context, CrashPoints, Offsets, Sink, SinkBatch, SinkError};
use millstream_http::{HttpSink, HttpSinkConfig};
use millstream_types::TopicPartition;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What came in: the key, and the body's `id`.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

struct World {
    url: String,
    clock: Arc<HandClock>,
    seen: Seen,
    /// A status with what stands behind it, `429 after 3`; `close` takes the request and gives no answer. 200 when it is empty.
    script: Arc<Mutex<VecDeque<&'static str>>>,
}

impl World {
    async fn new(script: &[&'static str]) -> World {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/messages?q=1", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(script.iter().copied().collect::<VecDeque<_>>()));
        let (seen, answers) = (Seen::default(), Arc::clone(&script));
        let kept = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = Vec::new();
                let (head, body) = loop {
                    stream.read_buf(&mut bytes).await.unwrap();
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let header = |name: &str| {
                        head.lines()
                            .find_map(|line| line.to_lowercase().strip_prefix(name).map(str::to_owned))
                    };
                    let length: usize = header("content-length: ").unwrap().parse().unwrap();
                    if body.len() >= length {
                        break (head.to_owned(), body.to_owned());
                    }
                };
                assert!(head.starts_with("POST /v1/messages?q=1 HTTP/1.1"), "{head}");
                let name = "idempotency-key: ";
                let key = head.lines().find(|line| line.to_lowercase().starts_with(name)).unwrap();
                let body: serde_json::Value = serde_json::from_str(&body).unwrap();
                let id = body["id"].as_str().unwrap().to_owned();
                kept.lock().unwrap().push((key[name.len()..].to_owned(), id));
                let answer = answers.lock().unwrap().pop_front().unwrap_or("200");
                if answer == "close" {
                    continue;
                }
                let (status, after) = answer.split_once(" after ").unwrap_or((answer, ""));
                let wait = if after.is_empty() { String::new() } else { format!("Retry-After: {after}\r\n") };
                let text = format!(
                    "HTTP/1.1 {status} Said\r\n{wait}Content-Length: 5\r\nConnection: close\r\n\r\nwhy\r\n"
                );
                stream.write_all(text.as_bytes()).await.unwrap();
            }
        });
        World { url, clock: HandClock::new(1_772_446_530_250), seen, script }
    }

    fn sink(&self, more: &str) -> HttpSink {
        let config = format!(r#"{{"url":"{}"{more}}}"#, self.url);
        HttpSink::new(serde_json::from_str(&config).unwrap(), self.context()).unwrap()
    }

    fn context(&self) -> Context {
        context(&self.clock, CrashPoints::none())
    }

    /// The ids that were sent since the last call.
    fn sent(&self) -> String {
        self.seen.lock().unwrap().drain(..).map(|(_, id)| id).collect::<Vec<_>>().join(" ")
    }
}

fn partition() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn rows(ids: &[&str]) -> RecordBatch {
    let schema =
        Schema::new(vec![Field::new("id", DataType::Utf8, false), Field::new("n", DataType::Int64, false)]);
    let n: Vec<i64> = (0..ids.len() as i64).collect();
    let columns: Vec<arrow_array::ArrayRef> =
        vec![Arc::new(StringArray::from(ids.to_vec())), Arc::new(Int64Array::from(n))];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

/// What the worker does: opens, stages rows at offsets, commits.
async fn written(sink: &mut HttpSink, at: &[(i64, &str)]) -> Result<(), SinkError> {
    let found = sink.open(&[partition()]).await?;
    assert_eq!(found[&partition()], None, "an HTTP server keeps no offsets");
    for (offset, id) in at {
        sink.stage(&partition(), SinkBatch::one_row_each(rows(&[id]), Change::Upsert, *offset)).await?;
    }
    let next = at.last().map_or(0, |(offset, _)| offset + 1);
    sink.commit(&Offsets::from([(partition(), next)])).await
}

fn text(result: Result<(), SinkError>) -> String {
    match result {
        Ok(()) => "done".to_owned(),
        Err(SinkError::Transient { retry_after_ms, .. }) => format!("later {retry_after_ms:?}"),
        Err(SinkError::Data(faults)) => {
            let faults = faults.iter().map(|fault| format!("{} {}", fault.row.offset, fault.reason));
            format!("refused {}", faults.collect::<Vec<_>>().join(", "))
        }
        Err(SinkError::Setup(_)) => "setup".to_owned(),
        Err(other) => other.to_string(),
    }
}

/// Two tries with the same rows, as the worker makes them; those that were refused are left out of the second.
#[tokio::test]
async fn each_answer_has_its_meaning() {
    let rows = [(5, "a"), (6, "b"), (7, "c")];
    for (script, first, sent, second, sent_again) in [
        // What was taken is not sent again: the group may have refused its offsets.
        (&[][..], "done", "a b c", "done", ""),
        (&["200", "503", "500"], "done", "a b b b c", "done", ""),
        (&["close", "200", "408"], "done", "a a b b c", "done", ""),
        // An outage: what was answered before it is not sent again.
        (&["200", "500", "502", "503", "504", "599"], "later None", "a b b b b b", "done", "b c"),
        (&["200", "422", "200"], "refused 6 422 Unprocessable Entity: why", "a b c", "done", ""),
        (&["400", "200", "409"], "refused 5 400 Bad Request: why, 7 409 Conflict: why", "a b c", "done", ""),
        // What was refused before an outage is told; the rest comes later.
        (&["410", "429 after 9"], "refused 5 410 Gone: why", "a b", "later Some(9000)", ""),
        (&["429 after 3"], "later Some(3000)", "a", "later Some(3000)", ""),
        (&["200", "401"], "setup", "a b", "done", "b c"),
        (&["307"], "setup", "a", "done", "a b c"),
        (&["404"], "setup", "a", "done", "a b c"),
    ] {
        let world = World::new(script).await;
        let mut sink = world.sink("");
        let result = written(&mut sink, &rows).await;
        let bad: Vec<i64> = match &result {
            Err(SinkError::Data(faults)) => faults.iter().map(|fault| fault.row.offset).collect(),
            _ => Vec::new(),
        };
        assert_eq!((text(result).as_str(), world.sent().as_str()), (first, sent), "{script:?}");
        let rest: Vec<(i64, &str)> = rows.iter().filter(|(at, _)| !bad.contains(at)).copied().collect();
        let result = written(&mut sink, &rest).await;
        assert_eq!((text(result).as_str(), world.sent().as_str()), (second, sent_again), "{script:?} again");
    }
}

#[tokio::test]
async fn a_server_is_left_alone_for_as_long_as_it_says() {
    let world = World::new(&["429 after 3"]).await;
    let mut sink = world.sink("");
    assert_eq!(text(written(&mut sink, &[(0, "a")]).await), "later Some(3000)");
    world.clock.advance(2_999);
    // What waits is due all the same: else more and more would be gathered meanwhile.
    assert_eq!(sink.due(world.clock_ms()).len(), 1);
    assert_eq!(text(written(&mut sink, &[(0, "a")]).await), "later Some(1)");
    assert_eq!(world.sent(), "a");
    world.clock.advance(1);
    assert_eq!(text(written(&mut sink, &[(0, "a")]).await), "done");
    assert_eq!(world.sent(), "a");
}

impl World {
    fn clock_ms(&self) -> i64 {
        millstream_types::Clock::wall_ms(self.clock.as_ref())
    }
}

#[tokio::test]
async fn a_request_has_the_same_name_each_time() {
    let keys =
        |world: &World| -> Vec<String> { world.seen.lock().unwrap().drain(..).map(|(key, _)| key).collect() };
    let world = World::new(&["503"]).await;
    written(&mut world.sink(""), &[(5, "a"), (6, "b")]).await.unwrap();
    // Another process sends them again.
    written(&mut world.sink(""), &[(6, "b")]).await.unwrap();
    let place = |offset: i64| format!("suite/under_test/t-0@{offset}#0");
    assert_eq!(keys(&world), [place(5), place(5), place(6), place(6)]);
    let by_fields = r#","id_fields":["id","n"],"idempotency_header":"idempotency-key""#;
    written(&mut world.sink(by_fields), &[(5, "a/b"), (6, "a%2Fb"), (7, "é ")]).await.unwrap();
    assert_eq!(keys(&world), ["a%2Fb/0", "a%252Fb/0", "%C3%A9%20/0"]);
    // What is sent while a server is asked again is known by its own setting.
    world.script.lock().unwrap().push_back("409");
    written(&mut world.sink(r#","retry_on":[409]"#), &[(5, "a")]).await.unwrap();
    assert_eq!(keys(&world).len(), 2);
}

#[test]
fn a_row_is_an_object_with_nested_ones() {
    let mut tags = ListBuilder::new(StringBuilder::new());
    tags.append_value([Some("x"), None]);
    tags.append_null();
    let tags = tags.finish();
    let to = Fields::from(vec![Field::new("email", DataType::Utf8, true)]);
    let to = StructArray::new(to, vec![Arc::new(StringArray::from(vec![Some("a\"b"), None]))], None);
    let time = TimestampMillisecondArray::from(vec![1_772_446_530_250, 0]).with_timezone("UTC");
    let amount = Decimal128Array::from(vec![-5, 8_850]).with_precision_and_scale(18, 2).unwrap();
    let columns: [(&str, arrow_array::ArrayRef); 6] = [
        ("id", Arc::new(StringArray::from(vec!["é", "b"]))),
        ("to", Arc::new(to)),
        ("tags", Arc::new(tags)),
        ("at", Arc::new(time)),
        ("amount", Arc::new(amount)),
        ("x", Arc::new(Float64Array::from(vec![1.5, f64::NAN]))),
    ];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    millstream_http::body::check(rows.schema_ref()).unwrap();
    let bodies = [0, 1].map(|row| {
        let value: serde_json::Value =
            serde_json::from_str(&millstream_http::body::body(&rows, row)).unwrap();
        value
    });
    let wanted = serde_json::json!([
        { "id": "é", "to": { "email": "a\"b" }, "tags": ["x", null], "at": "2026-03-02T10:15:30.250Z", "amount": "-0.05", "x": 1.5 },
        { "id": "b", "to": { "email": null }, "tags": null, "at": "1970-01-01T00:00:00.000Z", "amount": "88.50", "x": null },
    ]);
    assert_eq!(serde_json::json!(bodies), wanted);
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_anything_is_sent() {
    let world = World::new(&[]).await;
    let made = |config: &str| -> String {
        let config: HttpSinkConfig = match serde_json::from_str(config) {
            Ok(config) => config,
            Err(error) => return error.to_string(),
        };
        HttpSink::new(config, world.context()).map(drop).expect_err("it is refused").to_string()
    };
    for (config, said) in [
        (r#"{"url":"ftp://x.example/"}"#, "`url` begins with ftp:"),
        (r#"{"url":"not a url"}"#, "cannot be read"),
        (r#"{"url":"http://x.example/","retry_on":[500]}"#, "`retry_on` names 500"),
        (r#"{"url":"http://x.example/","headers":{"a b":"x"}}"#, "\"a b\" is no name of a header"),
        (r#"{"url":"http://x.example/","headers":{"a":"x\ny"}}"#, "the value of the header \"a\""),
        (r#"{"url":"http://x.example/","verb":"GET"}"#, "verb"),
    ] {
        let found = made(config);
        assert!(found.contains(said), "{config}: {found}");
        assert!(!found.contains("x\ny"), "a header's value is shown");
    }
    let mut sink = world.sink(r#","id_fields":["order"]"#);
    assert_eq!(text(written(&mut sink, &[(0, "a")]).await), "setup");
    let mut sink = world.sink("");
    sink.open(&[partition()]).await.unwrap();
    let gone = SinkBatch::one_row_each(rows(&["a"]), Change::Delete, 0);
    assert_eq!(text(sink.stage(&partition(), gone).await), "setup");
    let column = arrow_array::new_null_array(&DataType::Interval(IntervalUnit::DayTime), 1);
    let odd =
        SinkBatch::one_row_each(RecordBatch::try_from_iter([("i", column)]).unwrap(), Change::Upsert, 0);
    assert_eq!(text(sink.stage(&partition(), odd).await), "setup");
    // The guard is asked for each request.
    let outside = HttpSinkConfig { url: "http://192.0.2.1/".to_owned(), ..config(&world) };
    let mut sink = HttpSink::new(outside, world.context()).unwrap();
    assert_eq!(text(written(&mut sink, &[(0, "a")]).await), "setup");
    assert_eq!(world.sent(), "");
}

fn config(world: &World) -> HttpSinkConfig {
    serde_json::from_str(&format!(r#"{{"url":"{}"}}"#, world.url)).unwrap()
}
