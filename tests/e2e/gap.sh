#!/usr/bin/env bash
# What sinks have written is deleted from their topics. A target that is then replaced lacks it: the run stops and says so,
# unless the pipeline says to go on without.
# N invoices; MILLSTREAM names the program.
. "$(dirname "$0")/lib.sh"
shopt -s nullglob
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export INVOICES_DIR="$work/input" LAKE_URL="$work/lake" WAREHOUSE_DSN="sqlite:$work/warehouse.db"
run() {
    "$millstream" run $pipeline --data "$work/data" \
        --set defaults.commit_interval=100ms --set defaults.trim_interval=100ms "$@" > "$work/run.log" 2> "$work/run.err"
}
fail() {
    echo "FAIL: $1"
    tail -n 20 "$work/run.log" "$work/run.err"
    exit 1
}
"$millstream" generate invoices --n "${N:-2000}" --seed 1 --dir "$work/input" > /dev/null
run || fail "the first run"
rows=$(sqlite3 "$work/warehouse.db" 'SELECT COUNT(*) FROM revenue')
[ "$rows" -gt 0 ] || fail "no rows in the warehouse"
run || fail "a run over the same input"
rm -r "$work"/warehouse.db* "$work/lake"
code=0
run || code=$?
[ "$code" = 1 ] || fail "a run with a new target ended with $code, not 1"
grep -Eq "sink (warehouse|lake): its target has no offsets of store-invoices-(revenue|unique)-" "$work/run.err" ||
    fail "it does not say what is missing"
grep -q "on_gap: skip" "$work/run.err" || fail "it does not say what to do"
run --set sinks.warehouse.on_gap=skip --set sinks.lake.on_gap=skip || fail "a run that skips the gap"
run || fail "a run after the gap was skipped"
"$millstream" generate invoices --n 500 --seed 2 --dir "$work/more" > /dev/null
for store in "$work"/more/stores/*/inbox; do
    for file in "$store"/*; do
        to="$work/input/stores/$(basename "$(dirname "$store")")/inbox"
        mkdir -p "$to"
        cp "$file" "$to/more-$(basename "$file")"
    done
done
run || fail "a run over more input"
more=$(sqlite3 "$work/warehouse.db" 'SELECT COUNT(*) FROM revenue')
[ "$more" -gt 0 ] || fail "nothing was written behind the gap"
echo "gap test passed: the loss of $rows rows was told; behind the gap $more were written"
