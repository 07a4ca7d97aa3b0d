#!/usr/bin/env bash
# Groups that are kept up to date: sales by product, without windows, by two workers of which one is killed with SIGKILL again and again,
# with changelogs that are written anew all the time; and by windows that are sent at their end and again for rows that come up to two
# minutes late. A reader who keeps the last row of each product, or of each product and window, has the recount's sums in the
# end; so it has those of a third level: sales that are joined with their products for ever, summed up by product, and from there by
# class in a stage behind, where the rows of products take the place of each other. Then more sales come, and a later run goes on from there, in the window that the first one ended in too; by day, where each is given once, they are late. N sales, SEED, KILLS; MILLSTREAM names the program.
# BROKER=host:port is another cluster (Apache Kafka), fresh for each call.
. "$(dirname "$0")/lib.sh"
n="${N:-200000}" seed="${SEED:-1}" kills="${KILLS:-3}"
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1 (SEED=$seed)"; tail -n 20 "$work"/*.log "$work"/*.err; exit 1; }
cat > "$work/sums.yaml" << 'X'
version: 1
name: sums
broker: ${env:BROKER}
schemas:
  sale:
    fields:
      sku:   { type: string, required: true }
      qty:   { type: int64, required: true }
      price: { type: decimal, precision: 12, scale: 2, required: true }
      at:    { type: timestamp_ms, required: true }
  product:
    fields:
      sku:   { type: string, required: true }
      class: { type: int64, required: true }
topics:
  sales: { partitions: 4, key: sku }
  sums:  { partitions: 2, key: sku, cleanup: compact }
  hours: { partitions: 2, key: sku, retention: forever }
  days:  { partitions: 2, key: sku, retention: forever }
  products: { partitions: 4, key: sku }
  by_class: { partitions: 3, key: class }
  classes:  { partitions: 2, key: class, cleanup: compact }
sources:
  products: { type: topic, topic: products, schema: product, until: end }
  sales: { type: topic, topic: sales, schema: sale, until: end, watermark: { column: at, delay: 1s } }
transforms:
  summed:
    type: sql
    inputs: [sales]
    sql: SELECT sku, COUNT(*) AS n, SUM(qty * price) AS revenue, MAX(price) AS most FROM sales GROUP BY sku
    emit: { on_update: 100ms }
  windowed:
    type: sql
    inputs: [sales]
    sql: |
      SELECT sku, window_start, window_end, COUNT(*) AS n, SUM(qty * price) AS revenue, MAX(price) AS most
      FROM HOP(sales, at, INTERVAL '10 minutes', INTERVAL '1 hour') GROUP BY sku, window_start, window_end
    late: { allow: 2m, then: update, beyond: dead_letter }
  # The end of the first run closes its days, and no window of the hours beside them.
  daily:
    type: sql
    inputs: [sales]
    sql: |
      SELECT sku, window_start AS day, COUNT(*) AS n, SUM(qty * price) AS revenue, MAX(price) AS most
      FROM TUMBLE(sales, at, INTERVAL '1 day') GROUP BY sku, window_start, window_end
    late: { allow: 3m, then: drop }
  classed:
    type: sql
    inputs: [sales, products]
    keep: forever
    sql: SELECT s.sku, p.class, s.qty, s.price FROM sales AS s JOIN products AS p ON p.sku = s.sku
  of_products:
    type: sql
    inputs: [classed]
    sql: SELECT sku, class, COUNT(*) AS n, SUM(qty * price) AS revenue, MAX(price) AS most FROM classed GROUP BY sku, class
    emit: { on_update: 150ms }
  by_class: { type: topic, inputs: [of_products], topic: by_class }
  of_classes:
    type: sql
    inputs: [by_class]
    sql: SELECT class, SUM(n) AS n, SUM(revenue) AS revenue, MAX(most) AS most FROM by_class GROUP BY class
    emit: { on_update: 100ms }
sinks:
  classes: { type: topic, inputs: [of_classes], topic: classes }
  sums:  { type: topic, inputs: [summed], topic: sums }
  hours: { type: topic, inputs: [windowed], topic: hours }
  days:  { type: topic, inputs: [daily], topic: days }
