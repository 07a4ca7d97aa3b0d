#!/usr/bin/env bash
# Formats of topics against those who wrote them: N sales are written by stock Python clients as Avro, Protobuf and JSON with a schema
# registry, as plain Avro and Protobuf, as CSV and as batches of Arrow; a pipeline reads each and writes it in another; stock clients read the result, which
# has to be what was sent. Two versions of a schema in one topic, records that are none, a registry that does not answer for a while, and
# one that refuses a schema. The registry is a real one (tests/e2e/formats/registry.sh). MILLSTREAM names the program.
. "$(dirname "$0")/lib.sh"
. tests/e2e/formats/registry.sh
left_out() {
    echo "SKIPPED: formats with a schema registry: $1"
    [ -z "${SKIPPED:-}" ] || echo "formats with a schema registry: $1" >> "$SKIPPED"
    [ -z "${REQUIRE_ALL:-}" ]
    exit
}
n="${N:-2000}"
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -CONT "${pids[@]}" 2> /dev/null; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1"; tail -n 20 "$work"/*.log "$work"/*.err; exit 1; }
registry_install || left_out "$registry_absent"
formats_python || left_out "$formats_absent"
registry_start "$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')" "$work/registry"
pids+=("$registry_pid")
start_broker "$work/broker"
pids+=("$broker_pid")
cp tests/e2e/formats/sale.avsc tests/e2e/formats/sale.proto "$work"
client() { # COMMAND TOPIC FORMAT ARGUMENT...
    "$formats_python" tests/e2e/formats/clients.py "$1" --bootstrap "$broker" --registry "$REGISTRY_URL" --topic "$2" --format "$3" "${@:4}"
}
# pipeline NAME READ WRITTEN COLUMNS [FIELDS]: a pipeline from topic NAME-in to NAME-out, in these formats.
pipeline() {
    cat > "$work/$1.yaml" <<X
version: 1
name: $1
broker: $broker
schema_registry: { url: "$REGISTRY_URL", timeout: 1s }
schemas:
  sale:
    fields:
      order_id: { type: string, required: true }
      store_id: { type: string, required: true }
      at:       { type: timestamp_ms, required: true }
      amount:   { type: decimal, precision: 18, scale: 2, required: true }
      quantity: { type: int64, required: true }
      note:     { type: string }
$5
topics:
  sales:  { name: $1-in, partitions: 1, format: $2 }
  copied: { name: $1-out, partitions: 3, key: order_id, format: $3 }
  bad:    { name: $1-bad, partitions: 1 }
sources:
  sales: { type: topic, topic: sales, schema: sale, until: end }
transforms:
  copied: { type: sql, inputs: [sales], sql: "SELECT $4 FROM sales" }
sinks:
  out: { type: topic, inputs: [copied], topic: copied }
errors:
  data: { action: dead_letter, topic: bad, on_exceed: continue }
X
}
nested='      tags:     { type: list, items: { type: string, required: true }, required: true }
      customer: { type: struct, required: true, fields: { name: { type: string, required: true }, city: { type: string } } }'
plain='order_id, store_id, at, amount, quantity, note'
# What stock clients write as an int is one of 32 bits.
narrow='order_id, store_id, at, amount, CAST(quantity AS INT) AS quantity, note'
run() { # NAME
    "$millstream" validate "$work/$1.yaml" > "$work/$1.log" 2>&1 || fail "validate of $1"
    timeout 120 "$millstream" run "$work/$1.yaml" >> "$work/$1.log" 2> "$work/$1.err" || fail "the run of $1"
}
same() { # NAME: what was sent is what came out
    sort "$work/$1.sent" > "$work/$1.sent.sorted"
    sort "$work/$1.found" > "$work/$1.found.sorted"
    cmp -s "$work/$1.sent.sorted" "$work/$1.found.sorted" || {
        diff "$work/$1.sent.sorted" "$work/$1.found.sorted" | head -6
        fail "$1: other rows came out than were sent"
    }
}
schema_of() { # FORMAT: the argument that names a schema, where records do not
    case "$1" in
        avro-plain) echo "--schema tests/e2e/formats/sale.avsc" ;;
        protobuf-plain) echo "--schema tests/e2e/formats/sale.proto" ;;
    esac
}
# NAME | written by clients | read as | written as | read by clients
while IFS='|' read -r name wrote reads writes read; do
    fields="$nested" columns="$narrow, tags, customer"
    [ "$wrote" != csv ] || { fields="" columns="$narrow"; }
    [ "$read" != json ] || columns="${columns/CAST(quantity AS INT) AS /}"
    client produce "$name-in" "$wrote" --count "$n" --seed 7 $(schema_of "$wrote") > "$work/$name.sent" || fail "writing $wrote"
    pipeline "$name" "$reads" "$writes" "$columns" "$fields"
    run "$name"
    client consume "$name-out" "$read" --count "$n" $(schema_of "$read") > "$work/$name.found" || fail "reading $read"
    same "$name"
    echo "ok  $name: $n rows"
