#!/usr/bin/env bash
# Results of groups that cannot be computed any more: what was written of them before is gone from a table and from a topic, and from
# groups that are made of them; a sink that knows rows by other columns keeps it. Later results are there again. Runs that go on
# from each other, so that each sends what it has. MILLSTREAM names the program.
. "$(dirname "$0")/lib.sh"
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; wait 2> /dev/null; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
fail() { echo "FAIL: $1"; tail -n 20 "$work"/*.log; exit 1; }
cat > "$work/shares.yaml" << X
version: 1
name: shares
broker: \${env:BROKER}
schemas:
  sold: { fields: { shop: { type: string, required: true }, kind: { type: string, required: true }, qty: { type: int64, required: true } } }
topics:
  sold:   { partitions: 2, key: shop }
  shares: { partitions: 1, key: shop, cleanup: compact }
  spread: { partitions: 2, key: shop }
sources:
  sold: { type: topic, topic: sold, schema: sold, until: end }
transforms:
  shares: { type: sql, inputs: [sold], emit: { on_update: 10ms }, sql: "SELECT shop, 12 / (total - 2) AS share FROM (SELECT shop, SUM(qty) AS total FROM sold GROUP BY shop)" }
  beyond: { type: sql, inputs: [sold], emit: { on_update: 10ms }, sql: "SELECT shop, SUM(qty - qty + 4611686018427387904) AS total FROM sold GROUP BY shop" }
  passed: { type: map, inputs: [shares], columns: { shop: shop, half: "24 / (share + 6)" } }
  kinds:  { type: sql, inputs: [sold], emit: { on_update: 10ms }, sql: "SELECT shop, kind, 12 / (SUM(qty) - 2) AS share FROM sold GROUP BY shop, kind" }
  spread: { type: topic, inputs: [kinds], topic: spread }
  tops:   { type: sql, inputs: [spread], emit: { on_update: 10ms }, sql: "SELECT shop, COUNT(*) AS n, MAX(share) AS most FROM spread GROUP BY shop" }
sinks:
  shares_rows: { type: sqlite, inputs: [shares], path: $work/shares.db, table: t, mode: upsert, key: [shop] }
  beyond_rows: { type: sqlite, inputs: [beyond], path: $work/beyond.db, table: t, mode: upsert, key: [shop] }
  passed_rows: { type: sqlite, inputs: [passed], path: $work/passed.db, table: t, mode: upsert, key: [shop] }
  tops_rows: { type: sqlite, inputs: [tops], path: $work/tops.db, table: t, mode: upsert, key: [shop] }
  # Of a shop there is one kind, which the file knows.
  kinds_rows: { type: sqlite, inputs: [kinds], path: $work/kinds.db, table: t, mode: upsert, key: [shop] }
  topic:  { type: topic, inputs: [shares], topic: shares }
X
start_broker "$work/broker"
pids+=("$broker_pid")
export BROKER="$broker"
# One more record of each shop, and what tables and the topic have then: TABLE SHOP VALUE, or TABLE SHOP gone.
step() {
    printf '%s\n' "$1" | "$millstream" produce sold --bootstrap "$broker" --key-separator $'\t' > "$work/produce.log" 2>&1 || fail "producing"
    "$millstream" run "$work/shares.yaml" --data "$work/data" > "$work/run.log" 2>&1 || fail "a run"
    "$millstream" consume shares --bootstrap "$broker" --from beginning --until-end --isolation read_committed --format json > "$work/topic.json" 2> "$work/consume.log" || fail "reading the topic"
    python3 - "$work" > "$work/found" << 'P'
import json, sqlite3, sys
work = sys.argv[1]
for name in ["shares", "beyond", "passed", "tops", "kinds"]:
    rows = sqlite3.connect(f"{work}/{name}.db").execute("SELECT * FROM t ORDER BY 1").fetchall()
    print(name, *("|".join(map(str, row)) for row in rows))
last = {}
for line in open(f"{work}/topic.json"):
    record = json.loads(line)
    last[record["key"]] = record["value"]
print("topic", *(f"{shop}|{json.loads(value)['share']}" for shop, value in sorted(last.items()) if value is not None))
P
    diff <(printf '%s\n' "$2") "$work/found" || fail "after $1"
}
"$millstream" topic create sold --partitions 2 --bootstrap "$broker" > "$work/topic.log" 2>&1 || true
step $'a\t{"shop":"a","kind":"x","qty":1}\nb\t{"shop":"b","kind":"y","qty":5}' "shares a|-12 b|4
beyond a|4611686018427387904 b|4611686018427387904
passed a|-4 b|2
tops a|1|-12 b|1|4
kinds a|x|-12 b|y|4
topic a|-12 b|4"
# 2 - 2 is nothing to divide by, of a; nor is -6 + 6, of b, in what is computed behind. Twice the number of beyond is more than it holds.
step $'a\t{"shop":"a","kind":"x","qty":1}\nb\t{"shop":"b","kind":"y","qty":-5}' "shares b|-6
beyond
passed
tops b|1|-6
kinds a|x|-12 b|y|-6
topic b|-6"
step $'a\t{"shop":"a","kind":"x","qty":1}\nb\t{"shop":"b","kind":"y","qty":3}' "shares a|12 b|12
beyond
passed a|1 b|1
tops a|1|12 b|1|12
kinds a|x|12 b|y|12
topic a|12 b|12"
letters="$("$millstream" consume shares-dead_letters --bootstrap "$broker" --from beginning --until-end 2> /dev/null | wc -l)"
[ "$letters" -ge 5 ] || fail "$letters dead letters: each result that could not be computed is told"
echo "ok: what could not be computed was gone, and came again; $letters dead letters"
# A worker that starts gives all results again, those that fail too: they are held against all that it gives, not against what was read.
cat > "$work/many.yaml" << Y
version: 1
name: many
broker: \${env:BROKER}
schemas: { sold: { fields: { shop: { type: string, required: true }, qty: { type: int64, required: true } } } }
topics: { sold: { name: sold-by-many, partitions: 2, key: shop } }
sources: { sold: { type: topic, topic: sold, schema: sold, until: end } }
transforms:
  shares: { type: sql, inputs: [sold], emit: { on_update: 10ms }, sql: "SELECT shop, 12 / (total - 2) AS share FROM (SELECT shop, SUM(qty) AS total FROM sold GROUP BY shop)" }
sinks: { rows: { type: sqlite, inputs: [shares], path: $work/many.db, table: t, mode: upsert, key: [shop] } }
Y
"$millstream" topic create sold-by-many --partitions 2 --bootstrap "$broker" > "$work/topic.log" 2>&1
sold() { awk -v from="$1" -v to="$2" 'BEGIN { for (i = from; i < to; i++) printf "%d\t{\"shop\":\"%d\",\"qty\":%d}\n", i, i, i < 21 ? 2 : 5 }' |
    "$millstream" produce sold-by-many --bootstrap "$broker" --key-separator $'\t' > "$work/produce.log" 2>&1 || fail "producing"; }
for shops in "0 2000" "1990 2000"; do
    # shellcheck disable=SC2086
    sold $shops
    "$millstream" run "$work/many.yaml" --data "$work/data-many" > "$work/run.log" 2>&1 || fail "a run with 21 results of 2,000 that fail"
done
[ "$(sqlite3 "$work/many.db" 'SELECT COUNT(*) FROM t')" = 1979 ] || fail "1,979 shops have a share"
echo "ok: results that fail hold no run up that gives them again"
