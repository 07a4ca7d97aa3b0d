#!/usr/bin/env bash
# What an edit adds is filled from the beginning of its topics: a pipeline that sums sales runs; then it is given windows of them, a join with
# products and a filter, each with `backfill: true`, while sales come and its process is killed with SIGKILL again and again; then the
# windows are edited, and the edit is undone. Each time all windows, matches and rows are there exactly once, those of before too,
# what was there before the edit goes on as if there had been none, and what is undone goes on where it stood. N sales, SEED,
# KILLS; MILLSTREAM names the program. BROKER=host:port is another cluster (Apache Kafka), fresh for each call.
. "$(dirname "$0")/lib.sh"
n="${N:-30000}" seed="${SEED:-1}" kills="${KILLS:-3}"
work="$(mktemp -d)"
pids=() killed=0
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1 (SEED=$seed)"; tail -n 20 "$work"/*.log "$work"/*.err; exit 1; }
RANDOM=$seed
if [ -z "${BROKER:-}" ]; then
    start_broker "$work/broker"
    pids+=("$broker_pid")
    export BROKER="$broker"
fi
lines() { "$millstream" consume "$1" --bootstrap "$BROKER" --from beginning --until-end --isolation read_committed 2> "$work/consume.err"; }
make_topic sales --partitions 4 > "$work/create.log"
make_topic products --partitions 4 >> "$work/create.log"
# Three days of sales, the last of which ends with one of each product months later, and what is to come of them.
python3 - "$n" "$seed" "$work" << 'X'
import random, sys
n, seed, work = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rng, start = random.Random(seed), 1767225600000
skus = [f"p{i}" for i in range(200)]
with open(f"{work}/products", "w") as out:
    out.writelines(f'{sku}\t{{"sku":"{sku}","class":{i % 7}}}\n' for i, sku in enumerate(skus))