done <<'X'
avro-to-protobuf|avro|{ type: avro, registry: true }|{ type: protobuf, schema: sale.proto, message: millstream.test.Sale, registry: true }|protobuf
protobuf-to-json|protobuf|{ type: protobuf, registry: true }|{ type: json, registry: true }|json
json-to-avro|json|{ type: json, registry: true }|{ type: avro, schema: sale.avsc, registry: true }|avro
avro-to-plain|avro-plain|{ type: avro, schema: sale.avsc }|{ type: protobuf, schema: sale.proto, message: millstream.test.Sale }|protobuf-plain
protobuf-to-plain|protobuf-plain|{ type: protobuf, schema: sale.proto, message: millstream.test.Sale }|{ type: avro, schema: sale.avsc }|avro-plain
csv-to-csv|csv|csv|csv|csv
arrow-to-json|arrow|arrow|{ type: json, registry: true }|json
json-to-arrow|json|{ type: json, registry: true }|arrow|arrow
arrow-to-arrow|arrow|arrow|arrow|arrow
X

# Batches of Arrow straight into a table, by a run that dies behind some and by another that goes on; records that are bad as a whole,
# told as they came.
client produce batches-in arrow --count "$n" --seed 5 > "$work/batches.sent" || fail "writing batches"
"$formats_python" - "$broker" <<'X' || fail "producing bad batches"
import datetime, decimal, sys
import pyarrow as pa
from confluent_kafka import Producer
row = {"order_id": "alone", "store_id": "S1", "at": datetime.datetime(2026, 1, 5), "amount": decimal.Decimal("1.5"), "quantity": 1}
def record(*rows, **types):
    table = pa.Table.from_pylist([{**row, **one} for one in rows])
    table = table.cast(pa.schema([field.with_type(types.get(field.name, field.type)) for field in table.schema]))
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue().to_pybytes()
producer = Producer({"bootstrap.servers": sys.argv[1]})
good = record({})
bad = [good[:-40], record({}, quantity=pa.float64()), record({}, {"store_id": None}), record({"amount": decimal.Decimal("1.555")}), b""]
# One without its end is as good as one with it.
for value in bad + [good[:-8]]:
    producer.produce("batches-in", value)
sys.exit(producer.flush(30))
X
cat > "$work/batches.yaml" <<X
version: 1
name: batches
broker: $broker
schemas:
  sale: { fields: { order_id: { type: string, required: true }, store_id: { type: string, required: true }, at: { type: timestamp_ms, required: true }, amount: { type: decimal, precision: 18, scale: 2, required: true }, quantity: { type: int64, required: true } } }
topics:
  sales: { name: batches-in, partitions: 1, format: arrow }
  bad:   { name: batches-bad, partitions: 1 }
sources:
  sales: { type: topic, topic: sales, schema: sale, until: end }
sinks:
  rows: { type: sqlite, inputs: [sales], path: batches.db, table: sales, mode: insert }
errors:
  data: { action: dead_letter, topic: bad, on_exceed: continue }
