#!/usr/bin/env bash
# store-invoices into a PostgreSQL server of its own, which dies in the middle of the run and is away for DOWN seconds:
# the pipeline waits, catches up, and ends with what a recount finds; nothing went to the dead letters for it.
# N invoices, DOWN seconds, SEED; MILLSTREAM and COUNT_ROWS name the programs.
. "$(dirname "$0")/lib.sh"
bin="${MILLSTREAM_PG_BIN:-$(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | sort -V | tail -1 || true)}"
if [ ! -x "$bin/postgres" ]; then
    echo "SKIPPED: PostgreSQL's server is not installed (apt-get install postgresql)"
    [ -z "${SKIPPED:-}" ] || echo "a database that goes away: no PostgreSQL" >> "$SKIPPED"
    [ -z "${REQUIRE_ALL:-}" ]
    exit
fi
n="${N:-100000}" down="${DOWN:-60}"
work="$(mktemp -d)"
chmod 755 "$work"
as=()
if [ "$(id -u)" = 0 ]; then
    # The server refuses root.
    as=(setpriv --reuid=postgres --regid=postgres --clear-groups --)
    install -d -o postgres "$work/pg"
else
    mkdir "$work/pg"
fi
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
(cd "$work/pg" && "${as[@]}" "$bin/initdb" -D data -U postgres -A trust -E UTF8 --no-sync --no-locale > initdb.log)
trap 'set +e; kill -QUIT $pg 2> /dev/null; kill $run 2> /dev/null; rm -rf "$work"' EXIT
up() {
    (cd "$work/pg" && exec "${as[@]}" "$bin/postgres" -D data -p "$port" -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories= -c fsync=off > "$work/pg.log" 2>&1) &
    pg=$!
    until "$bin/pg_isready" -q -h 127.0.0.1 -p "$port"; do
        kill -0 $pg 2> /dev/null || { cat "$work/pg.log"; echo "FAIL: PostgreSQL did not start"; exit 1; }
        pause 0.1
    done
}
sql() { "$bin/psql" -X -A -t -q -h 127.0.0.1 -p "$port" -U postgres -c "$1" postgres; }
pg='' run=''
up
"$millstream" generate invoices --n "$n" --seed "${SEED:-1}" --dir "$work/input" > /dev/null
export INVOICES_DIR="$work/input" LAKE_URL="$work/lake" WAREHOUSE_DSN="postgres://postgres@localhost:$port/postgres"
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
up
wait $run || { tail -n 20 "$work/run.log" "$work/run.err"; echo "FAIL: the run failed"; exit 1; }
run=''
sql "copy (select store_id, window_start, invoices, revenue from revenue) to stdout with csv header" > "$work/revenue.csv"
sqlite3 "$work/warehouse.db" "create table revenue (store_id text, window_start text, invoices integer, revenue text)" \
    ".mode csv" ".import --skip 1 $work/revenue.csv revenue"
reconcile "$work/input" "$work"
if grep -q sink_refused "$work/run.log" "$work/run.err"; then echo "FAIL: rows were refused"; exit 1; fi
echo "postgres test passed"