sale = lambda sku, i, qty, at: f'{sku}\t{{"sku":"{sku}","id":{i},"qty":{qty},"at":{at}}}\n'
i = 0
for day in range(3):
    times = sorted(start + day * 86400000 + rng.randrange(86400000) for _ in range(n // 3))
    with open(f"{work}/day{day}", "w") as out:
        for at in times:
            i += 1
            out.write(sale(rng.choice(skus), i, rng.randrange(1, 20), at + rng.randrange(-50000, 1)))
        if day == 2:
            for sku in skus:
                i += 1
                out.write(sale(sku, i, 1, start + 100 * 86400000))
X
cat > "$work/recount.py" << 'X'
# recount.py FOLDER DAYS WHAT FOUND: whether what was found is what sales of so many days give; 1 while something lacks.
import collections, datetime, json, sys
work, days, what, found = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
sales = [json.loads(line.split("\t")[1]) for day in range(days) for line in open(f"{work}/day{day}")]
classes = {row["sku"]: row["class"] for row in (json.loads(line.split("\t")[1]) for line in open(f"{work}/products"))}
rows = [json.loads(line) for line in open(found)]
given = collections.Counter()
if what == "sums":
    wanted = collections.Counter()
    for sale in sales: wanted[sale["sku"]] += sale["qty"]
    given = {row["sku"]: row["qty"] for row in rows}
    sys.exit(0 if given == dict(wanted) else 1)
wanted = collections.Counter()
if what.startswith("hours"):
    size = int(what[5:] or 1) * 3600000
    # The last day ends with a sale of each product months later, which closes all windows before.
    sums = collections.Counter()
    for sale in sales: sums[sale["sku"], sale["at"] // size * size] += sale["qty"]
    far = 1767225600000 + 50 * 86400000
    wanted.update((sku, at, qty) for (sku, at), qty in sums.items() if at < far)
    ms = lambda text: int(datetime.datetime.fromisoformat(text).timestamp()) * 1000
    given.update((row["sku"], ms(row["at"]), row["qty"]) for row in rows)
elif what == "matched":
    wanted.update((sale["id"], classes[sale["sku"]]) for sale in sales)
    given.update((row["id"], row["class"]) for row in rows)
elif what == "large":
    wanted.update(sale["id"] for sale in sales if sale["qty"] > 15)
    given.update(row["id"] for row in rows)
beyond = given - wanted
if beyond:
    print(f"{what}: {sum(beyond.values())} of {sum(given.values())} rows are none of the {sum(wanted.values())}: {list(beyond)[:5]}", file=sys.stderr)
    sys.exit(2)
sys.exit(0 if given == wanted else 1)
X
produce() { # TOPIC FILE
    "$millstream" produce "$1" --bootstrap "$BROKER" --key-separator $'\t' --file "$work/$2" > "$work/produce.log" || fail "producing $2"
}

# edit [HOURS TOPIC]: the pipeline; from its first edit on with windows of so many hours that go to this topic, a join and a filter.
edit() {
    cat > "$work/aside" << X
version: 1
name: shop
broker: \${env:BROKER}
defaults: { commit_interval: 100ms }
schemas:
  sale: { fields: { sku: { type: string, required: true }, id: { type: int64, required: true }, qty: { type: int64, required: true }, at: { type: timestamp_ms, required: true } } }
  product: { fields: { sku: { type: string, required: true }, class: { type: int64, required: true } } }
topics:
  sales: { partitions: 4, key: sku, retention: forever }
  products: { partitions: 4, key: sku, retention: forever }
  sums: { partitions: 2, key: sku, cleanup: compact }
  hours: { partitions: 2, key: sku, retention: forever }
  hours2: { partitions: 2, key: sku, retention: forever }
  matched: { partitions: 2, key: sku, retention: forever }
  large: { partitions: 2, key: sku, retention: forever }
sources:
  sales: { type: topic, topic: sales, schema: sale, watermark: { column: at, delay: 1m } }
  products: { type: topic, topic: products, schema: product }
transforms:
  summed: { type: sql, inputs: [sales], emit: { on_update: 100ms }, sql: "SELECT sku, SUM(qty) AS qty FROM sales GROUP BY sku" }
X
    [ $# -eq 0 ] || cat >> "$work/aside" << X
  windowed:
    type: sql
    inputs: [sales]
    backfill: true
    sql: |
      SELECT sku, window_start AS at, SUM(qty) AS qty
      FROM TUMBLE(sales, at, INTERVAL '$1 hours') GROUP BY sku, window_start, window_end
  # What reads it is filled with it.
  shown: { type: map, inputs: [windowed], columns: { sku: sku, at: at, qty: qty } }
  matched:
    type: sql
    inputs: [sales, products]
    backfill: true
    keep: forever
    sql: SELECT s.sku, s.id, p.class FROM sales s JOIN products p ON s.sku = p.sku
  large: { type: filter, inputs: [sales], backfill: true, where: "qty > 15" }
X
    cat >> "$work/aside" << X
sinks:
  sums: { type: topic, inputs: [summed], topic: sums }
X
    [ $# -eq 0 ] || cat >> "$work/aside" << X
  windows: { type: topic, inputs: [shown], topic: $2 }
  matches: { type: topic, inputs: [matched], topic: matched }
  largest: { type: topic, inputs: [large], topic: large }
X
    mv "$work/aside" "$work/shop.yaml"
}
start() {
    "$millstream" worker "$work/shop.yaml" --data "$work/data" --listen 127.0.0.1:0 >> "$work/run.log" 2>> "$work/run.err" &
    pids+=($!)
}
# there DAYS WHAT TOPIC: waits until a topic has what sales of so many days give, and fails with what it gives besides.
there() {
    local deadline=$((SECONDS + 120)) code
    while :; do
        lines "$3" > "$work/found" || true
        code=0
        python3 "$work/recount.py" "$work" "$1" "$2" "$work/found" || code=$?
        [ "$code" != 0 ] || return 0
        [ "$code" = 1 ] || fail "$3 has what it should not have"
        [ $SECONDS -lt $deadline ] || fail "$3 does not come to what $1 days of sales give"
        kill -0 "${pids[-1]}" 2> /dev/null || fail "the run ended, and $3 is not what $1 days of sales give"
        pause 0.2
    done
}
: > "$work/run.err"
produce products products
edit
start
produce sales day0
there 1 sums sums
# It is given more to do while sales come, and dies on the way.
edit 1 hours
produce sales day1 &
producing=$!
kill_again "${pids[-1]}" "$kills" start
wait "$producing"
there 2 sums sums
there 2 matched matched
there 2 large large
grep -q "+ windowed is filled from the beginning of sales" "$work/run.log" || fail "the edit was not told of"
# Other windows: all of them, with those of the first day, and the others go on.
edit 2 hours2
kill_again "${pids[-1]}" "$kills" start
produce sales day2
there 3 hours2 hours2
there 3 sums sums
there 3 matched matched
there 3 large large
grep -q "~ windowed is filled anew, from the beginning of sales: it was edited" "$work/run.log" || fail "the second edit was not told of"
# Undone: it goes on where it stood, and no window comes twice.
edit 1 hours
there 3 hours hours
# And nothing more comes with the last commit.
kill -TERM "${pids[-1]}"
wait "${pids[-1]}" || fail "the run did not end well"
for topic in hours hours2 sums matched large; do
    there 3 "$topic" "$topic"
done
"$millstream" plan "$work/shop.yaml" --data "$work/data" > "$work/plan"
grep -q "filled from the beginning of its topics whenever it is edited" "$work/plan" || fail "the plan does not say what is filled"
echo "backfill ok: $n sales, $killed kills; windows of what was there before an edit, edited, and undone, each once"
