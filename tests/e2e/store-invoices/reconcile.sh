#!/usr/bin/env bash
# reconcile.sh INPUT_DIR WORK_DIR [COUNT_ROWS [BROKER]]: holds what a run of store-invoices left in WORK_DIR (lake/, warehouse.db,
# run.log) against a recount of INPUT_DIR by other code (recount.py, sqlite3). The late rows are read from the dead letters,
# at BROKER, or by MILLSTREAM (the program) from WORK_DIR/data. Ends with 1 where they differ.
set -euo pipefail
input="$1" work="$2" count_rows="${3:-}" broker="${4:-}" millstream="${MILLSTREAM:-target/release/millstream}"
here="$(cd "$(dirname "$0")" && pwd)"
python3 "$here/../recount.py" "$input" --windows "$work/windows.csv" > "$work/recount.json"
# counted KEY...: a number or text of the recount.
counted() { python3 -c 'import functools, json, sys; print(functools.reduce(dict.get, sys.argv[2:], json.load(open(sys.argv[1]))))' "$work/recount.json" "$@"; }
unique=$(counted unique)
cents() { awk -v x="$1" 'BEGIN { n = split(x, p, "."); f = substr((n > 1 ? p[2] : "") "00", 1, 2); printf "%s%s", p[1], f }'; }
expected=$(cents "$(counted revenue)")
# Exact: decimals are text with two places; hundredths are summed as integers.
table=$(sqlite3 "$work/warehouse.db" "select coalesce(sum(cast(replace(revenue, '.', '') as integer)), 0) from revenue")
in_table=$(sqlite3 "$work/warehouse.db" "select coalesce(sum(invoices), 0) from revenue")
windows=$(sqlite3 "$work/warehouse.db" "select count(*) from revenue")
late=$((unique - in_table))
echo "recount: unique=$unique revenue=$expected; table: windows=$windows invoices=$in_table revenue=$table; late by count: $late"
fail=0
late_said=$(awk '/^late rows of/ { n += $NF } END { print n + 0 }' "$work/run.log")
if [ "$late" -ne "$late_said" ]; then echo "FAIL: the run says $late_said late rows, the table lacks $late"; fail=1; fi
if ! grep -q ': holds$' "$work/run.log"; then echo "FAIL: the run's own sum does not hold"; fail=1; fi
# Every window of the table is one of the recount's, and where nothing was late, equal to it.
sqlite3 -csv "$work/warehouse.db" "select store_id, window_start, invoices, replace(revenue, '.', '') from revenue" > "$work/table.csv"
if ! python3 - "$work/windows.csv" "$work/table.csv" "$late" <<'PY'
import csv, datetime, sys
def ms(text):
    if text.lstrip("-").isdigit():
        return int(text)
    at = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    at = at if at.tzinfo else at.replace(tzinfo=datetime.timezone.utc)
    return round(at.timestamp() * 1000)
def cents(text):
    whole, _, part = text.partition(".")
    return int(whole + (part + "00")[:2])
want = {(r["store_id"], int(r["window_start_ms"])): (int(r["invoices"]), cents(r["revenue"])) for r in csv.DictReader(open(sys.argv[1]))}
have = {(s, ms(w)): (int(n), int(r)) for s, w, n, r in csv.reader(open(sys.argv[2]))}
late = sum(n for n, _ in want.values()) - sum(n for n, _ in have.values())
money = sum(r for _, r in want.values()) - sum(r for _, r in have.values())
wrong = [
    k for k in have
    if k not in want or have[k][0] > want[k][0] or (have[k][0] == want[k][0] and have[k][1] != want[k][1])
]
differ = sum(1 for k in want if want[k] != have.get(k))
print(f"windows: {len(want)} wanted, {len(have)} there, {differ} lack late rows, {len(wrong)} wrong; late {late} invoices, {money} hundredths")
sys.exit(1 if wrong or late != int(sys.argv[3]) or (late == 0 and differ) else 0)
PY
then echo "FAIL: windows differ"; fail=1; fi
own=''
if [ -z "$broker" ]; then
    "$millstream" broker --listen 127.0.0.1:0 --data "$work/data/broker" > "$work/reconcile.broker" 2> "$work/reconcile.err" &
    own=$!
    trap 'kill "$own" 2> /dev/null || true' EXIT
    until grep -q '^ready ' "$work/reconcile.broker"; do
        kill -0 "$own" 2> /dev/null || { cat "$work/reconcile.err"; echo "FAIL: the run's broker did not start"; exit 1; }
        read -r -t 0.05 <> <(:) || true
    done
    broker=$(sed -n 's/^ready //p' "$work/reconcile.broker")
fi
# What the run says that it read and dropped is what the recount finds.
said() { awk -v name="$1" '$0 ~ "^ *" name " +[0-9]+$" { n = $NF } END { print n + 0 }' "$work/run.log"; }
same() { if [ "$2" != "$3" ]; then echo "FAIL: $1: $2, the recount has $3"; fail=1; fi; }
same "records read" "$(said read)" "$(counted lines)"
same "repeats dropped" "$(said 'repeats dropped by unique')" "$(counted repeats)"
# Each bad record and each late row is one dead letter, with its reason. The table and the late rows make up the whole
# revenue, to the hundredth.
"$millstream" consume dead_letter --bootstrap "$broker" --from beginning --until-end --isolation read_committed \
    --format json > "$work/letters.json"
late_cents=$(python3 - "$work/letters.json" "$work/recount.json" "$late" <<'PY'
import collections, decimal, json, sys
total, reasons = 0, collections.Counter()
for line in open(sys.argv[1], "rb"):
    record = json.loads(line)
    headers = dict(record["headers"])
    reasons[headers["millstream.reason"]] += 1
    if headers["millstream.reason"] == "late":
        total += int(json.loads(record["value"], parse_float=decimal.Decimal)["total"] * 100)
wanted = collections.Counter(json.load(open(sys.argv[2]))["rejected"])
wanted["late"] = int(sys.argv[3])
if +reasons != +wanted:
    print(f"FAIL: dead letters by reason: {dict(reasons)}, wanted {dict(wanted)}", file=sys.stderr)
print(total if +reasons == +wanted else "differs")
PY
)
if [ -n "$own" ]; then kill "$own" && wait "$own" || { echo "FAIL: the broker did not stop"; fail=1; }; fi
if [ "$late_cents" = differs ]; then fail=1; late_cents=0; fi
echo "revenue: table $table + late rows $late_cents = $((table + late_cents)) of $expected"
if [ $((table + late_cents)) -ne "$expected" ]; then echo "FAIL: the revenue differs"; fail=1; fi
if [ -n "$count_rows" ]; then
    lake=$("$count_rows" "$work/lake" store_id,invoice_id total)
    echo "lake: $lake"
    if [ "$lake" != "rows=$unique distinct=$unique sum=$expected" ]; then echo "FAIL: the lake differs"; fail=1; fi
fi
[ "$fail" = 0 ] && echo "reconciled"
exit "$fail"
