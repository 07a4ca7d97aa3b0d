#!/usr/bin/env bash
# The demo: writes N invoices, runs the store-invoices pipeline over them, and holds what came out against a recount by
# other code. MILLSTREAM names the program, COUNT_ROWS the counter of Parquet rows (left out where it is not built).
set -euo pipefail
cd "$(dirname "$0")/../../.."
n="${N:-300000}" seed="${SEED:-1}" dir="$(realpath -m "${DEMO:-demo}")"
millstream="${MILLSTREAM:-target/release/millstream}" count_rows="${COUNT_ROWS:-}"
# Only what an earlier demo has left is deleted.
if [ -e "$dir" ] && [ -n "$(ls -A "$dir")" ] && [ ! -e "$dir/.millstream-demo" ] && [ ! -e "$dir/input/expected.json" ]; then
    echo "$dir is not empty and holds no demo; delete it, or name another folder with DEMO=" >&2
    exit 1
fi
mkdir -p "$dir"
touch "$dir/.millstream-demo"
rm -rf "${dir:?}"/*
"$millstream" generate invoices --n "$n" --seed "$seed" --dir "$dir/input"
export INVOICES_DIR="$dir/input" LAKE_URL="$dir/lake" WAREHOUSE_DSN="sqlite:$dir/warehouse.db"
run=("$millstream" run pipelines/examples/store-invoices/pipeline.yaml --data "$dir/data")
if [ -t 1 ] && command -v script > /dev/null; then
    # A terminal of its own for the picture, and a copy of what it said.
    script -qefc "$(printf '%q ' "${run[@]}")" "$dir/run.raw"
    tr -d '\r' < "$dir/run.raw" > "$dir/run.log"
else
    "${run[@]}" | tee "$dir/run.log"
fi
bash tests/e2e/store-invoices/reconcile.sh "$dir/input" "$dir" "$count_rows"
echo "Parquet files: $dir/lake   revenue table: $dir/warehouse.db   dead letters: topic dead_letter in $dir/data"