X
python3 - "$n" "$seed" "$work" << 'X'
import collections, datetime, decimal, random, sys
n, seed, work = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rng = random.Random(seed)
sums = collections.defaultdict(lambda: [0, 0, 0])
now, MINUTE = 1_700_000_000_000, 60_000
def iso(at):
    return datetime.datetime.fromtimestamp(at / 1000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M")
# What products are, in two parts.
skus = [f"p{number}" for number in range(3000)]
for part, told in [("early", skus[::2]), ("later", skus[1::2])]:
    with open(f"{work}/{part}", "w") as out:
        out.writelines(f'{sku}\t{{"sku":"{sku}","class":{int(sku[1:]) % 7}}}\n' for sku in told)
for part in ["first", "second"]:
    with open(f"{work}/{part}", "w") as out:
        for _ in range(n if part == "first" else n // 10):
            sku, qty, cents = f"p{min(rng.randrange(3000), rng.randrange(3000))}", rng.randrange(1, 9), rng.randrange(1, 99_999)
            # Some five hours of sales, each up to two minutes late.
            now += rng.randrange(36_000_000 // n)
            at = now - rng.randrange(2 * MINUTE)
            out.write(f'{sku}\t{{"sku":"{sku}","qty":{qty},"price":{cents // 100}.{cents % 100:02},"at":{at}}}\n')
            first = at // (10 * MINUTE) * 10 * MINUTE
            windows = [f"{sku} {iso(first - back * 10 * MINUTE)}" for back in range(6)]
            # What comes with the second run is late for days.
            days = [f"{sku} {iso(at)[:10]}"] if part == "first" else []
            for key in [sku, f"c{int(sku[1:]) % 7}", *windows, *days]:
                of = sums[key]
                of[0], of[1], of[2] = of[0] + 1, of[1] + qty * cents, max(of[2], cents)
    with open(f"{work}/wanted-{part}", "w") as out:
        for key, (count, revenue, most) in sorted(sums.items()):
            out.write(f"{key} {count} {decimal.Decimal(revenue) / 100:.2f} {decimal.Decimal(most) / 100:.2f}\n")
X
broker="${BROKER:-}"
if [ -z "$broker" ]; then
    start_broker "$work/broker" --set group.consumer.session.timeout.ms=3000 --set group.consumer.heartbeat.interval.ms=500
    pids+=("$broker_pid")
fi
worker() { # NAME
    BROKER="$broker" "$millstream" run "$work/sums.yaml" --data "$work/data-$1" --instance "$1" --set defaults.commit_interval=50ms \
        --set defaults.snapshot_after=1KiB >> "$work/$1.log" 2>> "$work/$1.err" &
    pids+=($!)
}
"$millstream" topic create sales --bootstrap "$broker" --partitions 4 > "$work/create.log"
RANDOM="$seed"
killed=0
"$millstream" topic create products --bootstrap "$broker" --partitions 4 >> "$work/create.log"
for part in first second; do
    [ "$part" = second ] || for told in early later; do
        "$millstream" produce products --bootstrap "$broker" --key-separator $'\t' --file "$work/$told" > "$work/produce.log" || fail "producing"
    done
    "$millstream" produce sales --bootstrap "$broker" --key-separator $'\t' --file "$work/$part" > "$work/produce.log" || fail "producing"
    worker a
    a="${pids[-1]}"
    worker b
    b="${pids[-1]}"
    kill_again "$a" "$kills" worker a
    wait "$pid" || fail "the worker that was killed and came back failed"
    wait "$b" || fail "the other worker failed"
    : > "$work/rows"
    for topic in sums hours days classes; do
        "$millstream" consume "$topic" --bootstrap "$broker" --from beginning --until-end --isolation read_committed >> "$work/rows" 2> "$work/consume.err" || fail "reading the result"
    done
    python3 - "$work/rows" << 'X' | sort > "$work/found"
import decimal, json, sys
last = {}
for line in open(sys.argv[1]):
    row = json.loads(line, parse_float=decimal.Decimal)
    window = [row["window_start"][:16]] if "window_start" in row else [row["day"][:10]] if "day" in row else []
    last[" ".join([row.get("sku") or f"c{row['class']}", *window])] = row
for key, row in last.items():
    print(key, row["n"], f'{row["revenue"]:.2f}', f'{row["most"]:.2f}')
X
    sort "$work/wanted-$part" > "$work/sorted"
    diff "$work/sorted" "$work/found" > "$work/diff.log" || fail "the sums are not those of the recount: $(head -n 4 "$work/diff.log")"
done
[ "$killed" -gt 0 ] || fail "nothing was killed; take a larger N"
hours="$(grep -c window_start "$work/rows")" windows="$(grep -c : "$work/found")"
[ "$hours" -gt "$windows" ] || fail "no row of a window was sent again"
days="$(grep -c '"day"' "$work/rows")" wanted="$(grep -cE '^p[0-9]+ [0-9]+-[0-9]+-[0-9]+ ' "$work/found")"
[ "$days" -eq "$wanted" ] || fail "$days rows of days came, and there are $wanted: each comes once"
echo "$n sales and a tenth more, workers killed $killed times: $(wc -l < "$work/found") sums as recounted, $(wc -l < "$work/rows") rows sent"
