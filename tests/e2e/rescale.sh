#!/usr/bin/env bash
# Workers come and go while rows flow: one, then four, then two, then one again with SIGKILL, over windows and groups with state. What came
# out is held against a recount; and how long the results of a partition stood still at most is told, of all partitions, while nothing
# changed and while workers came and went.
# RATE rows a second, STEP seconds for each number of workers, KEYS, SEED; MILLSTREAM names the program. BROKER=host:port is another
# cluster (Apache Kafka), fresh for each call.
. "$(dirname "$0")/lib.sh"
rate="${RATE:-4000}" step="${STEP:-5}" keys="${KEYS:-2000}" seed="${SEED:-1}"
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1 (SEED=$seed)"; tail -n 20 "$work"/*.log "$work"/*.err; exit 1; }
cat > "$work/scaled.yaml" << 'X'
version: 1
name: scaled
broker: ${env:BROKER}
schemas:
  sale:
    fields:
      sku: { type: string, required: true }
      qty: { type: int64, required: true }
      at:  { type: timestamp_ms, required: true }
topics:
  sales:   { partitions: 8, key: sku }
  windows: { partitions: 8, key: sku, retention: forever }
  sums:    { partitions: 8, key: sku, retention: forever }
sources:
  sales: { type: topic, topic: sales, schema: sale, watermark: { column: at, delay: 100ms } }
transforms:
  windowed:
    type: sql
    inputs: [sales]
    sql: |
      SELECT sku, window_end, COUNT(*) AS n, SUM(qty) AS qty
      FROM HOP(sales, at, INTERVAL '200 milliseconds', INTERVAL '1 second') GROUP BY sku, window_start, window_end
  summed:
    type: sql
    inputs: [sales]
    sql: SELECT sku, COUNT(*) AS n, SUM(qty) AS qty FROM sales GROUP BY sku
    emit: { on_update: 500ms }
sinks:
  windows: { type: topic, inputs: [windowed], topic: windows }
  sums:    { type: topic, inputs: [summed], topic: sums }
X
broker="${BROKER:-}"
if [ -z "$broker" ]; then
    start_broker "$work/broker" --set group.consumer.session.timeout.ms=3000 --set group.consumer.heartbeat.interval.ms=500
    pids+=("$broker_pid")
fi
worker() { # NAME ARGUMENT...
    local name="$1"
    shift
    BROKER="$broker" "$millstream" run "$work/scaled.yaml" --data "$work/data-$name" --instance "$name" \
        --set defaults.commit_interval=100ms "$@" >> "$work/$name.log" 2>> "$work/$name.err" &
    pids+=($!)
}
owners() { # how many members of the group have partitions
    "$millstream" group describe scaled-sales --bootstrap "$broker" --format json 2> /dev/null |
        python3 -c 'import json, sys; g = json.load(sys.stdin); print(sum(1 for m in g["members"] if m["partitions"]))' 2> /dev/null || echo 0
}
until_owners() {
    for _ in $(seq 300); do
        [ "$(owners)" = "$1" ] && return
        pause 0.1
    done
    fail "$(owners) workers have partitions and not $1"
}
changes() { date +%s%3N >> "$work/changes"; }
worker a
until_owners 1
# Rows at the pace of the clock, each window's sum by product kept for the recount.
python3 - "$rate" "$keys" "$seed" "$work" << 'X' > >("$millstream" produce sales --bootstrap "$broker" --key-separator $'\t' > "$work/produce.log" 2> "$work/produce.err") &
import collections, os, random, sys, time
rate, keys, seed, work = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
rng = random.Random(seed)
windows, sums, rows = collections.defaultdict(lambda: [0, 0]), collections.defaultdict(lambda: [0, 0]), 0
began = time.time()
while not os.path.exists(f"{work}/enough"):
    due, lines = int((time.time() - began) * rate) - rows, []
    for _ in range(due):
        at = int(time.time() * 1000) - rng.randrange(100)
        sku, qty = f"p{rng.randrange(keys)}", rng.randrange(1, 9)
        lines.append(f'{sku}\t{{"sku":"{sku}","qty":{qty},"at":{at}}}\n')
        first = at // 200 * 200 + 200
        for end in range(first, first + 1000, 200):
            of = windows[sku, end]
            of[0], of[1] = of[0] + 1, of[1] + qty
        of = sums[sku]
        of[0], of[1] = of[0] + 1, of[1] + qty
    rows += due
    sys.stdout.write("".join(lines))
    sys.stdout.flush()
    time.sleep(0.01)
