#!/usr/bin/env bash
# Tables that change while a pipeline runs. A topic of products, of which some are replaced and some are gone, is joined with
# sales; so is a file. Changes of both are seen by later sales, and a worker that comes back after SIGKILL begins with the table as it is
# then, and so does one whose topic is deleted and made again. Records that are no rows change nothing and are counted. Then a function looks stores up in a topic: an invoice of a store that is not in it is
# refused, and taken once the store is there. N products; MILLSTREAM names the program. BROKER=host:port is another cluster (Apache
# Kafka), fresh for each call.
. "$(dirname "$0")/lib.sh"
n="${N:-20000}"
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1"; tail -n 20 "$work"/*.log "$work"/*.err; exit 1; }
broker="${BROKER:-}"
if [ -z "$broker" ]; then
    start_broker "$work/broker" --set group.consumer.session.timeout.ms=3000 --set group.consumer.heartbeat.interval.ms=500
    pids+=("$broker_pid")
fi
cat > "$work/named.yaml" <<'X'
version: 1
name: named
broker: ${env:BROKER}
schemas:
  sale:
    fields:
      n:      { type: int64, required: true }
      sku:    { type: string, required: true }
      region: { type: string, required: true }
  product:
    fields:
      sku:   { type: string, required: true }
      name:  { type: string, required: true }
      price: { type: decimal, precision: 12, scale: 2 }
topics:
  sales:    { partitions: 4 }
  products: { partitions: 3, key: sku, cleanup: compact }
  named:    { partitions: 1, retention: forever }
sources:
  sales: { type: topic, topic: sales, schema: sale }
tables:
  products: { type: topic, topic: products, key: [sku], schema: product }
  regions:  { type: file, path: regions.csv, key: [region], poll_interval: 100ms }
transforms:
  named:
    type: sql
    inputs: [sales, products, regions]
    sql: |
      SELECT s.n, s.sku, p.name, r.manager
      FROM sales AS s LEFT JOIN (SELECT * FROM products WHERE price < 1000) AS p ON p.sku = s.sku
      LEFT JOIN regions AS r ON r.region = s.region
sinks:
  out: { type: topic, inputs: [named], topic: named }
