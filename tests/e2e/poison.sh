#!/usr/bin/env bash
# Rows for which something cannot be computed: by a column, a condition, a join with a table, what a window gives, a sum beyond its
# type, and rows too large for a topic, among others, with kills. Each is told once, with its payload, the reason and the step; the
# others come out as if they had not been there; and where there are more than `max_rate`, nothing is written. `millstream test`
# shows them too. N records; MILLSTREAM names the program.
. "$(dirname "$0")/lib.sh"
n="${N:-20000}" kills="${KILLS:-3}"
RANDOM="${SEED:-7}"
work="$(mktemp -d)"
pids=() killed=0
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1"; tail -n 20 "$work"/*.log "$work"/*.err 2> /dev/null; exit 1; }
start_broker "$work/broker" --set group.consumer.session.timeout.ms=3000 --set group.consumer.heartbeat.interval.ms=500
pids+=("$broker_pid")
for store in 0 1 2 3 4 5 6 7; do echo "s$store,$((store + 1))"; done | (echo store,floor; cat) > "$work/stores.csv"
cat > "$work/poison.yaml" << 'X'
version: 1
name: poison
broker: ${env:BROKER}
schemas:
  sale:
    fields:
      n:     { type: int64, required: true }
      store: { type: string, required: true }
      at:    { type: timestamp_ms, required: true }
      qty:   { type: int32, required: true }
      big:   { type: int64 }
      text:  { type: string }
  store:
    fields:
      store: { type: string, required: true }
      floor: { type: int32 }
topics:
  sales:   { partitions: 4, key: store }
  shares:  { partitions: 2, key: store, retention: forever }
  minutes: { partitions: 1, retention: forever }
  bad:     { partitions: 2, retention: forever }
sources:
  sales: { type: topic, topic: sales, schema: sale, until: end, watermark: { column: at, delay: 1m } }
tables:
  stores: { type: file, path: stores.csv, key: [store], schema: store }
transforms:
  unique: { type: dedupe, inputs: [sales], key: [store, n], within: 1h }
  kept:   { type: filter, inputs: [unique], where: "1000 / (qty - 1) > -5000" }
  shares:
    type: sql
    inputs: [kept, stores]
    sql: |
      SELECT s.n, s.store, 100 / s.qty AS share, t.floor, concat(s.text, repeat('x', CASE WHEN s.qty = 90 THEN 17000000 ELSE 1 END)) AS text
      FROM kept AS s JOIN stores AS t ON t.store = s.store AND 10 / (s.qty - 2) < 100 + t.floor
  minutes:
    type: sql
    inputs: [kept]
    sql: |
      SELECT store, window_start, n, total, 100 / (n - 66) AS x FROM (
        SELECT store, window_start, COUNT(*) AS n, SUM(big) AS total FROM TUMBLE(kept, at, INTERVAL '1 minute')
        GROUP BY store, window_start, window_end)
sinks:
  out_shares:  { type: topic, inputs: [shares], topic: shares }
  out_minutes: { type: topic, inputs: [minutes], topic: minutes }
errors:
  data: { action: dead_letter, topic: bad, max_rate: "${env:MAX_RATE:-50}%/1m" }
tests:
  - name: a sale that cannot be computed is told, and others come out
    inputs:
      sales:
        - { n: 1, store: s1, at: "2026-01-01T10:00:00Z", qty: 5, text: a }
        - { n: 2, store: s1, at: "2026-01-01T10:00:01Z", qty: 0, text: b }
        - { n: 3, store: s1, at: "2026-01-01T10:00:02Z", qty: 1, text: c }
        - { n: 4, store: s1, at: "2026-01-01T10:00:03Z", qty: 90, text: d }
    expect:
      shares: { rows: [{ n: 1, store: s1, share: 20, floor: 2, text: ax }, { n: 4 }], match: subset }
      out_shares: { rows: [{ n: 1, store: s1, share: 20, floor: 2, text: ax }] }
      dead_letter:
        rows:
          - { reason: failed_expression, step: shares, origin: "sales-1@1" }
          - { reason: failed_expression, step: kept, origin: "sales-1@2" }
          - { reason: too_large, step: shares }
        match: subset
        count: 3
