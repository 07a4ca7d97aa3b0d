#!/usr/bin/env bash
# store-invoices over a real retailer's invoices: "Online Retail" (Daqing Chen, UCI Machine Learning Repository,
# https://doi.org/10.24432/C5BW33, CC BY 4.0), as one JSON object a line. DATA is a folder with uci_invoices.jsonl.gz and
# uci_stores.csv (default ../shared/data); without it there is nothing to test. Held against the counts that come with the data and
# against a recount. MILLSTREAM and COUNT_ROWS name the programs.
set -euo pipefail
cd "$(dirname "$0")/../.."
data="${DATA:-../shared/data}"
if [ ! -e "$data/uci_invoices.jsonl.gz" ]; then
    echo "SKIPPED: no real invoices in $data (DATA=folder names another)"
    [ -z "${SKIPPED:-}" ] || echo "a retailer's invoices: no data" >> "$SKIPPED"
    exit
fi
. tests/e2e/lib.sh
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $1"; tail -n 30 "$work"/run.log "$work"/run.err; exit 1; }
mkdir -p "$work/input/stores/retailer/inbox"
gunzip -c "$data/uci_invoices.jsonl.gz" > "$work/input/stores/retailer/inbox/december.jsonl"
cp "$data/uci_stores.csv" "$work/input/stores.csv"
export INVOICES_DIR="$work/input" LAKE_URL="$work/lake" WAREHOUSE_DSN="sqlite:$work/warehouse.db"
run() { "$millstream" run $pipeline --data "$work/data" "$@" >> "$work/run.log" 2>> "$work/run.err"; }
# One invoice in five is a cancellation: more than the pipeline lets pass as bad. It stops, and nothing of it is written.
status=0
run || status=$?
[ "$status" -eq 1 ] && grep -q max_rate "$work/run.err" || fail "a run in which one invoice in five is bad ended with $status"
# Whoever has looked lets them pass; the same data folder goes on.
: > "$work/run.log"
run --set errors.data.max_rate=50%/1m || fail "the run"
reconcile "$work/input" "$work" || fail "the recount differs"
python3 - "$work/recount.json" <<'PY' || fail "the recount is not what comes with the data"
import json, sys
found = json.load(open(sys.argv[1]))
print(found)
sys.exit(not (
    (found["lines"], found["unique"], found["repeats"], found["rejected"]["negative_qty"]) == (1893, 1525, 0, 368)
    and float(found["revenue"]) == 755717.18
))
PY
grep -q '^read 1893 = unique 1525 + repeats 0 + rejected 368 : holds$' "$work/run.log" || fail "the run's own sum"
echo "real invoices test passed"
