#!/usr/bin/env bash
# State goes on from copies: a worker that comes to another has read what it is given before it joins, and of two workers that keep copies
# of each other's state one is killed with SIGKILL. What came out is held against a recount, and the metrics say where state came from:
# from copies, but for those of which a worker could not be certain that nothing is missing.
# STORED=1 keeps snapshots of state in a folder: copies begin with them. ROWS a run and KEYS, SEED; MILLSTREAM names the program. BROKER=host:port is another cluster (Apache Kafka), fresh for each call.
. "$(dirname "$0")/lib.sh"
rows="${ROWS:-60000}" keys="${KEYS:-20000}" seed="${SEED:-1}"
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1 (SEED=$seed)"; tail -n 20 "$work"/*.log "$work"/*.err; exit 1; }
# Snapshots are made all the time, and changelogs cut beneath the copies.
cat > "$work/kept.yaml" << 'X'
version: 1
name: kept
broker: ${env:BROKER}
defaults: { commit_interval: 100ms, snapshot_after: 32KiB, standby: 1 }
schemas:
  sale:
    fields:
      id:  { type: string, required: true }
      sku: { type: string, required: true }
      qty: { type: int64, required: true }
      at:  { type: timestamp_ms, required: true }
topics:
  sales: { partitions: 8, key: sku }
  sums:  { partitions: 8, key: sku, retention: forever }
  days:  { partitions: 8, key: sku, retention: forever }
sources:
  sales: { type: topic, topic: sales, schema: sale, watermark: { column: at, delay: 1s } }
transforms:
  once:
    type: dedupe
    inputs: [sales]
    key: [sku, id]
    within: 30d
  summed:
    type: sql
    inputs: [once]
    sql: SELECT sku, COUNT(*) AS n, SUM(qty) AS qty FROM once GROUP BY sku
    emit: { on_update: 200ms }
  by_day:
    type: sql
    inputs: [once]
    sql: |
      SELECT sku, window_end, COUNT(*) AS n, SUM(qty) AS qty
      FROM TUMBLE(once, at, INTERVAL '1 day') GROUP BY sku, window_start, window_end
sinks:
  sums: { type: topic, inputs: [summed], topic: sums }
  days: { type: topic, inputs: [by_day], topic: days }
X
[ -z "${STORED:-}" ] || sed -i "s|standby: 1 }|standby: 1, snapshots: { url: '$work/store', grace: 10s } }|" "$work/kept.yaml"
broker="${BROKER:-}"
if [ -z "$broker" ]; then
    start_broker "$work/broker" --set group.consumer.session.timeout.ms=3000 --set group.consumer.heartbeat.interval.ms=500
    pids+=("$broker_pid")