X
sed -i 's/^      dead_letter:/      bad:/; /^      shares: { rows/d' "$work/poison.yaml"
export BROKER="$broker"
"$millstream" test "$work/poison.yaml" > "$work/test.log" 2>&1 || fail "the pipeline's own test does not hold"
"$millstream" topic create sales --bootstrap "$broker" --partitions 4 > "$work/create.log"
"$millstream" topic create shares --bootstrap "$broker" --partitions 2 --config max.message.bytes=6000 >> "$work/create.log"
# Of 50 sales one has no quantity (a column), one has 1 (a condition), one has 2 (a join's condition); of 1,000 two have more than a sum
# holds, one a text that is larger than the topic takes, and one a row that nobody could read. Each tenth comes twice.
python3 - "$n" > "$work/sales" << 'X'
import json, random, sys
n, random = int(sys.argv[1]), random.Random(7)
for i in range(n):
    qty = {7: 0, 9: 1, 13: 2}.get(i % 50, 3 + i % 60)
    big = 5_000_000_000_000_000_000 if i % 1000 in (24, 32) else i
    text = "%x" % random.getrandbits(40_000) if i % 1000 == 500 else "t"
    if i % 1000 == 501:
        qty = 90
    sale = {"n": i, "store": f"s{i % 8}", "at": 1767225600000 + i * 100, "qty": qty, "big": big, "text": text}
    for _ in range(2 if i % 10 == 9 else 1):
        print(f"s{i % 8}\t{json.dumps(sale)}")