X
printf 'region,manager\nnorth,Asha\n' > "$work/regions.csv"
produce() { # TOPIC FILE
    "$millstream" produce "$1" --bootstrap "$broker" --key-separator $'\t' --null GONE --file "$2" > "$work/produce.log" || fail "producing $1"
}
products() { # FROM TO STEP NAME PRICE: products of these numbers
    seq "$1" "$3" "$2" | awk -v name="$4" -v price="$5" '{ printf "p%d\t{\"sku\":\"p%d\",\"name\":\"%s\",\"price\":%s}\n", $1, $1, name, price }'
}
metrics="127.0.0.1:$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
start() { # PIPELINE ARGUMENT...
    BROKER="$broker" "$millstream" run "$@" --metrics "$metrics" >> "$work/run.log" 2>> "$work/run.err" &
    run=$!
    pids+=("$run")
}
figure() { # NAME LABEL: 0 where there is none yet
    curl -m 30 -fsS "http://$metrics/metrics" 2> /dev/null | awk -v name="$1" -v label="$2" 'index($0, name "{") == 1 && index($0, label) { n = $2 } END { print n + 0 }'
}
until_figure() { # NAME LABEL VALUE
    for _ in $(seq 600); do
        kill -0 "$run" 2> /dev/null || fail "the pipeline ended by itself"
        [ "$(figure "$1" "$2")" = "$3" ] && return
        pause 0.1
    done
    fail "$1 of $2 is $(figure "$1" "$2") and not $3"
}
rounds=0
sell() { # REGION: 200 sales, of products 2 to 201; their numbers begin behind `rounds` times `n`
    seq 1 200 | awk -v n="$n" -v of="$rounds" -v region="$1" '{ printf "\t{\"n\":%d,\"sku\":\"p%d\",\"region\":\"%s\"}\n", n * of + $1, $1 + 1, region }' > "$work/sales"
    produce sales "$work/sales"
    rounds=$((rounds + 1))
    for _ in $(seq 600); do
        "$millstream" consume named --bootstrap "$broker" --from beginning --until-end --isolation read_committed > "$work/named" 2> /dev/null || true
        [ "$(wc -l < "$work/named")" -ge $((rounds * 200)) ] && return
        pause 0.1
    done
    fail "$(wc -l < "$work/named") of $((rounds * 200)) sales came out"
}
wanted() { # NAME MANAGER: what the last sales have; the name is what Python makes of p, the product's number
    python3 - "$work/named" "$rounds" "$n" "$1" "$2" << 'X' || fail "sales have other products than they should"
import json, sys
file, rounds, n, name, manager = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
rows = [json.loads(line) for line in open(file)]
assert len(rows) == 200 * rounds == len({row["n"] for row in rows}), f"{len(rows)} rows"
rows = {row["n"]: row for row in rows}
for i in range(1, 201):
    p, number = i + 1, n * (rounds - 1) + i
    want = {"n": number, "sku": f"p{p}", "name": eval(name), "manager": manager}
    assert rows.get(number) == want, f"{rows.get(number)} is not {want}"
X
}
# Before the worker begins: each product once, all replaced; every tenth is gone, every seventh too dear to be joined. Two records that are no
# rows: the product stays.
make_topic products --partitions 3 --config cleanup.policy=compact > "$work/create.log"
{
    products 1 "$n" 1 old 5
    products 1 "$n" 1 new 5
    products 7 "$n" 7 dear 1000
    seq 10 10 "$n" | awk '{ printf "p%d\tGONE\n", $1 }'
    printf 'p1\t{"sku":"p1","name":7}\np2\tnonsense\n'
} > "$work/products"
produce products "$work/products"
start "$work/named.yaml" --data "$work/data"
kept="$(python3 -c "print(sum(1 for p in range(1, $n + 1) if p % 10 and p % 7))")"
until_figure millstream_table_rows 'table="products"' "$kept"
until_figure millstream_table_bad_records_total 'table="products"' 2
sell north
until_figure millstream_operator_rows_in_total 'operator="named"' 200
wanted 'None if p % 10 == 0 or p % 7 == 0 else "new"' Asha
# While it runs: one is replaced, one comes back, one goes, one is cheap again; and the file changes.
{
    products 3 3 1 newer 6
    products 10 10 1 back 6
    products 14 14 1 cheap 6
    printf 'p5\tGONE\n'
} > "$work/products"
produce products "$work/products"
until_figure millstream_table_rows 'table="products"' "$((kept + 1))"
printf 'region,manager\nnorth,Asha\nsouth,Ravi\n' > "$work/regions.new"
mv "$work/regions.new" "$work/regions.csv"
until_figure millstream_table_rows 'table="regions"' 2
changed='{3: "newer", 10: "back", 14: "cheap", 5: None}.get(p, None if p % 10 == 0 or p % 7 == 0 else "new")'
sell south
wanted "$changed" Ravi
# What is wrong with a file's new form leaves it as it was.
printf 'other\nx\n' > "$work/regions.new"
mv "$work/regions.new" "$work/regions.csv"
for _ in $(seq 600); do
    grep -q 'kept as it was before' "$work/run.err" "$work/run.log" && break
    pause 0.1
done
grep -q 'kept as it was before' "$work/run.err" "$work/run.log" || fail "nothing was said of a file with other columns"
sell north
wanted "$changed" Asha
# A worker that is killed, while the table changes, begins with the table as it is.
printf 'region,manager\nnorth,Asha\n' > "$work/regions.csv"
kill -9 "$run"
wait "$run" 2> /dev/null || true
products 6 6 1 later 6 > "$work/products"
produce products "$work/products"
start "$work/named.yaml" --data "$work/data"
until_figure millstream_table_rows 'table="products"' "$((kept + 1))"
sell north
wanted "${changed/\{3/\{6: \"later\", 3}" Asha
# A topic that is made anew is a table that is made anew.
"$millstream" topic delete products --bootstrap "$broker" > "$work/delete.log" || fail "deleting the topic"
until make_topic products --partitions 3 --config cleanup.policy=compact > "$work/create.log" 2>&1; do
    grep -q -i exists "$work/create.log" || fail "making the topic anew: $(cat "$work/create.log")"
    pause 0.1