X
MILLSTREAM_FAIL_AT=rows.after_stage:3 timeout 120 "$millstream" run "$work/batches.yaml" > "$work/batches.log" 2> "$work/batches.err" && fail "it did not die at the third record"
run batches
rows="$("$formats_python" -c 'import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute("SELECT COUNT(*), COUNT(DISTINCT order_id) FROM sales").fetchone())' "$work/batches.db")"
[ "$rows" = "$((n + 1)) $((n + 1))" ] || fail "batches: $rows rows in the table, and $((n + 1)) were sent"
timeout 120 "$millstream" consume batches-bad --bootstrap "$broker" --from beginning --count 5 --format json > "$work/bad" || fail "reading dead letters"
for why in "it is cut" "column quantity is of type float64, and int64 is declared" "row 1: required field store_id is missing" "row 0: field amount is not a decimal" "an empty record"; do
    grep -q "$why" "$work/bad" || fail "no dead letter says: $why"
done
echo "ok  batches of Arrow in a table, and 5 that are bad"

# Lines of a file become batches, whose rows go through another topic of Arrow, keyed, to windows. Three rows of a batch lie too far ahead:
# they are told once, and the others count.
cat > "$work/filled.yaml" <<X
version: 1
name: filled
broker: $broker
schemas:
  tick: { fields: { sku: { type: string, required: true }, at: { type: timestamp_ms, required: true }, n: { type: int64, required: true } } }
topics:
  ticks: { name: ticks, partitions: 3, key: sku, format: arrow }
sources:
  lines: { type: file, path: ticks.jsonl, schema: tick }
sinks:
  out: { type: topic, inputs: [lines], topic: ticks }
X
cat > "$work/windows.yaml" <<X
version: 1
name: windows
broker: $broker
schemas:
  tick: { fields: { sku: { type: string, required: true }, at: { type: timestamp_ms, required: true }, n: { type: int64, required: true } } }
topics:
  ticks: { name: ticks, partitions: 3, format: arrow }
  keyed: { name: ticks-keyed, partitions: 3, key: sku, format: arrow }
  bad:   { name: ticks-bad, partitions: 1 }
sources:
  ticks: { type: topic, topic: ticks, schema: tick, until: end, watermark: { column: at, delay: 10m } }
transforms:
  keyed:  { type: topic, inputs: [ticks], topic: keyed, watermark: { column: at, delay: 10m } }
  counts: { type: sql, inputs: [keyed], sql: "SELECT sku, window_start, COUNT(*) AS rows, SUM(n) AS total FROM TUMBLE(keyed, at, INTERVAL '1 minute') GROUP BY sku, window_start, window_end" }
sinks:
  rows: { type: sqlite, inputs: [counts], path: ticks.db, table: counts, mode: insert }
errors:
  data: { action: dead_letter, topic: bad, on_exceed: continue }
X
ticks() { "$formats_python" - "$broker" "$work" "$1" "$n"; }
ticks lines <<'X' || fail "writing lines"
import sys
with open(sys.argv[2] + "/ticks.jsonl", "w") as out:
    for i in range(int(sys.argv[4])):
        out.write('{"sku":"s%d","at":%d,"n":%d}\n' % (i % 7, 1767600000000 + i * 100, i))
X
run filled
ticks batch <<'X' || fail "writing a batch"
import sys
import pyarrow as pa
from confluent_kafka import Producer
far = 4070908800000
at = [far if i % 100 == 50 else 1767600000000 + i for i in range(300)]
table = pa.table({"n": pa.array(range(300), pa.int16()), "sku": ["odd"] * 300, "at": pa.array(at, pa.timestamp("ms"))})
out = pa.BufferOutputStream()
with pa.ipc.new_stream(out, table.schema) as writer:
    writer.write_table(table)