X
"$millstream" produce sales --bootstrap "$broker" --key-separator $'\t' --file "$work/sales" > "$work/produce.log" || fail "producing sales"
# More than may be: nothing of it is written.
MAX_RATE=1 "$millstream" run "$work/poison.yaml" --data "$work/data" > "$work/rate.log" 2>&1 && fail "a run with more bad records than may be ended well"
grep -q 'which is above `errors: data: max_rate`' "$work/rate.log" || fail "it is not said that too many records are bad"
out() { "$millstream" consume "$1" --bootstrap "$broker" --from beginning --until-end --isolation read_committed --format json > "$work/$1" 2> /dev/null || true; }
out bad
[ ! -s "$work/bad" ] || fail "dead letters were written above max_rate"
# Where the input has no end, the stage waits for a person.
sed 's/until: end, //; s/^name: poison/name: waiting/' "$work/poison.yaml" > "$work/waiting.yaml"
MAX_RATE=1 "$millstream" run "$work/waiting.yaml" --data "$work/data" > "$work/waiting.log" 2>&1 &
waiting=$!
pids+=("$waiting")
for _ in $(seq 300); do grep -q 'The stage is paused' "$work/waiting.log" && break; pause 0.1; done
grep -q 'The stage is paused' "$work/waiting.log" || fail "a run without an end is not paused"
kill "$waiting"
wait "$waiting" 2> /dev/null || true
out bad
[ ! -s "$work/bad" ] || fail "dead letters were written by a stage that paused"
start() {
    "$millstream" run "$work/poison.yaml" --data "$work/data" >> "$work/run.log" 2>> "$work/run.err" &
    run=$!
    pids+=("$run")
}
start
kill_again "$run" "$kills" start
wait "$pid" || fail "the run did not end well"
for topic in shares minutes bad; do out "$topic"; done
python3 - "$work" "$n" << 'X' || fail "rows or dead letters are not as they should be"
import collections, json, sys
work, n = sys.argv[1], int(sys.argv[2])
of = lambda topic: [json.loads(line) for line in open(f"{work}/{topic}")]
sales = [json.loads(line.split("\t")[1]) for line in open(f"{work}/sales")]
step = {0: "shares", 1: "kept", 2: "shares"}
bad = collections.Counter((s["n"], step[s["qty"]]) for s in sales if s["qty"] in step)
good = {s["n"]: s for s in sales if s["qty"] not in step}
large = {i for i in good if i % 1000 in (500, 501)}
rows = [json.loads(r["value"]) for r in of("shares")]
assert sorted(r["n"] for r in rows) == sorted(set(good) - large), f"{len(rows)} shares"
assert all(r["share"] == 100 // good[r["n"]]["qty"] and r["floor"] == int(r["store"][1:]) + 1 for r in rows)
letters = [({k: v for k, v in r["headers"]}, r["value"]) for r in of("bad")]
origins = [h["millstream.origin"] for h, _ in letters if h["millstream.origin"].startswith("sales-")]
assert len(origins) == len(set(origins)), "a record is told twice"
told = collections.Counter()
kinds = collections.Counter()
for headers, value in letters:
    kinds[headers["millstream.reason"], headers["millstream.step"]] += 1
    if headers["millstream.origin"].startswith("sales-"):
        assert headers["millstream.reason"] == "failed_expression" and "ivide by zero" in headers["millstream.error"], headers
        told[json.loads(value)["n"], headers["millstream.step"]] += 1
assert told == bad, f"{len(told)} of {len(bad)} bad records are told"
too_large = [(h, v) for h, v in letters if h["millstream.reason"] == "too_large"]
assert len(too_large) == len(large), f"{len(too_large)} rows were too large, of {len(large)}"
assert any("millstream.cut_from" in h for h, _ in too_large) and all("millstream.cut_from" in h or json.loads(v)["n"] in large for h, v in too_large)
groups = collections.defaultdict(list)
for s in good.values():
    groups[s["store"], s["at"] // 60000].append(s["big"])
want, beyond, zero = {}, 0, 0
for (store, minute), values in groups.items():
    if sum(values) > 2**63 - 1:
        beyond += 1
    elif len(values) == 66:
        zero += 1
    else:
        want[store, minute] = (len(values), sum(values), int(100 / (len(values) - 66)))
import datetime
have = {}
for r in (json.loads(r["value"]) for r in of("minutes")):
    at = datetime.datetime.fromisoformat(r["window_start"].replace("Z", "+00:00")).timestamp()
    key = r["store"], int(at) // 60
    assert key not in have, f"{key} fired twice"
    have[key] = (r["n"], r["total"], r["x"])
assert have == want, f"{len(have)} windows, of {len(want)}: {[(k, have.get(k), want.get(k)) for k in set(have) | set(want) if have.get(k) != want.get(k)][:3]}"
rows = [(h, json.loads(v)) for h, v in letters if h["millstream.origin"] == "a row of minutes"]
assert beyond > 0 and zero > 0, f"{beyond} sums, {zero} divisions: nothing is shown"
sums = [v for h, v in rows if "is beyond what Int64 holds" in h["millstream.error"]]
assert len(sums) == beyond and len(rows) == beyond + zero, f"{len(rows)} rows of windows are told, {len(sums)} of them sums; {beyond} and {zero} are bad"
assert all("store" in v for v in sums)
print(f"{len(letters)} dead letters: {dict(kinds)}")
X
# A line of a file that is too large for the topic that it goes to is told too, and others go on.
mkdir "$work/in"
cat > "$work/inbox.yaml" << 'X'
version: 1
name: inbox
broker: ${env:BROKER}
schemas:
  sale:
    fields:
      n:     { type: int64, required: true }
      store: { type: string, required: true }
topics:
  lines: { partitions: 2, key: store, retention: forever }
sources:
  inbox: { type: file, path: "in/*.jsonl", schema: sale }
sinks:
  out: { type: topic, inputs: [inbox], topic: lines }
X
"$millstream" topic create lines --bootstrap "$broker" --partitions 2 --config max.message.bytes=6000 >> "$work/create.log"
awk -F '\t' 'lines < 1000 { lines++; print $2 }' "$work/sales" > "$work/in/sales.jsonl"
"$millstream" run "$work/inbox.yaml" --data "$work/data" > "$work/inbox.log" 2>&1 || fail "a file with a large line ends the run"
out lines
out inbox-dead_letters
[ "$(wc -l < "$work/lines") $(grep -c too_large "$work/inbox-dead_letters")" = "999 1" ] || fail "$(wc -l < "$work/lines") lines came, and $(wc -l < "$work/inbox-dead_letters") are told"
echo "poison ok: $n records, $killed kills"
