#!/usr/bin/env bash
# store-invoices into a PostgreSQL server of its own, which dies in the middle of the run and is away for DOWN seconds:
# the pipeline waits, catches up, and ends with what a recount finds; nothing went to the dead letters for it.
# N invoices, DOWN seconds, SEED; MILLSTREAM and COUNT_ROWS name the programs.
. "$(dirname "$0")/lib.sh"
find_postgres "a database that goes away"
n="${N:-100000}" down="${DOWN:-60}"
work="$(mktemp -d)"
chmod 755 "$work"
make_postgres "$work/pg"
trap 'set +e; kill -QUIT $pg 2> /dev/null; kill $run 2> /dev/null; rm -rf "$work"' EXIT
pg='' run=''
start_postgres "$work/pg"
"$millstream" generate invoices --n "$n" --seed "${SEED:-1}" --dir "$work/input" > /dev/null
export INVOICES_DIR="$work/input" LAKE_URL="$work/lake" WAREHOUSE_DSN="postgres://postgres@localhost:$pg_port/postgres"
"$millstream" run $pipeline --data "$work/data" --set defaults.commit_interval=200ms \
    > "$work/run.log" 2> "$work/run.err" &
run=$!
# As soon as it runs, the server goes.
until [ -s "$work/run.log" ]; do
    kill -0 $run 2> /dev/null || { cat "$work/run.log" "$work/run.err"; echo "FAIL: the run did not begin"; exit 1; }
    pause 0.01
done
kill -QUIT $pg
wait $pg 2> /dev/null || true
echo "PostgreSQL is down for $down s"
sleep "$down"
kill -0 $run 2> /dev/null || { cat "$work/run.log" "$work/run.err"; echo "FAIL: the run did not wait"; exit 1; }
start_postgres "$work/pg"
wait $run || { tail -n 20 "$work/run.log" "$work/run.err"; echo "FAIL: the run failed"; exit 1; }
run=''
sql "copy (select store_id, window_start, invoices, revenue from revenue) to stdout with csv header" > "$work/revenue.csv"
sqlite3 "$work/warehouse.db" "create table revenue (store_id text, window_start text, invoices integer, revenue text)" \
    ".mode csv" ".import --skip 1 $work/revenue.csv revenue"
reconcile "$work/input" "$work"
if grep -q sink_refused "$work/run.log" "$work/run.err"; then echo "FAIL: rows were refused"; exit 1; fi
echo "postgres test passed"