with open(f"{work}/wanted-windows", "w") as out:
    out.writelines(f"{sku} {end} {n} {qty}\n" for (sku, end), (n, qty) in windows.items())
with open(f"{work}/wanted-sums", "w") as out:
    out.writelines(f"{sku} {n} {qty}\n" for sku, (n, qty) in sums.items())
with open(f"{work}/rows", "w") as out:
    out.write(str(rows))
X
feeder=$!
pids+=("$feeder")
pause "$step"
changes
for name in b c d; do worker "$name"; done
until_owners 4
pause "$step"
changes
# The two of the middle go, cleanly.
kill -TERM "${pids[-3]}" "${pids[-2]}"
wait "${pids[-3]}" || fail "worker b's stop"
wait "${pids[-2]}" || fail "worker c's stop"
until_owners 2
pause "$step"
changes
kill -9 "${pids[-1]}" && wait "${pids[-1]}" 2> /dev/null || true
until_owners 1
pause "$step"
touch "$work/enough"
wait "$feeder" || fail "the feeder"
for _ in $(seq 300); do
    grep -q acknowledged "$work/produce.log" && break
    pause 0.1
done
grep -q "$(cat "$work/rows") records acknowledged" "$work/produce.log" || fail "not all rows were acknowledged"
# The last run ends, and closes what is open.
for pid in "${pids[@]}"; do [ "$pid" = "${broker_pid:-}" ] || kill -TERM "$pid" 2> /dev/null || true; done
wait "$feeder" 2> /dev/null || true
for pid in "${pids[@]}"; do [ "$pid" = "${broker_pid:-}" ] || wait "$pid" 2> /dev/null || true; done
worker a --set sources.sales.until=end
wait "${pids[-1]}" || fail "the last run"
for topic in windows sums; do
    timeout 120 kcat -b "$broker" -C -t "$topic" -e -q -X isolation.level=read_committed -f '%p %T %s\n' > "$work/out-$topic" 2> "$work/kcat.err" || fail "reading $topic"
done
python3 - "$work" << 'X' || fail "what came out is not what the recount has"
import collections, datetime, json, sys
work = sys.argv[1]
ms = lambda text: round(datetime.datetime.fromisoformat(text).timestamp() * 1000)
found, last, times = collections.Counter(), {}, collections.defaultdict(list)
for line in open(f"{work}/out-windows"):
    partition, at, row = line.split(" ", 2)
    row = json.loads(row)
    found[f'{row["sku"]} {ms(row["window_end"])} {row["n"]} {row["qty"]}\n'] += 1
    times[partition].append(int(at))
wanted = collections.Counter(open(f"{work}/wanted-windows"))
assert found == wanted, f"windows: {list((found - wanted).items())[:3]} too many, {list((wanted - found).items())[:3]} missing"
for line in open(f"{work}/out-sums"):
    row = json.loads(line.split(" ", 2)[2])
    last[row["sku"]] = f'{row["sku"]} {row["n"]} {row["qty"]}\n'
assert sorted(last.values()) == sorted(open(f"{work}/wanted-sums")), "sums"
changes = [int(line) for line in open(f"{work}/changes")]
def gap(of, start, end):
    of = sorted(of)
    return max((b - a for a, b in zip(of, of[1:]) if start < b <= end), default=0)
end = max(max(of) for of in times.values()) - 2_000
spans = [("one worker", changes[0] - 4_000, changes[0]), ("to four", changes[0], changes[1]), ("to two", changes[1], changes[2]), ("one killed", changes[2], end)]
rows = open(f"{work}/rows").read()
print(f"{rows} rows, {sum(found.values())} windows and {len(last)} sums as recounted; the longest that a partition's results stood still: "
      + ", ".join(f"{name} {max(gap(of, a, b) for of in times.values())} ms (least {min(gap(of, a, b) for of in times.values())})" for name, a, b in spans))
X