fi
worker() { # NAME ARGUMENT...
    local name="$1"
    shift
    eval "metrics_$name=127.0.0.1:$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
    local at="metrics_$name"
    MILLSTREAM_LOG=info BROKER="$broker" "$millstream" run "$work/kept.yaml" --data "$work/data-$name" --instance "$name" --metrics "${!at}" "$@" \
        >> "$work/$name.log" 2>> "$work/$name.err" &
    pids+=($!)
}
figure() { # WORKER NAME: of the stage that keeps the state
    local at="metrics_$1"
    { curl -s -m 30 "http://${!at}/metrics" || true; } | awk -v name="$2{" 'index($1, name) == 1 && /stage="sales"/ { print int($2) }'
}
# until_is WORKER NAME AT-LEAST
until_is() {
    for _ in $(seq 600); do
        local found
        found="$(figure "$1" "$2")"
        [ "${found:-0}" -ge "$3" ] && return
        pause 0.1
    done
    fail "worker $1 says $2 $(figure "$1" "$2") and not $3"
}
# taken WORKER: how many key groups it has taken over
taken() {
    local copied read
    copied="$(figure "$1" millstream_stage_key_groups_copied_total)" read="$(figure "$1" millstream_stage_key_groups_read_total)"
    echo $((${copied:-0} + ${read:-0}))
}
# took WORKER AT-LEAST: waits until it has taken so many over in all, and adds those that came from copies since the last call to `copied`
# and to those of this worker.
copied=0
took() {
    local found of="copied_$1"
    for _ in $(seq 600); do
        [ "$(taken "$1")" -ge "$2" ] && break
        pause 0.1
    done
    [ "$(taken "$1")" -ge "$2" ] || fail "worker $1 has taken $(taken "$1") key groups over and not $2"
    found="$(figure "$1" millstream_stage_key_groups_copied_total)"
    copied=$((copied + found - ${!of:-0}))
    eval "$of=$found"
}
# A row each second of event time, which are days, each third one again somewhat later.
feed() { # FROM TO
    python3 - "$1" "$2" "$keys" "$seed" "$work" << 'X' | "$millstream" produce sales --bootstrap "$broker" --key-separator $'\t' >> "$work/produce.log" 2>> "$work/produce.err" || fail "producing"
import random, sys
first, end, keys, seed, work = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
rng, sent = random.Random(f"{seed} {first}"), []
with open(f"{work}/sent", "a") as out:
    for number in range(first, end):
        sku, qty, at = f"product-{rng.randrange(keys):08}", rng.randrange(1, 9), 1_760_000_000_000 + 1_000 * number
        row = f'{sku}\t{{"id":"{number}","sku":"{sku}","qty":{qty},"at":{at}}}\n'
        sys.stdout.write(row)
        out.write(f"{sku} {at // 86_400_000} {qty}\n")
        if rng.randrange(3) == 0:
            sent.append(row)
        if len(sent) > 500:
            sys.stdout.write(sent.pop(rng.randrange(len(sent))))
X
}
caught_up() { # WORKER...: nothing waits in their input, in three looks that are further apart than the workers' own
    local looks=0
    for _ in $(seq 600); do
        local lag=0 worker found
        for worker in "$@"; do
            found="$(figure "$worker" millstream_stage_lag_records)"
            lag=$((lag + ${found:-1}))
        done
        if [ "$lag" = 0 ]; then looks=$((looks + 1)); else looks=0; fi
        [ "$looks" = 3 ] && return
        pause 0.6
    done
    fail "the workers $* do not catch up"
}
worker a
until_is a millstream_stage_key_groups_read_total 8
feed 0 "$rows"
caught_up a
[ -z "${STORED:-}" ] || until_is a millstream_stage_snapshots_total 4
# The second worker has read all of it before it joins.
worker b
took b 4
until_is a millstream_stage_standby_key_groups 4
until_is b millstream_stage_standby_key_groups 4
feed "$rows" $((2 * rows)) &
feeder=$!
pause 0.5
kill -9 "${pids[-1]}" && wait "${pids[-1]}" 2> /dev/null || true
wait "$feeder" || fail "the feeder"
took a 12
caught_up a
# It comes back; then the other goes, in order.
copied_b=0
worker b
took b 4
until_is b millstream_stage_standby_key_groups 4
feed $((2 * rows)) $((3 * rows)) &
feeder=$!
for at in "${!pids[@]}"; do [ "${pids[at]}" = "${broker_pid:-}" ] || { first="${pids[at]}"; break; }; done
kill -TERM "$first"
wait "$first" || fail "worker a's stop"
wait "$feeder" || fail "the feeder"
took b 8
caught_up b
[ "$copied" -ge 8 ] || fail "of 16 key groups that were taken over $copied came from copies"
kill -TERM "${pids[-1]}"
wait "${pids[-1]}" || fail "worker b's stop"
worker a --set sources.sales.until=end
wait "${pids[-1]}" || fail "the last run"
for topic in sums days; do
    kcat -b "$broker" -C -t "$topic" -e -q -X isolation.level=read_committed -f '%s\n' > "$work/out-$topic" 2> "$work/kcat.err" || fail "reading $topic"
done
python3 - "$work" "$copied" << 'X' || fail "what came out is not what the recount has"
import collections, datetime, json, sys
work = sys.argv[1]
day = lambda text: round(datetime.datetime.fromisoformat(text).timestamp()) // 86_400 - 1
wanted, by_day = collections.defaultdict(lambda: [0, 0]), collections.defaultdict(lambda: [0, 0])
for line in open(f"{work}/sent"):
    sku, at, qty = line.split()
    for of in (wanted[sku], by_day[sku, int(at)]):
        of[0], of[1] = of[0] + 1, of[1] + int(qty)
last = {}
for line in open(f"{work}/out-sums"):
    row = json.loads(line)
    last[row["sku"]] = [row["n"], row["qty"]]
assert last == wanted, f"sums: {len(last)} of {len(wanted)}, {[(k, last.get(k), v) for k, v in wanted.items() if last.get(k) != v][:3]}"
found = collections.Counter()
for line in open(f"{work}/out-days"):
    row = json.loads(line)
    found[row["sku"], day(row["window_end"]), row["n"], row["qty"]] += 1
of = collections.Counter((sku, at, n, qty) for (sku, at), (n, qty) in by_day.items())
assert found == of, f"days: {list((found - of).items())[:3]} too many, {list((of - found).items())[:3]} missing"
print(f"{sum(n for n, _ in wanted.values())} rows once, {len(last)} sums and {sum(found.values())} days as recounted; state of {sys.argv[2]} of 16 key groups came from copies at two starts, a kill and a stop")
X
