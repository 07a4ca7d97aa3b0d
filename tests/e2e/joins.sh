#!/usr/bin/env bash
# reorder-proposals on a broker process: two topics that stock producers might have written, of which one is there long before
# the other; two workers of which one is killed with SIGKILL again and again; the balances held against a recount. Then live: a
# topic that is silent holds the other back for its idle time and no longer. N sales, SEED, KILLS; MILLSTREAM names the program.
# BROKER=host:port is another cluster (Apache Kafka), fresh for each call.
. "$(dirname "$0")/lib.sh"
n="${N:-400000}" seed="${SEED:-1}" kills="${KILLS:-3}"
pipeline=pipelines/examples/reorder-proposals/pipeline.yaml
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1 (SEED=$seed)"; tail -n 20 "$work"/*.log "$work"/*.err; exit 1; }
# Sales and shipments of 200 products over two days, each in order up to a second; what each hour's balance is.
python3 - "$n" "$seed" "$work" <<'X'
import collections, datetime, json, random, sys
n, seed, work = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rng = random.Random(seed)
start, span = 1_767_261_600_000, 48 * 3_600_000
iso = lambda ms: datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03}Z"
balance = collections.defaultdict(lambda: [0, 0])
def put(out, i, of, column, row, qty):
    at = start + i * span // of - rng.randrange(1_000)
    balance[row["sku"], at // 3_600_000 * 3_600_000][column] += qty
    row["at" if column == 0 else "arrived_at"] = at
    out.write(f"{row['sku']}\t" + json.dumps(row) + "\n")
sku = lambda: f"p{min(rng.randrange(200), rng.randrange(200))}"
with open(f"{work}/sales", "w") as out:
    for i in range(n):
        qty = rng.randrange(1, 5)
        put(out, i, n, 0, {"sku": sku(), "store_id": f"S{i % 9}", "qty": qty}, qty)
with open(f"{work}/shipments", "w") as out:
    for i in range(n // 4):
        boxes = rng.randrange(1, 4)
        put(out, i, n // 4, 1, {"sku": sku(), "boxes": boxes, "per_box": 6}, boxes * 6)
with open(f"{work}/wanted", "w") as out:
    for (sku, hour), (sold, shipped) in sorted(balance.items()):
        out.write(json.dumps({"sku": sku, "hour": iso(hour), "sold": sold, "shipped": shipped}, separators=(",", ":")) + "\n")
X
broker="${BROKER:-}"
if [ -z "$broker" ]; then
    start_broker "$work/broker" --set group.consumer.session.timeout.ms=3000 --set group.consumer.heartbeat.interval.ms=500
    pids+=("$broker_pid")
fi
for topic in sales shipments; do
    "$millstream" topic create $topic --bootstrap "$broker" --partitions 4 > "$work/create.log"
    "$millstream" produce $topic --bootstrap "$broker" --key-separator $'\t' --file "$work/$topic" > "$work/produce.log" || fail "producing $topic"
done
worker() { # NAME
    BROKER="$broker" "$millstream" run $pipeline --data "$work/data-$1" --instance "$1" --set sources.sales.until=end \
        --set sources.shipments.until=end --set defaults.commit_interval=50ms --set defaults.snapshot_after=1KiB \
        >> "$work/$1.log" 2>> "$work/$1.err" &
    pids+=($!)
}
worker a
a="${pids[-1]}"
worker b
b="${pids[-1]}"
RANDOM="$seed"
killed=0
for _ in $(seq "$kills"); do
    pause "$(awk -v r="$RANDOM" 'BEGIN { print 0.05 + r / 32768 }')"
    kill -0 "$a" 2> /dev/null || break
    kill -9 "$a" && killed=$((killed + 1))
    wait "$a" 2> /dev/null || true
    worker a
    a="${pids[-1]}"
done
wait "$a" || fail "the worker that was killed and came back failed"
wait "$b" || fail "the other worker failed"
"$millstream" consume balances --bootstrap "$broker" --from beginning --until-end --isolation read_committed > "$work/balances" 2> "$work/consume.err" || fail "reading the result"
sort "$work/balances" > "$work/found"
sort "$work/wanted" > "$work/sorted"
diff "$work/sorted" "$work/found" > "$work/diff.log" || fail "the rows are not those of the recount"
[ "$killed" -gt 0 ] || fail "nothing was killed; take a larger N"
# Live: sales go on, and no shipment ever comes. What was sold comes all the same, when the other topic has been idle.
BROKER="$broker" "$millstream" run $pipeline --data "$work/live" --instance live --set name=live \
    --set topics.sales.name=l-sales --set topics.shipments.name=l-shipments --set topics.balances.name=l-balances \
    --set topics.proposals.name=l-proposals --set sources.shipments.watermark.idle=500ms \
    --set defaults.commit_interval=50ms >> "$work/live.log" 2>> "$work/live.err" &
pids+=($!)
until "$millstream" topic list --bootstrap "$broker" | grep -q l-proposals; do
    kill -0 "${pids[-1]}" || fail "the live worker"
    pause 0.1
done
for i in $(seq 600); do
    printf 'tea\t{"sku":"tea","store_id":"S1","qty":2,"at":%d}\n' $((1767261600000 + i * 900000)) |
        "$millstream" produce l-sales --bootstrap "$broker" --key-separator $'\t' > /dev/null
    "$millstream" consume l-proposals --bootstrap "$broker" --until-end --isolation read_committed > "$work/proposals" 2> /dev/null || true
    [ -s "$work/proposals" ] && break
done
grep -q '"sku":"tea".*"supplier":"Assam Ltd","qty":[0-9]*,"cost":' "$work/proposals" || fail "no proposal came while shipments were silent"
echo "$n sales, a worker killed $killed times: $(wc -l < "$work/found") rows as recounted"