producer = Producer({"bootstrap.servers": sys.argv[1]})
producer.produce("ticks", out.getvalue().to_pybytes(), partition=1)
sys.exit(producer.flush(30))
X
run windows
ticks results <<'X' || fail "windows of batches"
import collections, sqlite3, sys
import pyarrow as pa
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
broker, work, _, n = sys.argv[1:]
wanted = collections.Counter()
for i in range(int(n)):
    wanted[f"s{i % 7}", i * 100 // 60000] += 1
wanted["odd", 0] = 297
found = sqlite3.connect(work + "/ticks.db").execute("SELECT sku, SUM(rows), SUM(total) FROM counts GROUP BY sku").fetchall()
sums = {f"s{k}": sum(range(k, int(n), 7)) for k in range(7)} | {"odd": sum(i for i in range(300) if i % 100 != 50)}
rows = collections.Counter()
for (sku, _), count in wanted.items():
    rows[sku] += count
assert {sku: (count, int(total)) for sku, count, total in found} == {sku: (rows[sku], sums[sku]) for sku in rows}, found
windows = sqlite3.connect(work + "/ticks.db").execute("SELECT COUNT(*) FROM counts").fetchone()[0]
assert windows == len(wanted), (windows, len(wanted))
def read(topic, partitions):
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "ticks", "enable.auto.commit": False, "isolation.level": "read_committed", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, one, OFFSET_BEGINNING) for one in range(partitions)])
    ends, records = 0, []
    while ends < partitions:
        record = consumer.poll(30)
        assert record is not None, topic
        if record.error():
            ends += 1
        else:
            records.append(record)
    consumer.close()
    return records
# Rows of one key are in one partition, and share records without a key.
places, records = collections.defaultdict(set), read("ticks-keyed", 3)
for record in records:
    assert record.key() is None
    for sku in pa.ipc.open_stream(record.value()).read_all()["sku"].to_pylist():
        places[sku].add(record.partition())
assert set(places) == set(rows) and all(len(place) == 1 for place in places.values()), places
assert len(records) * 10 < int(n), len(records)
bad = read("ticks-bad", 1)
assert len(bad) == 1 and pa.ipc.open_stream(bad[0].value()).read_all().num_rows == 300, bad
assert dict(bad[0].headers())["millstream.reason"] == b"too_far_ahead", bad[0].headers()
X
echo "ok  batches into windows"

# Two versions of a schema, in one topic; records without a frame, of a schema that nobody knows, and cut; written by a schema that is
# derived from the columns, in a topic that has been given a rule.
client produce versions-in avro --count "$n" --seed 1 > "$work/versions.sent" || fail "writing version 1"
client produce versions-in avro --count "$n" --seed 2 --schema-version 2 >> "$work/versions.sent" || fail "writing version 2"
printf 'nonsense\n' | "$millstream" produce versions-in --bootstrap "$broker" > "$work/produce.log" || fail "producing"
"$formats_python" - "$broker" <<'X' || fail "producing bad records"
import sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1]})
for value in (b"\0\0\xff\xff\xff\x02a", b"\0\0\0", b""):
    producer.produce("versions-in", value)
sys.exit(producer.flush(30))
X
pipeline versions "{ type: avro, registry: true }" "{ type: avro, registry: true, subject: versions }" "$plain, channel, tags, customer" \
    "      channel:  { type: string }
$nested"
run versions
client consume versions-out avro --count $((2 * n)) > "$work/versions.found" || fail "reading what a derived schema wrote"
# Of the first version there is no channel.
"$formats_python" - "$work/versions.sent" "$work/versions.found" <<'X' || fail "two versions of a schema"
import json, sys
sent, found = ({row["order_id"]: row for row in map(json.loads, open(name))} for name in sys.argv[1:])
for row in sent.values():
    row.setdefault("channel", None)
assert sent == found, next((sent[i], found.get(i)) for i in sent if sent[i] != found.get(i))
X
timeout 120 "$millstream" consume versions-bad --bootstrap "$broker" --from beginning --count 4 --format json > "$work/bad" || fail "reading dead letters"
for why in "no frame of a schema registry" "does not know it"; do grep -q "$why" "$work/bad" || fail "no dead letter says: $why"; done
[ "$(grep -c malformed_avro "$work/bad")" = 4 ] || fail "4 records are bad, and dead letters are $(wc -l < "$work/bad")"
echo "ok  two versions and 4 bad records"