done
products 2 4 2 fresh 5 > "$work/products"
produce products "$work/products"
until_figure millstream_table_rows 'table="products"' 2
sell north
wanted '"fresh" if p in (2, 4) else None' Asha
kill "$run"
wait "$run" || fail "the pipeline did not stop cleanly"
# Functions look up what follows a topic.
"$millstream" generate invoices --n 200 --seed 3 --dir "$work/all" > "$work/generate.log"
cp pipelines/examples/store-invoices/check_invoice.wasm "$work/"
sed -e 's|^  stores: { type: file, .*|  stores: { type: topic, topic: known_stores, key: [store_id], schema: store }|' \
    -e 's|^  invoices:    { partitions: 600,|  known_stores: { partitions: 2, key: store_id, cleanup: compact }\n  invoices:    { partitions: 8,|' \
    -e '/^tests:/,$d' "$pipeline" > "$work/invoices.yaml"
grep -q 'type: topic, topic: known_stores' "$work/invoices.yaml" || fail "the example's table of stores looks otherwise now"
store=$(cat "$work"/all/stores/*/inbox/*.jsonl | python3 -c '
import collections, json, sys
found = collections.Counter()
for line in sys.stdin:
    try:
        row = json.loads(line)
        found[row["store_id"]] += 1
    except (ValueError, KeyError, TypeError):
        pass
print(next(s for s, _ in found.most_common() if isinstance(s, str) and s.startswith("S")))')
row=$(python3 -c '
import csv, json, sys
print(next(json.dumps(r) for r in csv.DictReader(open(sys.argv[1])) if r["store_id"] == sys.argv[2]))' "$work/all/stores.csv" "$store")
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export INVOICES_DIR="$work/none" INVOICES_LISTEN="127.0.0.1:$port" LAKE_URL="$work/lake" WAREHOUSE_DSN="sqlite:$work/warehouse.db"
start "$work/invoices.yaml" --data "$work/data-invoices" --set defaults.commit_interval=50ms
# An invoice that the check takes, once its store is known.
python3 - "$work" "$store" << 'X' > "$work/invoice.json"
import glob, json, sys
for file in sorted(glob.glob(f"{sys.argv[1]}/all/stores/*/inbox/*.jsonl")):
    for line in open(file):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if row.get("store_id") == sys.argv[2]:
            sys.exit(print(line, end=""))
X
post() { # KEY
    curl -m 30 -sS -o "$work/answer" -H "Idempotency-Key: $1" --data-binary @"$work/invoice.json" "http://127.0.0.1:$port/v1/invoices" 2> "$work/curl.err" || true
    cat "$work/answer" 2> /dev/null || true
}
for _ in $(seq 600); do
    post "first-$_" | grep -q . && break
    pause 0.1
done
grep -q missing_store "$work/answer" || fail "a store that is not in the table: $(cat "$work/answer")"
printf '%s\t%s\n' "$store" "$row" > "$work/stores"
produce known_stores "$work/stores"
until_figure millstream_table_rows 'stage="lookup",table="stores"' 1
for try in $(seq 600); do
    post "again-$try" > "$work/answers.log"
    grep -q missing_store "$work/answer" || break
    pause 0.1
done
grep -q missing_store "$work/answer" && fail "the store is in the topic, and invoices of it are refused"
kill "$run"
wait "$run" || fail "the pipeline of invoices did not stop cleanly"
echo "$n products: 1,000 sales over changes, a faulty file, a kill and a topic made anew, and an invoice once its store was there"
