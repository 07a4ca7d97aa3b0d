#!/usr/bin/env bash
# Live input: two workers watch folders while files come; windows close meanwhile; one worker is killed with SIGKILL and
# comes back; both stop on SIGTERM. A last run over the same folders, which ends, closes what was open, and everything is held
# against a recount.
# N invoices, SEED; MILLSTREAM and COUNT_ROWS name the programs.
. "$(dirname "$0")/lib.sh"
work="$(mktemp -d)"
pids=()
trap 'set +e; kill -9 "${pids[@]}" 2> /dev/null; rm -rf "$work"' EXIT
fail() { echo "FAIL: $1"; tail -n 20 "$work"/*.log "$work"/*.err; exit 1; }
"$millstream" generate invoices --n "${N:-6000}" --seed "${SEED:-1}" --dir "$work/all" > /dev/null
mkdir -p "$work/input/stores"
cp "$work/all/stores.csv" "$work/input/"
start_broker "$work/broker" --set group.consumer.session.timeout.ms=3000 --set group.consumer.heartbeat.interval.ms=500
pids+=("$broker_pid")
export INVOICES_DIR="$work/input" LAKE_URL="$work/lake" WAREHOUSE_DSN="sqlite:$work/warehouse.db" BROKER="$broker"
worker() { # NAME: returns when it runs
    [ ! -e "$work/$1.log" ] || mv "$work/$1.log" "$work/$1.before.log"
    INVOICES_WATCH=true "$millstream" run $pipeline --data "$work/$1" --instance "$1" \
        --set defaults.commit_interval=100ms --set defaults.trim_interval=100ms > "$work/$1.log" 2>> "$work/$1.err" &
    pids+=($!)
    until [ -s "$work/$1.log" ]; do
        kill -0 "${pids[-1]}" 2> /dev/null || fail "worker $1 did not begin"
        pause 0.05
    done
}
rows() { sqlite3 "$work/warehouse.db" 'SELECT COUNT(*) FROM revenue' 2> /dev/null || echo 0; }
come() { # FIRST EVERY: every so manieth store's folder appears, whole files at a time
    local at=0 store
    for store in "$work"/all/stores/*; do
        at=$((at + 1))
        [ $((at % $2)) = "$1" ] || continue
        cp -r "$store" "$work/input/stores/.coming"
        mv "$work/input/stores/.coming" "$work/input/stores/$(basename "$store")"
    done
}
until_rows() { # MORE THAN, WHAT
    local tries=0
    until [ "$(rows)" -gt "$1" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 1200 ] || fail "$2, for two minutes"
        kill -0 "$a" 2> /dev/null || fail "worker a ended: $2"
        kill -0 "$b" 2> /dev/null || fail "worker b ended: $2"
        pause 0.1
    done
}
worker a
a="${pids[-1]}"
worker b
b="${pids[-1]}"
come 0 3
until_rows 0 "no window closed while it ran"
kill -9 "$a"
wait "$a" 2> /dev/null || true
come 1 3
worker a
a="${pids[-1]}"
before=$(rows)
come 2 3
until_rows "$before" "no window closed after a worker came back"
live=$(rows)
kill -TERM "$a" "$b"
wait "$a" || fail "worker a's stop"
wait "$b" || fail "worker b's stop"
"$millstream" run $pipeline --data "$work/a" --instance a > "$work/run.log" 2> "$work/run.err" || fail "the last run"
reconcile "$work/all" "$work" "$broker" > "$work/reconcile.log" 2>&1 || { cat "$work/reconcile.log"; fail "the recount differs"; }
echo "live test passed: $live windows closed while it ran; $(grep '^recount' "$work/reconcile.log")"