# Lines of a file into a topic of Avro: a key by its column, and a row that the schema has no form for put aside.
cat > "$work/store.avsc" <<'X'
{"type":"record","name":"Store","fields":[
  {"name":"store_id","type":{"type":"enum","name":"Known","symbols":["S1","S2"]}},
  {"name":"order_id","type":"string"},
  {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":18,"scale":2}}]}
X
printf '{"order_id":"%s","store_id":"%s","amount":%s}\n' a S1 1.5 b S3 2 c S2 1e1 d S1 x > "$work/orders.jsonl"
cat > "$work/files.yaml" <<X
version: 1
name: files
broker: $broker
schema_registry: { url: "$REGISTRY_URL" }
schemas:
  order: { fields: { order_id: { type: string, required: true }, store_id: { type: string, required: true }, amount: { type: decimal, precision: 18, scale: 2, required: true } } }
topics:
  orders: { name: files-out, partitions: 1, key: amount, format: { type: avro, schema: store.avsc, registry: true } }
  bad:    { name: files-bad, partitions: 1 }
sources:
  lines: { type: file, path: orders.jsonl, schema: order }
sinks:
  out: { type: topic, inputs: [lines], topic: orders }
errors:
  data: { action: dead_letter, topic: bad, on_exceed: continue }
X
run files
"$formats_python" - "$broker" "$REGISTRY_URL" <<'X' || fail "lines of a file in a topic of Avro"
import sys
from confluent_kafka import Consumer
from confluent_kafka.schema_registry import SchemaRegistryClient, topic_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "files", "auto.offset.reset": "earliest", "isolation.level": "read_committed"})
consumer.subscribe(["files-out", "files-bad"])
# The strategy and the time-out as in clients.py.
client = SchemaRegistryClient({"url": sys.argv[2], "timeout": 20})
read = AvroDeserializer(client, conf={"subject.name.strategy": topic_subject_name_strategy})
rows, bad = [], []
while len(rows) + len(bad) < 4:
    record = consumer.poll(30)
    assert record is not None and not record.error(), f"{rows} {bad}"
    if record.topic() == "files-out":
        row = read(record.value(), SerializationContext("files-out", MessageField.VALUE))
        rows.append((record.key(), row["order_id"], row["store_id"], str(row["amount"])))
    else:
        bad.append(record.value())
assert rows == [(b"1.50", "a", "S1", "1.50"), (b"10.00", "c", "S2", "10.00")], rows
assert len(bad) == 2 and b"S3" in bad[0], bad
X
echo "ok  lines of a file"

# A registry that does not answer: the run waits, and goes on when it does.
client produce away-in avro --count "$n" --seed 3 > "$work/away.sent" || fail "writing"
pipeline away "{ type: avro, registry: true }" "{ type: avro, schema: sale.avsc, registry: true }" "$narrow, tags, customer" "$nested"
kill -STOP "$registry_pid"
timeout 120 "$millstream" run "$work/away.yaml" > "$work/away.log" 2> "$work/away.err" &
run=$!
pids+=("$run")
until grep -qs "asking the schema registry" "$work/away.err"; do
    kill -0 "$run" 2> /dev/null || fail "the run ended while the registry was away"
    pause 0.1
done
kill -CONT "$registry_pid"
wait "$run" || fail "the run did not go on when the registry was back"
client consume away-out avro --count "$n" > "$work/away.found" || fail "reading"
same away
echo "ok  a registry that is away"

# A schema that its rule forbids: told, and nothing written.
curl -fsS -o "$work/rule" -X PUT -H 'Content-Type: application/json' -d '{"compatibility":"BACKWARD"}' "$REGISTRY_URL/config/versions" || fail "setting a rule"
client produce forbidden-in avro --count 5 --seed 4 > "$work/forbidden.sent" || fail "writing"
pipeline forbidden "{ type: avro, registry: true }" "{ type: avro, registry: true, subject: versions }" "order_id, amount AS note" "$nested"
if timeout 120 "$millstream" run "$work/forbidden.yaml" > "$work/forbidden.log" 2> "$work/forbidden.err"; then fail "a forbidden schema was written"; fi
grep -q "compatibility rule" "$work/forbidden.err" || fail "a forbidden schema: it does not say what to do"
echo "formats test passed: nine ways of $n sales between stock clients, two versions of a schema, bad records, lines of a file, a registry that is away, a schema that is refused"
